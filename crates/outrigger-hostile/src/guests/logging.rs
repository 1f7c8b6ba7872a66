//! Log lines: a thousand per call, each as large as possible.

use super::wat::{LARGE, TABLE, TEXT, data, guest, repeat};
use super::{Attack, Bound};

pub fn attacks() -> Vec<Attack> {
    let bound = |bound: &mut Bound| *bound = Bound { memory: 160, disk: 16, ..*bound };
    vec![
        lines("log-fields", 1_000, 32, 16 << 10, 16).bound(bound),
        lines("log-messages", 1_000, 0, 16, 1 << 20).bound(bound),
        lines("log-many-fields", 1_000, 4_000, 64, 64).bound(bound),
        lines("log-one-field", 200, 1, 4 << 20, 16).bound(bound),
        standard_output().bound(bound),
    ]
}

/// Writes lines with a number of fields and a message, each of a given length.
fn lines(name: &str, lines: u32, fields: u32, value: u32, message: u32) -> Attack {
    let heap = LARGE + value.max(message);
    let each = repeat(
        "field",
        fields.max(1),
        &format!(
            "(i32.store (local.get $at) (i32.const {TEXT})) (i32.store offset=4 (local.get $at) (i32.const 4))
             (i32.store offset=8 (local.get $at) (i32.const {LARGE})) (i32.store offset=12 (local.get $at) (i32.const {value}))
             (local.set $at (i32.add (local.get $at) (i32.const 16)))"
        ),
    );
    let log = repeat(
        "line",
        lines,
        &format!(
            "(call $log (i32.const 3) (i32.const {LARGE}) (i32.const {message}) (i32.const {TABLE}) (i32.const {fields}))"
        ),
    );
    let core = format!(
        r#"(import "outrigger:plugin/logging@1.0.0" "log" (func $log (param i32 i32 i32 i32 i32)))
        ;; ---
        {}
        (func (export "run") (local $field i32) (local $line i32) (local $at i32)
          (call $fill (i32.const {LARGE}) (i32.const {}))
          (local.set $at (i32.const {TABLE}))
          {each} {log})"#,
        data(TEXT, "size"),
        value.max(message),
    );
    Attack::new(name, guest(&["outrigger:plugin/logging@1.0.0"], "export run: func();", heap, &core)).run()
}

/// Standard output without line breaks, and standard output of only line breaks and escape sequences.
fn standard_output() -> Attack {
    let print = |from: u32, length: u32, name: &str| {
        repeat(
            name,
            4_000,
            &format!("(call $print (local.get $out) (i32.const {from}) (i32.const {length}) (i32.const 256))"),
        )
    };
    let escapes = "\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\n".repeat(200);
    let core = format!(
        r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
          (func $print (param i32 i32 i32 i32)))
        ;; ---
        {}
        (func (export "run") (local $out i32) (local $long i32) (local $short i32)
          (call $fill (i32.const {LARGE}) (i32.const 4096))
          (local.set $out (call $stdout))
          {} {})"#,
        data(TABLE, &escapes),
        print(LARGE, 4096, "long"),
        print(TABLE, escapes.len().min(4096) as u32, "short"),
    );
    let imports = ["wasi:cli/stdout@0.2.0", "wasi:io/streams@0.2.0"];
    Attack::new("log-output", guest(&imports, "export run: func();", LARGE + 8192, &core)).run()
}
