//! Where the time of a call goes.
//!
//! A call is recorded when its caller asks for it, when it is traced, and otherwise now and then
//! ([`crate::statistics::ONE_IN`]). Only such a call has a [`Recording`]; on the path of any other, each stage costs a look
//! at an `Option`.

mod gathered;
mod recording;
#[cfg(test)]
mod tests;

use std::time::Duration;

use outrigger_contract::{Code, FunctionRef};

pub(crate) use gathered::Gathered;
pub use gathered::{FunctionProfile, HostSummary, PluginProfile, StageSummary};
pub use recording::{Recording, TimeSpan, What};

/// A stage of a call. Each moment of a call belongs to exactly one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Resolve,
    Validate,
    Queue,
    Hooks,
    Cache,
    Instantiate,
    Transfer,
    Run,
    Host,
    Record,
    Other,
}

impl Stage {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every stage, in the order in which a call meets them.
    pub const ALL: [Self; 11] = [
        Self::Resolve,
        Self::Validate,
        Self::Queue,
        Self::Hooks,
        Self::Cache,
        Self::Instantiate,
        Self::Transfer,
        Self::Run,
        Self::Host,
        Self::Record,
        Self::Other,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Validate => "validate",
            Self::Queue => "queue",
            Self::Hooks => "hooks",
            Self::Cache => "cache",
            Self::Instantiate => "instantiate",
            Self::Transfer => "transfer",
            Self::Run => "run",
            Self::Host => "host",
            Self::Record => "record",
            Self::Other => "other",
        }
    }

    /// A description of the stage.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Resolve => "finding the function, and loading its plugin if necessary",
            Self::Validate => "checking the caller, the arguments and the result",
            Self::Queue => "waiting for the rate limit, the concurrency limit or the next attempt",
            Self::Hooks => "the subscribers of `call.before`",
            Self::Cache => "looking in the cache, or waiting for an identical call",
            Self::Instantiate => "creating and removing an instance of the plugin",
            Self::Transfer => "moving arguments into the plugin and the result out of it",
            Self::Run => "the plugin's own code",
            Self::Host => "host functions and calls to other plugins",
            Self::Record => "recording the call",
            Self::Other => "everything else",
        }
    }

    /// The plugin has been entered.
    const fn is_inside(self) -> bool {
        matches!(self, Self::Transfer | Self::Run | Self::Host)
    }
}

/// Where the time of one call went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallProfile {
    pub function: FunctionRef,
    /// None where it succeeded.
    pub code: Option<Code>,
    /// From arrival until it was written down. The stages add up to it.
    pub total: Duration,
    /// By place in [`Stage::ALL`].
    pub stages: [Duration; Stage::COUNT],
    /// The parts of [`Stage::Host`], by imported interface, the longest first.
    pub host: Vec<HostCalls>,
    /// Calls that were made on behalf of this one, by the plugin and by hooks, in order. The first of them.
    pub calls: Vec<CallProfile>,
    /// How many more there were.
    pub calls_left_out: u32,
}

/// Calls of one interface that the plugin imports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostCalls {
    /// Such as `wasi:io/poll`; `runtime` for what the runtime does itself, such as growing memory.
    pub import: &'static str,
    pub calls: u64,
    pub time: Duration,
}

impl CallProfile {
    /// The time of one stage.
    #[must_use]
    pub const fn stage(&self, stage: Stage) -> Duration {
        self.stages[stage as usize]
    }
}
