//! A condition of a subscription: it is compiled or refused, and evaluated within a bounded time.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use outrigger_contract::HookName;
use outrigger_engine::hooks::{Condition, Facts};
use serde_json::json;

/// The limit for a test build on a busy machine.
const LONGEST: Duration = Duration::from_secs(3);

fuzz_target!(|text: &str| {
    let started = Instant::now();
    let compiled = Condition::compile(text);
    assert!(started.elapsed() < LONGEST, "it took {:?} to compile", started.elapsed());
    let Ok(condition) = compiled else { return };
    let hook: HookName = "shop.ordered".parse().expect("a name");
    for event in [
        json!({"x": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab".repeat(1_000), "n": 1, "list": [1, "a", null]}),
        json!({"list": (0..2_000).collect::<Vec<_>>(), "map": {"a": {"b": {}}}, "n": i64::MIN}),
        json!({}),
    ] {
        let started = Instant::now();
        let said = condition.holds(&Facts::new(&hook, "plugin relay.f", "key ci", &event));
        assert!(started.elapsed() < LONGEST, "it took {:?} to evaluate", started.elapsed());
        if let Err(said) = said {
            assert!(said.len() <= 64 << 10, "{} bytes are said", said.len());
        }
    }
});
