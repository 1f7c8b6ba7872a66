//! A template: checked, and rendered if it is valid, within a bounded time and length.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use outrigger_contract::{Template, TemplateValues};
use outrigger_registry::{check_template, render_template};
use serde_json::json;

const LONGEST: Duration = Duration::from_secs(3);

fuzz_target!(|text: &str| {
    let template = json!({
        "name": "fuzz", "description": "Fuzz", "runtime": "wasm", "language": "rust",
        "variables": [{"name": "team", "default": "operations"}, {"name": "open"}],
        "files": {"a.txt": text},
    });
    let Ok(template) = serde_json::from_value::<Template>(template) else { return };
    let started = Instant::now();
    let checked = check_template(&template);
    assert!(started.elapsed() < LONGEST, "it took {:?} to check", started.elapsed());
    if checked.is_err() {
        return;
    }
    for title in [None, Some("\\\"".repeat(1_000))] {
        let values = TemplateValues { title, ..TemplateValues::new("a-plugin".parse().expect("a name")) };
        let started = Instant::now();
        let rendered = render_template(&template, &values);
        assert!(started.elapsed() < LONGEST, "it took {:?} to render", started.elapsed());
        if let Ok(files) = rendered {
            assert!(files.values().map(String::len).sum::<usize>() <= 4 << 20, "it is too long");
        }
    }
});
