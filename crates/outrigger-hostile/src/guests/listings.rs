//! Folders: listings that stay open, descriptors that are never closed.

use super::wat::{LARGE, RESULT, guest, repeat};
use super::{Attack, Scenery};

const LIST: &str = "(call $list (local.get $dir) (i32.const 256))
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then
      (call $entry (i32.load (i32.const 260)) (i32.const 512))))
    (call $reset)";
/// One of them, read to its end again and again.
const READ: &str = "(call $list (local.get $dir) (i32.const 256))
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then
      (loop $more
        (call $reset)
        (call $entry (i32.load (i32.const 260)) (i32.const 512))
        (br_if $more (i32.and (i32.eqz (i32.load8_u (i32.const 512))) (i32.load8_u (i32.const 516)))))))";
const OPEN: &str = "(call $open (local.get $dir) (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 2) (i32.const 1) (i32.const 256))";
const STREAM: &str = "(call $open (local.get $dir) (i32.const 1) (i32.const 1032) (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 256))
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then
      (call $stream (i32.load (i32.const 260)) (i64.const 0) (i32.const 512))
      (if (i32.eqz (i32.load8_u (i32.const 512))) (then
        (call $read (i32.load (i32.const 516)) (i64.const 0x7fffffffffffffff) (i32.const 768)) (call $reset)))))";

/// A FIFO for reading: each unprotected open would wait for a writer.
const FIFO: &str = "(call $open (local.get $dir) (i32.const 1) (i32.const 1040) (i32.const 4) (i32.const 0) (i32.const 1) (i32.const 256))";

pub fn attacks(scenery: &Scenery<'_>) -> Vec<Attack> {
    let granted = format!("[permissions]\nfiles = [{{ path = \"{}/\" }}]", scenery.crowd.display());
    [
        ("listing-held", LIST, 100),
        ("listing-more", LIST, 10_000),
        ("listing-read", READ, 1_000),
        ("listing-folders", OPEN, 100_000),
        ("listing-streams", STREAM, 50_000),
        ("listing-fifo", FIFO, 1_000),
    ]
    .into_iter()
    .map(|(name, body, times)| Attack::new(name, folder(body, times)).manifest(&granted).run())
    .collect()
}

fn folder(body: &str, times: u32) -> std::sync::Arc<[u8]> {
    let core = format!(
        r#"(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $directories (param i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at" (func $open (param i32 i32 i32 i32 i32 i32 i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.read-directory" (func $list (param i32 i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.read-via-stream" (func $stream (param i32 i64 i32)))
        (import "wasi:filesystem/types@0.2.0" "[method]directory-entry-stream.read-directory-entry" (func $entry (param i32 i32)))
        (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
        ;; ---
        (data (i32.const 1024) ".")
        (data (i32.const 1032) "large")
        (data (i32.const 1040) "fifo")
        (func (export "run") (local $dir i32) (local $n i32) (local $last i32)
          (call $directories (i32.const {RESULT}))
          ;; The last one is what was granted; the first may be an empty root.
          (local.set $last (i32.sub (i32.load (i32.const {})) (i32.const 1)))
          (local.set $dir (i32.load (i32.add (i32.load (i32.const {RESULT})) (i32.mul (local.get $last) (i32.const 12)))))
          {})"#,
        RESULT + 4,
        repeat("n", times, body),
    );
    let imports = ["wasi:filesystem/types@0.2.0", "wasi:filesystem/preopens@0.2.0", "wasi:io/streams@0.2.0"];
    guest(&imports, "export run: func();", LARGE, &core)
}
