//! Caps on what is never pruned: plugins and their packages, unfinished jobs, schedules, webhooks, hooks, subscriptions,
//! templates, keys and roles. One key can use a quarter of a cap, so it leaves room for the others. The administrator
//! of the data directory can use all of it.

use outrigger_contract::Code;
use outrigger_contract::units::ByteSize;
use serde::Serialize;

use crate::error::Failure;
use crate::store::Amount;

/// A cap on records of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// The name of the kind in messages.
    what: &'static str,
    most: Amount,
    code: Code,
    hint: &'static str,
}

const REMOVE: &str = "remove one that is no longer needed";

/// Unfinished jobs, with their arguments.
pub(crate) const JOBS: Cap = Cap {
    what: "waiting jobs",
    most: Amount { records: 10_000, bytes: 128 << 20 },
    code: Code::Busy,
    hint: "try again when some have ended; `outrigger job list --state queued` shows the waiting jobs",
};
/// Schedules, with the arguments of their jobs. All of them are read whenever due jobs are looked up.
pub(crate) const SCHEDULES: Cap = Cap::of("schedules", Amount { records: 1_000, bytes: 16 << 20 });
/// Webhooks: each is checked for every event. The size of one is limited by its validation.
pub(crate) const WEBHOOKS: Cap = Cap::of("webhooks", Amount { records: 500, bytes: u64::MAX });
/// Hooks added over the API.
pub(crate) const HOOKS: Cap = Cap::of("hooks", Amount { records: 1_000, bytes: 32 << 20 });
/// Subscriptions added over the API.
pub(crate) const SUBSCRIPTIONS: Cap = Cap::of("subscriptions", Amount { records: 4_000, bytes: 32 << 20 });
/// Templates, with their files.
pub const TEMPLATES: Cap = Cap::of("templates", Amount { records: 500, bytes: 128 << 20 });
/// Keys, with their scopes. All of them are in memory, and are read again after each change.
pub const KEYS: Cap = Cap::of("keys", Amount { records: 4_000, bytes: 32 << 20 });
/// Roles, with their rules: in memory like keys. A role has no creator, so keys have no share of this.
pub const ROLES: Cap = Cap::of("roles", Amount { records: 500, bytes: 8 << 20 });

/// Installed plugins, each counted for the key that installed its version.
pub const PLUGINS: Cap = Cap {
    hint: "uninstall a plugin that is no longer needed",
    ..Cap::of("plugins", Amount { records: 2_000, bytes: u64::MAX })
};
/// Packages of installed versions, with those that a rollback needs. Their number follows from that of plugins.
pub const PACKAGES: Cap = Cap {
    hint: "uninstall a plugin that is no longer needed",
    ..Cap::of("packages", Amount { records: u64::MAX, bytes: 8 << 30 })
};

impl Cap {
    const fn of(what: &'static str, most: Amount) -> Self {
        Self { what, most, code: Code::Conflict, hint: REMOVE }
    }

    /// Checks that one more record of this size fits. `others` are the existing records, each with the key that made it
    /// and its size.
    ///
    /// # Errors
    /// There are too many records, or they would be too large: for the key, if a key makes it, or in total.
    pub fn check<'a>(
        &self,
        key: Option<&str>,
        others: impl IntoIterator<Item = (Option<&'a str>, u64)>,
        bytes: u64,
    ) -> Result<(), Failure> {
        let (mut own, mut all) = (Amount::default(), Amount::default());
        for (of, bytes) in others {
            all.add(bytes);
            if of == key {
                own.add(bytes);
            }
        }
        self.check_sums(key.map(|_| own), all, bytes)
    }

    /// Like [`Self::check`], with known sums.
    ///
    /// # Errors
    /// Like [`Self::check`].
    pub fn check_sums(&self, own: Option<Amount>, all: Amount, bytes: u64) -> Result<(), Failure> {
        let Self { what, most, code, hint } = *self;
        let quarter = Amount { records: most.records / 4, bytes: most.bytes / 4 };
        let own = own.map(|own| ("key", own, quarter));
        for (whose, has, most) in own.into_iter().chain([("server", all, most)]) {
            let (records, bytes) = (has.records, has.bytes.saturating_add(bytes));
            let message = if records >= most.records {
                format!("the {whose} has {records} {what}; the limit is {}", most.records)
            } else if bytes > most.bytes {
                let (size, limit) = (ByteSize::bytes(bytes).rounded(), ByteSize::bytes(most.bytes));
                format!("the {what} of the {whose} would take {size}; the limit is {limit}")
            } else {
                continue;
            };
            return Err(Failure::new(code, message).with_hint(hint));
        }
        Ok(())
    }
}

/// The key that made a record, from the stored name of its creator; none if it was not a key.
#[must_use]
pub fn key_of(created_by: &str) -> Option<&str> {
    created_by.strip_prefix("key ")
}

/// The stored size of a record in bytes.
#[must_use]
pub fn size_of(kept: &impl Serialize) -> u64 {
    serde_json::to_string(kept).map_or(0, |text| text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: Option<&str>, others: &[(&str, usize, u64)], bytes: u64, expected: Option<&str>) {
        let cap = Cap::of("things", Amount { records: 40, bytes: 4_096 });
        let others = others.iter().flat_map(|(of, count, bytes)| std::iter::repeat_n((key_of(of), *bytes), *count));
        let refused = cap.check(key, others, bytes).err();
        assert_eq!(refused.as_ref().map(|failure| failure.message.as_str()), expected);
        assert!(refused.is_none_or(|failure| failure.code == Code::Conflict));
    }

    #[test]
    fn s17_a_key_has_a_quarter_of_what_may_be_there() {
        let (loud, all) = ("key loud", "the server has 40 things; the limit is 40");
        check(Some("loud"), &[(loud, 9, 1), ("local", 20, 1)], 1, None);
        check(Some("loud"), &[(loud, 10, 1)], 1, Some("the key has 10 things; the limit is 10"));
        check(Some("quiet"), &[(loud, 10, 1)], 1, None);
        check(None, &[(loud, 10, 1), ("local", 29, 1)], 1, None);
        check(None, &[(loud, 10, 1), ("local", 30, 1)], 1, Some(all));
        check(Some("quiet"), &[(loud, 10, 1), ("local", 30, 1)], 1, Some(all));
    }

    #[test]
    fn s17_bytes_are_bounded_too() {
        let (loud, quarter) = ("key loud", "the things of the key would take 1.1KiB; the limit is 1KiB");
        check(Some("loud"), &[(loud, 2, 500)], 24, None);
        check(Some("loud"), &[(loud, 2, 500)], 25, Some(quarter));
        check(Some("quiet"), &[(loud, 2, 500)], 25, None);
        check(None, &[("local", 4, 1_000)], 96, None);
        check(None, &[("local", 4, 1_000)], 97, Some("the things of the server would take 4.1KiB; the limit is 4KiB"));
    }
}
