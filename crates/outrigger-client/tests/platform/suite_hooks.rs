//! Hooks, whichever way they are reached.

use outrigger_api::{
    Code, FireReport, FireRequest, HookTraceQuery, SubscriptionInfo, SubscriptionQuery, SubscriptionRequest,
};
use serde_json::{Value, json};

use crate::places::{Place, WAYS, Way, everywhere, from_json};

everywhere! {
    hooks_are_added_fired_traced_and_removed
    a_hook_carries_what_its_schema_says
    a_dry_run_calls_nobody
    subscriptions_that_do_not_fit_are_refused
    what_refuses_and_what_fails_is_told_apart
}

async fn with_hooks(place: &Place) {
    place.install_callbacks().await;
    for (name, kind) in [("text.shown", "filter"), ("text.stored", "action")] {
        let hook = place.platform.hook_create(from_json(json!({"name": name, "kind": kind}))).await;
        assert_eq!(hook.expect("it is added").subscriptions, 0);
    }
}

fn wanted(hook: &str, function: &str, more: &Value) -> SubscriptionRequest {
    let mut wanted = json!({"hook": hook, "function": format!("callbacks.{function}")});
    for (name, value) in more.as_object().expect("an object") {
        wanted[name] = value.clone();
    }
    from_json(wanted)
}

async fn subscribe(place: &Place, hook: &str, function: &str, more: Value) -> SubscriptionInfo {
    place.platform.subscription_create(wanted(hook, function, &more)).await.expect("it fits")
}

async fn fire(place: &Place, hook: &str, payload: Value, dry_run: bool) -> FireReport {
    let name = hook.parse().expect("a name");
    place.platform.hook_fire(&name, FireRequest { payload, dry_run }).await.expect("there is such a hook")
}

fn course(report: &FireReport) -> Vec<(String, String)> {
    let callbacks = report.trace.callbacks.iter();
    callbacks.map(|callback| (callback.function.function.to_string(), callback.outcome.clone())).collect()
}

fn outcomes(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(function, outcome)| ((*function).to_owned(), (*outcome).to_owned())).collect()
}

mod behaviour {
    use super::*;

    pub async fn hooks_are_added_fired_traced_and_removed(place: &Place, way: Way) {
        with_hooks(place).await;
        let platform = &place.platform;
        let same = platform.hook_create(from_json(json!({"name": "text.shown", "kind": "filter"}))).await;
        assert_eq!(same.expect_err("it is there").code, Code::AlreadyExists, "{way:?}");
        let second = subscribe(place, "text.shown", "append-b", json!({"priority": 50, "description": "b"})).await;
        let first = subscribe(place, "text.shown", "append-a", json!({"priority": -5, "timeout": "1500ms"})).await;
        let never = json!({"condition": "event == \"never\""});
        let never = subscribe(place, "text.shown", "crash", never).await;
        assert_eq!(
            (first.timeout.as_duration().as_millis(), first.enabled, first.source.as_str()),
            (1_500, true, "api"),
            "{way:?}"
        );
        let by = if matches!(way, Way::Http) { "key administrator" } else { "local" };
        assert_eq!(first.created_by, by);
        let query = SubscriptionQuery { hook: "text.shown".parse().ok(), plugin: "callbacks".parse().ok() };
        let listed = platform.subscription_list(&query).await.expect("it lists");
        assert_eq!(listed, [first.clone(), second, never], "{way:?}: in the order in which they are called");
        let other = SubscriptionQuery { plugin: "callbacks".parse().ok(), hook: "text.stored".parse().ok() };
        assert_eq!(platform.subscription_list(&other).await.expect("it lists"), []);

        let report = fire(place, "text.shown", json!("x"), false).await;
        let expected = [("append-a", "done"), ("append-b", "done"), ("crash", "skipped")];
        assert_eq!((course(&report), &report.value), (outcomes(&expected), &json!("xab")), "{way:?}");
        let query = HookTraceQuery { hook: "text.shown".parse().ok(), ..HookTraceQuery::default() };
        let traces = platform.hook_traces(&query).await.expect("it lists");
        assert_eq!(traces, std::slice::from_ref(&report.trace), "{way:?}");
        let query = HookTraceQuery { correlation: Some(report.trace.correlation), ..HookTraceQuery::default() };
        assert_eq!(platform.hook_traces(&query).await.expect("it lists").len(), 1);

        let off = platform.subscription_switch(&first.id, false).await.expect("it is disabled");
        assert!(!off.enabled);
        assert_eq!(fire(place, "text.shown", json!("x"), false).await.value, json!("xb"), "{way:?}");
        platform.subscription_switch(&first.id, true).await.expect("it is enabled");
        let name = "text.shown".parse().expect("a name");
        assert_eq!(platform.hook_delete(&name).await.expect_err("somebody is subscribed").code, Code::Conflict);
        for subscription in platform.subscription_list(&SubscriptionQuery::default()).await.expect("it lists") {
            platform.subscription_delete(&subscription.id).await.expect("it ends");
        }
        assert_eq!(platform.subscription_delete(&first.id).await.expect_err("it is gone").code, Code::NotFound);
        platform.hook_delete(&name).await.expect("nobody is subscribed");
        assert_eq!(platform.hook_delete(&name).await.expect_err("it is gone").code, Code::NotFound, "{way:?}");
        let left = platform.hook_list().await.expect("it lists");
        assert!(left.iter().filter(|hook| !hook.built_in).all(|hook| hook.name.as_str() == "text.stored"), "{left:?}");
    }

    pub async fn a_hook_carries_what_its_schema_says(place: &Place, way: Way) {
        place.install_callbacks().await;
        let platform = &place.platform;
        let schema = |required: Value| {
            json!({
                "type": "object",
                "required": required,
                "properties": {"name": {"type": "string"}, "country": {"type": ["string", "null"]}},
                "additionalProperties": false,
            })
        };
        let add = async |name: &str, schema: Value| {
            platform.hook_create(from_json(json!({"name": name, "kind": "action", "schema": schema}))).await
        };
        let added = add("customer.created", schema(json!(["name"]))).await.expect("it is added");
        assert_eq!(added.schema, Some(schema(json!(["name"]))), "{way:?}");
        add("customer.seen", schema(json!([]))).await.expect("it is added");
        for wrong in [json!({"type": "text"}), json!({"$ref": "https://example.org/schema.json"})] {
            let error = add("customer.gone", wrong).await.expect_err("that is no schema");
            assert_eq!(error.code, Code::InvalidInput, "{way:?}: {}", error.message);
        }
        let fetch = async |name: &str| platform.hook_fetch(&name.parse().expect("a name")).await;
        assert_eq!(fetch("customer.created").await.expect("it is there"), added, "{way:?}");
        let error = fetch("customer.create").await.expect_err("there is no such hook");
        let hint = "did you mean `customer.created`?";
        assert_eq!((error.code, error.hint.as_str()), (Code::NotFound, hint), "{way:?}");
        let built_in = fetch("plugin.installed").await.expect("it is there");
        let schema = built_in.schema.as_ref().expect("what Outrigger fires has one");
        assert_eq!(schema["properties"]["reason"], json!({"type": ["string", "null"]}), "{way:?}");

        subscribe(place, "customer.created", "welcome", json!({})).await;
        let error = platform.subscription_create(wanted("customer.seen", "welcome", &json!({}))).await;
        let error = error.expect_err("there may be no name");
        let part = "does not take: the field `name` of type string is missing; a `string` takes it, as JSON text";
        assert!(error.code == Code::InvalidInput && error.message.contains(part), "{way:?}: {}", error.message);
        let report = fire(place, "customer.created", json!({"name": "Ada", "country": null}), false).await;
        assert_eq!(course(&report), outcomes(&[("welcome", "done")]), "{way:?}");
        for (payload, dry_run) in [(json!({"country": "NO"}), false), (json!({"name": "Ada", "age": 36}), true)] {
            let name = "customer.created".parse().expect("a name");
            let error = platform.hook_fire(&name, FireRequest { payload, dry_run }).await;
            let error = error.expect_err("it does not fit");
            assert_eq!(error.code, Code::InvalidInput, "{way:?}: {}", error.message);
        }
    }

    pub async fn a_dry_run_calls_nobody(place: &Place, way: Way) {
        with_hooks(place).await;
        subscribe(place, "text.shown", "append-a", json!({"condition": "event == \"x\""})).await;
        subscribe(place, "text.shown", "append-b", json!({"condition": "event == \"y\""})).await;
        let report = fire(place, "text.shown", json!("x"), true).await;
        assert_eq!((&report.value, report.trace.dry_run), (&json!("x"), true), "{way:?}");
        let why: Vec<_> = report.trace.callbacks.iter().map(|callback| callback.skipped.as_deref()).collect();
        assert_eq!(why, [Some("dry_run"), Some("condition")], "{way:?}");
        let runs = place.platform.run_list(&Default::default()).await.expect("it lists");
        assert_eq!(runs, [], "{way:?}");
    }

    pub async fn subscriptions_that_do_not_fit_are_refused(place: &Place, way: Way) {
        with_hooks(place).await;
        for (hook, function, more, code) in [
            ("text.nothing", "append-a", json!({}), Code::NotFound),
            ("text.shown", "nothing", json!({}), Code::FunctionNotFound),
            ("text.shown", "join", json!({}), Code::InvalidInput),
            ("text.shown", "append-a", json!({"condition": "event =="}), Code::InvalidInput),
            ("text.shown", "append-a", json!({"priority": 10_001}), Code::InvalidInput),
            ("text.shown", "append-a", json!({"timeout": "2m"}), Code::InvalidInput),
        ] {
            let error = place.platform.subscription_create(wanted(hook, function, &more)).await;
            let error = error.expect_err("it does not fit");
            assert_eq!(error.code, code, "{way:?} {hook} {function} {more}: {}", error.message);
        }
        let name = "plugin.installed".parse().expect("a name");
        let error = place.platform.hook_fire(&name, FireRequest::default()).await.expect_err("it is built in");
        let removed = place.platform.hook_delete(&name).await.expect_err("it is built in");
        assert_eq!((error.code, removed.code), (Code::InvalidUsage, Code::Conflict), "{way:?}");
    }

    pub async fn what_refuses_and_what_fails_is_told_apart(place: &Place, way: Way) {
        with_hooks(place).await;
        let refusing = subscribe(place, "text.shown", "refuse", json!({})).await;
        let report = fire(place, "text.shown", json!("x"), false).await;
        assert_eq!((report.trace.result.as_str(), report.message.is_some()), ("refused", true), "{way:?}");
        place.platform.subscription_delete(&refusing.id).await.expect("it ends");
        subscribe(place, "text.stored", "crash", json!({"on_error": "fail-closed"})).await;
        let report = fire(place, "text.stored", json!("x"), false).await;
        assert_eq!(report.trace.result, "failed", "{way:?}");
        assert_eq!(report.trace.callbacks[0].code, Some(Code::Trapped), "{way:?}");
    }
}
