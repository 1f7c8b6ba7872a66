//! Stage 2: may this caller call this function? A plugin may call only what it was granted, and not in circles.

use outrigger_contract::Code;

use super::{Caller, Target};
use crate::error::Failure;

/// How deeply plugins may call each other.
const DEEPEST: usize = 8;

pub(super) fn check(caller: &Caller, target: &Target) -> Result<(), Failure> {
    match caller {
        Caller::Local => Ok(()),
        // Whether the calling plugin was granted this function is decided by its own revision's grant, in
        // `services`, where that revision is at hand; what is left is the depth.
        Caller::Plugin(chain) if chain.len() >= DEEPEST => {
            let names: Vec<_> = chain.iter().map(ToString::to_string).collect();
            let message = format!("{} → {} is more than {DEEPEST} calls deep", names.join(" → "), target.name);
            Err(Failure::new(Code::CallDepth, message))
        }
        Caller::Plugin(chain) if target.slot().requires_admin => {
            let caller = chain.last().map(ToString::to_string).unwrap_or_default();
            let message = format!("`{}` is for administrators, and `{caller}` is a plugin", target.name);
            Err(Failure::new(Code::Forbidden, message))
        }
        Caller::Plugin(_) => Ok(()),
    }
}
