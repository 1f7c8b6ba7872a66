//! Nested calls: of itself to any depth, and endless calls of another plugin.

use super::Attack;
use super::wat::{LARGE, TABLE, data, guest, pass, repeat};

pub fn attacks() -> Vec<Attack> {
    vec![
        calls("nest-itself", "nest-itself.run", 2, "{}"),
        calls("nest-wide", "nest-wide.good", 5_000, "{}"),
        calls("nest-honest", "honest.nothing", 5_000, "{}"),
        calls("nest-refused", "honest.add", 20_000, "{\"x\":1}").manifest("# Not granted."),
        calls("nest-large", "nest-large.take", 200, ""),
    ]
}

/// Calls a function this many times: without arguments, or with a text of 4 MB.
fn calls(name: &str, function: &str, times: u32, arguments: &str) -> Attack {
    let (open, close) = ("{\"text\":\"", "\"}");
    let length = if arguments.is_empty() { 4 << 20 } else { arguments.len() as u32 };
    let prepare = if arguments.is_empty() {
        format!(
            "(call $fill (i32.const {LARGE}) (i32.const {length}))
             (memory.copy (i32.const {LARGE}) (i32.const {TABLE}) (i32.const {}))
             (memory.copy (i32.const {}) (i32.const {}) (i32.const 2))",
            open.len(),
            LARGE + length - 2,
            TABLE + 16,
        )
    } else {
        format!("(memory.copy (i32.const {LARGE}) (i32.const {}) (i32.const {length}))", TABLE + 32)
    };
    let call = pass("call", function, length);
    let core = format!(
        r#"(import "outrigger:plugin/calls@1.0.0" "call" (func $call (param i32 i32 i32 i32 i32)))
        ;; ---
        {} {} {} {}
        (func (export "run") (local $n i32) {prepare} {})
        (func (export "take") (param i32 i32) (call $reset))
        (func (export "good"))"#,
        data(1024, function),
        data(TABLE, open),
        data(TABLE + 16, close),
        data(TABLE + 32, arguments),
        repeat("n", times, &call),
    );
    let exports = "export run: func(); export take: func(text: string); export good: func();";
    let attack = Attack::new(name, guest(&["outrigger:plugin/calls@1.0.0"], exports, LARGE + length + 1024, &core));
    let attack = if name == "nest-refused" {
        attack
    } else {
        attack.manifest(format!("[permissions]\nplugins = [\"{function}\"]"))
    };
    attack.run()
}
