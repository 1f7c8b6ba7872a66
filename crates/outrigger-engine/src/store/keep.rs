//! Retention limits, and fair shares of owners.

use std::collections::BTreeMap;

use time::OffsetDateTime;

/// The retention limits of all kinds of records. Above them, the owners with the most records are pruned first, oldest
/// records first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub runs: Bound,
    pub logs: Bound,
    /// Jobs that have ended, by their end.
    pub jobs: Bound,
    /// Requests with an idempotency key.
    pub requests: Bound,
    /// Refusals in the audit log.
    pub refusals: Bound,
}

/// The limits of one kind: minimum time, number and bytes. Above them, every owner keeps a fair share (max-min
/// fairness): owners below their share lose nothing, and others cannot make a share smaller than an equal split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub since: OffsetDateTime,
    pub most: u64,
    pub bytes: u64,
}

impl Bound {
    /// Everything since a time.
    #[must_use]
    pub const fn since(since: OffsetDateTime) -> Self {
        Self { since, most: u64::MAX, bytes: u64::MAX }
    }

    /// The newest records since a time, up to a number.
    #[must_use]
    pub const fn newest(most: u64, since: OffsetDateTime) -> Self {
        Self { since, most, bytes: u64::MAX }
    }
}

impl Keep {
    /// Everything since a time.
    #[must_use]
    pub const fn since(since: OffsetDateTime) -> Self {
        let bound = Bound::since(since);
        Self { runs: bound, logs: bound, jobs: bound, requests: bound, refusals: bound }
    }
}

/// A number of records and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub records: u64,
    pub bytes: u64,
}

impl Amount {
    /// Counts one record.
    pub const fn add(&mut self, bytes: u64) {
        self.records += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The owner of a record, to which its size is charged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// A plugin, a key, or another cause of records. All accounts have equal shares of the total.
    pub account: String,
    /// The source within the account, such as the caller. All sources have equal shares of the account.
    pub source: String,
}

/// The usage of an account, for one kind of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// `runs`, `logs`, `events`, `refusals`, `jobs`, `requests` or `deliveries`.
    pub kind: String,
    pub account: String,
    pub records: u64,
    pub bytes: u64,
    /// Records dropped because a retention limit was exceeded.
    pub dropped: u64,
}

/// Divides `most` fairly among owners with the given amounts (max-min fairness). Returns shares in the order of the
/// amounts.
#[must_use]
pub fn fair_shares(owned: &[(Owner, u64)], most: u64) -> Vec<u64> {
    let mut accounts: BTreeMap<&str, u64> = BTreeMap::new();
    for (owner, amount) in owned {
        let sum = accounts.entry(&owner.account).or_default();
        *sum = sum.saturating_add(*amount);
    }
    let of_accounts = level(&accounts.values().copied().collect::<Vec<_>>(), most);
    let mut shares = vec![0; owned.len()];
    for (account, share) in accounts.keys().zip(of_accounts) {
        let own: Vec<usize> = (0..owned.len()).filter(|at| owned[*at].0.account == *account).collect();
        let amounts: Vec<u64> = own.iter().map(|at| owned[*at].1).collect();
        for (at, share) in own.into_iter().zip(level(&amounts, share)) {
            shares[at] = share;
        }
    }
    shares
}

/// Caps the largest amounts at one level, so that their sum is at most `most`.
fn level(amounts: &[u64], most: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..amounts.len()).collect();
    order.sort_by_key(|at| amounts[*at]);
    let (mut shares, mut left) = (amounts.to_vec(), most);
    for (place, at) in order.iter().enumerate() {
        let others = (amounts.len() - place) as u64;
        shares[*at] = amounts[*at].min(left / others);
        left -= shares[*at];
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(owned: &[(&str, &str, u64)], most: u64, expected: &[u64]) {
        let owner = |(account, source, amount): &(&str, &str, u64)| {
            (Owner { account: (*account).to_owned(), source: (*source).to_owned() }, *amount)
        };
        let owned: Vec<_> = owned.iter().map(owner).collect();
        let shares = fair_shares(&owned, most);
        assert_eq!(shares, expected, "{owned:?} of {most}");
    }

    #[test]
    fn s06_who_has_little_keeps_all_of_it() {
        check(&[], 10, &[]);
        check(&[("a", "", 5), ("b", "", 5)], 10, &[5, 5]);
        check(&[("a", "", 1_000), ("b", "", 3)], 10, &[7, 3]);
        check(&[("a", "", 1_000), ("b", "", 3), ("c", "", 900)], 10, &[4, 3, 3]);
        check(&[("a", "", 4), ("b", "", 4)], 0, &[0, 0]);
        check(&[("a", "", u64::MAX), ("b", "", u64::MAX)], u64::MAX, &[u64::MAX / 2, u64::MAX / 2 + 1]);
    }

    #[test]
    fn s17_many_sources_give_an_account_no_larger_share() {
        check(&[("a", "x", 50), ("b", "1", 50), ("b", "2", 50), ("b", "3", 2)], 40, &[20, 9, 9, 2]);
    }
}
