//! Rights are not widened: by a key that is made, a role that is changed, a job that is done again, a subscription that is
//! enabled. Each attempt stands in the audit log.

use outrigger_api::{
    Access, ApiError, AuditInfo, AuditQuery, CallRequest, Code, ExplainRequest, Hooks, InstallRequest, Jobs,
    KeyRequest, NewKey, PackageSource, Platform, Plugins, RecordQuery, RoleRequest, RollbackRequest, Webhooks,
};
use serde_json::{Value, json};

use crate::places::{Place, Way, from_json, request, until};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A key, made by whoever has the platform. The code says why not.
async fn make(by: &dyn Platform, name: &str, roles: &[&str], expires_in_s: Option<u64>) -> Result<NewKey, Code> {
    let request = KeyRequest { name: name.to_owned(), roles: texts(roles), scope: None, expires_in_s };
    by.key_create(request).await.map_err(|error| error.code)
}

/// Makes a role or changes it. The code says why not.
async fn role(by: &dyn Platform, name: &str, allow: &[&str], deny: &[&str]) -> Result<(), Code> {
    let request = RoleRequest { description: String::new(), allow: texts(allow), deny: texts(deny) };
    by.role_put(name, request, None).await.map(drop).map_err(|error| error.code)
}

/// The denied requests of a kind, newest first.
async fn denied(place: &Place, action: &str) -> Vec<AuditInfo> {
    let query = AuditQuery { action: Some(action.to_owned()), allowed: Some(false), ..AuditQuery::default() };
    place.platform.audit_list(&query).await.expect("it lists")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_is_denied_stays_denied() {
    let place = Place::new(Way::Http).await;
    let administrator = &*place.platform;
    role(administrator, "no-prod", &[], &["function_execute:prod.*"]).await.expect("it is made");
    let maker = make(administrator, "maker", &["admin", "no-prod"], None).await.expect("it is made");
    let maker = place.client(&maker.key);

    assert_eq!(make(&maker, "a", &["admin"], None).await.err(), Some(Code::Forbidden), "without its denials");
    assert_eq!(
        make(&maker, "b", &["developer"], None).await.err(),
        Some(Code::Forbidden),
        "a right that it has in part"
    );
    make(&maker, "c", &["no-prod", "admin"], None).await.expect("as much as it has");
    make(&maker, "d", &["viewer"], None).await.expect("nothing that it is denied");
    let entries = denied(&place, "key_create").await;
    assert_eq!(entries.iter().map(|entry| entry.resource.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert!(entries.iter().all(|entry| entry.actor == "key maker" && entry.decision.is_some()), "{entries:#?}");

    assert_eq!(role(&maker, "no-prod", &[], &[]).await, Err(Code::Forbidden), "its own denial");
    let narrower = ["function_execute:prod.delete*"];
    assert_eq!(role(&maker, "no-prod", &[], &narrower).await, Err(Code::Forbidden), "a part of it");
    assert_eq!(denied(&place, "role_create").await.len(), 2);
    role(&maker, "no-prod", &[], &["function_execute:prod*", "plugin_delete"]).await.expect("more is denied");

    // Of others, who lacks the right lifts no denial of it.
    role(administrator, "careful", &[], &["plugin_delete"]).await.expect("it is made");
    role(administrator, "registrar", &["role_create"], &[]).await.expect("it is made");
    let registrar = make(administrator, "registrar", &["registrar"], None).await.expect("it is made");
    let registrar = place.client(&registrar.key);
    assert_eq!(role(&registrar, "careful", &[], &[]).await, Err(Code::Forbidden));
    role(&registrar, "careful", &[], &["plugin_delete", "plugin_create"]).await.expect("more is denied");
    role(administrator, "careful", &[], &[]).await.expect("it may");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_makes_none_that_outlives_it() {
    let place = Place::new(Way::Http).await;
    let maker = make(&*place.platform, "maker", &["admin"], Some(3_600)).await.expect("it is made");
    let (maker, end) = (place.client(&maker.key), maker.info.expires_at);
    assert_eq!(make(&maker, "a", &["admin"], Some(7_200)).await.err(), Some(Code::Forbidden));
    assert_eq!(make(&maker, "b", &["viewer"], Some(7_200)).await.err(), Some(Code::Forbidden));
    let twin = make(&maker, "c", &["admin"], None).await.expect("it is made");
    assert!(end.is_some() && twin.info.expires_at == end, "{:?} {end:?}", twin.info);
    let shorter = make(&maker, "d", &["admin"], Some(60)).await.expect("it is made");
    assert!(shorter.info.expires_at < end);
    assert_eq!(denied(&place, "key_create").await.len(), 2);
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_lets_nobody_in_when_its_time_is_over() {
    let place = Place::new(Way::Http).await;
    let brief = make(&*place.platform, "brief", &["developer"], Some(2)).await.expect("it is made");
    let holder = place.client(&brief.key);
    let explain = async || {
        let question = json!({"key": "brief", "right": "function_execute", "name": "pricing.quote"});
        let request: ExplainRequest = from_json(question);
        place.platform.access_explain(request).await.expect("it is there")
    };
    let before = explain().await;
    assert!(before.allowed && before.reason == "allowed" && before.role.is_some(), "{before:?}");
    assert_eq!(holder.identity().await.expect("it is let in").name, "brief");

    let error = until("it expires", async || holder.identity().await.err()).await;
    assert_eq!((error.code, error.code.info().http), (Code::Unauthenticated, 401), "{}", error.message);
    assert!(error.message.contains("has expired"), "{}", error.message);
    // What its role allows is no longer asked.
    let after = explain().await;
    assert_eq!((after.allowed, after.reason.as_str(), &after.role, &after.rule), (false, "expired", &None, &None));
    assert!(
        after.text.ends_with("is not allowed `function_execute` on `pricing.quote`: it has expired"),
        "{}",
        after.text
    );
    let keys = place.platform.key_list().await.expect("it lists");
    assert!(keys.iter().any(|key| key.name == "brief"), "it is there until it is revoked");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_done_again_by_who_could_call_it() {
    let place = Place::new(Way::Http).await;
    let administered = "[functions.fail]\nrequires-admin = true\n";
    place.install(&place.package("worker", "1.0.0", administered)).await.expect("it is installed");
    let job = json!({"function": "worker.fail", "arguments": {}});
    let job = place.platform.job_create(from_json(job)).await.expect("it is taken").id;
    let failed = async || {
        let state = place.platform.job_fetch(&job).await.expect("it is there").state;
        (state == "failed").then_some(())
    };
    until("it fails", &failed).await;
    role(&*place.platform, "foreman", &["job_*"], &[]).await.expect("it is made");
    for role in ["developer", "foreman"] {
        let key = make(&*place.platform, role, &[role], None).await.expect("it is made");
        let error = place.client(&key.key).job_retry(&job).await.expect_err("it may not call it");
        assert_eq!(error.code, Code::Forbidden, "{role}: {}", error.message);
    }
    assert_eq!(place.platform.job_fetch(&job).await.expect("it is there").state, "failed");
    assert_eq!(denied(&place, "job_modify").await.len(), 2);
    place.platform.job_retry(&job).await.expect("an administrator may");
    until("it fails again", &failed).await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_switched_on_by_who_could_call_it() {
    let place = Place::new(Way::Http).await;
    place.install_callbacks().await;
    let wanted = json!({"hook": "plugin.enabled", "function": "callbacks.measure"});
    let made = place.platform.subscription_create(from_json(wanted)).await.expect("it fits").id;
    role(&*place.platform, "hooks", &["hook_*"], &[]).await.expect("it is made");
    let key = make(&*place.platform, "hooks", &["hooks"], None).await.expect("it is made");
    let client = place.client(&key.key);
    client.subscription_switch(&made, false).await.expect("it may end it");
    let error = client.subscription_switch(&made, true).await.expect_err("it may not call the function");
    assert!(error.code == Code::Forbidden && error.message.contains("`function_execute`"), "{}", error.message);
    assert_eq!(denied(&place, "function_execute").await.len(), 1);
    place.platform.subscription_switch(&made, true).await.expect("an administrator may");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_would_be_told_too_much_is_written_down() {
    let place = Place::new(Way::Http).await;
    let deny = ["event_view:plugin.removed"];
    role(&*place.platform, "watcher", &["event_view:plugin.*", "webhook_*"], &deny).await.expect("it is made");
    let key = make(&*place.platform, "watcher", &["watcher"], None).await.expect("it is made");
    let client = place.client(&key.key);
    let webhook = |name: &str, events: &str| {
        let url = "https://ops.example.com/";
        client.webhook_create(from_json(json!({"name": name, "url": url, "events": [events], "enabled": false})))
    };
    for (name, events) in [("one", "*"), ("two", "plugin.*")] {
        assert_eq!(webhook(name, events).await.expect_err("more than it may see").code, Code::Forbidden);
    }
    let entries = denied(&place, "webhook_create").await;
    assert_eq!(entries.iter().map(|entry| entry.resource.as_str()).collect::<Vec<_>>(), ["two", "one"]);
    assert!(denied(&place, "event_view").await.is_empty(), "one entry for one attempt");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_schedule_calls_with_is_not_in_the_audit_log() {
    let place = Place::new(Way::Http).await;
    place.install(&place.package("worker", "1.0.0", "")).await.expect("it is installed");
    let put = async |text: &str| {
        let job = json!({"function": "worker.print", "arguments": {"text": text, "times": 1}});
        let request = json!({"cron": "30 2 * * *", "job": job});
        place.platform.schedule_put("nightly", from_json(request), None).await.expect("it is set");
    };
    put("hunter2").await;
    put("hunter3").await;
    place.platform.schedule_delete("nightly").await.expect("it is removed");
    let query = AuditQuery { resource: Some("worker.print".to_owned()), ..AuditQuery::default() };
    let entries = place.platform.audit_list(&query).await.expect("it lists");
    assert_eq!(entries.len(), 4, "{entries:#?}");
    assert!(!format!("{entries:?}").contains("hunter"), "{entries:#?}");
    let arguments = |trace: &Option<Value>| trace.as_ref().map(|trace| trace["arguments"].to_string());
    let [deleted, _, changed, made] = &entries[..] else { panic!("there are four") };
    assert_eq!((arguments(&made.before), arguments(&made.after)), (None, arguments(&changed.before)));
    assert_ne!(arguments(&changed.before), arguments(&changed.after), "that they were changed is seen");
    assert_eq!(deleted.before, changed.after);
    assert_eq!(deleted.before.as_ref().expect("what was there")["cron"], "30 2 * * *");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_developers_key_gets_nothing_granted_over_rest() {
    let place = Place::new(Way::Http).await;
    // The package is on the server's disk.
    role(&*place.platform, "paths", &["path_use"], &[]).await.expect("it is made");
    let developer = make(&*place.platform, "dev", &["developer", "paths"], None).await.expect("it is made");
    let developer = place.client(&developer.key);
    let install = async |version: &str, more: &str| {
        let source = PackageSource::Path(place.package("worker", version, more));
        developer.plugin_install(InstallRequest::new(source)).await.map(drop)
    };
    let refused = |outcome: Result<(), ApiError>, part: &str| {
        let error = outcome.expect_err("it is refused");
        assert_eq!((error.code, error.code.info().http), (Code::GrantRequired, 403), "{}", error.message);
        assert!(error.message.contains(part), "{}", error.message);
    };
    refused(install("1.0.0", "[limits]\nmemory = \"1GiB\"\n").await, "use 1GiB of memory in each instance");
    let event = "[[subscriptions]]\nhook = \"plugin.installed\"\nfunction = \"good\"\n";
    assert!(install("1.0.0", event).await.is_err(), "it neither fits nor is granted");
    install("1.0.0", "").await.expect("it asks for nothing");
    let wide = place.package("worker", "1.1.0", "[permissions]\nhttp = [\"api.example.org:443\"]\n");
    place.install(&wide).await.expect("an administrator grants it");
    refused(install("1.2.0", "").await, "the grants (send HTTP requests to api.example.org on port 443) of `worker`");
    let source = PackageSource::Path(place.package("worker", "1.2.0", ""));
    let report = developer.package_inspect(&source).await.expect("it is read");
    assert!(report.take_over.is_some_and(|sentence| sentence.contains("may be from another publisher")));
    let back = developer.plugin_rollback(&"worker".parse().expect("a name"), RollbackRequest { dry_run: false }).await;
    refused(back.map(drop), "the grants");
    let audit = AuditQuery { action: Some("plugin_create".to_owned()), ..AuditQuery::default() };
    let entries = place.platform.audit_list(&audit).await.expect("it lists");
    let denied = entries.iter().filter(|entry| entry.actor == "key dev" && entry.code == Some(Code::GrantRequired));
    assert!(denied.count() >= 3, "{entries:#?}");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_calls_of_a_key_do_not_appear_in_the_log_of_a_job() {
    let place = Place::new(Way::Http).await;
    place.install(&place.package("worker", "1.0.0", "")).await.expect("it is installed");
    let arguments = json!({"lines": 1});
    let wanted = from_json(json!({"function": "worker.log", "arguments": arguments}));
    let job = place.platform.job_create(wanted).await.expect("it is taken").id;
    let call = || CallRequest { correlation: Some(job.clone()), ..request("worker.log", &arguments) };
    let error = place.platform.call(call()).await.expect_err("the correlation id is that of a job");
    assert_eq!(error.code, Code::InvalidUsage, "{}", error.message);
    let error = place.platform.call_batch(vec![call()], 1).await.pop().expect("an answer").expect_err("here, too");
    assert_eq!(error.code, Code::InvalidUsage, "{}", error.message);
    until("the job succeeds", async || {
        let state = place.platform.job_fetch(&job).await.expect("it is there").state;
        (state == "succeeded").then_some(())
    })
    .await;
    let lines = place.platform.job_logs(&job, &RecordQuery::default()).await.expect("it lists");
    assert_eq!(lines.len(), 1, "only the line of the job: {lines:?}");
    place.close().await;
}
