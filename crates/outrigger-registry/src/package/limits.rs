//! How much a package may be.

use outrigger_contract::units::ByteSize;

/// Limits on what is read and unpacked. The defaults are far above what a plugin needs and far below what hurts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageLimits {
    /// Files and folders.
    pub entries: usize,
    /// Size of all files together.
    pub total: ByteSize,
    /// Size of one file.
    pub file: ByteSize,
    /// Size of the archive.
    pub archive: ByteSize,
    /// How many times larger than the archive its content may be, once that is past [`PackageLimits::RATIO_FROM`].
    pub ratio: u64,
}

impl PackageLimits {
    /// Below this size, content may be compressed as well as it will: a few repeated lines are no bomb.
    pub const RATIO_FROM: ByteSize = ByteSize::mib(1);
}

impl Default for PackageLimits {
    fn default() -> Self {
        Self {
            entries: 10_000,
            total: ByteSize::mib(256),
            file: ByteSize::mib(128),
            archive: ByteSize::mib(128),
            ratio: 200,
        }
    }
}
