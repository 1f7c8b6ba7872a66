//! Memory and other resources held for requests, limited for each holder and in total: bytes of bodies and responses,
//! event streams, connections. A holder at its limit affects no other.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use outrigger_api::{ApiError, ByteSize, Code, Platform};
use parking_lot::Mutex;

/// When to try again after a refusal.
const AGAIN_MS: u64 = 1_000;

/// The holder that a resource is counted for: a key, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder(u64);

impl Holder {
    /// The holder of a key.
    pub fn of_key(key: &str) -> Self {
        Self::hashed(key)
    }

    /// A client on the network. An IPv6 user can use a whole /64.
    pub fn of_address(address: IpAddr) -> Self {
        Self::hashed(&match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    /// With a secret of this process, so that a caller cannot be counted as another one.
    fn hashed(value: &(impl std::hash::Hash + ?Sized)) -> Self {
        static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(STATE.hash_one(value))
    }
}

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For one holder.
    pub each: u64,
    /// In total.
    pub all: u64,
}

/// The amount in use, and the limits.
#[derive(Debug)]
pub struct Budget {
    /// As messages name it, such as `request bodies`.
    what: &'static str,
    unit: Unit,
    bounds: Bounds,
    held: Mutex<Held>,
}

/// What is counted, and so how a limit is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Pieces,
}

#[derive(Debug, Default)]
struct Held {
    all: u64,
    each: HashMap<Holder, u64>,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    what: &'static str,
    unit: Unit,
    /// The exceeded limit, and whether it is that of one holder.
    limit: u64,
    own: bool,
    is_final: bool,
}

impl Full {
    pub const fn limit(self) -> u64 {
        self.limit
    }

    /// Whether it will not fit later either: the share alone would be larger than the limit.
    pub const fn is_final(self) -> bool {
        self.is_final
    }

    /// The scope of the limit that was reached, for addresses.
    pub const fn whose(self) -> &'static str {
        if self.own { "from this address" } else { "in all" }
    }
}

impl From<Full> for ApiError {
    fn from(full: Full) -> Self {
        let Full { what, unit, limit, own, is_final: _ } = full;
        let limit = match unit {
            Unit::Bytes => ByteSize::bytes(limit).to_string(),
            Unit::Pieces => limit.to_string(),
        };
        let whose = if own { "this key has" } else { "the server has" };
        let error = Self {
            retry_after_ms: Some(AGAIN_MS),
            ..Self::new(Code::Busy, format!("{whose} too many {what} in flight; the limit is {limit}"))
        };
        error.with_hint("send fewer requests at once, and try again when earlier ones are answered")
    }
}

impl Budget {
    /// A budget of things that are counted.
    pub fn new(what: &'static str, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { what, unit: Unit::Pieces, bounds, held: Mutex::default() })
    }

    /// A budget of memory.
    pub fn of_bytes(what: &'static str, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { what, unit: Unit::Bytes, bounds, held: Mutex::default() })
    }

    const fn full(&self, limit: u64, own: bool) -> Full {
        Full { what: self.what, unit: self.unit, limit, own, is_final: false }
    }

    /// Tells a share of this size that can never fit from one that fits later.
    fn judge(&self, full: Full, size: u64) -> Full {
        let most = self.bounds.each.min(self.bounds.all);
        match self.unit == Unit::Bytes && size > most {
            true => Full { limit: most, is_final: true, ..full },
            false => full,
        }
    }

    /// An empty share. Nothing is counted without a holder.
    pub fn share(self: &Arc<Self>, holder: Option<Holder>) -> Share {
        Share { of: holder.map(|holder| (Arc::clone(self), holder)), amount: 0, owner: None }
    }

    /// Checks that the holder is below its limit.
    ///
    /// # Errors
    /// The limit of the holder, or the total limit, is reached.
    pub fn check(&self, holder: Option<Holder>) -> Result<(), Full> {
        let Some(holder) = holder else { return Ok(()) };
        let held = self.held.lock();
        if held.all == 0 {
            return Ok(());
        }
        if held.all >= self.bounds.all {
            return Err(self.full(self.bounds.all, false));
        }
        match held.each.get(&holder) {
            Some(own) if *own >= self.bounds.each => Err(self.full(self.bounds.each, true)),
            _ => Ok(()),
        }
    }

    fn take(&self, holder: Holder, amount: u64) -> Result<(), Full> {
        let Bounds { each, all } = self.bounds;
        let mut held = self.held.lock();
        if held.all.saturating_add(amount) > all {
            return Err(self.full(all, false));
        }
        let own = held.each.entry(holder).or_default();
        if own.saturating_add(amount) > each {
            if *own == 0 {
                held.each.remove(&holder);
            }
            return Err(self.full(each, true));
        }
        *own += amount;
        held.all += amount;
        Ok(())
    }

    /// Takes it even if that exceeds the limits.
    fn take_anyway(&self, holder: Holder, amount: u64) {
        let mut held = self.held.lock();
        *held.each.entry(holder).or_default() += amount;
        held.all += amount;
    }

    fn give_back(&self, holder: Holder, amount: u64) {
        let mut held = self.held.lock();
        held.all -= amount;
        if let Some(own) = held.each.get_mut(&holder) {
            *own -= amount;
            if *own == 0 {
                held.each.remove(&holder);
            }
        }
    }
}

/// The memory charged to one request, released on drop. The default one counts nothing.
#[derive(Debug, Default)]
pub struct Share {
    of: Option<(Arc<Budget>, Holder)>,
    amount: u64,
    /// Has the turn for computations with this memory.
    owner: Option<Arc<dyn Platform>>,
}

impl Share {
    /// The same share, for a request of this caller.
    pub fn owned_by(mut self, owner: Option<&Arc<dyn Platform>>) -> Self {
        self.owner = owner.cloned();
        self
    }

    /// The name of the caller in the pool for long computations. The engine uses it too, so that a key has one turn.
    pub fn turn_owner(&self) -> String {
        self.owner.as_ref().map_or_else(String::new, |owner| owner.turn_owner())
    }

    /// Adds to the share, before the memory is allocated.
    ///
    /// # Errors
    /// A limit would be exceeded.
    pub fn grow(&mut self, amount: u64) -> Result<(), Full> {
        if let (Some((budget, holder)), 1..) = (&self.of, amount) {
            let size = self.amount.saturating_add(amount);
            budget.take(*holder, amount).map_err(|full| budget.judge(full, size))?;
            self.amount = size;
        }
        Ok(())
    }

    /// Ensures that the share is at least this large.
    ///
    /// # Errors
    /// As [`Self::grow`].
    pub fn reach(&mut self, amount: u64) -> Result<(), Full> {
        self.grow(amount.saturating_sub(self.amount))
    }

    /// Ensures that the share is at least this large, even above the limits: for responses that are sent in any case.
    pub fn reach_anyway(&mut self, amount: u64) {
        let more = amount.saturating_sub(self.amount);
        if let (Some((budget, holder)), 1..) = (&self.of, more) {
            budget.take_anyway(*holder, more);
            self.amount += more;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let (Some((budget, holder)), 1..) = (&self.of, self.amount) {
            budget.give_back(*holder, self.amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s13_one_holder_takes_its_own_part_and_no_more() {
        let budget = Budget::new("request bodies", Bounds { each: 10, all: 15 });
        let share = |name: &str| budget.share(Some(Holder::of_key(name)));
        let (mut first, mut second) = (share("a"), share("a"));
        first.grow(6).expect("it fits");
        assert!(second.grow(5).expect_err("it is the same holder").own);
        second.reach(4).expect("it fits");
        second.reach(4).expect("it is held already");
        let mut other = share("b");
        assert!(!other.grow(6).expect_err("all hold too much").own);
        other.grow(5).expect("it fits");
        budget.share(None).grow(1_000).expect("nothing is counted without a holder");
        first.reach_anyway(20);
        assert!(budget.check(Some(Holder::of_key("c"))).is_err(), "it is counted above the limit");
        drop((first, second, other));
        let Held { all, each } = &*budget.held.lock();
        assert_eq!((*all, each.len()), (0, 0));
    }

    #[test]
    fn s13_a_share_that_can_never_fit_is_told_apart() {
        let budget = Budget::of_bytes("bytes of answers", Bounds { each: 10, all: 15 });
        let share = |name: &str| budget.share(Some(Holder::of_key(name)));
        let (mut first, mut second, mut third) = (share("a"), share("b"), share("c"));
        first.grow(10).expect("it fits");
        second.grow(4).expect("it fits");
        let check = |share: &mut Share, amount: u64, expected: (bool, u64)| {
            let full = share.grow(amount).expect_err("it does not fit now");
            assert_eq!((full.is_final(), full.limit()), expected, "{amount}");
        };
        check(&mut third, 10, (false, 15));
        check(&mut third, 11, (true, 10));
        check(&mut second, 7, (true, 10));
    }

    #[test]
    fn a_limit_is_shown_in_its_unit() {
        let told = |budget: &Arc<Budget>| {
            let full = budget.share(Some(Holder::of_key("a"))).grow(u64::MAX).expect_err("it is too much");
            ApiError::from(full).message
        };
        let bounds = Bounds { each: 32 << 20, all: 32 << 20 };
        let bodies = told(&Budget::of_bytes("bytes of request bodies", bounds));
        assert_eq!(bodies, "the server has too many bytes of request bodies in flight; the limit is 32MiB");
        let streams = told(&Budget::new("event streams", Bounds { each: 2_048, all: 2_048 }));
        assert_eq!(streams, "the server has too many event streams in flight; the limit is 2048");
    }

    #[test]
    fn s13_an_address_is_counted_with_its_neighbours() {
        let holder = |text: &str| Holder::of_address(text.parse().expect("an address"));
        assert_eq!(holder("2001:db8::1"), holder("2001:db8::ffff:1"));
        assert_ne!(holder("2001:db8::1"), holder("2001:db8:0:1::1"));
        assert_eq!(holder("10.0.0.1"), holder("::ffff:10.0.0.1"));
        assert_ne!(holder("10.0.0.1"), holder("10.0.0.2"));
    }
}
