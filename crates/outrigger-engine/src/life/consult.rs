//! Asks who has a say in what somebody is about to do with a plugin: the subscribers of `plugin.before`. They may refuse it, and
//! change nothing. What Outrigger does by itself, such as a restart by the health monitor, nobody is asked about.

use outrigger_contract::{Code, Digest, PluginName};
use serde_json::json;

use crate::call::Caller;
use crate::correlation::CorrelationId;
use crate::engine::Engine;
use crate::error::Failure;
use crate::hooks::{Firing, spec};

/// Something that is about to be done with a plugin.
#[derive(Clone, Debug)]
pub struct Intent<'a> {
    pub plugin: &'a PluginName,
    pub change: Change,
    /// Of an installation or an update, what will be there; otherwise what is there.
    pub version: String,
    pub digest: Digest,
    pub by: Caller,
    pub correlation: CorrelationId,
}

/// The planned change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Install,
    Update,
    Enable,
    Disable,
    Reload,
    Rollback,
    Remove,
}

impl Change {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Update => "update",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Reload => "reload",
            Self::Rollback => "rollback",
            Self::Remove => "remove",
        }
    }
}

impl Engine {
    /// Asks. A plugin has no say in what becomes of itself: one that refuses all, or is broken, could not be removed.
    ///
    /// # Errors
    /// A subscriber refused it, or failed and takes the hook with it, or changed what the hook carries.
    pub async fn consult(&self, intent: Intent<'_>) -> Result<(), Failure> {
        let Intent { plugin, change, version, digest, by, correlation } = intent;
        let hook = spec::PLUGIN_BEFORE.parse().expect("the built-in names are names");
        if self.inner.hooks.subscribers(&hook).is_empty() {
            return Ok(());
        }
        let payload = json!({
            "plugin": plugin, "change": change.as_str(), "version": version, "digest": digest.to_string(),
            "caller": by.to_string(),
        });
        let firing =
            Firing { cause: Some(by), correlation, except: Some(plugin.clone()), ..Firing::new(hook, payload.clone()) };
        let fired = self.run_hook(firing).await;
        match fired.failure {
            Some(failure) => Err(failure),
            None if *fired.value == payload => Ok(()),
            None => {
                let message = "a subscriber of `plugin.before` changed the payload";
                Err(Failure::new(Code::HookFailed, message).with_hint(
                    "`outrigger hook trace plugin.before` shows which one; subscribers of `plugin.before` \
                    can only refuse",
                ))
            }
        }
    }
}
