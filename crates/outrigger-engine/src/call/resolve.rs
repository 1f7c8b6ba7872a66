//! A name becomes the function of the revision that is active now. Where the plugin is enabled and not loaded
//! yet, it is loaded here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_contract::FunctionRef;

use super::{Caller, Target};
use crate::engine::Engine;
use crate::error::Failure;
use crate::plugins::{ActiveRevision, Slot};

/// Answers the time that it was kept waiting, too: that is not the call's own.
pub(super) async fn function(
    engine: &Engine,
    caller: &Caller,
    name: &FunctionRef,
) -> Result<(Arc<Target>, Duration), Failure> {
    let mut held = Duration::ZERO;
    loop {
        let revision = engine.active_revision(&name.plugin).await?;
        let running = revision.calls.token();
        if revision.calls.is_closed() {
            // It was replaced or disabled since it was looked up, or calls are held while another version takes over. This
            // call is not counted among those it waits for, unless one of those has led to it.
            let slot = engine.slot(&name.plugin)?;
            let is_held = *slot.held.borrow();
            let led_to =
                caller.is_within(&name.plugin) && (revision.calls.len() > 1 || runs_elsewhere(&slot, &revision));
            if !is_held || !led_to {
                drop(running);
                held += wait(&slot).await;
                continue;
            }
        }
        return match revision.function(name.function.as_str()) {
            Some(index) => Ok((Arc::new(Target { name: name.clone(), index, _running: running, revision }), held)),
            None => Err(Failure::function_not_found(name, &revision.graph)),
        };
    }
}

/// Whether calls still run on a revision that took them before.
fn runs_elsewhere(slot: &Slot, revision: &Arc<ActiveRevision>) -> bool {
    slot.retired().iter().any(|former| !Arc::ptr_eq(former, revision) && !former.calls.is_empty())
}

/// Waits until calls are no longer held. Answers how long that was.
async fn wait(slot: &Slot) -> Duration {
    let began = Instant::now();
    // The sender is the slot's own, which is here.
    let _ = slot.held.subscribe().wait_for(|held| !held).await;
    began.elapsed()
}
