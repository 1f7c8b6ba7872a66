//! The caller of a function, and the origin of its call chain.

use std::sync::Arc;

use outrigger_contract::{FunctionRef, HookName, PluginName};

use crate::access::Principal;
use crate::hooks::HookCaller;

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Someone with access to the data directory itself: its administrator.
    Local,
    /// The holder of a key.
    Key(Arc<Principal>),
    /// A function of a plugin, or a step of its life.
    Plugin(Arc<PluginCaller>),
    /// A hook, on behalf of who caused it to be fired.
    Hook(Arc<HookCaller>),
}

/// A plugin that calls another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCaller {
    /// The functions that led to the call, outermost first. Empty for a lifecycle step.
    pub chain: Vec<FunctionRef>,
    pub origin: Origin,
}

/// The origin of a call chain. Limits count a call for its origin, regardless of the plugins and hooks in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Local,
    Key(Arc<Principal>),
    /// A lifecycle step of a plugin, or its health check.
    Plugin(PluginName),
    /// A hook that Outrigger fires.
    Hook(HookName),
}

impl Caller {
    /// The origin of this caller's call chain.
    #[must_use]
    pub fn origin(&self) -> Origin {
        match self {
            Self::Local => Origin::Local,
            Self::Key(principal) => Origin::Key(Arc::clone(principal)),
            Self::Plugin(by) => by.origin.clone(),
            Self::Hook(by) => by.cause.as_ref().map_or_else(|| Origin::Hook(by.hook.clone()), Self::origin),
        }
    }

    /// The id of the key at the origin of the chain, if it was a key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key(principal) => Some(&principal.id),
            Self::Plugin(by) => match &by.origin {
                Origin::Key(principal) => Some(&principal.id),
                Origin::Local | Origin::Plugin(_) | Origin::Hook(_) => None,
            },
            Self::Hook(by) => by.cause.as_ref().and_then(Self::key),
            Self::Local => None,
        }
    }

    /// The functions that led to the call, the outermost first.
    #[must_use]
    pub fn chain(&self) -> &[FunctionRef] {
        match self {
            Self::Plugin(by) => &by.chain,
            Self::Hook(by) => by.cause.as_ref().map_or(&[], Self::chain),
            Self::Local | Self::Key(_) => &[],
        }
    }

    /// The plugin or key whose turn a computation for the caller takes.
    pub(crate) fn owner(&self) -> String {
        match self {
            Self::Plugin(by) => match (by.chain.last(), &by.origin) {
                (Some(FunctionRef { plugin, .. }), _) | (None, Origin::Plugin(plugin)) => turn_owner(plugin),
                (None, _) => self.to_string(),
            },
            Self::Hook(by) => by.cause.as_ref().map_or_else(|| "system".to_owned(), Self::owner),
            Self::Local | Self::Key(_) => self.to_string(),
        }
    }

    /// Whether a function of this plugin has led to the call, which then waits for it.
    pub(crate) fn is_within(&self, plugin: &PluginName) -> bool {
        self.chain().iter().any(|function| function.plugin == *plugin)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Key(principal) => principal.fmt(f),
            Self::Plugin(plugin) => write!(f, "plugin {plugin}"),
            Self::Hook(hook) => write!(f, "hook {hook}"),
        }
    }
}

/// The name of a plugin in the pool for long computations. A plugin may be named `local` or `system`.
pub(crate) fn turn_owner(plugin: &PluginName) -> String {
    format!("plugin {plugin}")
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Key(principal) => principal.fmt(f),
            Self::Plugin(by) => match (by.chain.last(), &by.origin) {
                (Some(function), _) => write!(f, "plugin {function}"),
                (None, Origin::Plugin(plugin)) => write!(f, "plugin {plugin}"),
                (None, _) => f.write_str("plugin"),
            },
            Self::Hook(by) => match &by.cause {
                Some(cause) => write!(f, "hook {} for {cause}", by.hook),
                None => write!(f, "hook {}", by.hook),
            },
        }
    }
}
