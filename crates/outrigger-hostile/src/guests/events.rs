//! The plugin's own hooks, fired as often and with as much data as allowed.

use super::Attack;
use super::wat::{LARGE, TABLE, data, guest, pass, repeat};

pub fn attacks() -> Vec<Attack> {
    vec![
        fires("event-large", "event", 1_000, 60_000),
        fires("event-small", "event", 1_000, 2),
        fires("event-action", "action", 1_000, 250_000),
        fires("event-filter", "filter", 1_000, 60_000),
        // Not JSON at all, and longer than a payload may be.
        fires("event-refused", "event", 2_000, 4 << 20),
        // It receives its own events slowly: they are queued in the server.
        fires("event-queued", "event", 1_000, 60_000)
            .manifest("[[subscriptions]]\nhook = \"event-queued.rang\"\nfunction = \"heard\"\ntimeout = \"60s\""),
    ]
}

/// Fires a hook this many times, with a payload of about this many bytes: `{"x":"aaa…"}`.
fn fires(name: &str, kind: &str, times: u32, length: u32) -> Attack {
    let hook = format!("{name}.rang");
    let length = length.max(2);
    let (open, close) = ("{\"x\":\"", "\"}");
    let frame = if length > 10 {
        format!(
            "(memory.copy (i32.const {LARGE}) (i32.const {}) (i32.const 6))
             (memory.copy (i32.const {}) (i32.const {}) (i32.const 2))",
            TABLE,
            LARGE + length - 2,
            TABLE + 16
        )
    } else {
        format!("(memory.copy (i32.const {LARGE}) (i32.const {}) (i32.const 2))", TABLE + 32)
    };
    let fire = pass("fire", &hook, length);
    let core = format!(
        r#"(import "outrigger:plugin/hooks@1.0.0" "fire" (func $fire (param i32 i32 i32 i32 i32)))
        ;; ---
        {} {} {} {}
        (func (export "run") (local $n i32)
          (call $fill (i32.const {LARGE}) (i32.const {length}))
          {frame}
          {})
        (func (export "heard") (param i32 i32) (loop $again (br $again)))"#,
        data(1024, &hook),
        data(TABLE, open),
        data(TABLE + 16, close),
        data(TABLE + 32, "{}"),
        repeat("n", times, &fire),
    );
    let component = guest(
        &["outrigger:plugin/hooks@1.0.0"],
        "export run: func(); export heard: func(payload: string);",
        LARGE + length + 1024,
        &core,
    );
    Attack::new(name, component)
        .manifest(format!("[hooks.\"{hook}\"]\nkind = \"{kind}\"\ndescription = \"Rings.\""))
        .run()
}
