//! Keys with less than everything, wrong keys, and servers that are not there.

use outrigger_api::{
    AuditQuery, Code, FunctionQuery, Functions, KeyRequest, Platform, Plugins, Records, RoleRequest, UsageKey,
    UsageQuery,
};
use outrigger_client::Client;
use serde_json::json;

use crate::places::{Place, Way, call};

async fn key(place: &Place, name: &str, roles: &[&str], scope: Option<&[&str]>) -> String {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let request =
        KeyRequest { name: name.to_owned(), roles: texts(roles), scope: scope.map(texts), expires_in_s: None };
    place.platform.key_create(request).await.expect("it is made").key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_sees_and_does_what_its_roles_and_scope_allow() {
    let place = Place::new(Way::Http).await;
    let administered = "[functions.spin]\nrequires-admin = true\n";
    place.install(&place.package("alpha", "1.0.0", administered)).await.expect("it is installed");
    place.install(&place.package("beta", "1.0.0", "")).await.expect("it is installed");
    let viewer = place.client(&key(&place, "viewer", &["viewer"], None).await);
    let narrow = place.client(&key(&place, "narrow", &["developer"], Some(&["function_*:alpha.*"])).await);

    assert_eq!(viewer.plugin_list().await.expect("it may look").len(), 2);
    let error = call(&viewer, "alpha.good", json!({"number": 1})).await.expect_err("it may only look");
    assert_eq!(error.code, Code::Forbidden);
    assert!(error.message.contains("function_execute") && error.message.contains("alpha.good"), "{}", error.message);
    // A caller without the right does not learn whether a function exists.
    let error = call(&viewer, "gamma.none", json!({})).await.expect_err("it may only look");
    assert_eq!(error.code, Code::Forbidden);

    let seen = narrow.function_list(&FunctionQuery::default()).await.expect("it may look");
    assert!(!seen.is_empty() && seen.iter().all(|function| function.function.plugin.as_str() == "alpha"));
    assert_eq!(call(&narrow, "alpha.good", json!({"number": 1})).await.expect("it may"), json!(1));
    let outside = call(&narrow, "beta.good", json!({"number": 1})).await.expect_err("it lies outside the scope");
    assert_eq!(outside.code, Code::Forbidden);
    let admin = call(&narrow, "alpha.spin", json!({})).await.expect_err("it is for administrators");
    assert!(admin.message.contains("function_administer"), "{}", admin.message);
    let beta = "beta".parse().expect("a name");
    assert_eq!(narrow.plugin_info(&beta).await.expect_err("not in scope").code, Code::Forbidden);
    assert_eq!(narrow.doctor().await.expect_err("not in scope").code, Code::Forbidden);

    let denied = AuditQuery { allowed: Some(false), ..AuditQuery::default() };
    let records = place.platform.audit_list(&denied).await.expect("it lists");
    assert_eq!(records.len(), 6, "{records:#?}");
    assert!(records.iter().all(|record| record.decision.is_some() && record.key.is_some()));
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sum_holds_only_what_its_reader_may_see() {
    let place = Place::new(Way::Http).await;
    for name in ["alpha", "beta"] {
        place.install(&place.package(name, "1.0.0", "")).await.expect("it is installed");
    }
    let other = place.client(&key(&place, "other", &["operator"], None).await);
    call(&other, "alpha.good", json!({"number": 1})).await.expect("it may");
    for number in 0..2 {
        place.call("alpha.good", json!({"number": number})).await.expect("it answers");
    }
    place.call("beta.good", json!({"number": 1})).await.expect("it answers");
    let narrow = place.client(&key(&place, "narrow", &["viewer"], Some(&["run_view:alpha"])).await);
    let by = Some([UsageKey::Caller].into_iter().collect());
    let query = UsageQuery { by, ..UsageQuery::default() };
    // Nothing of `beta`, although the groups do not say of which plugin they are.
    let callers = async |platform: &dyn Platform| -> Vec<(Option<String>, u64)> {
        let report = platform.run_usage(&query).await.expect("it may look");
        report.groups.into_iter().map(|group| (group.caller, group.calls)).collect()
    };
    let of = |caller: &str, calls: u64| (Some(caller.to_owned()), calls);
    assert_eq!(callers(&*place.platform).await, [of("key administrator", 3), of("key other", 1)]);
    assert_eq!(callers(&narrow).await, [of("key administrator", 2), of("key other", 1)]);
    let of_beta = UsageQuery { plugin: "beta".parse().ok(), ..UsageQuery::default() };
    assert_eq!(narrow.run_usage(&of_beta).await.expect_err("it may not").code, Code::Forbidden);
    // What was called stays in the sums of whoever may see it when its plugin is gone.
    place.platform.plugin_uninstall(&"alpha".parse().expect("a name")).await.expect("it is removed");
    assert_eq!(callers(&narrow).await, [of("key administrator", 2), of("key other", 1)]);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_away_more_than_they_have() {
    use outrigger_api::Access;
    let place = Place::new(Way::Http).await;
    let allow = vec!["key_create".to_owned(), "role_create".to_owned(), "plugin_view".to_owned()];
    let role = RoleRequest { description: String::new(), allow, deny: Vec::new() };
    place.platform.role_put("registrar", role, None).await.expect("it is made");
    let registrar = place.client(&key(&place, "registrar", &["registrar"], None).await);
    let make = |name: &str, role: &str, scope: Option<&str>| {
        registrar.key_create(KeyRequest {
            name: name.to_owned(),
            roles: vec![role.to_owned()],
            scope: scope.map(|rule| vec![rule.to_owned()]),
            expires_in_s: None,
        })
    };
    assert_eq!(make("a", "admin", None).await.expect_err("more than it has").code, Code::Forbidden);
    assert_eq!(make("b", "viewer", None).await.expect_err("more than it has").code, Code::Forbidden);
    make("c", "registrar", None).await.expect("as much as it has");
    make("d", "admin", Some("plugin_view:pricing")).await.expect("less than it has");
    let role = RoleRequest { description: String::new(), allow: vec!["*".to_owned()], deny: Vec::new() };
    assert_eq!(registrar.role_put("mine", role, None).await.expect_err("more than it has").code, Code::Forbidden);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_refused_a_revoked_one_at_once_and_guessing_is_slowed() {
    let place = Place::new(Way::Http).await;
    let made = key(&place, "short-lived", &["viewer"], None).await;
    let holder = place.client(&made);
    holder.plugin_list().await.expect("it may look");
    place.platform.key_delete("short-lived").await.expect("it is revoked");
    assert_eq!(holder.plugin_list().await.expect_err("it is revoked").code, Code::Unauthenticated);
    let mut changed = place.key.clone().expect("the administrator's");
    let last = if changed.pop() == Some('0') { '1' } else { '0' };
    changed.push(last);
    assert_eq!(place.client(&changed).plugin_list().await.expect_err("one digit is wrong").code, Code::Unauthenticated);
    let guess = place.client("outrigger_guess");
    let mut refused = 0;
    let limited = loop {
        let error = guess.plugin_list().await.expect_err("it is wrong");
        match error.code {
            Code::Unauthenticated if refused < 5_000 => refused += 1,
            _ => break error,
        }
    };
    assert_eq!(limited.code, Code::RateLimited, "after {refused}");
    assert!(limited.retry_after_ms.is_some());
    // A client with a valid key at the same address is not blocked.
    place.platform.plugin_list().await.expect("the key is right");
    place.close().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_one_that_is_no_server() {
    // Port 1 is nobody's.
    let client = Client::new("http://127.0.0.1:1", None).expect("a client");
    let error = client.plugin_list().await.expect_err("nobody answers");
    assert_eq!(error.code, Code::Unreachable);
    assert!(error.message.contains("127.0.0.1:1"), "{}", error.message);
    for wrong in ["127.0.0.1:7070", "ftp://host", "http://"] {
        assert_eq!(Client::new(wrong, None).expect_err(wrong).code, Code::InvalidUsage);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_seen_by_whoever_may_and_for_as_long_as_they_may() {
    use futures::StreamExt as _;
    use outrigger_api::{EventQuery, Events, FollowQuery, Webhooks};
    let place = Place::new(Way::Http).await;
    let allow = ["event_view:plugin.*", "webhook_create"].map(str::to_owned).to_vec();
    let deny = vec!["event_view:plugin.removed".to_owned()];
    place
        .platform
        .role_put("watcher", RoleRequest { description: String::new(), allow, deny }, None)
        .await
        .expect("it is made");
    let made = key(&place, "watcher", &["watcher"], None).await;
    let watcher = place.client(&made);
    let blind = place.client(&key(&place, "blind", &["viewer"], Some(&["plugin_view"])).await);
    assert_eq!(blind.event_list(&EventQuery::default()).await.expect_err("it may not").code, Code::Forbidden);
    let refused = blind.event_follow(&FollowQuery::default()).await.err().expect("it may not");
    assert_eq!(refused.code, Code::Forbidden);

    let mut following = watcher.event_follow(&FollowQuery::default()).await.expect("it may look");
    place.install(&place.package("alpha", "1.0.0", "[configuration.a]\ntype = \"string\"\n")).await.expect("it is");
    let alpha = "alpha".parse().expect("a name");
    place.platform.configuration_put(&alpha, serde_json::Map::new(), 0).await.expect("it is set");
    place.platform.plugin_uninstall(&alpha).await.expect("it is removed");
    place.install(&place.package("beta", "1.0.0", "")).await.expect("it is installed");
    for plugin in ["alpha", "beta"] {
        let event = following.next().await.expect("it goes on").expect("an event");
        assert_eq!((event.name.as_str(), &event.payload.to_value()["plugin"]), ("plugin.installed", &json!(plugin)));
    }
    assert_eq!(watcher.event_list(&EventQuery::default()).await.expect("it may look").len(), 2);
    assert_eq!(place.platform.event_list(&EventQuery::default()).await.expect("it may look").len(), 4);

    // A key cannot subscribe a webhook to events that it is not allowed to see.
    let webhook = |events: &str| {
        let request = json!({"name": "chat", "url": "https://ops.example.com/", "events": [events], "enabled": false});
        watcher.webhook_create(serde_json::from_value(request).expect("a request"))
    };
    assert_eq!(webhook("*").await.expect_err("more than it may see").code, Code::Forbidden);
    assert_eq!(webhook("plugin.*").await.expect_err("one of them is denied").code, Code::Forbidden);

    place.platform.key_delete("watcher").await.expect("it is revoked");
    // Another key that is called as this one was counted is another key.
    key(&place, made.split('_').nth(1).expect("its id"), &["admin"], None).await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), following.next()).await.expect("it ends soon");
    assert_eq!(ended.expect("it says why").expect_err("it is revoked").code, Code::Unauthenticated);
    drop(following);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_filled_with_what_may_be_seen() {
    use outrigger_api::{EventQuery, Events, JobQuery, JobRequest, Jobs, RecordQuery};
    let place = Place::new(Way::Http).await;
    let scope = ["run_view:beta", "log_view:beta", "job_view:beta.*", "event_view:plugin.*"];
    let narrow = place.client(&key(&place, "narrow", &["admin"], Some(&scope)).await);
    let arguments = || json!({"lines": 1}).as_object().cloned().expect("an object");
    // What it may see is the oldest.
    for (plugin, times) in [("beta", 3), ("alpha", 12)] {
        place.install(&place.package(plugin, "1.0.0", "")).await.expect("it is installed");
        for _ in 0..times {
            call(&*place.platform, &format!("{plugin}.log"), json!({"lines": 1})).await.expect("it answers");
            let job = JobRequest {
                not_before: Some(time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(3_600)),
                ..JobRequest::new(format!("{plugin}.log").parse().expect("a name"), arguments())
            };
            place.platform.job_create(job).await.expect("it is taken");
        }
    }
    let limit = 2;
    let records = RecordQuery { limit, ..RecordQuery::default() };
    let runs = narrow.run_list(&records).await.expect("it may look");
    assert_eq!(runs.iter().map(|run| run.function.to_string()).collect::<Vec<_>>(), ["beta.log"; 2]);
    let of_beta = RecordQuery { plugin: "beta".parse().ok(), ..records.clone() };
    assert_eq!(runs, place.platform.run_list(&of_beta).await.expect("it lists"), "the newest of them");
    let lines = narrow.log_list(&records).await.expect("it may look");
    assert_eq!(lines, place.platform.log_list(&of_beta).await.expect("it lists"));
    let jobs = narrow.job_list(&JobQuery { limit, ..JobQuery::default() }).await.expect("it may look");
    assert_eq!(jobs.iter().map(|job| job.function.to_string()).collect::<Vec<_>>(), ["beta.log"; 2]);
    let query = JobQuery { before: Some(jobs[1].id.clone()), limit, ..JobQuery::default() };
    assert_eq!(narrow.job_list(&query).await.expect("it may look").len(), 1, "the page after");
    let events = narrow.event_list(&EventQuery { limit, ..EventQuery::default() }).await.expect("it may look");
    let told = events.iter().map(|event| (event.name.as_str(), event.payload.to_value()["plugin"].clone()));
    assert_eq!(told.collect::<Vec<_>>(), ["alpha", "beta"].map(|plugin| ("plugin.installed", json!(plugin))));
    place.close().await;
}
