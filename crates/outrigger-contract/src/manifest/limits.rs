//! Limits on what a call may use. Every one of them is on by default.

use std::num::NonZeroU32;

use serde::Serialize;

use crate::units::{ByteSize, Span};

/// Limits of a plugin, with the defaults filled in where the manifest is silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Limits {
    /// Linear memory of one instance.
    pub memory: ByteSize,
    /// Wall clock of one call.
    pub timeout: Span,
    /// Time spent on computing in one call. It is never more than the longest timeout of the plugin and its functions,
    /// which is also the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Span>,
    /// Size of one result.
    pub output: ByteSize,
    /// Calls of the whole plugin at once.
    pub concurrency: NonZeroU32,
    /// Log lines of one call; further lines are counted and dropped.
    pub log_lines: u32,
    /// Size of the key-value state that the plugin keeps.
    pub state: ByteSize,
}

impl Limits {
    pub const MIN_MEMORY: ByteSize = ByteSize::kib(64);
    /// All that a 32-bit linear memory can address.
    pub const MAX_MEMORY: ByteSize = ByteSize::gib(4);
    pub const MAX_OUTPUT: ByteSize = ByteSize::gib(1);
    pub const MAX_STATE: ByteSize = ByteSize::gib(16);
    pub const MAX_TIMEOUT: Span = Span::from_secs(24 * 3_600);
    pub const MAX_CONCURRENCY: u32 = 10_000;
    pub const MAX_LOG_LINES: u32 = 1_000_000;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(64),
            timeout: Span::from_secs(5),
            cpu: None,
            output: ByteSize::mib(4),
            concurrency: NonZeroU32::new(16).expect("16 is not zero"),
            log_lines: 1_000,
            state: ByteSize::mib(1),
        }
    }
}
