//! Grants: permissions, limits above the defaults, and subscriptions to hooks of others. The same type describes what a
//! manifest asks for and what an administrator approved.

use serde::{Deserialize, Serialize};

use crate::hook::{DEFAULT_TIMEOUT, HookKind, HookName, OnError};
use crate::limit::RaisedLimits;
use crate::manifest::{Manifest, SubscriptionDeclaration};
use crate::permission::{FileGrant, Permissions, uncovered};
use crate::units::Span;

/// Everything that was granted to a digest, or that a manifest asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grant {
    #[serde(flatten)]
    pub permissions: Permissions,
    /// Subscriptions to hooks of others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookGrant>,
    #[serde(skip_serializing_if = "RaisedLimits::is_empty")]
    pub limits: RaisedLimits,
}

/// A subscription to a hook of another plugin, of Outrigger, or of an administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookGrant {
    pub hook: HookName,
    pub kind: HookKind,
    /// Whether the firing fails when the subscriber fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fail_closed: bool,
    /// How long a firing waits for the subscriber.
    pub timeout: Span,
}

impl HookGrant {
    fn of(subscription: &SubscriptionDeclaration, kind: HookKind) -> Self {
        let SubscriptionDeclaration { hook, on_error, timeout, .. } = subscription;
        // Events do not wait for subscribers.
        let waits = kind != HookKind::Event;
        Self {
            hook: hook.clone(),
            kind,
            fail_closed: waits && *on_error == OnError::FailClosed,
            timeout: if waits { *timeout } else { DEFAULT_TIMEOUT },
        }
    }

    /// Whether this grant includes everything in `asked`.
    fn covers(&self, asked: &Self) -> bool {
        let power = |kind| match kind {
            HookKind::Event => 0,
            HookKind::Action => 1,
            HookKind::Filter => 2,
        };
        self.hook == asked.hook
            && power(asked.kind) <= power(self.kind)
            && (self.fail_closed || !asked.fail_closed)
            && asked.timeout <= self.timeout.max(DEFAULT_TIMEOUT)
    }

    fn describe(&self) -> String {
        let Self { hook, kind, fail_closed, timeout } = self;
        let closed = if *fail_closed { ", fail-closed" } else { "" };
        let waits = match *timeout > DEFAULT_TIMEOUT {
            true => format!(", up to {timeout}"),
            false => String::new(),
        };
        match kind {
            HookKind::Event => format!("receive the payload of `{hook}` (event)"),
            HookKind::Action => format!("take part in `{hook}` (action{closed}{waits})"),
            HookKind::Filter => format!("change or refuse the payload of `{hook}` (filter{closed}{waits})"),
        }
    }
}

impl Grant {
    /// The grant that a manifest requests. `kind_of` returns the kind of an existing hook; an unknown hook counts as a
    /// filter, the most powerful kind.
    #[must_use]
    pub fn asked_by(manifest: &Manifest, kind_of: impl Fn(&HookName) -> Option<HookKind>) -> Self {
        let of_others = manifest.subscriptions.iter().filter(|one| !manifest.hooks.contains_key(&one.hook));
        let mut hooks: Vec<HookGrant> = Vec::new();
        for subscription in of_others {
            let asked = HookGrant::of(subscription, kind_of(&subscription.hook).unwrap_or(HookKind::Filter));
            if !hooks.iter().any(|known| known.covers(&asked)) {
                hooks.retain(|known| !asked.covers(known));
                hooks.push(asked);
            }
        }
        Self { permissions: manifest.permissions.clone(), hooks, limits: RaisedLimits::of(manifest) }
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { permissions, hooks, limits } = self;
        permissions.is_empty() && hooks.is_empty() && limits.is_empty()
    }

    /// The part of `self` that `granted` does not cover.
    #[must_use]
    pub fn beyond(&self, granted: &Self) -> Self {
        let Self { permissions, hooks, limits } = self;
        Self {
            permissions: permissions.beyond(&granted.permissions),
            hooks: uncovered(hooks, &granted.hooks, HookGrant::covers),
            limits: limits.beyond(&granted.limits),
        }
    }

    /// The same grant without the resolved paths, which are for callers that can see the server's disk.
    #[must_use]
    pub fn unresolved(self) -> Self {
        let files = self.permissions.files.into_iter().map(FileGrant::unpinned).collect();
        Self { permissions: Permissions { files, ..self.permissions }, ..self }
    }

    /// Each part as a sentence that follows "this plugin asks to".
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let Self { permissions, hooks, limits } = self;
        let mut sentences = permissions.describe();
        sentences.extend(hooks.iter().map(HookGrant::describe));
        sentences.extend(limits.describe());
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(more: &str) -> Grant {
        let text = format!(
            "name = \"x\"\nversion = \"1.0.0\"\ntitle = \"x\"\ndescription = \"x\"\n[runtime]\nkind = \"wasm\"\n\
             entry = \"x.wasm\"\n{more}"
        );
        let manifest = Manifest::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        Grant::asked_by(&manifest, |hook| match hook.as_str() {
            "shop.sold" => Some(HookKind::Event),
            "shop.stored" => Some(HookKind::Action),
            "shop.priced" => Some(HookKind::Filter),
            _ => None,
        })
    }

    fn subscription(hook: &str, more: &str) -> String {
        format!("[[subscriptions]]\nhook = \"{hook}\"\nfunction = \"f\"\n{more}\n")
    }

    fn check(more: &str, expected: &[&str]) {
        assert_eq!(asked(more).describe(), expected, "{more}");
    }

    #[test]
    fn s15_a_part_in_the_hooks_of_others_is_asked_for_by_what_it_can_do() {
        let closed = "on-error = \"fail-closed\"";
        check(&subscription("shop.sold", ""), &["receive the payload of `shop.sold` (event)"]);
        check(&subscription("shop.sold", closed), &["receive the payload of `shop.sold` (event)"]);
        check(&subscription("shop.stored", ""), &["take part in `shop.stored` (action)"]);
        check(&subscription("shop.stored", closed), &["take part in `shop.stored` (action, fail-closed)"]);
        check(&subscription("shop.priced", ""), &["change or refuse the payload of `shop.priced` (filter)"]);
        check(
            &subscription("shop.priced", &format!("{closed}\ntimeout = \"1m\"")),
            &["change or refuse the payload of `shop.priced` (filter, fail-closed, up to 1m)"],
        );
        check(&subscription("shop.unknown", ""), &["change or refuse the payload of `shop.unknown` (filter)"]);
        // Two subscriptions to the same hook are merged into the more powerful one.
        let twice = subscription("shop.priced", "") + &subscription("shop.priced", closed);
        check(&twice, &["change or refuse the payload of `shop.priced` (filter, fail-closed)"]);
    }

    #[test]
    fn s15_hooks_of_its_own_are_not_asked_for() {
        let own = "[hooks.\"shop.priced\"]\nkind = \"filter\"\ndescription = \"x\"\n";
        check(&format!("{own}{}", subscription("shop.priced", "on-error = \"fail-closed\"")), &[]);
    }

    #[test]
    fn s15_who_may_do_more_at_a_hook_needs_no_more_for_less() {
        let closed = "on-error = \"fail-closed\"";
        let of = |hook: &str, more: &str| asked(&subscription(hook, more));
        let covers = |granted: &Grant, asked: &Grant| asked.beyond(granted).is_empty();
        let strict = of("shop.priced", closed);
        assert!(covers(&strict, &of("shop.priced", "")) && !covers(&of("shop.priced", ""), &strict));
        assert!(!covers(&strict, &of("shop.stored", "")), "another hook");
        assert!(!covers(&strict, &of("shop.priced", &format!("{closed}\ntimeout = \"30s\""))), "it holds up longer");
        assert!(covers(&of("shop.priced", "timeout = \"10ms\""), &of("shop.priced", "timeout = \"2s\"")));
        // The hook has since become a filter.
        let mut observed = of("shop.priced", "");
        observed.hooks[0].kind = HookKind::Event;
        assert!(!covers(&observed, &of("shop.priced", "")));
    }

    #[test]
    fn a_grant_is_read_as_it_is_written_and_so_is_one_of_permissions_alone() {
        let more = subscription("shop.priced", "on-error = \"fail-closed\"")
            + "[permissions]\nhttp = [\"api.example.org:443\"]\n[limits]\nmemory = \"1GiB\"\n";
        let grant = asked(&more);
        let json = serde_json::to_value(&grant).expect("JSON");
        assert_eq!(serde_json::from_value::<Grant>(json).expect("it is read back"), grant);
        let permissions = serde_json::to_value(&grant.permissions).expect("JSON");
        let read: Grant = serde_json::from_value(permissions).expect("it is read");
        assert_eq!((read.permissions, read.hooks.len()), (grant.permissions, 0));
    }
}
