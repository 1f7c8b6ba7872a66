//! Converts the arguments to values of the parameters' types, or ends the call with all faults. The memory of the
//! values is charged to the call before it is allocated: values can be a thousand times as large as their JSON.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use outrigger_compute::blocking;
use outrigger_contract::Value;
use outrigger_contract::types::json::{self, Meter, ParseError};

use super::deadline::Deadline;
use super::large::Held;
use super::{Arguments, Caller, Target};
use crate::account::{Account, Charge, Exceeded};
use crate::error::Failure;

/// Arguments up to this size are read before the call has its permit, so that refusals and cached answers need no
/// permit. Nearly all arguments are that small.
const SMALL: usize = 4 << 10;

/// Texts up to this size, in bytes, are read at once.
const SHORT: usize = 64 << 10;

impl Arguments {
    /// Whether the arguments are read only after the call has its permit, so that waiting calls hold only text.
    pub(super) fn are_large(&self) -> bool {
        match self {
            Self::Text(text) => text.len() > SMALL,
            // Already in memory, as a tree or as values.
            Self::Json(_) | Self::Values(_) => false,
        }
    }
}

/// Reads the arguments of a call. Long ones are read in the pool for long computations, in the turn of the caller.
pub(super) async fn read(
    caller: &Caller,
    target: &Arc<Target>,
    account: &Account,
    arguments: Arguments,
    deadline: Deadline,
) -> Result<Held<[Value]>, Failure> {
    if arguments.text_length() <= SHORT {
        return self::arguments(target, account, arguments);
    }
    let (owned, account) = (Arc::clone(target), account.clone());
    let owner = caller.owner();
    // Boxed: it would make the future of every call larger.
    let reading = Box::pin(blocking(&owner, move || self::arguments(&owned, &account, arguments)));
    match tokio::time::timeout_at(deadline.at.into(), reading).await {
        Ok(read) => read?,
        Err(_) => Err(Failure::deadline(&format!("`{}`", target.name), deadline.limit)),
    }
}

/// Reads arguments. Their memory stays charged until the call ends.
pub(super) fn arguments(target: &Target, account: &Account, arguments: Arguments) -> Result<Held<[Value]>, Failure> {
    let mut charge = account.nothing();
    let values = values(target, &mut charge, arguments)?;
    // The shared slice is a copy of the list; both exist for a moment.
    let copy = values.len() * size_of::<Value>();
    let _copy = (copy > SMALL).then(|| charge.sibling(copy)).transpose()?;
    charge.keep();
    Ok(Held::new(Arc::from(values), account.clone()))
}

fn values(target: &Target, charge: &mut Charge, arguments: Arguments) -> Result<Vec<Value>, Failure> {
    let (graph, function) = (&*target.revision.graph, target.function());
    match arguments {
        Arguments::Text(text) => {
            // The text stays in memory until it is read.
            let _text = (text.len() > SMALL).then(|| charge.sibling(text.len())).transpose()?;
            metered(target, charge, |meter| json::parse_arguments_text(graph, function, &text, meter))
        }
        Arguments::Json(members) => {
            // Texts move from the tree to the values, so it stays charged.
            charge.sibling(json::members_size(&members))?.keep();
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

/// Reads with a meter that is backed by a charge.
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
    let meter = Meter::with_allowance(SMALL, &more);
    let values = read(&meter);
    let unused = meter.left();
    match (values, exceeded.get()) {
        (Ok(values), _) => {
            if unused > SMALL {
                charge.borrow_mut().shrink(unused);
            }
            Ok(values)
        }
        (Err(_), Some(exceeded)) => Err(exceeded.into()),
        (Err(ParseError::Faults(faults)), None) => Err(Failure::invalid_input(&target.name, &faults)),
        (Err(ParseError::OutOfMemory), None) => {
            Err(Failure::internal("reading the arguments stopped for lack of memory, but no limit was reached"))
        }
    }
}
