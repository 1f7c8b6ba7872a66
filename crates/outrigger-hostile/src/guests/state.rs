//! State: rewritten at its limit again and again, so that discarded data fills the disk.

use super::wat::{LARGE, TEXT, data, guest, repeat};
use super::{Attack, Bound};

const SET: &str =
    "(call $set (i32.const KEY) (i32.const 8) (i32.const LARGE) (i32.const LENGTH) (i32.const 256)) (call $reset)";
/// Another key each time.
const SPREAD: &str = "(i32.store (i32.const KEY) (i32.or (local.get $n) (i32.const 0x20202020)))
    (i32.store8 (i32.const KEY) (i32.add (i32.const 97) (i32.rem_u (local.get $n) (i32.const 26))))
    (i32.store8 offset=1 (i32.const KEY) (i32.add (i32.const 97) (i32.rem_u (i32.div_u (local.get $n) (i32.const 26)) (i32.const 26))))
    (i32.store8 offset=2 (i32.const KEY) (i32.add (i32.const 97) (i32.rem_u (i32.div_u (local.get $n) (i32.const 676)) (i32.const 26))))
    (i32.store8 offset=3 (i32.const KEY) (i32.const 97))
    (call $set (i32.const KEY) (i32.const 8) (i32.const LARGE) (i32.const LENGTH) (i32.const 256)) (call $reset)";
const GET: &str = "(call $get (i32.const KEY) (i32.const 8) (i32.const 256)) (call $reset)";
const KEYS: &str = "(call $keys (i32.const KEY) (i32.const 0) (i32.const -1) (i32.const 256)) (call $reset)";
const DELETE: &str = "(call $set (i32.const KEY) (i32.const 8) (i32.const LARGE) (i32.const LENGTH) (i32.const 256))
    (call $delete (i32.const KEY) (i32.const 8) (i32.const 256)) (call $reset)";

pub fn attacks() -> Vec<Attack> {
    let bound = |bound: &mut Bound| *bound = Bound { memory: 320, disk: 40, ..*bound };
    vec![
        writes("state-large", SET, 100, 8 << 20, "").bound(bound),
        writes("state-keys", SPREAD, 10_000, 512, "").bound(bound),
        // Written once, then read as often as possible.
        writes("state-read", GET, 1_000, 8 << 20, SET).bound(bound),
        writes("state-list", KEYS, 1_000, 1, &repeat("n", 5_000, SPREAD)).bound(bound),
        writes("state-deleted", DELETE, 200, 1 << 20, "").bound(bound),
    ]
}

fn writes(name: &str, body: &str, times: u32, length: u32, before: &str) -> Attack {
    let filled = |text: &str| {
        text.replace("KEY", &TEXT.to_string())
            .replace("LARGE", &LARGE.to_string())
            .replace("LENGTH", &length.to_string())
    };
    let core = format!(
        r#"(import "outrigger:plugin/state@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
        (import "outrigger:plugin/state@1.0.0" "get" (func $get (param i32 i32 i32)))
        (import "outrigger:plugin/state@1.0.0" "keys" (func $keys (param i32 i32 i32 i32)))
        (import "outrigger:plugin/state@1.0.0" "delete" (func $delete (param i32 i32 i32)))
        ;; ---
        {}
        (func (export "run") (local $n i32)
          (call $fill (i32.const {LARGE}) (i32.const {length}))
          {} {})"#,
        data(TEXT, "key-0000"),
        filled(before),
        filled(&repeat("n", times, body)),
    );
    let component = guest(&["outrigger:plugin/state@1.0.0"], "export run: func();", LARGE + length + 1024, &core);
    Attack::new(name, component).run()
}
