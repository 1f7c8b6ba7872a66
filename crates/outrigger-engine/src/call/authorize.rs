//! Whether this caller is allowed to call this function. The holder of a key needs the right, which is checked before
//! the name is looked up, so that a caller without the right does not learn whether the function exists. A plugin can
//! call only what it was granted, and not in circles.

use outrigger_contract::{Code, FunctionRef};

use super::{Caller, Origin, Target};
use crate::access::{Principal, Right};
use crate::error::Failure;

/// How deeply plugins may call each other.
const DEEPEST: usize = 8;

/// The checks that need only the name.
pub(super) fn name(caller: &Caller, function: &FunctionRef) -> Result<(), Failure> {
    match caller {
        Caller::Local => Ok(()),
        Caller::Key(principal) => require(principal, Right::FUNCTION_EXECUTE, function),
        // Whether the calling plugin was granted this function is decided by its own revision's grant, in
        // `services`, where that revision is at hand; what is left is the depth.
        // That a hook calls it was allowed when it was subscribed.
        Caller::Plugin(_) | Caller::Hook(_) if caller.chain().len() >= DEEPEST => {
            let names: Vec<_> = caller.chain().iter().map(ToString::to_string).collect();
            let message = format!("{} → {function} is more than {DEEPEST} calls deep", names.join(" → "));
            Err(Failure::new(Code::CallDepth, message))
        }
        Caller::Plugin(_) | Caller::Hook(_) => Ok(()),
    }
}

/// The requirements of the function on its callers.
pub(super) fn target(caller: &Caller, target: &Target) -> Result<(), Failure> {
    if target.slot().requires_auth && !is_known(caller) {
        let message = format!("`{}` requires an authenticated caller, but the call comes from {caller}", target.name);
        return Err(Failure::new(Code::Forbidden, message));
    }
    if !target.slot().requires_admin {
        return Ok(());
    }
    match caller {
        Caller::Local => Ok(()),
        Caller::Key(principal) => require(principal, Right::FUNCTION_ADMINISTER, &target.name),
        Caller::Plugin(by) => {
            let caller = by.chain.last().map(ToString::to_string).unwrap_or_default();
            let message = format!("`{}` is for administrators, and `{caller}` is a plugin", target.name);
            Err(Failure::new(Code::Forbidden, message))
        }
        Caller::Hook(by) => {
            let message =
                format!("`{}` is for administrators, and `{}` is fired on behalf of anyone", target.name, by.hook);
            Err(Failure::new(Code::Forbidden, message))
        }
    }
}

/// Whether the origin of a call has an identity: a key, an administrator, or a plugin with a grant. A hook that
/// Outrigger fires has none, even if a plugin is in between. Jobs run as their owner.
fn is_known(caller: &Caller) -> bool {
    match caller {
        Caller::Local | Caller::Key(_) => true,
        Caller::Plugin(by) => !matches!(by.origin, Origin::Hook(_)),
        Caller::Hook(by) => by.cause.as_ref().is_some_and(is_known),
    }
}

fn require(principal: &Principal, right: Right, function: &FunctionRef) -> Result<(), Failure> {
    // As it is displayed, without the machinery for that: every call comes here.
    let name = [function.plugin.as_str(), ".", function.function.as_str()].concat();
    match principal.may(right, &name) {
        true => Ok(()),
        false => Err(Failure::forbidden(principal, right, &name)),
    }
}
