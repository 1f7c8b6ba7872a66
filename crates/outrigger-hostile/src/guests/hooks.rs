//! Expensive schemas and conditions in the plugin's own manifest.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Attack;
use super::wat::{LARGE, TABLE, data, guest, pass, repeat};

pub fn attacks() -> Vec<Attack> {
    vec![
        // The case of S03, and one that is just small enough to be accepted.
        pattern("hook-pattern", "^[01]*1[01]{9000}$", 240_000),
        pattern("hook-pattern-small", "^[01]*1[01]{500}$", 240_000),
        conditions("hook-conditions", 300, "event.x.matches('^(a|b|ab)*[ab]{20}c$')"),
        conditions("hook-conditions-few", 50, "event.x.contains('ab') && event.x.matches('(a+)+$')"),
        conditions("hook-conditions-all", 50, "event.x.size() > 0 && event.x.startsWith('aaaaaaaaaaaaaaaaaaaab')"),
    ]
}

/// Fires a hook whose payload is validated against a pattern.
fn pattern(name: &str, pattern: &str, length: u32) -> Attack {
    let hook = format!("{name}.rang");
    Attack::new(name, firing(&hook, length, b'1'))
        .manifest(format!(
            "[hooks.\"{hook}\"]\nkind = \"action\"\ndescription = \"Rings.\"\n\
             payload = {{ x = {{ type = \"string\", pattern = '{pattern}', examples = [\"{}\"] }} }}",
            "1".repeat(600)
        ))
        .run()
}

/// Fires a hook with many subscriptions of its own, each with a condition.
fn conditions(name: &str, count: u32, condition: &str) -> Attack {
    let hook = format!("{name}.rang");
    let mut manifest = format!("[hooks.\"{hook}\"]\nkind = \"action\"\ndescription = \"Rings.\"\n");
    for _ in 0..count {
        write!(
            manifest,
            "[[subscriptions]]\nhook = \"{hook}\"\nfunction = \"heard\"\ncondition = \"\"\"{condition}\"\"\"\n"
        )
        .expect("a text");
    }
    Attack::new(name, firing(&hook, 60_000, b'a')).manifest(manifest).run()
}

fn firing(hook: &str, length: u32, letter: u8) -> Arc<[u8]> {
    let fire = pass("fire", hook, length);
    let core = format!(
        r#"(import "outrigger:plugin/hooks@1.0.0" "fire" (func $fire (param i32 i32 i32 i32 i32)))
        ;; ---
        {} {} {}
        (func (export "run") (local $n i32)
          (call $reach (i32.const {end}))
          (memory.fill (i32.const {LARGE}) (i32.const {letter}) (i32.const {length}))
          (memory.copy (i32.const {LARGE}) (i32.const {TABLE}) (i32.const 6))
          (memory.copy (i32.const {tail}) (i32.const {close}) (i32.const 2))
          {})
        (func (export "heard") (param i32 i32))"#,
        data(1024, hook),
        data(TABLE, "{\"x\":\""),
        data(TABLE + 16, "\"}"),
        repeat("n", 20, &fire),
        end = LARGE + length,
        tail = LARGE + length - 2,
        close = TABLE + 16,
    );
    let exports = "export run: func(); export heard: func(payload: string);";
    guest(&["outrigger:plugin/hooks@1.0.0"], exports, LARGE + length + 1024, &core)
}
