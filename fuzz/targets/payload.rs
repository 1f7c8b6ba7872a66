//! The schema of a hook's payload, and a value to validate: the first line is the schema, the rest is the value.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use outrigger_engine::hooks::HookSchema;
use serde_json::Value as Json;

const LONGEST: Duration = Duration::from_secs(3);

fuzz_target!(|text: &str| {
    let Some((schema, value)) = text.split_once('\n') else { return };
    let (Ok(schema), Ok(value)) = (serde_json::from_str::<Json>(schema), serde_json::from_str::<Json>(value)) else {
        return;
    };
    let started = Instant::now();
    let made = HookSchema::new(&"shop.ordered".parse().expect("a name"), schema);
    assert!(started.elapsed() < LONGEST, "it took {:?} to accept", started.elapsed());
    let Ok(schema) = made else { return };
    let started = Instant::now();
    let said = schema.check(&value);
    assert!(started.elapsed() < LONGEST, "it took {:?} to check", started.elapsed());
    if let Err(said) = said {
        assert!(said.len() <= 64 << 10, "{} bytes are said", said.len());
    }
    // Every generated example is valid.
    for witness in schema.witnesses() {
        schema.check(witness).expect("a witness fits");
    }
});
