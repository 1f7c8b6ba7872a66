//! An honest plugin that runs beside the hostile ones. It counts in its state and fires an event for each count, so
//! that any loss is detected.

use std::sync::Arc;

use super::wat::{LARGE, data, guest};

/// The hook that it fires.
pub const HOOK: &str = "honest.counted";

/// Its manifest, beyond name, version and runtime.
pub const MANIFEST: &str = "[functions.look]\nread-only = true\n[hooks.\"honest.counted\"]\nkind = \"event\"\ndescription = \"It counted one more.\"\n";

/// `add` writes a key, `look` tells whether it exists, `total` counts the keys with a prefix, `announce` fires the hook,
/// `note` takes a text, `nothing` is called by others.
pub fn component() -> Arc<[u8]> {
    let core = format!(
        r#"(import "outrigger:plugin/state@1.0.0" "get" (func $get (param i32 i32 i32)))
        (import "outrigger:plugin/state@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
        (import "outrigger:plugin/state@1.0.0" "keys" (func $keys (param i32 i32 i32 i32)))
        (import "outrigger:plugin/hooks@1.0.0" "fire" (func $fire (param i32 i32 i32 i32 i32)))
        ;; ---
        {} {} {}
        (func (export "add") (param $key i32) (param $length i32)
          (call $set (local.get $key) (local.get $length) (i32.const 1024) (i32.const 5) (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (unreachable)))
          (call $reset))
        (func (export "look") (param $key i32) (param $length i32) (result i32)
          (call $get (local.get $key) (local.get $length) (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (unreachable)))
          (call $reset)
          (i32.load8_u (i32.const 68)))
        (func (export "total") (param $prefix i32) (param $length i32) (result i32)
          (call $keys (local.get $prefix) (local.get $length) (i32.const 10000) (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (unreachable)))
          (call $reset)
          (i32.load (i32.const 72)))
        (func (export "announce")
          (call $fire (i32.const 1040) (i32.const {}) (i32.const 1060) (i32.const 2) (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (unreachable)))
          (call $reset))
        (func (export "note") (param i32 i32) (call $reset))
        (func (export "nothing"))"#,
        data(1024, "total"),
        data(1040, HOOK),
        data(1060, "{}"),
        HOOK.len(),
    );
    let exports = "export add: func(key: string); export look: func(key: string) -> bool; export total: func(prefix: string) -> u32; export announce: func(); export note: func(text: string); export nothing: func();";
    guest(&["outrigger:plugin/state@1.0.0", "outrigger:plugin/hooks@1.0.0"], exports, LARGE, &core)
}
