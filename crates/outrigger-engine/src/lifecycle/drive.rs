//! Performs what the machine decides: asks it for the next step, has the effect carried out, reports the outcome back.

use async_trait::async_trait;

use super::machine::{self, Effect, Event, PluginState};
use crate::error::Failure;

/// Carries out effects on one plugin.
#[async_trait]
pub trait Effects: Send {
    /// Does one thing, completely or not at all.
    async fn perform(&mut self, effect: Effect) -> Result<(), Failure>;
}

/// Takes a plugin from `state` through `event` to where that leads.
///
/// # Errors
/// The first failure; what was done before it is undone by then. The state that was reached goes with it.
pub async fn drive(
    state: PluginState,
    event: Event,
    effects: &mut dyn Effects,
) -> Result<PluginState, (PluginState, Failure)> {
    let mut next = machine::advance(state, event);
    let mut state = state;
    let mut first_failure = None;
    loop {
        let transition = match next {
            Ok(transition) => transition,
            Err(refusal) => return Err((state, Failure::refused(&refusal))),
        };
        state = transition.state;
        let mut outcome = None;
        for effect in transition.effects {
            let result = effects.perform(effect).await;
            if let Err(failure) = &result {
                tracing::warn!(?effect, code = %failure.code, message = %failure.message, "a lifecycle step failed");
            }
            outcome = Some((effect, result));
        }
        next = match outcome {
            None => return first_failure.map_or(Ok(state), |failure| Err((state, failure))),
            Some((effect, Ok(()))) => machine::advance(state, Event::Done(effect)),
            Some((effect, Err(failure))) => {
                first_failure.get_or_insert(failure);
                machine::advance(state, Event::Failed(effect))
            }
        };
    }
}
