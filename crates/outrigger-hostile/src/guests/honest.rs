//! An honest plugin that runs beside the hostile ones. It counts in its state and fires an event for each count, so
//! that any loss is detected.

use std::sync::Arc;

use super::wat::{LARGE, data, guest};

/// The hook that it fires.
pub const HOOK: &str = "honest.counted";

/// Its manifest, beyond name, version and runtime.
pub const MANIFEST: &str = "[functions.total]\nread-only = true\n[hooks.\"honest.counted\"]\nkind = \"event\"\ndescription = \"It counted one more.\"\n";

/// `add` increments and returns the count, `total` returns it, `announce` fires the hook, `note` takes a text,
/// `nothing` is called by others.
pub fn component() -> Arc<[u8]> {
    let core = format!(
        r#"(import "outrigger:plugin/state@1.0.0" "get" (func $get (param i32 i32 i32)))
        (import "outrigger:plugin/state@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
        (import "outrigger:plugin/hooks@1.0.0" "fire" (func $fire (param i32 i32 i32 i32 i32)))
        ;; ---
        {} {} {}
        (func $total (export "total") (result i32) (local $answer i32)
          (call $get (i32.const 1024) (i32.const 5) (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (unreachable)))
          (if (i32.load8_u (i32.const 68)) (then (local.set $answer (i32.load (i32.load (i32.const 72))))))
          (call $reset)
          (local.get $answer))
        (func (export "add") (result i32) (local $sum i32)
          (local.set $sum (i32.add (call $total) (i32.const 1)))
          (i32.store (i32.const 128) (local.get $sum))
          (call $set (i32.const 1024) (i32.const 5) (i32.const 128) (i32.const 4) (i32.const 64))
          (if (i32.load8_u (i32.const 64)) (then (unreachable)))
          (call $reset)
          (local.get $sum))
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
    let exports = "export add: func() -> u32; export total: func() -> u32; export announce: func(); export note: func(text: string); export nothing: func();";
    guest(&["outrigger:plugin/state@1.0.0", "outrigger:plugin/hooks@1.0.0"], exports, LARGE, &core)
}
