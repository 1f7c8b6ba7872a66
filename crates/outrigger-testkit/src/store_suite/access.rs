//! Keys and roles.

use std::sync::Arc;

use outrigger_engine::Store;
use outrigger_engine::access::{Role, built_in_roles};
use outrigger_engine::store::KeyRecord;
use time::Duration;

use super::fixtures::{assert_conflict, key, moment, role};

async fn names(store: &dyn Store) -> Vec<String> {
    store.key_list().await.expect("the store works").into_iter().map(|key| key.name).collect()
}

pub async fn an_empty_store_has_no_keys_and_no_roles(store: Arc<dyn Store>) {
    assert_eq!(store.key_list().await.unwrap(), []);
    assert_eq!(store.role_list().await.unwrap(), [], "built-in roles are not kept");
    assert!(!store.key_delete("key-1").await.unwrap());
    for role in built_in_roles() {
        assert!(!store.role_delete(&role.name).await.unwrap());
    }
}

pub async fn a_key_comes_back_as_it_was_created(store: Arc<dyn Store>) {
    let rule = |text: &str| text.parse().expect("a rule");
    let bare = KeyRecord { roles: Vec::new(), ..key("a") };
    let full = KeyRecord {
        hash: std::array::from_fn(|index| u8::try_from(255 - index).expect("32 of them")),
        // In this order, and one of them twice: it is the caller's to say.
        roles: ["viewer", "deploy-2", "admin", "viewer"].map(|role| role.parse().expect("a name")).to_vec(),
        scope: Some(vec![rule("function_execute:pricing.*"), rule("*_view"), rule("plugin_view:a\"b'c")]),
        created_by: "key “zoë” ☂".to_owned(),
        expires_at: Some(moment(1_000) + Duration::nanoseconds(1)),
        last_used_at: Some(moment(3)),
        ..key("b")
    };
    // Nothing is left of what its roles allow, which is not the same as no scope.
    let closed = KeyRecord { scope: Some(Vec::new()), expires_at: Some(moment(0)), ..key("c") };
    for key in [&bare, &full, &closed] {
        store.key_create(key).await.unwrap();
    }
    assert_eq!(store.key_list().await.unwrap(), [bare, full, closed]);
}

pub async fn keys_are_listed_by_name(store: Arc<dyn Store>) {
    // Byte for byte: letters are not put in the order of a language.
    let sorted = ["B", "a", "a-b", "a1", "b", "é"];
    for (number, name) in [5, 1, 4, 0, 3, 2].into_iter().map(|number| (number, sorted[number])) {
        store.key_create(&KeyRecord { id: format!("{}", 9 - number), ..key(name) }).await.unwrap();
    }
    assert_eq!(names(&*store).await, sorted);
}

pub async fn an_id_and_a_name_are_of_one_key(store: Arc<dyn Store>) {
    let first = key("ci");
    store.key_create(&first).await.unwrap();
    assert_conflict(store.key_create(&first).await);
    assert_conflict(store.key_create(&KeyRecord { name: "other".to_owned(), ..first.clone() }).await);
    assert_conflict(store.key_create(&KeyRecord { id: "other".to_owned(), hash: [9; 32], ..first.clone() }).await);
    assert_eq!(store.key_list().await.unwrap(), std::slice::from_ref(&first), "the one that is there stays as it was");
    let upper = KeyRecord { id: first.id.to_uppercase(), name: "CI".to_owned(), ..first.clone() };
    store.key_create(&upper).await.expect("the case of letters makes another name");
    let again = KeyRecord { id: "other".to_owned(), ..first.clone() };
    assert!(store.key_delete(&first.id).await.unwrap());
    store.key_create(&again).await.expect("the name of a revoked key is free");
    assert_eq!(store.key_list().await.unwrap(), [upper, again]);
}

pub async fn a_revoked_key_is_gone(store: Arc<dyn Store>) {
    for name in ["a", "b"] {
        store.key_create(&key(name)).await.unwrap();
    }
    assert!(!store.key_delete("b").await.unwrap(), "that is its name");
    assert!(store.key_delete(&key("b").id).await.unwrap());
    assert!(!store.key_delete(&key("b").id).await.unwrap());
    store.key_used(&[(key("b").id, moment(5))]).await.unwrap();
    assert_eq!(store.key_list().await.unwrap(), [key("a")]);
}

pub async fn the_first_key_is_made_where_there_is_none(store: Arc<dyn Store>) {
    assert!(store.key_create_first(&key("admin")).await.unwrap());
    for other in [key("admin"), key("other")] {
        assert!(!store.key_create_first(&other).await.unwrap());
    }
    assert_eq!(store.key_list().await.unwrap(), [key("admin")]);
    assert!(store.key_delete(&key("admin").id).await.unwrap());
    store.key_create(&key("made otherwise")).await.unwrap();
    assert!(!store.key_create_first(&key("admin")).await.unwrap());
    assert_eq!(names(&*store).await, ["made otherwise"]);
}

pub async fn of_many_first_keys_one_is_made(store: Arc<dyn Store>) {
    let makers = (0..20).map(|number| {
        let store = Arc::clone(&store);
        let key = key(&format!("first-{number}"));
        tokio::spawn(async move { store.key_create_first(&key).await.expect("the store works").then_some(key) })
    });
    let mut made = Vec::new();
    for maker in makers.collect::<Vec<_>>() {
        made.extend(maker.await.expect("no panic"));
    }
    assert_eq!(made.len(), 1);
    assert_eq!(store.key_list().await.unwrap(), made);
}

pub async fn the_use_of_a_key_only_moves_forward(store: Arc<dyn Store>) {
    for name in ["a", "b", "c"] {
        store.key_create(&key(name)).await.unwrap();
    }
    let check = async |used: &[(&str, u64)], expected: [Option<u64>; 3]| {
        let of = |(name, seconds): &(&str, u64)| (key(name).id, moment(*seconds));
        store.key_used(&used.iter().map(of).collect::<Vec<_>>()).await.expect("the store works");
        let keys = store.key_list().await.expect("the store works");
        let last: Vec<_> = keys.iter().map(|key| key.last_used_at).collect();
        assert_eq!(last, expected.map(|seconds| seconds.map(moment)), "{used:?}");
        let rest: Vec<_> = keys.into_iter().map(|key| KeyRecord { last_used_at: None, ..key }).collect();
        assert_eq!(rest, [key("a"), key("b"), key("c")], "nothing else changes");
    };
    check(&[], [None, None, None]).await;
    check(&[("a", 5)], [Some(5), None, None]).await;
    check(&[("a", 4)], [Some(5), None, None]).await;
    check(&[("a", 5), ("b", 0)], [Some(5), Some(0), None]).await;
    check(&[("absent", 9), ("a", 6), ("b", 7)], [Some(6), Some(7), None]).await;
    // The same key several times, in whatever order.
    check(&[("a", 8), ("c", 2), ("a", 7), ("c", 3)], [Some(8), Some(7), Some(3)]).await;

    let nearly = moment(8) + Duration::nanoseconds(1);
    store.key_used(&[(key("a").id, nearly)]).await.unwrap();
    assert_eq!(store.key_list().await.unwrap()[0].last_used_at, Some(nearly));
}

pub async fn a_role_comes_back_as_it_was_put(store: Arc<dyn Store>) {
    let rule = |text: &str| text.parse().expect("a rule");
    let full = Role {
        description: "Deploys, ☂ “quoted”.".to_owned(),
        allow: vec![rule("plugin_*"), rule("function_execute:pricing.*"), rule("*_view:a*b")],
        deny: vec![rule("plugin_delete:pricing"), rule("key_view")],
        ..role("deploy")
    };
    let empty = Role { description: String::new(), allow: Vec::new(), ..role("nothing") };
    for role in [&empty, &full, &role("deploy-2"), &role("a")] {
        store.role_put(role).await.unwrap();
    }
    assert_eq!(store.role_list().await.unwrap(), [role("a"), full.clone(), role("deploy-2"), empty], "by name");
    let changed = Role { deny: Vec::new(), description: "Changed.".to_owned(), ..full };
    store.role_put(&changed).await.unwrap();
    assert_eq!(store.role_list().await.unwrap()[1], changed, "it takes the place of the one of that name");
    assert_eq!(store.role_list().await.unwrap().len(), 4);
}

pub async fn a_role_that_a_key_has_stays(store: Arc<dyn Store>) {
    let of = |name: &str| role(name).name;
    for name in ["deploy", "deploy-more", "free"] {
        store.role_put(&role(name)).await.unwrap();
    }
    let roles = vec![of("viewer"), of("deploy-more")];
    // One that has expired is still there, until it is revoked.
    let holder = KeyRecord { roles, expires_at: Some(moment(0)), ..key("ci") };
    store.key_create(&holder).await.unwrap();
    assert_conflict(store.role_delete(&of("deploy-more")).await);
    assert_eq!(store.role_list().await.unwrap().len(), 3, "it is still there");
    assert!(store.role_delete(&of("deploy")).await.unwrap(), "its name is only how another one begins");
    assert!(!store.role_delete(&of("deploy")).await.unwrap());
    assert!(store.role_delete(&of("free")).await.unwrap());
    assert!(!store.role_delete(&of("viewer")).await.unwrap(), "one that is not kept is not there, whoever has it");

    store.role_put(&Role { deny: Vec::new(), ..role("deploy-more") }).await.expect("it may be changed all the same");
    assert!(store.key_delete(&holder.id).await.unwrap());
    assert!(store.role_delete(&of("deploy-more")).await.unwrap());
    assert_eq!(store.role_list().await.unwrap(), []);
}
