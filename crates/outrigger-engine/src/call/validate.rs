//! The arguments become values of the parameters' types, or the call ends with all that does not fit. What the values take in
//! memory is charged to the call before it is allocated: a few bytes of JSON may stand for a thousand times as many of values.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use outrigger_contract::Value;
use outrigger_contract::types::json::{self, Meter, ParseError};

use super::{Arguments, Target};
use crate::account::{Account, Charge, Exceeded};
use crate::error::Failure;

/// Arguments up to this size are read before the call has its permit: nearly all are, and a refusal of what is wrong or a cached
/// answer need not wait for one.
const SMALL: usize = 4 << 10;

impl Arguments {
    /// Whether they are only read by a call that has its permit, so that those which wait for one hold nothing but text.
    pub(super) fn are_large(&self) -> bool {
        match self {
            Self::Text(text) => text.len() > SMALL,
            // In memory they are already, as a tree or as values.
            Self::Json(_) | Self::Values(_) => false,
        }
    }
}

/// Reads arguments. What they take stays charged until the call ends.
pub(super) fn arguments(target: &Target, account: &Account, arguments: Arguments) -> Result<Arc<[Value]>, Failure> {
    let mut charge = account.nothing();
    let values = read(target, &mut charge, arguments)?;
    // The slice that is shared is a copy of the list, made while that is still there.
    let copy = values.len() * size_of::<Value>();
    charge.grow(copy)?;
    let shared = Arc::from(values);
    charge.shrink(copy);
    charge.keep();
    Ok(shared)
}

fn read(target: &Target, charge: &mut Charge, arguments: Arguments) -> Result<Vec<Value>, Failure> {
    let (graph, function) = (&*target.revision.graph, target.function());
    match arguments {
        Arguments::Text(text) => {
            // The text is there until it is read.
            let _text = (text.len() > SMALL).then(|| charge.sibling(text.len())).transpose()?;
            metered(target, charge, |meter| json::parse_arguments_text(graph, function, &text, meter))
        }
        Arguments::Json(members) => {
            let _tree = charge.sibling(json::members_size(&members))?;
            metered(target, charge, |meter| json::parse_arguments(graph, function, members, meter))
        }
        Arguments::Values(values) => {
            charge.grow(values.iter().map(Value::heap).sum())?;
            json::check_arguments(graph, function, &values)
                .map_err(|faults| Failure::invalid_input(&target.name, &faults))?;
            Ok(values)
        }
    }
}

/// Reads with a meter that takes from a charge.
fn metered(
    target: &Target,
    charge: &mut Charge,
    read: impl FnOnce(&Meter<'_>) -> Result<Vec<Value>, ParseError>,
) -> Result<Vec<Value>, Failure> {
    let (charge, exceeded) = (RefCell::new(charge), Cell::new(None::<Exceeded>));
    let more = |bytes| match charge.borrow_mut().grow(bytes) {
        Ok(()) => true,
        Err(over) => {
            exceeded.set(Some(over));
            false
        }
    };
    let meter = Meter::new(&more);
    let values = read(&meter);
    let unused = meter.left();
    match (values, exceeded.get()) {
        (Ok(values), _) => {
            charge.borrow_mut().shrink(unused);
            Ok(values)
        }
        (Err(_), Some(exceeded)) => Err(exceeded.into()),
        (Err(ParseError::Faults(faults)), None) => Err(Failure::invalid_input(&target.name, &faults)),
        (Err(ParseError::OutOfMemory), None) => {
            Err(Failure::internal("reading the arguments stopped for lack of memory, but no limit was reached"))
        }
    }
}
