//! Refused paths: long ones, many, with every operation, followed by a trap that puts them into an error.

use super::wat::{LARGE, RESULT, guest, repeat};
use super::{Attack, Scenery};

const OPEN: &str = "(call $open (local.get $dir) (i32.const 1) (i32.const AT) (i32.const LENGTH) (i32.const 0) (i32.const 1) (i32.const 256))";
const STAT: &str = "(call $stat (local.get $dir) (i32.const 1) (i32.const AT) (i32.const LENGTH) (i32.const 512))";
const RENAME: &str = "(call $rename (local.get $dir) (i32.const AT) (i32.const LENGTH) (local.get $dir) (i32.const AT) (i32.const LENGTH) (i32.const 256))";
const SYMLINK: &str = "(call $symlink (local.get $dir) (i32.const AT) (i32.const LENGTH) (i32.const AT) (i32.const LENGTH) (i32.const 256))";

pub fn attacks(scenery: &Scenery<'_>) -> Vec<Attack> {
    let granted =
        format!("[permissions]\nfiles = [{{ path = \"{}/\", access = \"write\" }}]", scenery.scratch.display());
    vec![
        refused("path-open", OPEN, 8, 8 << 20, true),
        refused("path-stat", STAT, 2_000, 64 << 10, true),
        refused("path-rename", RENAME, 8, 8 << 20, true).manifest(&granted),
        refused("path-symlink", SYMLINK, 500, 1 << 20, false).manifest(&granted),
        refused("path-short", OPEN, 100_000, 20, true),
    ]
}

/// Uses a path of this length this many times, then traps.
fn refused(name: &str, operation: &str, times: u32, length: u32, trap: bool) -> Attack {
    let operation = operation.replace("AT", &LARGE.to_string()).replace("LENGTH", &length.to_string());
    let core = format!(
        r#"(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.stat-at" (func $stat (param i32 i32 i32 i32 i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.rename-at" (func $rename (param i32 i32 i32 i32 i32 i32 i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.symlink-at" (func $symlink (param i32 i32 i32 i32 i32 i32)))
        ;; ---
        (func (export "run") (local $dir i32) (local $n i32)
          (call $fill (i32.const {LARGE}) (i32.const {length}))
          (i32.store8 (i32.const {LARGE}) (i32.const 47))
          (call $directories (i32.const {RESULT}))
          (if (i32.eqz (i32.load (i32.const {}))) (then (unreachable)))
          (local.set $dir (i32.load (i32.load (i32.const {RESULT}))))
          {} {})"#,
        RESULT + 4,
        repeat("n", times, &operation),
        if trap { "(unreachable)" } else { "" },
    );
    let imports = ["wasi:filesystem/types@0.2.0", "wasi:filesystem/preopens@0.2.0"];
    Attack::new(name, guest(&imports, "export run: func();", LARGE + length + 1024, &core)).run()
}
