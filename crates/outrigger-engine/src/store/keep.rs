//! How much of what happened is kept, and whose.

use std::collections::BTreeMap;

use time::OffsetDateTime;

/// What is to be kept. What goes beyond it is dropped: of those that have the most, the oldest first.
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

/// Of one kind: what is not older, and of that no more than so many and so many bytes. Where there are more, everybody keeps
/// their fair share: those with less than it keep all, and no share can be made smaller by others than it would be if all
/// had as much as they like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub since: OffsetDateTime,
    pub most: u64,
    pub bytes: u64,
}

impl Bound {
    /// Everything from a moment on.
    #[must_use]
    pub const fn since(since: OffsetDateTime) -> Self {
        Self { since, most: u64::MAX, bytes: u64::MAX }
    }

    /// The newest so many from a moment on.
    #[must_use]
    pub const fn newest(most: u64, since: OffsetDateTime) -> Self {
        Self { since, most, bytes: u64::MAX }
    }
}

impl Keep {
    /// Everything from a moment on.
    #[must_use]
    pub const fn since(since: OffsetDateTime) -> Self {
        let bound = Bound::since(since);
        Self { runs: bound, logs: bound, jobs: bound, requests: bound, refusals: bound }
    }
}

/// Records and their bytes.
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

/// Whose a record is: whom its room is charged to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// A plugin, a key, or another that causes records. Each has the same share of the whole.
    pub account: String,
    /// What tells apart the records of an account, such as who called. Each has the same share of the account's.
    pub source: String,
}

/// What an account has of one kind of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// `runs`, `logs`, `events`, `refusals`, `jobs`, `requests` or `deliveries`.
    pub kind: String,
    pub account: String,
    pub records: u64,
    pub bytes: u64,
    /// Records that were dropped because there were too many, of all or of its own.
    pub dropped: u64,
}

/// How much each owner may keep of `most`, where they have the amounts given: nobody more than a fair share, as long as others
/// want theirs. Answers in the order of the amounts.
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

/// Cuts the largest of some amounts to one level, so that all of them together are no more than `most`.
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
