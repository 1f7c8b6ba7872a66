//! HTTP: endless header fields, and a misbehaving host.

use super::wat::{LARGE, TEXT, data, guest, repeat};
use super::{Attack, Scenery};

const APPEND: &str = "(call $append (local.get $fields) (i32.const 1024) (i32.const 4) (i32.const LARGE) (i32.const 8000) (i32.const 256))";
const CLONE: &str = "(call $append (local.get $fields) (i32.const 1024) (i32.const 4) (i32.const LARGE) (i32.const 60000) (i32.const 256)) (local.set $fields (call $clone (local.get $fields)))";
const MANY: &str = "(drop (call $fields))";
const REQUEST: &str =
    "(drop (call $set_path (call $request (call $fields)) (i32.const 1) (i32.const LARGE) (i32.const 60000)))";
const RESPONSE: &str = "(local.set $fields (call $fields))
    (call $append (local.get $fields) (i32.const 1024) (i32.const 4) (i32.const LARGE) (i32.const 60000) (i32.const 256))
    (drop (call $response (local.get $fields)))";
const METHOD: &str =
    "(drop (call $set_method (call $request (call $fields)) (i32.const 9) (i32.const LARGE) (i32.const 1000000)))";
/// Sends requests to the host, and keeps the responses.
const FETCH: &str = "(local.set $request (call $request (call $fields)))
    (drop (call $set_path (local.get $request) (i32.const 1) (i32.const 1100) (i32.const PATH)))
    (drop (call $set_scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
    (drop (call $set_authority (local.get $request) (i32.const 1) (i32.const 1200) (i32.const HOST)))
    (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 256))
    (if (i32.eqz (i32.load8_u (i32.const 256))) (then
      (local.set $future (i32.load (i32.const 264)))
      (call $block (call $subscribe (local.get $future)))
      (call $get (local.get $future) (i32.const 512))
      (if (i32.and (i32.eqz (i32.load8_u (i32.const 520))) (i32.eqz (i32.load8_u (i32.const 528)))) (then
        (call $entries (call $headers (i32.load (i32.const 536))) (i32.const 768))
        (call $consume (i32.load (i32.const 536)) (i32.const 800))
        (call $stream (i32.load (i32.const 804)) (i32.const 808))
        (loop $more
          (call $reset)
          (call $read (i32.load (i32.const 812)) (i64.const 0x7fffffffffffffff) (i32.const 820))
          (br_if $more (i32.eqz (i32.load8_u (i32.const 820)))))))))
    (call $reset)";

pub fn attacks(scenery: &Scenery<'_>) -> Vec<Attack> {
    let port = scenery.host.rsplit(':').next().unwrap_or_default();
    let granted = format!("[permissions]\nhttp = [{{ host = \"127.0.0.1:{port}\", private = true }}]");
    let fetch = |path: &str| FETCH.replace("PATH", &path.len().to_string());
    vec![
        asks("http-append", scenery, "/", APPEND, 100_000),
        asks("http-clone", scenery, "/", CLONE, 500),
        asks("http-fields", scenery, "/", MANY, 1_000_000),
        asks("http-requests", scenery, "/", REQUEST, 50_000),
        // Four calls at once may hold as much as a plugin may: 256 MiB.
        asks("http-responses", scenery, "/", RESPONSE, 50_000).bound(|bound| bound.memory = 300),
        asks("http-methods", scenery, "/", METHOD, 900),
        asks("http-endless", scenery, "/endless", &fetch("/endless"), 3).manifest(&granted),
        asks("http-headers", scenery, "/headers", &fetch("/headers"), 100).manifest(&granted),
        asks("http-slow", scenery, "/slow", &fetch("/slow"), 1).manifest(&granted),
    ]
}

fn asks(name: &str, scenery: &Scenery<'_>, path: &str, body: &str, times: u32) -> Attack {
    let body = body.replace("LARGE", &LARGE.to_string()).replace("HOST", &scenery.host.len().to_string());
    let core = format!(
        r#"(import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.0" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]fields.clone" (func $clone (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]fields.entries" (func $entries (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-method" (func $set_method (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme" (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query" (func $set_path (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority" (func $set_authority (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-response.headers" (func $headers (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $consume (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
        (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
        ;; ---
        {} {} {}
        (func (export "run") (local $n i32) (local $fields i32) (local $request i32) (local $future i32)
          (call $fill (i32.const {LARGE}) (i32.const 1000000))
          (local.set $fields (call $fields))
          {})"#,
        data(TEXT, "x-it"),
        data(1100, path),
        data(1200, scenery.host),
        repeat("n", times, &body),
    );
    let imports =
        ["wasi:http/types@0.2.0", "wasi:http/outgoing-handler@0.2.0", "wasi:io/poll@0.2.0", "wasi:io/streams@0.2.0"];
    Attack::new(name, guest(&imports, "export run: func();", LARGE + (1 << 20), &core)).run()
}
