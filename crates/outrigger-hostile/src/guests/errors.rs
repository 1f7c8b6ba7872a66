//! Untrusted text: error values, names and messages that are long, or that contain terminal escape sequences.

use serde_json::json;

use super::Attack;
use super::wat::{LARGE, RESULT, TEXT, data, guest};

/// Characters that must not reach text for people: escape sequences, bidirectional overrides, line breaks, NUL.
pub const CONTROLS: &str =
    "\u{1b}[31mroot#\u{1b}]0;owned\u{7}\u{202e}\u{2066}\u{200f}\u{9b}31m\r\nERROR forged line\u{0}\u{8}\u{7f}\u{feff}";

pub fn attacks() -> Vec<Attack> {
    vec![
        fails("error-long", 3 << 20),
        fails("error-controls", 0),
        calls_by_name("error-name"),
        traps_with_paths(),
        wrong_text(),
    ]
}

/// Fails with an error value of a length, or with one full of control characters.
fn fails(name: &str, length: u32) -> Attack {
    let (at, length) = if length == 0 { (TEXT, CONTROLS.len() as u32) } else { (LARGE, length) };
    let core = format!(
        "{}
        (func (export \"run\") (result i32)
          (call $fill (i32.const {LARGE}) (i32.const {length}))
          (i32.store (i32.const 512) (i32.const 1)) (i32.store (i32.const 516) (i32.const {at}))
          (i32.store (i32.const 520) (i32.const {length})) (i32.const 512))",
        data(TEXT, CONTROLS)
    );
    let component = guest(&[], "export run: func() -> result<u32, string>;", LARGE + length + 1024, &core);
    // An error value is a function's response: it can be as long as a result.
    Attack::new(name, component).run().bound(|bound| bound.answer = 5 << 10)
}

/// Calls functions by invalid names: long ones, and ones with control characters.
fn calls_by_name(name: &str) -> Attack {
    let core = format!(
        r#"(import "outrigger:plugin/calls@1.0.0" "call" (func $call (param i32 i32 i32 i32 i32)))
        ;; ---
        {} {}
        (func (export "run") (local $n i32)
          (call $fill (i32.const {LARGE}) (i32.const 2000000))
          {}
          (call $call (i32.const {TEXT}) (i32.const {}) (i32.const 2048) (i32.const 2) (i32.const {RESULT}))
          (unreachable))"#,
        data(TEXT, CONTROLS),
        data(2048, "{}"),
        super::wat::repeat(
            "n",
            100,
            &format!(
                "(call $call (i32.const {LARGE}) (i32.const 2000000) (i32.const 2048) (i32.const 2) (i32.const {RESULT})) (call $reset)"
            )
        ),
        CONTROLS.len(),
    );
    let component = guest(&["outrigger:plugin/calls@1.0.0"], "export run: func();", LARGE + 2_001_024, &core);
    Attack::new(name, component).run()
}

/// Opens a file by a name with control characters and traps: the name is in the error.
fn traps_with_paths() -> Attack {
    let core = format!(
        r#"(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
        ;; ---
        {}
        (func (export "run")
          (call $directories (i32.const {RESULT}))
          (call $open (i32.load (i32.load (i32.const {RESULT}))) (i32.const 1) (i32.const {TEXT}) (i32.const {})
            (i32.const 0) (i32.const 1) (i32.const 512))
          (unreachable))"#,
        data(TEXT, &CONTROLS.replace('\0', "")),
        CONTROLS.len() - 1,
    );
    let imports = ["wasi:filesystem/types@0.2.0", "wasi:filesystem/preopens@0.2.0"];
    Attack::new("error-path", guest(&imports, "export run: func();", LARGE, &core)).run()
}

/// Returns invalid UTF-8, and is called with texts full of control characters.
fn wrong_text() -> Attack {
    let core = format!(
        "(data (i32.const {TEXT}) \"\\ff\\fe\\fd\\1b[2J\")
        (func (export \"run\") (param i32 i32) (result i32)
          (i32.store (i32.const 512) (i32.const {TEXT})) (i32.store (i32.const 516) (i32.const 8)) (i32.const 512))"
    );
    let component = guest(&[], "export run: func(text: string) -> string;", LARGE, &core);
    Attack::new("error-utf8", component)
        .call("run", &json!({"text": CONTROLS.repeat(1_000)}))
        .call("run", &json!({"text": 1, CONTROLS: 2}))
        .call(&"x".repeat(100), &json!({}))
}
