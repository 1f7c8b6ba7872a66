//! Resources of the host that cost the guest nothing: pollables, random bytes, streams.

use super::wat::{LARGE, TABLE, guest, repeat};
use super::{Attack, Scenery};

const TIMERS: &str = "(drop (call $after (i64.const 1000000000000)))";
/// One pollable, a hundred thousand times in one list.
const POLL: &str =
    "(i32.store (local.get $at) (local.get $timer)) (local.set $at (i32.add (local.get $at) (i32.const 4)))";
const RANDOM: &str = "(call $random (i64.const 0x40000000) (i32.const 256)) (call $reset)";
const ZEROES: &str = "(call $zeroes (call $stdout) (i64.const 0x7fffffffffff) (i32.const 256))";
const STDOUT: &str = "(drop (call $stdout)) (drop (call $stdin))";

pub fn attacks(_: &Scenery<'_>) -> Vec<Attack> {
    vec![
        Attack::new("poll-timers", asks(TIMERS, 1_000_000, "")).run(),
        Attack::new("poll-list", asks(POLL, 100_000, POLLED)).run(),
        Attack::new("poll-random", asks(RANDOM, 16, "")).run(),
        Attack::new("poll-zeroes", asks(ZEROES, 16, "")).run(),
        Attack::new("poll-streams", asks(STDOUT, 1_000_000, "")).run(),
    ]
}

const POLLED: &str = "(local.set $n (i32.const 100)) (loop $more
    (call $poll (i32.const 65536) (i32.const 100000) (i32.const 256)) (call $reset)
    (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $more (local.get $n)))";

fn asks(body: &str, times: u32, after: &str) -> std::sync::Arc<[u8]> {
    let core = format!(
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
        (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
        (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
        (import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))
        ;; ---
        (func (export "run") (local $n i32) (local $at i32) (local $timer i32)
          (local.set $at (i32.const {TABLE}))
          (local.set $timer (call $after (i64.const 0)))
          {} {after})"#,
        repeat("n", times, body),
    );
    let imports = [
        "wasi:clocks/monotonic-clock@0.2.0",
        "wasi:io/poll@0.2.0",
        "wasi:random/random@0.2.0",
        "wasi:cli/stdout@0.2.0",
        "wasi:cli/stdin@0.2.0",
        "wasi:io/streams@0.2.0",
    ];
    guest(&imports, "export run: func();", LARGE, &core)
}
