//! Calling functions: arguments in every form, results in every form, failures with their exit codes.

use serde_json::{Value as Json, json};

use crate::harness::{Outcome, Place};

#[test]
fn a_function_is_called_with_its_own_flags() {
    let place = Place::with("pricing");
    let call = ["call", "pricing.quote", "--service", "compute-small", "--quantity", "3"];
    let quote = place.json(&call);
    assert_eq!(quote["lines"][0]["quantity"], 3, "{quote}");
    place.run(&call).succeeded().shows(&["price-list:", "total:\n  currency: EUR"]);
    let yaml = Outcome::of(place.command(&call).args(["-o", "yaml"])).succeeded();
    yaml.shows(&["lines:\n"]);

    let details = Outcome::of(place.command(&call).arg("--details")).succeeded();
    for part in ["cache miss", "version 1.0.0", "correlation "] {
        assert!(details.stderr.contains(part), "{details:#?}");
    }
    let response = place.json(&[&call[..], &["--details", "--no-cache"]].concat());
    assert_eq!((&response["cache"], &response["result"]), (&json!("bypass"), &quote));
    assert!(response["duration_us"].as_u64().unwrap() > 0);
}

#[test]
fn arguments_can_be_json_pairs_and_flags() {
    let place = Place::with("pricing");
    let file = place.write("arguments.json", r#"{"service": "compute-small", "quantity": 1}"#);
    let quantity =
        |words: &[&str]| place.json(&[&["call", "pricing.quote"], words].concat())["lines"][0]["quantity"].clone();
    let at = format!("@{file}");
    assert_eq!(quantity(&["--json", &at]), 1);
    assert_eq!(quantity(&["--json", &at, "--arg", "quantity=2"]), 2);
    assert_eq!(quantity(&["--json", &at, "--arg", "quantity=2", "--quantity", "3"]), 3);
    let piped = Outcome::of(
        place
            .command(&["call", "--json", "-", "pricing.quote", "-o", "json"])
            .write_stdin(std::fs::read(&file).unwrap()),
    );
    piped.succeeded().shows(&["\"quantity\": 1"]);
    let basket = place.json(&[
        "call",
        "pricing.quote-basket",
        "--items",
        "service=compute-small,quantity=2",
        "--items",
        "service=backup,quantity=5",
    ]);
    assert_eq!(basket["lines"].as_array().unwrap().len(), 2);
}

#[test]
fn help_of_a_function_shows_its_parameters() {
    let place = Place::with("pricing");
    place.run(&["call", "pricing.quote", "--help"]).succeeded().shows(&[
        "Usage: outrigger call pricing.quote [FLAGS] [OPTIONS]",
        "--service <STRING>",
        "--commitment <COMMITMENT>",
        "three-years",
        "Example:\n  outrigger call pricing.quote --service SERVICE --quantity 1",
    ]);
    place.run(&["call", "--help"]).succeeded().shows(&["<PLUGIN.FUNCTION>", "--json"]);
}

#[test]
fn failures_have_the_exit_codes_of_the_table() {
    let place = Place::with("pricing");
    let call = |words: &[&str]| place.run(&[&["call"], words].concat());
    call(&["pricng.quote"]).failed(3, &["error[plugin_not_found]", "did you mean `pricing`?"]);
    call(&["pricing.quot"]).failed(3, &["error[function_not_found]", "did you mean `pricing.quote`?"]);
    call(&["pricing"]).failed(2, &["does not name a function"]);
    call(&["--service", "x", "pricing.quote"]).failed(2, &["`--service` comes before the name of the function"]);
    call(&["pricing.quote"]).failed(2, &["needs --service <STRING>, --quantity <U64>"]);
    call(&["pricing.quote", "--quantity", "few"]).failed(2, &["'--quantity <U64>': must be an integer"]);
    call(&["pricing.quote", "--servce", "x"]).failed(2, &["unexpected argument '--servce'", "'--service'"]);
    call(&["pricing.quote", "--json", "{\"quantity\": \"x\", \"service\": 1}"])
        .failed(2, &["error[invalid_input]", "• /service", "• /quantity"]);
    call(&["pricing.quote", "--json", "[]"]).failed(2, &["--json is JSON, but not an object"]);
    call(&["pricing.quote", "--json", "@/nowhere"]).failed(3, &["there is no file /nowhere"]);
    call(&["pricing.quote", "--service", "nope", "--quantity", "1"])
        .failed(1, &["error[function_failed]", "tag: unknown-service", "service: nope"]);
}

#[test]
fn errors_are_data_when_data_is_asked_for() {
    let place = Place::with("pricing");
    let error = |words: &[&str]| -> serde_json::Value {
        let outcome = place.run(&[words, &["-o", "json"]].concat());
        assert_eq!(outcome.stdout, "", "{outcome:#?}");
        serde_json::from_str(&outcome.stderr).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"))
    };
    let failed = error(&["call", "pricing.quote", "--service", "nope", "--quantity", "1"]);
    assert_eq!((&failed["code"], &failed["detail"]["tag"]), (&json!("function_failed"), &json!("unknown-service")));
    assert_eq!(error(&["call", "pricing.quote", "--quantity", "x"])["code"], "invalid_usage");
    assert_eq!(error(&["plugin", "info", "absent"])["code"], "plugin_not_found");
    assert_eq!(error(&["plugin", "nonsense"])["code"], "invalid_usage");
}

#[test]
fn a_batch_keeps_the_order_and_tells_the_first_failure() {
    let place = Place::with("pricing");
    let file = place.write(
        "calls.jsonl",
        r#"{"function": "pricing.quote", "arguments": {"service": "compute-small", "quantity": 3}}
           {"function": "pricing.quote", "arguments": {"service": "nope", "quantity": 3}}
           {"function": "pricing.currencies", "timeout": "10s"}"#,
    );
    let lines = |outcome: &Outcome| -> Vec<serde_json::Value> {
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let stopped = place.run(&["batch", &file, "-o", "json", "--parallel", "1"]);
    assert_eq!((stopped.code, lines(&stopped).len()), (1, 2), "{stopped:#?}");
    let all = place.run(&["batch", &file, "-o", "json", "--keep-going", "--details"]);
    let results = lines(&all);
    assert_eq!(all.code, 1, "{all:#?}");
    assert!(all.stderr.contains("3 calls: 2 succeeded, 1 failed, in"), "{all:#?}");
    let seen: Vec<_> =
        results.iter().map(|line| (line["index"].as_u64().unwrap(), line["ok"].as_bool().unwrap())).collect();
    assert_eq!(seen, [(1, true), (2, false), (3, true)]);
    assert_eq!(results[1]["error"]["code"], "function_failed");
    assert_eq!(results[0]["details"]["version"], "1.0.0");
    let yaml = "- function: pricing.currencies\n- function: pricing.services\n";
    let piped = Outcome::of(place.command(&["batch", "-"]).write_stdin(yaml)).succeeded();
    assert_eq!(piped.stdout.lines().count(), 2, "{piped:#?}");
    let wrong = place.write("wrong.jsonl", "{\"function\": \"pricing\"}");
    place.run(&["batch", &wrong]).failed(2, &["call 1, on line 1", "does not name a function"]);
}

#[test]
fn after_a_failure_a_batch_waits_for_what_is_under_way() {
    let place = Place::new();
    place.install_hostile("[limits]\ntimeout = \"2m\"\n");
    let line = |function: &str, arguments: Json| json!({"function": function, "arguments": arguments}).to_string();
    let calls = [
        line("hostile.sleep", json!({"nanoseconds": 2_000_000_000_u64})),
        line("hostile.good", json!({"number": "no number"})),
        line("hostile.good", json!({"number": 3})),
        line("hostile.good", json!({"number": 4})),
    ];
    let file = place.write("calls.jsonl", calls.join("\n"));
    let stopped = place.run(&["batch", &file, "-o", "json", "--parallel", "2"]);
    assert_eq!(stopped.code, 2, "{stopped:#?}");
    let results: Vec<Json> = stopped.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ended: Vec<_> = results.iter().map(|line| (line["index"].clone(), line["ok"].clone())).collect();
    assert_eq!(ended, [(json!(1), json!(true)), (json!(2), json!(false))], "{stopped:#?}");
    assert!(stopped.stderr.contains("4 calls: 1 succeeded, 1 failed, 2 not made, in"), "{stopped:#?}");
    // The output matches the calls.
    let runs = place.json(&["runs", "hostile"]);
    let outcomes: Vec<_> = runs.as_array().unwrap().iter().map(|run| run["outcome"].clone()).collect();
    assert!(outcomes.contains(&json!("ok")) && !outcomes.contains(&json!("cancelled")), "{runs}");
}

#[test]
fn functions_are_listed_found_and_described() {
    let place = Place::with("pricing");
    place.run(&["functions"]).succeeded().shows(&["FUNCTION", "pricing.quote", "pricing.services"]);
    let found = place.json(&["functions", "currencies", "rates"]);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    place.run(&["functions", "pricing"]).succeeded().shows(&["pricing.quote", "quote(service: string"]);
    place.run(&["functions", "pricing.quote"]).succeeded().shows(&[
        "quantity    u64                 required",
        "enum commitment",
        "Rate limit     600/1m",
        "outrigger call pricing.quote --service SERVICE --quantity 1",
    ]);
    let schemas = place.json(&["functions", "pricing.quote", "--schema"]);
    assert_eq!(schemas["arguments"]["required"], json!(["service", "quantity"]));
    place.run(&["functions", "pricing.nope"]).failed(3, &["has no function `nope`"]);
    place.run(&["functions", "zzz"]).succeeded().shows(&["No function has `zzz`"]);
}

#[test]
fn a_filter_that_names_nothing_is_told() {
    let place = Place::with("pricing");
    let check = |arguments: &[&str], empty: &str, note: &str| {
        let outcome = place.run(arguments).succeeded().shows(&[empty]);
        assert!(outcome.stderr.contains(note), "{outcome:#?}");
        assert_eq!(place.json(arguments), json!([]));
    };
    let plugin = "There is no plugin `pricng`; did you mean `pricing`?";
    check(&["runs", "pricng"], "No runs match these filters.", plugin);
    let function = "There is no function `pricing.quot`; did you mean `pricing.quote`?";
    check(&["runs", "pricing.quot"], "No runs match these filters.", function);
    check(&["plugin", "logs", "pricng"], "No log lines match these filters.", plugin);
    check(&["events", "--plugin", "pricng"], "No events match these filters.", plugin);
    check(&["job", "list", "--function", "pricng.quote"], "No jobs match these filters.", plugin);
    check(&["job", "list", "--schedule", "nightly"], "No jobs match these filters.", "There is no schedule `nightly`.");
    check(&["audit", "list", "--key", "ci"], "No audit records match these filters.", "No key has the ID `ci`");
    // What exists and has no records is not noted.
    let quiet = place.run(&["runs", "pricing.quote"]).succeeded().shows(&["No runs match these filters."]);
    assert_eq!(quiet.stderr, "");
    place.run(&["job", "list"]).succeeded().shows(&["No jobs."]);
}
