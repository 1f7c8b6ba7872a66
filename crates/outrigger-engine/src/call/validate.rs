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

/// Texts up to this size, in bytes, are read at once,
const SHORT: usize = 64 << 10;
/// if their values take at most this much memory, in bytes. That takes a few milliseconds.
const QUICK: usize = 4 << 20;

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
    // Boxed: it would make the future of every call larger.
    let reading = Box::pin(blocking(&owner, move || from_text(&owned, &account, &text, usize::MAX)));
    match tokio::time::timeout_at(deadline.at.into(), reading).await {
        Ok(read) => read?.map_err(Unread::failure),
        Err(_) => Err(Failure::deadline(&format!("`{}`", target.name), deadline.limit)),
    }
}

/// Reads arguments. Their memory stays charged until the call ends.
pub(super) fn arguments(target: &Target, account: &Account, arguments: Arguments) -> Result<Held<[Value]>, Failure> {
    let (graph, function) = (&*target.revision.graph, target.function());
    let mut charge = account.nothing();
    let values = match arguments {
        Arguments::Text(text) => {
            return from_text(target, account, &text, usize::MAX).map_err(Unread::failure);
        }
        Arguments::Json(members) => {
            // Texts move from the tree to the values, so it stays charged.
            charge.sibling(json::members_size(&members))?.keep();
            metered(target, &mut charge, usize::MAX, |meter| json::parse_arguments(graph, function, members, meter))
                .map_err(Unread::failure)?
        }
        Arguments::Values(values) => {
            charge.grow(values.iter().map(Value::heap).sum())?;
            json::check_arguments(graph, function, &values)
                .map_err(|faults| Failure::invalid_input(&target.name, &faults))?;
            values
        }
    };
    Ok(held(values, charge, account)?)
}

/// Reads the text of arguments, if their values take at most this many bytes.
fn from_text(target: &Target, account: &Account, text: &str, most: usize) -> Result<Held<[Value]>, Unread> {
    let (graph, function) = (&*target.revision.graph, target.function());
    // The text stays in memory until it is read.
    let _text = (text.len() > SMALL).then(|| account.charge(text.len())).transpose()?;
    let mut charge = account.nothing();
    let values = metered(target, &mut charge, most, |meter| json::parse_arguments_text(graph, function, text, meter))?;
    Ok(held(values, charge, account)?)
}

/// Values as they are shared, charged until the call ends.
fn held(values: Vec<Value>, charge: Charge, account: &Account) -> Result<Held<[Value]>, Exceeded> {
    // The shared slice is a copy of the list; both exist for a moment.
    let copy = values.len() * size_of::<Value>();
    let _copy = (copy > SMALL).then(|| charge.sibling(copy)).transpose()?;
    charge.keep();
    Ok(Held::new(Arc::from(values), account.clone()))
}

/// Reads with a meter that is backed by a charge of at most this many bytes.
fn metered(
    target: &Target,
    charge: &mut Charge,
    most: usize,
    read: impl FnOnce(&Meter<'_>) -> Result<Vec<Value>, ParseError>,
) -> Result<Vec<Value>, Unread> {
    let (charge, exceeded) = (RefCell::new(charge), Cell::new(None::<Exceeded>));
    let more = |bytes: usize| {
        let mut charge = charge.borrow_mut();
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
        (Err(ParseError::Faults(faults)), None) => Err(Unread::Refused(Failure::invalid_input(&target.name, &faults))),
        (Err(ParseError::OutOfMemory), None) => Err(Unread::Long),
    }
}
