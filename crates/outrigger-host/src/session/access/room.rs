//! Whether there is room for one more key or role.

use std::collections::HashMap;

use outrigger_api::ApiResult;
use outrigger_engine::access::Role;
use outrigger_engine::cap;
use outrigger_engine::store::KeyRecord;

use crate::convert;

/// Checks that a key fits into the cap. It counts for the first key in the chain of its creators, so no key gets more
/// room through keys that it makes.
pub(super) fn check_key(present: &[KeyRecord], new: &KeyRecord) -> ApiResult<()> {
    let creators = present.iter().filter_map(|key| Some((key.name.as_str(), cap::key_of(&key.created_by)?)));
    let creators: HashMap<&str, &str> = creators.collect();
    let others = present.iter().map(|key| (origin(key, &creators), size(key)));
    cap::KEYS.check(origin(new, &creators), others, size(new)).map_err(convert::error)
}

/// The first key in the chain of a key's creators; none if no key created it. It can be a revoked key, of which only
/// the name is known.
fn origin<'a>(key: &'a KeyRecord, creators: &HashMap<&'a str, &'a str>) -> Option<&'a str> {
    let mut creator = cap::key_of(&key.created_by)?;
    // Names can be reused, so the chain could be a cycle.
    for _ in 0..creators.len() {
        let Some(&next) = creators.get(creator) else { break };
        creator = next;
    }
    Some(creator)
}

/// The size of those parts of a key that vary, in bytes.
fn size(key: &KeyRecord) -> u64 {
    let roles = key.roles.iter().map(|role| role.as_str().len());
    let rules = key.scope.iter().flatten().map(|rule| rule.to_string().len());
    (key.name.len() + roles.chain(rules).sum::<usize>()) as u64
}

/// Checks that a role fits into the cap, in place of the present one with its name.
pub(super) fn check_role(present: &[Role], new: &Role) -> ApiResult<()> {
    let others = present.iter().filter(|role| role.name != new.name).map(|role| (None, cap::size_of(role)));
    cap::ROLES.check(None, others, cap::size_of(new)).map_err(convert::error)
}

#[cfg(test)]
mod tests {
    use outrigger_api::Code;
    use time::OffsetDateTime;

    use super::*;

    fn key(name: impl Into<String>, created_by: &str) -> KeyRecord {
        KeyRecord {
            id: String::new(),
            name: name.into(),
            hash: [0; 32],
            roles: vec!["viewer".parse().expect("a name")],
            scope: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
            created_by: created_by.to_owned(),
            expires_at: None,
            last_used_at: None,
        }
    }

    #[track_caller]
    fn refused(outcome: ApiResult<()>, expected: &str) {
        let error = outcome.expect_err("there is no room");
        assert_eq!((error.code, error.message.as_str()), (Code::Conflict, expected));
    }

    #[test]
    fn s06_a_key_gets_no_more_room_through_keys_that_it_makes() {
        let mut keys = vec![key("loud", "local"), key("quiet", "local"), key("child", "key loud")];
        keys.extend((0..499).map(|number| key(format!("a-{number}"), "key loud")));
        keys.extend((0..499).map(|number| key(format!("b-{number}"), "key child")));
        check_key(&keys, &key("new", "key child")).expect("there is room for one more");
        keys.push(key("last", "key b-7"));
        let full = "the key has 1000 keys; the limit is 1000";
        for creator in ["key loud", "key child", "key a-7", "key last"] {
            refused(check_key(&keys, &key("new", creator)), full);
        }
        // A revoked creator in the chain changes nothing.
        keys.retain(|key| key.name != "loud");
        refused(check_key(&keys, &key("new", "key child")), full);
        for creator in ["key quiet", "local"] {
            check_key(&keys, &key("new", creator)).expect("others have room");
        }
        keys.extend((0..2_999).map(|number| key(format!("c-{number}"), "local")));
        refused(check_key(&keys, &key("new", "local")), "the server has 4000 keys; the limit is 4000");
    }

    #[test]
    fn s06_a_cycle_of_creators_ends() {
        let keys = [key("a", "key b"), key("b", "key a")];
        check_key(&keys, &key("new", "key a")).expect("it ends");
    }

    #[test]
    fn s06_roles_are_bounded() {
        let role = |name: String| Role {
            name: name.parse().expect("a name"),
            description: String::new(),
            allow: Vec::new(),
            deny: Vec::new(),
        };
        let roles: Vec<_> = (0..500).map(|number| role(format!("role-{number}"))).collect();
        refused(check_role(&roles, &role("more".to_owned())), "the server has 500 roles; the limit is 500");
        check_role(&roles, &role("role-7".to_owned())).expect("it takes the place of another");
    }
}
