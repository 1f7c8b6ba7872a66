//! The state machine: a pure function from (state, event) to (state, effects). Whoever performs an effect reports back
//! with [`Event::Done`] or [`Event::Failed`]; nothing else moves a plugin.
//!
//! ```text
//! discovered → validated → installed → registered → loaded → initialized → active
//!                                          ↑                                  │ disable
//!                                          └──── disabled ← cleaned up ← deactivated
//! ```
//!
//! A step that fails is undone, in reverse, and leaves `failed` (or nothing, where it was not yet registered).

use serde::{Deserialize, Serialize};

/// Where a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// A package was found.
    Discovered,
    /// Its manifest, structure and types are in order.
    Validated,
    /// Its files are in the data directory.
    Installed,
    /// It is in the store with its grant, and is not loaded: that happens when it is first needed.
    Registered,
    /// Its code is ready to run.
    Loaded,
    /// Its `initialize` has succeeded.
    Initialized,
    /// It takes calls.
    Active,
    /// It takes no more calls; its `deactivate` was called.
    Deactivated,
    /// Switched off by an administrator; nothing of it is loaded.
    Disabled,
    /// A step failed and was undone. It takes no calls.
    Failed,
    /// It is gone.
    Removed,
}

impl PluginState {
    /// The name as it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discovered => "discovered",
            Self::Validated => "validated",
            Self::Installed => "installed",
            Self::Registered => "registered",
            Self::Loaded => "loaded",
            Self::Initialized => "initialized",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Disabled => "disabled",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }

    /// Whether an administrator meant it to take calls: it does, or will as soon as it is needed.
    #[must_use]
    pub const fn is_enabled(self) -> bool {
        matches!(self, Self::Registered | Self::Loaded | Self::Initialized | Self::Active)
    }
}

impl std::fmt::Display for PluginState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Install what was found.
    Install,
    /// Make it take calls.
    Enable,
    /// Stop it taking calls.
    Disable,
    /// Remove it.
    Uninstall,
    /// An effect was performed.
    Done(Effect),
    /// An effect failed.
    Failed(Effect),
}

/// An effect to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Check the package and read its types.
    Validate,
    /// Move its files into the data directory.
    Unpack,
    /// Write it to the store.
    Register,
    /// Make its code ready.
    Load,
    /// Call its `initialize`.
    Initialize,
    /// Call its `activate`.
    Activate,
    /// Let running calls finish and take no new ones.
    Drain,
    /// Call its `deactivate`.
    Deactivate,
    /// Call its `cleanup`.
    Cleanup,
    /// Free its code and instances.
    Unload,
    /// Remove its files.
    RemoveFiles,
    /// Remove it from the store.
    Unregister,
}

/// A step taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state from now on.
    pub state: PluginState,
    /// The effects to execute now, in this order. The outcome of the last one is reported back; the earlier ones are
    /// undoing and go on whatever their outcome.
    pub effects: Vec<Effect>,
}

/// The event does not apply in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a plugin that is {state} cannot {}", describe(*.event))]
pub struct Refusal {
    /// Where it stands.
    pub state: PluginState,
    /// The request.
    pub event: Event,
}

fn describe(event: Event) -> &'static str {
    match event {
        Event::Install => "be installed",
        Event::Enable => "be enabled",
        Event::Disable => "be disabled",
        Event::Uninstall => "be uninstalled",
        Event::Done(_) | Event::Failed(_) => "take this step",
    }
}

/// The next state and what to do for it.
///
/// # Errors
/// The event does not apply in this state.
pub fn advance(state: PluginState, event: Event) -> Result<Transition, Refusal> {
    use Effect as Do;
    use PluginState as In;
    let to = |state, effects: &[Effect]| Ok(Transition { state, effects: effects.to_vec() });
    match (state, event) {
        // Up.
        (In::Discovered, Event::Install) => to(In::Discovered, &[Do::Validate]),
        (In::Discovered, Event::Done(Do::Validate)) => to(In::Validated, &[Do::Unpack]),
        (In::Validated, Event::Done(Do::Unpack)) => to(In::Installed, &[Do::Register]),
        (In::Installed, Event::Done(Do::Register)) => to(In::Registered, &[]),
        (In::Registered | In::Disabled | In::Failed, Event::Enable) => to(In::Registered, &[Do::Load]),
        (In::Registered, Event::Done(Do::Load)) => to(In::Loaded, &[Do::Initialize]),
        (In::Loaded, Event::Done(Do::Initialize)) => to(In::Initialized, &[Do::Activate]),
        (In::Initialized, Event::Done(Do::Activate)) => to(In::Active, &[]),
        (In::Active, Event::Enable) => to(In::Active, &[]),

        // A step up failed: what was done before it is undone, in reverse.
        (In::Discovered, Event::Failed(Do::Validate)) => to(In::Removed, &[]),
        (In::Validated, Event::Failed(Do::Unpack)) | (In::Installed, Event::Failed(Do::Register)) => {
            to(In::Removed, &[Do::RemoveFiles])
        }
        (In::Registered, Event::Failed(Do::Load)) => to(In::Failed, &[]),
        (In::Loaded, Event::Failed(Do::Initialize)) | (In::Initialized, Event::Failed(Do::Activate)) => {
            to(In::Failed, &[Do::Cleanup, Do::Unload])
        }

        // Down. A plugin's own steps are called for their effect; that one fails holds nothing up.
        (In::Active, Event::Disable) => to(In::Deactivated, &[Do::Drain, Do::Deactivate, Do::Cleanup, Do::Unload]),
        (In::Deactivated, Event::Done(Do::Unload) | Event::Failed(Do::Unload)) => to(In::Disabled, &[]),
        (In::Registered | In::Failed | In::Disabled, Event::Disable) => to(In::Disabled, &[]),
        (In::Active, Event::Uninstall) => {
            to(In::Disabled, &[Do::Drain, Do::Deactivate, Do::Cleanup, Do::Unload, Do::Unregister])
        }
        (In::Registered | In::Failed | In::Disabled, Event::Uninstall) => to(In::Disabled, &[Do::Unregister]),
        // Files are deleted last: if unregistering fails, the plugin still needs them.
        (In::Disabled, Event::Done(Do::Unregister)) => to(In::Removed, &[Do::RemoveFiles]),
        (In::Disabled, Event::Failed(Do::Unregister)) => to(In::Disabled, &[]),
        // Removed or undone steps stay so, whatever the outcome of the last effect.
        (In::Removed | In::Failed, Event::Done(_) | Event::Failed(_)) => to(state, &[]),
        (state, event) => Err(Refusal { state, event }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks through events and writes down each state with its effects.
    fn walk(from: PluginState, events: &[Event]) -> String {
        let mut state = from;
        let mut lines = vec![state.to_string()];
        for event in events {
            match advance(state, *event) {
                Ok(transition) => {
                    state = transition.state;
                    lines.push(format!("{state} {:?}", transition.effects));
                }
                Err(refusal) => lines.push(refusal.to_string()),
            }
        }
        lines.join("\n")
    }

    #[test]
    fn the_way_up_and_down() {
        use Effect::*;
        let events = [
            Event::Install,
            Event::Done(Validate),
            Event::Done(Unpack),
            Event::Done(Register),
            Event::Install,
            Event::Enable,
            Event::Done(Load),
            Event::Done(Initialize),
            Event::Done(Activate),
            Event::Disable,
            Event::Done(Unload),
            Event::Uninstall,
            Event::Done(Unregister),
        ];
        insta::assert_snapshot!(walk(PluginState::Discovered, &events), @r"
        discovered
        discovered [Validate]
        validated [Unpack]
        installed [Register]
        registered []
        a plugin that is registered cannot be installed
        registered [Load]
        loaded [Initialize]
        initialized [Activate]
        active []
        deactivated [Drain, Deactivate, Cleanup, Unload]
        disabled []
        disabled [Unregister]
        removed [RemoveFiles]
        ");
    }

    #[test]
    fn a_failed_step_is_undone() {
        use Effect::*;
        let check = |state, effect, state_then, effects: &[Effect]| {
            let transition = advance(state, Event::Failed(effect)).expect("a failure always has a way out");
            assert_eq!((transition.state, transition.effects.as_slice()), (state_then, effects), "{state} {effect:?}");
        };
        check(PluginState::Discovered, Validate, PluginState::Removed, &[]);
        check(PluginState::Validated, Unpack, PluginState::Removed, &[RemoveFiles]);
        check(PluginState::Installed, Register, PluginState::Removed, &[RemoveFiles]);
        check(PluginState::Registered, Load, PluginState::Failed, &[]);
        check(PluginState::Loaded, Initialize, PluginState::Failed, &[Cleanup, Unload]);
        check(PluginState::Initialized, Activate, PluginState::Failed, &[Cleanup, Unload]);
        check(PluginState::Disabled, Unregister, PluginState::Disabled, &[]);
    }
}
