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
use crate::runtime::Cancellation;

/// Arguments up to this size are read before the call has its permit, so that refusals and cached answers need no
/// permit. Nearly all arguments are that small.
const SMALL: usize = 4 << 10;

/// Texts up to this size, in bytes, are read at once,
const SHORT: usize = 256 << 10;
/// if their values take at most this much memory, in bytes. That takes about a millisecond.
const QUICK: usize = 1 << 20;

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

/// Why a text was not read.
enum Unread {
    /// Its values take more memory than the first try allows.
    Long,
    Refused(Failure),
}

impl Unread {
    fn failure(self) -> Failure {
        match self {
            Self::Long => {
                Failure::internal("reading the arguments stopped for lack of memory, but no limit was reached")
            }
            Self::Refused(failure) => failure,
        }
    }
}

impl From<Exceeded> for Unread {
    fn from(exceeded: Exceeded) -> Self {
        Self::Refused(exceeded.into())
    }
}

/// Reads the arguments of a call. Long ones are read in the pool for long computations, in the turn of the caller.
pub(super) async fn read(
    caller: &Caller,
    target: &Arc<Target>,
    account: &Account,
    arguments: Arguments,
    cancel: &Cancellation,
    deadline: Deadline,
) -> Result<Held<[Value]>, Failure> {
    let Arguments::Text(text) = arguments else { return self::arguments(target, account, arguments) };
    if text.len() <= SHORT {
        match from_text(target, account, &text, QUICK) {
            Ok(values) => return Ok(values),
            Err(Unread::Refused(failure)) => return Err(failure),
            // A record of which everything is left out takes two bytes of text.
            Err(Unread::Long) => {}
        }
    }
    let (owned, account) = (Arc::clone(target), account.clone());
    let owner = caller.owner();
    let reading = blocking(&owner, move || from_text(&owned, &account, &text, usize::MAX));
    // Boxed: it would make the future of every call larger.
    Box::pin(deadline.or_cancelled(target, cancel, reading)).await??.map_err(Unread::failure)
}

/// Reads arguments. Their memory stays charged until the call ends.
pub(super) fn arguments(target: &Target, account: &Account, arguments: Arguments) -> Result<Held<[Value]>, Failure> {
    let (graph, function) = (&*target.revision.graph, target.function());
    match arguments {
        Arguments::Text(text) => from_text(target, account, &text, usize::MAX).map_err(Unread::failure),
        Arguments::Json(members) => {
            metered(target, account, usize::MAX, |meter| json::parse_arguments(graph, function, members, meter))
                .map_err(Unread::failure)
        }
        Arguments::Values(values) => {
            keep(account, values.iter().map(Value::heap).sum())?;
            json::check_arguments(graph, function, &values)
                .map_err(|faults| Failure::invalid_input(&target.name, &faults))?;
            Ok(held(values, account)?)
        }
    }
}

/// Reads the text of arguments, if their values take at most this many bytes.
fn from_text(target: &Target, account: &Account, text: &str, most: usize) -> Result<Held<[Value]>, Unread> {
    let (graph, function) = (&*target.revision.graph, target.function());
    // The text stays in memory until it is read.
    let _text = for_a_moment(account, text.len())?;
    metered(target, account, most, |meter| json::parse_arguments_text(graph, function, text, meter))
}

/// Values as they are shared.
fn held(values: Vec<Value>, account: &Account) -> Result<Held<[Value]>, Exceeded> {
    // The shared slice is a copy of the list; both exist for a moment.
    let _copy = for_a_moment(account, values.len() * size_of::<Value>())?;
    Ok(Held::new(Arc::from(values), account))
}

/// Charges memory until the call ends, unless it is small.
fn keep(account: &Account, bytes: usize) -> Result<(), Exceeded> {
    if bytes > SMALL {
        account.charge(bytes)?.keep();
    }
    Ok(())
}

/// Charges memory that is soon released, unless it is small.
fn for_a_moment(account: &Account, bytes: usize) -> Result<Option<Charge>, Exceeded> {
    (bytes > SMALL).then(|| account.charge(bytes)).transpose()
}

/// Reads with a meter that charges at most this many bytes, until the call ends. A small amount is not charged.
fn metered(
    target: &Target,
    account: &Account,
    most: usize,
    read: impl FnOnce(&Meter<'_>) -> Result<Vec<Value>, ParseError>,
) -> Result<Held<[Value]>, Unread> {
    let (charge, exceeded) = (RefCell::new(None::<Charge>), Cell::new(None::<Exceeded>));
    let more = |bytes: usize| {
        let mut charge = charge.borrow_mut();
        let charge = charge.get_or_insert_with(|| account.nothing());
        if charge.bytes().saturating_add(bytes as u64) > most as u64 {
            return false;
        }
        match charge.grow(bytes) {
            Ok(()) => true,
            Err(over) => {
                exceeded.set(Some(over));
                false
            }
        }
    };
    let meter = Meter::with_allowance(SMALL, &more);
    let values = read(&meter).map_err(|error| match (error, exceeded.get()) {
        (_, Some(exceeded)) => exceeded.into(),
        (ParseError::Faults(faults), None) => Unread::Refused(Failure::invalid_input(&target.name, &faults)),
        (ParseError::OutOfMemory, None) => Unread::Long,
    })?;
    let unused = meter.left();
    if let Some(mut charge) = charge.into_inner() {
        if unused > SMALL {
            charge.shrink(unused);
        }
        charge.keep();
    }
    Ok(held(values, account)?)
}
