//! A name becomes the function of the revision that is active now. Where the plugin is enabled and not loaded
//! yet, it is loaded here.

use outrigger_contract::FunctionRef;

use super::Target;
use crate::engine::Engine;
use crate::error::Failure;

pub(super) async fn function(engine: &Engine, name: &FunctionRef) -> Result<Target, Failure> {
    loop {
        let revision = engine.active_revision(&name.plugin).await?;
        let running = revision.calls.token();
        if revision.calls.is_closed() {
            // It was replaced or disabled since it was looked up. This call is not counted among those it waits for.
            continue;
        }
        return match revision.function(name.function.as_str()) {
            Some(index) => Ok(Target { name: name.clone(), index, _running: running, revision }),
            None => Err(Failure::function_not_found(name, &revision.graph)),
        };
    }
}
