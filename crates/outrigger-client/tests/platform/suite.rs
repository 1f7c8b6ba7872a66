//! The contract of every platform, local or remote.

use futures::StreamExt as _;
use outrigger_api::{
    AuditQuery, CallRequest, Code, ConfigurationEdits, DeliveryQuery, EventQuery, ExplainRequest, FireRequest,
    FollowQuery, FunctionQuery, HookKind, HookName, HookRequest, JobRequest, JsonObject, KeyRequest, RecordQuery,
    RoleRequest, SignatureWord, StatisticsReport, WebhookChange, WebhookRequest,
};
use serde_json::{Value, json};

use crate::places::{Place, WAYS, Way, everywhere, none, request};

const CONFIGURED: &str = "[configuration.region]\ntype = \"string\"\ndefault = \"eu\"\n";

everywhere! {
    a_plugin_is_installed_called_and_removed
    errors_are_the_same_whichever_way_they_come
    a_batch_answers_in_its_order
    functions_are_found_and_described
    configuration_is_set_once_by_whoever_was_first
    single_values_are_changed_and_the_others_stay
    what_happened_is_on_record
    keys_and_roles_are_made_explained_and_taken_away
    a_role_is_changed_only_as_it_was_seen
    the_audit_log_says_who_did_what_and_is_whole
    all_is_in_order
    events_are_listed_and_followed
    whoever_reads_slowly_misses_nothing
    jobs_tell_where_they_stand
    webhooks_are_added_changed_and_removed
    a_webhook_is_changed_only_as_it_was_seen
    a_call_says_where_its_time_went
}

mod behaviour {
    use super::*;

    pub async fn a_plugin_is_installed_called_and_removed(place: &Place, way: Way) {
        let platform = &place.platform;
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        place.install(&place.package("beta", "1.0.0", "")).await.expect("it is installed");
        let names: Vec<_> =
            platform.plugin_list().await.expect("it lists").into_iter().map(|plugin| plugin.name.to_string()).collect();
        assert_eq!(names, ["alpha", "beta"], "{way:?}");
        let alpha = "alpha".parse().expect("a name");
        let info = platform.plugin_info(&alpha).await.expect("it is there");
        assert_eq!((info.summary.version.as_str(), info.revisions.len()), ("1.0.0", 1));
        assert_eq!(place.call("alpha.good", json!({"number": 3})).await.expect("it answers"), json!(3));

        platform.plugin_disable(&alpha).await.expect("it is disabled");
        let error = place.call("alpha.good", json!({"number": 3})).await.expect_err("it takes no calls");
        assert_eq!(error.code, Code::PluginNotActive);
        platform.plugin_enable(&alpha).await.expect("it is enabled");
        platform.plugin_reload(&alpha).await.expect("it is loaded anew");
        assert_eq!(platform.plugin_warm(&alpha).await.expect("it is ready"), 0);
        let health = platform.plugin_health(&alpha).await.expect("it says");
        assert_eq!((health.status.as_str(), health.checks.len()), ("healthy", 1));
        let known = platform.plugin_health_list().await.expect("it lists");
        let names: Vec<_> = known.iter().map(|one| (one.plugin.as_str(), one.state.as_str())).collect();
        assert_eq!(names, [("alpha", "active"), ("beta", "active")], "{way:?}");
        let error = platform.plugin_health(&"gamma".parse().expect("a name")).await.expect_err("it is not there");
        assert_eq!(error.code, Code::PluginNotFound);

        let signature = platform.plugin_signature(&alpha).await.expect("it is read");
        assert_eq!((signature.plugin.as_str(), signature.version.as_str()), ("alpha", "1.0.0"), "{way:?}");
        assert_eq!((signature.signature.state, signature.signature.accepted), (SignatureWord::Unsigned, true));
        let error = platform.plugin_signature(&"gamma".parse().expect("a name")).await.expect_err("it is not there");
        assert_eq!(error.code, Code::PluginNotFound);

        place.install(&place.package("alpha", "1.1.0", "")).await.expect("it is updated");
        assert_eq!(platform.plugin_info(&alpha).await.expect("it is there").revisions.len(), 2);
        platform.plugin_uninstall(&alpha).await.expect("it is removed");
        assert_eq!(platform.plugin_list().await.expect("it lists").len(), 1);
    }

    pub async fn errors_are_the_same_whichever_way_they_come(place: &Place, way: Way) {
        let limits = "[limits]\ntimeout = \"300ms\"\n[functions.good]\nrate-limit = \"1/1h\"\n";
        place.install(&place.package("alpha", "1.0.0", limits)).await.expect("it is installed");
        place.call("alpha.good", json!({"number": 1})).await.expect("the first is free");
        let cases: [(&str, Value, Code); 7] = [
            ("alpha.nothing", none(), Code::FunctionNotFound),
            ("gamma.good", none(), Code::PluginNotFound),
            ("alpha.good", json!({"number": "three"}), Code::InvalidInput),
            ("alpha.trap", none(), Code::Trapped),
            ("alpha.fail", none(), Code::FunctionFailed),
            ("alpha.spin", none(), Code::DeadlineExceeded),
            ("alpha.good", json!({"number": 1}), Code::RateLimited),
        ];
        for (function, arguments, code) in cases {
            let error = place.call(function, arguments).await.expect_err("it fails");
            assert_eq!(error.code, code, "{way:?} {function}: {}", error.message);
            assert!(!error.hint.is_empty() && !error.message.is_empty());
            match code {
                Code::InvalidInput => assert_eq!(error.detail.expect("the faults")[0]["path"], "/number"),
                Code::FunctionFailed => assert!(error.detail.is_some(), "{way:?}: the error value"),
                Code::RateLimited => assert!(error.retry_after_ms.expect("a time") > 1_000),
                _ => {}
            }
        }
    }

    pub async fn a_batch_answers_in_its_order(place: &Place, way: Way) {
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        let calls = (0..300).map(|number| match number {
            7 => request("alpha.trap", &none()),
            _ => request("alpha.good", &json!({"number": number})),
        });
        let answers = place.platform.call_batch(calls.collect(), 4).await;
        for (number, answer) in answers.into_iter().enumerate() {
            match number {
                7 => assert_eq!(answer.expect_err("it traps").code, Code::Trapped),
                _ => assert_eq!(answer.expect("it answers").result.to_value(), json!(number), "{way:?}"),
            }
        }
        let correlation = Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned());
        let followed = CallRequest { correlation: correlation.clone(), ..request("alpha.good", &json!({"number": 1})) };
        let other = request("alpha.good", &json!({"number": 2}));
        let answers = place.platform.call_batch(vec![followed, other], 2).await.into_iter();
        let under: Vec<_> = answers.map(|answer| Some(answer.expect("it answers").correlation)).collect();
        assert_eq!((under[0] == correlation, under[1] == correlation), (true, false), "{way:?}");
        let runs = RecordQuery { correlation, ..RecordQuery::default() };
        assert_eq!(place.platform.run_list(&runs).await.expect("it lists").len(), 1, "{way:?}");
    }

    pub async fn functions_are_found_and_described(place: &Place, _: Way) {
        place
            .install(&place.package("alpha", "1.0.0", "[functions.good]\ntitle = \"Good one\"\n"))
            .await
            .expect("it is");
        let query = FunctionQuery { text: "good one".to_owned(), ..FunctionQuery::default() };
        let found = place.platform.function_list(&query).await.expect("it lists");
        assert_eq!(found.len(), 1);
        let described = place.platform.function_describe(&found[0].function).await.expect("it is there");
        assert_eq!(described.parameters[0].name, "number");
        assert_eq!(described.arguments_schema["required"], json!(["number"]));
        let unknown = "alpha.nothing".parse().expect("a name");
        let error = place.platform.function_describe(&unknown).await.expect_err("it is not there");
        assert_eq!(error.code, Code::FunctionNotFound);
    }

    pub async fn configuration_is_set_once_by_whoever_was_first(place: &Place, way: Way) {
        place.install(&place.package("alpha", "1.0.0", CONFIGURED)).await.expect("it is installed");
        let (platform, name) = (&place.platform, "alpha".parse().expect("a name"));
        let none = platform.configuration_fetch(&name).await.expect("it is there");
        assert_eq!((none.revision, none.effective["region"].clone()), (0, json!("eu")));
        let values = |region: &str| json!({"region": region}).as_object().cloned().expect("an object");
        assert_eq!(platform.configuration_put(&name, values("us"), 0).await.expect("it is set"), 1);
        let error = platform.configuration_put(&name, values("ap"), 0).await.expect_err("somebody was first");
        assert_eq!(error.code, Code::Conflict, "{way:?}");
        assert_eq!(platform.configuration_put(&name, values("ap"), 1).await.expect("it is set"), 2);
        let wrong = json!({"region": 5}).as_object().cloned().expect("an object");
        let error = platform.configuration_put(&name, wrong, 2).await.expect_err("it does not fit");
        assert_eq!(error.code, Code::InvalidConfiguration);
        assert_eq!(platform.configuration_fetch(&name).await.expect("it is there").values, values("ap"));
    }

    pub async fn single_values_are_changed_and_the_others_stay(place: &Place, way: Way) {
        // Names that stand in addresses of the API are names of values like any other.
        let keys = ["region", "revisions", "diff", "rollback"];
        let mut schema: String = keys.map(|key| format!("[configuration.{key}]\ntype = \"string\"\n")).concat();
        schema.push_str("[configuration.token]\ntype = \"string\"\nsecret = true\n");
        place.install(&place.package("alpha", "1.0.0", &schema)).await.expect("it is installed");
        let (platform, name) = (&place.platform, "alpha".parse().expect("a name"));
        let change = async |edits: ConfigurationEdits, expected| {
            platform.configuration_change(&name, edits, expected).await.map_err(|error| error.code)
        };
        assert_eq!(change(ConfigurationEdits::create("token", json!("hunter2")), Some(0)).await, Ok(1), "{way:?}");
        for (number, key) in keys.into_iter().enumerate() {
            assert_eq!(change(ConfigurationEdits::set(key, json!("x")), None).await, Ok(number as u64 + 2), "{key}");
        }
        assert_eq!(change(ConfigurationEdits::set("region", json!("eu")), Some(4)).await, Err(Code::Conflict));
        assert_eq!(change(ConfigurationEdits::create("region", json!("eu")), None).await, Err(Code::AlreadyExists));
        assert_eq!(change(ConfigurationEdits::set("region", json!(5)), None).await, Err(Code::InvalidConfiguration));
        assert_eq!(change(ConfigurationEdits::unset("none"), None).await, Err(Code::NotFound));
        let twice =
            ConfigurationEdits { unset: vec!["diff".to_owned()], ..ConfigurationEdits::set("diff", json!("y")) };
        assert_eq!(change(twice, None).await, Err(Code::InvalidInput));
        // All of them or none.
        let set = json!({"region": "ap", "diff": 1}).as_object().cloned().expect("an object");
        let half = ConfigurationEdits { set, ..ConfigurationEdits::default() };
        assert_eq!(change(half, None).await, Err(Code::InvalidConfiguration));
        let set = json!({"region": "ap"}).as_object().cloned().expect("an object");
        let unset = ["revisions", "diff", "rollback"].map(str::to_owned).into();
        assert_eq!(change(ConfigurationEdits { set, unset, ..ConfigurationEdits::default() }, Some(5)).await, Ok(6));
        let present = platform.configuration_fetch(&name).await.expect("it is there");
        // The secret was neither seen nor lost.
        assert_eq!(json!(present.values), json!({"token": {"$secret": "set"}, "region": "ap"}));
        let same = ConfigurationEdits::set("token", json!("hunter2"));
        assert_eq!(change(same, None).await, Ok(7));
        let diff = platform.configuration_diff(&name, 1, Some(7)).await.expect("both are kept");
        assert_eq!(diff.differences.len(), 1, "{diff:?}");
    }

    pub async fn what_happened_is_on_record(place: &Place, way: Way) {
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        let platform = &place.platform;
        let answer = platform.call(request("alpha.log", &json!({"lines": 3}))).await.expect("it answers");
        let query = RecordQuery { correlation: Some(answer.correlation.clone()), ..RecordQuery::default() };
        let runs = platform.run_list(&query).await.expect("it lists");
        assert_eq!((runs.len(), runs[0].outcome.as_str()), (1, "ok"), "{way:?}");
        let caller = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        assert_eq!(runs[0].caller, caller);
        assert_eq!(platform.log_list(&query).await.expect("it lists").len(), 3);
        let StatisticsReport { plugins, total, functions } = platform.plugin_statistics(None).await.expect("it counts");
        assert_eq!((plugins["active"], total.calls, functions.len()), (1, 1, 1));
    }

    pub async fn keys_and_roles_are_made_explained_and_taken_away(place: &Place, way: Way) {
        let platform = &place.platform;
        let rules = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>();
        let request = RoleRequest {
            description: "Deploys".to_owned(),
            allow: rules(&["function_execute:deploy.*", "function_execute:alpha.*"]),
            deny: rules(&["function_execute:*.destroy"]),
        };
        platform.role_put("deployer", request, None).await.expect("it is made");
        let administered = "[functions.spin]\nrequires-admin = true\n";
        place.install(&place.package("alpha", "1.0.0", administered)).await.expect("it is installed");
        let request = KeyRequest {
            name: "ci".to_owned(),
            roles: vec!["deployer".to_owned()],
            scope: None,
            expires_in_s: Some(3_600),
        };
        let made = platform.key_create(request.clone()).await.expect("it is made");
        assert!(made.key.starts_with("outrigger_") && made.info.expires_at.is_some());
        let error = platform.key_create(request.clone()).await.expect_err("the name is taken");
        assert_eq!(error.code, Code::AlreadyExists, "{way:?}");
        let operator = KeyRequest { name: "ops".to_owned(), roles: vec!["operator".to_owned()], ..request };
        platform.key_create(operator).await.expect("it is made");
        let cases = [
            ("ci", "deploy.run", "allowed", "function_execute"),
            ("ci", "deploy.destroy", "denied", "function_execute"),
            ("ci", "pricing.quote", "no_rule", "function_execute"),
            ("ci", "alpha.good", "allowed", "function_execute"),
            ("ci", "alpha.none", "allowed", "function_execute"),
            // A call of it is refused, because it is for administrators.
            ("ci", "alpha.spin", "no_rule", "function_administer"),
            ("ops", "alpha.spin", "allowed", "function_execute"),
        ];
        for (key, name, reason, decided) in cases {
            let question =
                ExplainRequest { key: key.to_owned(), right: "function_execute".to_owned(), name: name.to_owned() };
            let answer = platform.access_explain(question).await.expect("it explains");
            assert_eq!((answer.reason.as_str(), answer.allowed), (reason, reason == "allowed"), "{}", answer.text);
            assert_eq!(answer.right, decided, "{way:?} {}", answer.text);
            assert_eq!(answer.text.contains("for administrators"), decided == "function_administer", "{}", answer.text);
        }
        platform.key_delete("ops").await.expect("it is revoked");
        assert!(platform.access_matrix().await.expect("it shows").roles.contains(&"deployer".to_owned()));
        let error = platform.role_delete("deployer").await.expect_err("a key has it");
        assert_eq!(error.code, Code::Conflict);
        platform.key_delete("ci").await.expect("it is revoked");
        platform.role_delete("deployer").await.expect("nobody has it");
        let error = platform.role_delete("admin").await.expect_err("it is built in");
        assert_eq!(error.code, Code::Conflict);
        let unknown = platform.key_delete("ci").await.expect_err("it is gone");
        assert_eq!(unknown.code, Code::NotFound);
    }

    pub async fn a_role_is_changed_only_as_it_was_seen(place: &Place, way: Way) {
        let platform = &place.platform;
        let request = |description: &str| RoleRequest {
            description: description.to_owned(),
            allow: vec!["plugin_view".to_owned()],
            deny: Vec::new(),
        };
        let present = async || {
            let all = platform.role_list().await.expect("it lists");
            all.into_iter().find(|role| role.name == "deployer")
        };
        let first = platform.role_put("deployer", request("first"), None).await.expect("it is made");
        assert_eq!(present().await.expect("it is there").fingerprint(), first.fingerprint(), "{way:?}");
        let seen = Some(first.fingerprint());
        let second = platform.role_put("deployer", request("second"), seen).await.expect("it is as it was seen");
        let error = platform.role_put("deployer", request("third"), seen).await.expect_err("it is another now");
        assert_eq!((error.code, present().await), (Code::Conflict, Some(second)), "{way:?}");
        let admin = platform.role_list().await.expect("it lists").remove(0);
        let error = platform.role_put(&admin.name, request("mine"), Some(admin.fingerprint())).await;
        assert_eq!(error.expect_err("it is built in").code, Code::Conflict, "{way:?}");
        platform.role_delete("deployer").await.expect("nobody has it");
        let error = platform.role_put("deployer", request("first"), seen).await.expect_err("it is gone");
        assert_eq!((error.code, present().await), (Code::Conflict, None), "{way:?}");
    }

    pub async fn the_audit_log_says_who_did_what_and_is_whole(place: &Place, way: Way) {
        let (platform, name) = (&place.platform, "alpha".parse().expect("a name"));
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        place.call("alpha.good", json!({"number": 3})).await.expect("it answers");
        platform.plugin_uninstall(&name).await.expect("it is removed");
        let of = |action: &str| AuditQuery { action: Some(action.to_owned()), ..AuditQuery::default() };
        let removed = platform.audit_list(&of("plugin_delete")).await.expect("it lists");
        let stages: Vec<_> = removed.iter().map(|record| record.stage.as_str()).collect();
        assert_eq!(stages, ["done", "intent"], "{way:?}: the newest first");
        assert_eq!(removed[0].correlation, removed[1].correlation);
        assert_eq!(removed[0].before.as_ref().expect("what was there")["version"], "1.0.0");
        let actor = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        assert_eq!(removed[0].actor, actor);
        let calls = platform.audit_list(&of("function_execute")).await.expect("it lists");
        assert!(!calls.is_empty(), "{way:?}");
        let verification = platform.audit_verify().await.expect("it reads");
        assert!(verification.whole && verification.records >= 4, "{verification:?}");
    }

    pub async fn all_is_in_order(place: &Place, way: Way) {
        let report = place.platform.doctor().await.expect("it looks");
        assert!(!report.checks.is_empty(), "{way:?}");
        let who = place.platform.identity().await.expect("it says");
        let name = if matches!(way, Way::Http) { "administrator" } else { "local" };
        assert_eq!((who.name.as_str(), who.roles), (name, vec!["admin".to_owned()]));
    }

    pub async fn events_are_listed_and_followed(place: &Place, way: Way) {
        let platform = &place.platform;
        let plugins = FollowQuery { name: "plugin.*".parse().ok(), ..FollowQuery::default() };
        let mut following = platform.event_follow(&plugins).await.expect("it may look");
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        platform.plugin_disable(&"alpha".parse().expect("a name")).await.expect("it is disabled");
        let mut seen = Vec::new();
        for expected in ["plugin.installed", "plugin.disabled"] {
            let event = following.next().await.expect("it goes on").expect("an event");
            assert_eq!(
                (event.name.as_str(), &event.payload.to_value()["plugin"]),
                (expected, &json!("alpha")),
                "{way:?}"
            );
            seen.push(event);
        }
        let listed = platform.event_list(&EventQuery::default()).await.expect("it lists");
        assert_eq!(listed, [seen[1].clone(), seen[0].clone()]);
        // Under the id of what caused it, as the audit log has it.
        let audit = AuditQuery { correlation: Some(seen[1].correlation.clone()), ..AuditQuery::default() };
        let audit = platform.audit_list(&audit).await.expect("it lists");
        assert_eq!(audit[0].action, "plugin_modify", "{audit:?}");
        // A returning reader continues at its position.
        let after = FollowQuery { after: Some(seen[0].id.clone()), ..plugins };
        let mut again = platform.event_follow(&after).await.expect("it may look");
        assert_eq!(again.next().await.expect("it goes on").expect("an event"), seen[1]);
        let wrong = FollowQuery { after: Some("nonsense".to_owned()), ..FollowQuery::default() };
        let error = platform.event_follow(&wrong).await.err().expect("that is no event");
        assert_eq!(error.code, Code::InvalidUsage);
    }

    pub async fn whoever_reads_slowly_misses_nothing(place: &Place, way: Way) {
        let platform = &place.platform;
        let hook: HookName = "customer.created".parse().expect("a name");
        let request =
            HookRequest { name: hook.clone(), kind: HookKind::Event, description: String::new(), schema: None };
        platform.hook_create(request).await.expect("it is added");
        let mut following = platform.event_follow(&FollowQuery::default()).await.expect("it may look");
        let text = "x".repeat(4_000);
        for number in 0..300 {
            let payload = json!({"number": number, "text": text});
            platform.hook_fire(&hook, FireRequest { payload, dry_run: false }).await.expect("it is fired");
        }
        for number in 0..300 {
            let event = following.next().await.expect("it goes on").expect("an event");
            assert_eq!(event.payload.to_value()["number"], json!(number), "{way:?}");
        }
        let payload = json!("x".repeat(70_000));
        let error = platform.hook_fire(&hook, FireRequest { payload, dry_run: false }).await.expect_err("too much");
        assert_eq!(error.code, Code::InvalidInput);
    }

    pub async fn jobs_tell_where_they_stand(place: &Place, way: Way) {
        let platform = &place.platform;
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        let function = "alpha.good".parse().expect("a function");
        let arguments = JsonObject::parse("{\"number\": 7}".to_owned()).expect("an object");
        let query = FollowQuery { name: "job.*".parse().ok(), ..FollowQuery::default() };
        let mut following = platform.event_follow(&query).await.expect("it may look");
        let job = platform.job_create(JobRequest::new(function, arguments)).await.expect("it is started");
        // In this process nobody does it.
        let states: &[&str] =
            if matches!(way, Way::InProcess) { &["queued"] } else { &["queued", "running", "succeeded"] };
        for state in states {
            let event = following.next().await.expect("it goes on").expect("an event");
            assert_eq!((event.name.as_str(), &event.correlation), (&*format!("job.{state}"), &job.id), "{way:?}");
            assert_eq!(event.payload.to_value()["function"], "alpha.good");
        }
    }

    pub async fn webhooks_are_added_changed_and_removed(place: &Place, way: Way) {
        let platform = &place.platform;
        let request: WebhookRequest = serde_json::from_value(json!({
            "name": "chat", "url": "https://ops.example.com/hook", "events": ["plugin.*"], "enabled": false,
            "headers": {"X-Token": "hunter2"},
        }))
        .expect("a request");
        let made = platform.webhook_create(request.clone()).await.expect("it is added");
        assert!(made.secret.reveal().starts_with("whsec_"), "{way:?}");
        assert_eq!(made.webhook.headers, ["X-Token"]);
        assert_eq!(platform.webhook_create(request).await.expect_err("it is there").code, Code::AlreadyExists);
        let name = &made.webhook.name;
        let change: WebhookChange =
            serde_json::from_value(json!({"url": "https://ops.example.com/other", "enabled": false}))
                .expect("a change");
        let changed = platform.webhook_update(name, change, None).await.expect("it is changed");
        assert_eq!((changed.events[0].as_str(), changed.headers), ("*", vec!["X-Token".to_owned()]));
        assert_eq!(
            platform.webhook_list().await.expect("it lists"),
            [platform.webhook_fetch(name).await.expect("it is")]
        );
        assert_ne!(platform.webhook_rotate(name).await.expect("it is replaced").secret, made.secret);
        assert_eq!(platform.delivery_list(name, &DeliveryQuery::default()).await.expect("it lists"), []);
        assert_eq!(platform.delivery_retry(name, None).await.expect("there is none").retried, 0);
        platform.webhook_delete(name).await.expect("it is removed");
        assert_eq!(platform.webhook_fetch(name).await.expect_err("it is gone").code, Code::NotFound);
        assert_eq!(platform.webhook_delete(name).await.expect_err("it is gone").code, Code::NotFound);
    }

    pub async fn a_webhook_is_changed_only_as_it_was_seen(place: &Place, way: Way) {
        let platform = &place.platform;
        let request = json!({"name": "chat", "url": "https://ops.example.com/", "enabled": false});
        let request: WebhookRequest = serde_json::from_value(request).expect("a request");
        let first = platform.webhook_create(request).await.expect("it is added").webhook;
        let name = &first.name;
        let change = |description: &str| -> WebhookChange {
            let change = json!({"url": "https://ops.example.com/", "enabled": false, "description": description});
            serde_json::from_value(change).expect("a change")
        };
        let present = async || platform.webhook_fetch(name).await.expect("it is there");
        assert_eq!(present().await.fingerprint(), first.fingerprint(), "{way:?}");
        let seen = Some(first.fingerprint());
        let second = platform.webhook_update(name, change("second"), seen).await.expect("it is as it was seen");
        let error = platform.webhook_update(name, change("third"), seen).await.expect_err("it is another now");
        assert_eq!((error.code, present().await), (Code::Conflict, second.clone()), "{way:?}");
        // What is not to be seen of it counts, too.
        platform.webhook_rotate(name).await.expect("it is replaced");
        let seen = Some(second.fingerprint());
        let error = platform.webhook_update(name, change("third"), seen).await.expect_err("it has another secret");
        assert_eq!(error.code, Code::Conflict, "{way:?}");
        let seen = Some(present().await.fingerprint());
        let third = platform.webhook_update(name, change("third"), seen).await.expect("it is as it was seen");
        assert_eq!(third.description, "third", "{way:?}");
        platform.webhook_delete(name).await.expect("it is removed");
        let error = platform.webhook_update(name, change("fourth"), seen).await.expect_err("it is gone");
        assert_eq!(error.code, Code::NotFound, "{way:?}");
    }

    pub async fn a_call_says_where_its_time_went(place: &Place, way: Way) {
        let platform = &place.platform;
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        let plain = request("alpha.good", &json!({"number": 3}));
        let asked = CallRequest { profile: true, ..plain.clone() };
        assert_eq!(platform.call(plain).await.expect("it answers").profile, None, "{way:?}");
        let mut answers = platform.call_batch(vec![asked.clone()], 1).await;
        answers.push(platform.call(asked).await);
        for answer in answers {
            let profile = answer.expect("it answers").profile.expect("it was asked for");
            let sum: u64 = profile.stages.iter().map(|stage| stage.ns).sum();
            assert_eq!((sum, profile.function.to_string()), (profile.total_ns, "alpha.good".to_owned()), "{way:?}");
            assert!(profile.stages.iter().any(|stage| stage.stage == "run" && stage.ns > 0), "{profile:?}");
        }
        let alpha = "alpha".parse().expect("a name");
        let found = platform.plugin_profile(&alpha).await.expect("it is there");
        // The second and the third of the three calls.
        assert_eq!((found.functions[0].samples, found.since.is_some()), (2, true), "{way:?} {found:?}");
        let shares: f64 = found.functions[0].stages.iter().map(|stage| stage.share).sum();
        assert!((shares - 1.0).abs() < 1e-6, "{found:?}");
        let nothing = "nothing".parse().expect("a name");
        assert_eq!(platform.plugin_profile(&nothing).await.expect_err("no plugin").code, Code::PluginNotFound);
    }
}
