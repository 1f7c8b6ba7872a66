//! Components that make the host hold memory in different ways, at little cost to themselves.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::components::component;

/// The name of the field of each record in a list: 250 bytes, nearly the maximum length.
fn long_name() -> String {
    "a".repeat(250)
}

/// Takes deep and wide arguments, writes log lines with many fields, and returns long names.
///
/// - `deep`, `wide`, `pairs` take lists whose values are far larger than their JSON, and return the length.
/// - `log-fields` writes lines that have this many fields of this many bytes, and a message as long.
/// - `names` returns this many records whose only field has a long name.
/// - `fail-text` fails with a text of this many bytes, `fail-names` with a record list as above.
/// - `requests` makes this many HTTP requests, then gives each a method of this many bytes, and sends none.
/// - `headers` makes this many empty header sets, then gives each a value of this many bytes.
/// - `responses` does the same, and makes a response of each.
/// - `spin` computes endlessly.
#[must_use]
pub fn greedy() -> Arc<[u8]> {
    let name = long_name();
    let mut wide = String::new();
    for field in 0..32 {
        let _ = writeln!(wide, "field-{field}: option<u8>,");
    }
    let wit = format!(
        "package test:greedy;
        world plugin {{
            import outrigger:plugin/logging@1.0.0;
            import wasi:http/types@0.2.0;
            record named {{ {name}: u8 }}
            record many {{ {wide} }}
            export deep: func(v: list<list<list<list<u8>>>>) -> u32;
            export wide: func(v: list<many>) -> u32;
            export pairs: func(v: list<tuple<option<bool>, option<bool>, option<bool>>>) -> u32;
            export log-fields: func(lines: u32, fields: u32, bytes: u32);
            export names: func(count: u32) -> list<named>;
            export fail-text: func(bytes: u32) -> result<u32, string>;
            export fail-names: func(count: u32) -> result<u32, list<named>>;
            export requests: func(count: u32, bytes: u32);
            export headers: func(count: u32, bytes: u32);
            export responses: func(count: u32, bytes: u32);
            export spin: func();
        }}"
    );
    component(&wit, CORE)
}

const CORE: &str = r#"(module
    (import "outrigger:plugin/logging@1.0.0" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-method"
        (func $set_method (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.0" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
    (memory (export "memory") 80)
    (global $top (mut i32) (i32.const 5242880))
    (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
        (local $place i32)
        (local.set $place
            (i32.and
                (i32.add (global.get $top) (i32.sub (local.get $align) (i32.const 1)))
                (i32.xor (i32.sub (local.get $align) (i32.const 1)) (i32.const -1))))
        (global.set $top (i32.add (local.get $place) (local.get $size)))
        (block $enough
            (loop $more
                (br_if $enough (i32.le_u (global.get $top) (i32.shl (memory.size) (i32.const 16))))
                (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
                (br $more)))
        (local.get $place))
    (func (export "deep") (param i32 i32) (result i32) (local.get 1))
    (func (export "wide") (param i32 i32) (result i32) (local.get 1))
    (func (export "pairs") (param i32 i32) (result i32) (local.get 1))
    (func (export "log-fields") (param $lines i32) (param $fields i32) (param $bytes i32)
        (local $at i32)
        (memory.fill (i32.const 65536) (i32.const 120) (local.get $bytes))
        (local.set $at (i32.const 1048576))
        (block $filled
            (loop $next
                (br_if $filled (i32.ge_u (local.get $at) (i32.add (i32.const 1048576) (i32.mul (local.get $fields) (i32.const 16)))))
                (i32.store (local.get $at) (i32.const 65536))
                (i32.store offset=4 (local.get $at) (local.get $bytes))
                (i32.store offset=8 (local.get $at) (i32.const 65536))
                (i32.store offset=12 (local.get $at) (local.get $bytes))
                (local.set $at (i32.add (local.get $at) (i32.const 16)))
                (br $next)))
        (block $written
            (loop $again
                (br_if $written (i32.eqz (local.get $lines)))
                (call $log (i32.const 2) (i32.const 65536) (local.get $bytes) (i32.const 1048576) (local.get $fields))
                (local.set $lines (i32.sub (local.get $lines) (i32.const 1)))
                (br $again))))
    (func (export "names") (param $count i32) (result i32)
        (i32.store (i32.const 16) (i32.const 65536))
        (i32.store (i32.const 20) (local.get $count))
        (i32.const 16))
    (func $failed (param $length i32) (result i32)
        (i32.store8 (i32.const 16) (i32.const 1))
        (i32.store (i32.const 20) (i32.const 65536))
        (i32.store (i32.const 24) (local.get $length))
        (i32.const 16))
    (func (export "fail-text") (param $bytes i32) (result i32)
        (memory.fill (i32.const 65536) (i32.const 120) (local.get $bytes))
        (call $failed (local.get $bytes)))
    (func (export "fail-names") (param $count i32) (result i32) (call $failed (local.get $count)))
    (func $fill (param $bytes i32)
        (if (i32.eq (memory.grow (i32.add (i32.shr_u (local.get $bytes) (i32.const 16)) (i32.const 1))) (i32.const -1))
            (then (unreachable)))
        (memory.fill (i32.const 5242880) (i32.const 120) (local.get $bytes)))
    (func (export "requests") (param $count i32) (param $bytes i32)
        (local $at i32)
        (call $fill (local.get $bytes))
        (loop $next
            (i32.store offset=65536 (i32.shl (local.get $at) (i32.const 2)) (call $request (call $fields)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (local.get $count))))
        (loop $again
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (drop (call $set_method (i32.load offset=65536 (i32.shl (local.get $at) (i32.const 2)))
                (i32.const 9) (i32.const 5242880) (local.get $bytes)))
            (br_if $again (local.get $at))))
    (func $headers (param $count i32) (param $bytes i32)
        (local $at i32)
        (call $fill (local.get $bytes))
        (loop $next
            (i32.store offset=65536 (i32.shl (local.get $at) (i32.const 2)) (call $fields))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $at) (local.get $count))))
        (loop $again
            (local.set $at (i32.sub (local.get $at) (i32.const 1)))
            (call $append (i32.load offset=65536 (i32.shl (local.get $at) (i32.const 2)))
                (i32.const 5242880) (i32.const 1) (i32.const 5242880) (local.get $bytes) (i32.const 16))
            (br_if $again (local.get $at))))
    (func (export "headers") (param $count i32) (param $bytes i32)
        (call $headers (local.get $count) (local.get $bytes)))
    (func (export "responses") (param $count i32) (param $bytes i32)
        (call $headers (local.get $count) (local.get $bytes))
        (loop $next
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (drop (call $response (i32.load offset=65536 (i32.shl (local.get $count) (i32.const 2)))))
            (br_if $next (local.get $count))))
    (func (export "spin") (loop $forever (br $forever))))"#;

/// `write` writes this many line breaks to standard output at once, without asking how much is allowed.
#[must_use]
pub fn flood() -> Arc<[u8]> {
    let wit = "package test:flood;
        world plugin {
            import wasi:cli/stdout@0.2.0;
            import wasi:io/streams@0.2.0;
            export write: func(bytes: u32);
            export good: func(number: u32) -> u32;
        }";
    let core = r#"(module
        (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
        (import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
        (memory (export "memory") 1)
        (func (export "write") (param $bytes i32)
            (if (i32.eq (memory.grow (i32.add (i32.shr_u (local.get $bytes) (i32.const 16)) (i32.const 1))) (i32.const -1))
                (then (unreachable)))
            (memory.fill (i32.const 65536) (i32.const 10) (local.get $bytes))
            (call $write (call $stdout) (i32.const 65536) (local.get $bytes) (i32.const 16)))
        (func (export "good") (param i32) (result i32) (local.get 0)))"#;
    component(wit, core)
}

/// Looks names up: `begin` starts this many lookups without waiting for a response, `first` waits for one. `first`
/// returns 1000 if an address was found, and 1001 if there is none; both return errors as `error-code` numbers them.
#[must_use]
pub fn lookups() -> Arc<[u8]> {
    let wit = "package test:lookups;
        world plugin {
            import wasi:io/poll@0.2.0;
            import wasi:sockets/instance-network@0.2.0;
            import wasi:sockets/ip-name-lookup@0.2.0;
            export begin: func(name: string, times: u32) -> u32;
            export first: func(name: string) -> u32;
        }";
    let core = r#"(module
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop_pollable (param i32)))
        (import "wasi:sockets/instance-network@0.2.0" "instance-network" (func $network (result i32)))
        (import "wasi:sockets/ip-name-lookup@0.2.0" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
        (import "wasi:sockets/ip-name-lookup@0.2.0" "[method]resolve-address-stream.resolve-next-address"
            (func $next (param i32 i32)))
        (import "wasi:sockets/ip-name-lookup@0.2.0" "[method]resolve-address-stream.subscribe"
            (func $subscribe (param i32) (result i32)))
        (import "wasi:sockets/ip-name-lookup@0.2.0" "[resource-drop]resolve-address-stream" (func $drop (param i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
        (func (export "begin") (param $name i32) (param $length i32) (param $times i32) (result i32)
            (local $network i32)
            (local.set $network (call $network))
            (loop $again
                (call $resolve (local.get $network) (local.get $name) (local.get $length) (i32.const 256))
                (if (i32.load8_u (i32.const 256)) (then (return (i32.load8_u (i32.const 260)))))
                (call $drop (i32.load (i32.const 260)))
                (local.set $times (i32.sub (local.get $times) (i32.const 1)))
                (br_if $again (local.get $times)))
            (i32.const 1000))
        (func (export "first") (param $name i32) (param $length i32) (result i32)
            (local $stream i32) (local $pollable i32)
            (call $resolve (call $network) (local.get $name) (local.get $length) (i32.const 256))
            (if (i32.load8_u (i32.const 256)) (then (return (i32.load8_u (i32.const 260)))))
            (local.set $stream (i32.load (i32.const 260)))
            (local.set $pollable (call $subscribe (local.get $stream)))
            (call $block (local.get $pollable))
            (call $drop_pollable (local.get $pollable))
            (call $next (local.get $stream) (i32.const 256))
            (call $drop (local.get $stream))
            (if (i32.load8_u (i32.const 256)) (then (return (i32.load8_u (i32.const 258)))))
            (i32.sub (i32.const 1001) (i32.load8_u (i32.const 258)))))"#;
    component(wit, core)
}

/// Waits for one timer, which it names this many times in one list. Returns how many of them are ready.
#[must_use]
pub fn polls() -> Arc<[u8]> {
    let wit = "package test:polls;
        world plugin {
            import wasi:clocks/monotonic-clock@0.2.0;
            import wasi:io/poll@0.2.0;
            export wait: func(times: u32) -> u32;
        }";
    let core = r#"(module
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
        (memory (export "memory") 3)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 131072))
        (func (export "wait") (param $times i32) (result i32)
            (local $timer i32) (local $place i32)
            (local.set $timer (call $after (i64.const 0)))
            (loop $fill
                (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $place) (i32.const 4))) (local.get $timer))
                (local.set $place (i32.add (local.get $place) (i32.const 1)))
                (br_if $fill (i32.lt_u (local.get $place) (local.get $times))))
            (call $poll (i32.const 65536) (local.get $times) (i32.const 256))
            (i32.load (i32.const 260))))"#;
    component(wit, core)
}

/// Opens TCP sockets: `open` keeps them open, `again` closes each at once. Both return how many were opened, and after an
/// error a thousand times its code more.
#[must_use]
pub fn sockets() -> Arc<[u8]> {
    let wit = "package test:sockets;
        world plugin {
            import wasi:sockets/tcp@0.2.0;
            import wasi:sockets/tcp-create-socket@0.2.0;
            export open: func(times: u32) -> u32;
            export again: func(times: u32) -> u32;
        }";
    let core = r#"(module
        (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket" (func $create (param i32 i32)))
        (import "wasi:sockets/tcp@0.2.0" "[resource-drop]tcp-socket" (func $drop (param i32)))
        (memory (export "memory") 1)
        (func $make (param $times i32) (param $close i32) (result i32)
            (local $made i32)
            (loop $more
                (call $create (i32.const 0) (i32.const 256))
                (if (i32.load8_u (i32.const 256))
                    (then (return (i32.add (local.get $made) (i32.mul (i32.load8_u (i32.const 260)) (i32.const 1000))))))
                (if (local.get $close) (then (call $drop (i32.load (i32.const 260)))))
                (local.set $made (i32.add (local.get $made) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $made) (local.get $times))))
            (local.get $made))
        (func (export "open") (param i32) (result i32) (call $make (local.get 0) (i32.const 0)))
        (func (export "again") (param i32) (result i32) (call $make (local.get 0) (i32.const 1))))"#;
    component(wit, core)
}

/// A component as text: `modules` define the core modules; `$m` is instantiated this many times. The last instance
/// exports `run`, which the component exports as a function that returns a number.
#[must_use]
pub fn instances(module: &str, times: usize) -> Vec<u8> {
    let mut text = format!("(component (core module $m {module})");
    for index in 0..times {
        let _ = write!(text, "(core instance $i{index} (instantiate $m))");
    }
    let last = times.saturating_sub(1);
    let _ = write!(
        text,
        "(alias core export $i{last} \"run\" (core func $run)) (func (export \"run\") (result u32) (canon lift (core func $run))))"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("the fixture is wrong: {error}"))
}

/// A module with this many tables of this initial size; `run` grows the first one by `more` and returns the result.
#[must_use]
pub fn tables(count: usize, initial: u32, more: u32) -> String {
    let mut module = String::new();
    for _ in 0..count {
        let _ = write!(module, "(table {initial} funcref)");
    }
    module.push_str("(func (export \"run\") (result i32)");
    for table in 1..count {
        let _ = write!(module, "(drop (table.grow {table} (ref.null func) (i32.const {more})))");
    }
    let _ = write!(module, "(table.grow 0 (ref.null func) (i32.const {more})))");
    module
}

/// A module whose `run` stops on a trap in a function with a name of this many bytes.
#[must_use]
pub fn long_frame(bytes: usize) -> String {
    let name = "f".repeat(bytes);
    format!("(func ${name} (result i32) (unreachable)) (func (export \"run\") (result i32) (call ${name}))")
}

/// A module with this many globals.
#[must_use]
pub fn globals(count: usize) -> String {
    let mut module = "(global i64 (i64.const 1))".repeat(count);
    module.push_str("(func (export \"run\") (result i32) (i32.const 1))");
    module
}
