//! Hooks that the manifests of plugins declare, fired by their functions: real components on both sides.

use std::time::{Duration, Instant};

use outrigger_api::{ApiError, Code, FireRequest, HookTraceInfo, HookTraceQuery};
use outrigger_testkit::components;
use serde_json::{Value as Json, json};

use crate::bench::Bench;

/// Of a shop: an event with a payload that is typed, a filter of one, and a filter of anything.
const SHOP: &str = r#"
[hooks."shop.sold"]
kind = "event"
description = "Something was sold to a customer."

[hooks."shop.sold".payload]
name = { type = "string", required = true }
country = { type = "string" }

[hooks."shop.priced"]
kind = "filter"
description = "A price was made."

[hooks."shop.priced".payload]
cents = { type = "integer", minimum = 0, required = true }

[hooks."shop.labelled"]
kind = "filter"
description = "A label was made."
"#;

async fn shop() -> Bench {
    shop_with("").await
}

async fn shop_with(more: &str) -> Bench {
    let bench = Bench::new().await;
    let package = bench.package("shop", "shop", "1.0.0", &format!("{SHOP}{more}"), &components::telling());
    bench.install(&package).await.expect("it is installed");
    bench
}

async fn install_callbacks(bench: &Bench, manifest: &str) -> Result<(), ApiError> {
    let package = bench.package("callbacks", "callbacks", "1.0.0", manifest, &components::callbacks());
    bench.install(&package).await.map(drop)
}

fn subscription(hook: &str, function: &str) -> String {
    format!("[[subscriptions]]\nhook = \"{hook}\"\nfunction = \"{function}\"\n")
}

async fn fire(bench: &Bench, hook: &str, payload: Json) -> Result<Json, ApiError> {
    let answer = bench.call("shop.fire", json!({"hook": hook, "payload": payload.to_string()})).await?;
    Ok(serde_json::from_str(answer.as_str().expect("a text")).expect("JSON text"))
}

/// The code and the message of a firing that did not reach its end, and what the subscriber said.
async fn refused(bench: &Bench, hook: &str, payload: &str) -> (String, String, Json) {
    let error = bench.call("shop.fire", json!({"hook": hook, "payload": payload})).await.expect_err("it fails");
    assert_eq!(error.code.as_str(), "function_failed", "{error:?}");
    let mut failure = error.detail.expect("the function says why");
    let text = |field: &Json| field.as_str().expect("a text").to_owned();
    (text(&failure["code"]), text(&failure["message"]), failure["detail"].take())
}

/// The newest trace of a hook, once there is one: of events subscribers are told in the background.
async fn trace(bench: &Bench, hook: &str) -> HookTraceInfo {
    let query = HookTraceQuery { hook: hook.parse().ok(), ..HookTraceQuery::default() };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(trace) = bench.platform.hook_traces(&query).await.expect("it lists").into_iter().next() {
            return trace;
        }
        assert!(Instant::now() < deadline, "`{hook}` was not fired");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_fires_a_hook_of_its_plugin_and_others_take_part() {
    let bench = shop().await;
    let manifest = [("shop.sold", "welcome"), ("shop.labelled", "append-a"), ("shop.labelled", "append-b")];
    let manifest = manifest.map(|(hook, function)| subscription(hook, function)).concat();
    install_callbacks(&bench, &manifest).await.expect("they fit");
    let payload = json!({"name": "Ada", "country": "NO"});
    assert_eq!(fire(&bench, "shop.sold", payload.clone()).await.expect("it is fired"), payload);
    let told = trace(&bench, "shop.sold").await;
    assert_eq!((told.caller.as_str(), told.callbacks.len()), ("plugin shop.fire", 1));
    assert_eq!(told.callbacks[0].outcome, "done");
    assert_eq!(fire(&bench, "shop.labelled", json!("x")).await.expect("it is fired"), json!("xab"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_fires_only_what_its_manifest_declares_and_only_what_fits() {
    let bench = shop().await;
    let (code, message, _) = refused(&bench, "shop.bought", "{}").await;
    assert_eq!(code, "not_found");
    assert!(message.contains("there is no hook `shop.bought`"), "{message}");
    let (code, message, _) = refused(&bench, "plugin.enabled", "{}").await;
    assert_eq!(code, "permission_denied");
    assert!(message.contains("the plugin `shop` does not declare the hook `plugin.enabled`"), "{message}");
    assert_eq!(refused(&bench, "Shop", "{}").await.0, "invalid_usage");
    let (code, message, _) = refused(&bench, "shop.sold", "{").await;
    assert!(code == "invalid_input" && message.contains("is not JSON"), "{code}: {message}");
    let (code, message, _) = refused(&bench, "shop.priced", r#"{"cents": -1}"#).await;
    assert!(code == "invalid_input" && message.contains("/cents: value is less than"), "{code}: {message}");
    // The same over the API.
    let request = FireRequest { payload: json!({"cents": "1"}), dry_run: false };
    let error = bench.platform.hook_fire(&"shop.priced".parse().expect("a name"), request).await;
    assert_eq!(error.expect_err("it does not fit").code.as_str(), "invalid_input");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_does_not_take_what_a_hook_carries_is_not_installed_as_its_subscriber() {
    let bench = shop().await;
    let error = install_callbacks(&bench, &subscription("shop.priced", "welcome")).await.expect_err("it does not fit");
    assert_eq!(error.code.as_str(), "invalid_manifest", "{}", error.message);
    let part = r#"it can carry {"cents":0}, which `customer` of `welcome(customer: customer)` does not take"#;
    assert!(error.message.contains(part), "{}", error.message);
    assert_eq!(bench.platform.plugin_list().await.expect("it lists").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_filter_makes_of_the_value_is_held_to_the_schema() {
    let bench = shop().await;
    // It answers with JSON of another shape.
    install_callbacks(&bench, &subscription("shop.priced", "rename")).await.expect("a text takes anything");
    assert_eq!(fire(&bench, "shop.priced", json!({"cents": 5})).await.expect("it goes on"), json!({"cents": 5}));
    let callback = trace(&bench, "shop.priced").await.callbacks.remove(0);
    assert_eq!((callback.outcome.as_str(), callback.code.map(Code::as_str)), ("failed", Some("invalid_output")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fires_a_hook_learns_that_it_was_refused() {
    let bench = shop().await;
    install_callbacks(&bench, &subscription("shop.priced", "refuse")).await.expect("a text takes anything");
    let (code, message, detail) = refused(&bench, "shop.priced", r#"{"cents": 5}"#).await;
    assert_eq!((code.as_str(), detail), ("hook_refused", json!("\"not today\"")));
    assert!(message.contains("the subscriber `callbacks.refuse` of `shop.priced` refused"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_cannot_be_is_refused_with_its_place() {
    let bench = Bench::new().await;
    for (payload, part) in [
        ("name = { type = \"text\" }", "`text` is not a type"),
        ("name = { type = \"string\", secret = true }", "`secret` applies only to a top-level configuration key"),
        ("name = { type = \"string\", pattern = \"(\" }", "the payload schema of `shop.sold` is not valid"),
        (
            "name = { type = \"string\", pattern = \"^x$\", required = true }",
            "cannot be tested: no valid example was found",
        ),
    ] {
        let manifest = format!(
            "[hooks.\"shop.sold\"]\nkind = \"event\"\ndescription = \"x\"\n[hooks.\"shop.sold\".payload]\n{payload}\n"
        );
        let package = bench.package("shop", "shop", "1.0.0", &manifest, &components::telling());
        let (code, error) = bench.refused(&package).await;
        assert_eq!(code, "invalid_manifest", "{payload}");
        assert!(error.message.contains(part), "{payload}: {}", error.message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_takes_part_in_its_own_hook_although_only_one_of_its_calls_runs_at_once() {
    let limits = "[limits]\nconcurrency = 1\n[functions.fire]\nconcurrency = 1\n";
    let bench = shop_with(&(subscription("shop.labelled", "keep") + limits)).await;
    assert_eq!(fire(&bench, "shop.labelled", json!("x")).await.expect("it is fired"), json!("x"));
    assert_eq!(trace(&bench, "shop.labelled").await.callbacks[0].outcome, "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_leads_to_itself_ends_at_the_depth_of_calls() {
    let bench = shop_with(&subscription("shop.labelled", "again")).await;
    assert_eq!(fire(&bench, "shop.labelled", json!(5)).await.expect("it goes on"), json!(5));
    let traces = bench.platform.hook_traces(&HookTraceQuery::default()).await.expect("it lists");
    let codes: Vec<_> = traces.iter().filter_map(|trace| trace.callbacks[0].code).collect();
    assert_eq!(codes, [Code::CallDepth], "{traces:?}");
    // A guard declares itself fail-closed.
    let limit = "on-error = \"fail-closed\"\n";
    let bench = shop_with(&(subscription("shop.labelled", "again") + limit)).await;
    let (code, message, _) = refused(&bench, "shop.labelled", "5").await;
    assert_eq!(code, "hook_refused", "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_fires_only_so_much() {
    let bench = shop_with("[limits]\ntimeout = \"1m\"\ncpu = \"30s\"\n").await;
    let often = async |times: u32| {
        let arguments = json!({"times": times, "hook": "shop.labelled", "payload": "\"x\""});
        bench.call("shop.fire-often", arguments).await
    };
    assert_eq!(often(1_000).await.expect("that is allowed"), json!("\"x\""));
    let error = often(1_001).await.expect_err("that is too often");
    assert_eq!(error.detail.expect("the function says why")["code"], "rate_limited");
    let (code, message, _) = refused(&bench, "shop.labelled", &json!("x".repeat(300_000)).to_string()).await;
    assert_eq!((code.as_str(), message.contains("the limit is 256KiB")), ("invalid_input", true), "{message}");
}
