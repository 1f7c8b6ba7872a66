//! Configuration and environment: read endlessly, into memory that the guest discards.

use std::fmt::Write as _;

use super::Attack;
use super::wat::{LARGE, TEXT, data, guest, repeat};

pub fn attacks() -> Vec<Attack> {
    let mut wide = "[configuration.key-0]\ntype = \"string\"\n".to_owned();
    writeln!(wide, "default = \"{}\"", "x".repeat(30_000)).expect("a text");
    for number in 1..20 {
        writeln!(wide, "[configuration.key-{number}]\ntype = \"string\"\ndefault = \"{}\"", "x".repeat(10_000))
            .expect("a text");
    }
    vec![
        reads("configuration-all", "(call $all (i32.const 256)) (call $reset)", 50_000).manifest(&wide),
        reads("configuration-get", "(call $get (i32.const 1024) (i32.const 5) (i32.const 256)) (call $reset)", 200_000)
            .manifest(&wide),
        // A missing key with a name of 4 MB.
        reads(
            "configuration-key",
            "(call $get (i32.const 1048576) (i32.const 4194304) (i32.const 256)) (call $reset)",
            500,
        ),
        reads("environment", "(call $environment (i32.const 256)) (call $reset)", 200_000)
            .manifest("[permissions]\nenvironment = [\"PATH\"]"),
    ]
}

fn reads(name: &str, body: &str, times: u32) -> Attack {
    let core = format!(
        r#"(import "outrigger:plugin/configuration@1.0.0" "all" (func $all (param i32)))
        (import "outrigger:plugin/configuration@1.0.0" "get" (func $get (param i32 i32 i32)))
        (import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))
        ;; ---
        {}
        (func (export "run") (local $n i32) (call $fill (i32.const {LARGE}) (i32.const 4194304)) {})"#,
        data(TEXT, "key-0"),
        repeat("n", times, body),
    );
    let imports = ["outrigger:plugin/configuration@1.0.0", "wasi:cli/environment@0.2.0"];
    Attack::new(name, guest(&imports, "export run: func();", LARGE + (4 << 20) + 1024, &core)).run()
}
