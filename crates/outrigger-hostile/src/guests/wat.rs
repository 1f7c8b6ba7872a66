//! The text of core modules: common parts of all hostile guests, and loops.

use outrigger_testkit::components;
use std::sync::Arc;

/// Where imports write their results.
pub const RESULT: u32 = 256;
/// Where a guest keeps short texts.
pub const TEXT: u32 = 1024;
/// Where a guest keeps tables that it passes to the host.
pub const TABLE: u32 = 64 << 10;
/// Where a guest keeps its large text, which is all letters `a`.
pub const LARGE: u32 = 1 << 20;

/// A component of imports, exports and the text of a core module.
///
/// `heap` is the address of variable-length results of imports. Each call of `$reset` frees all of them, so that the
/// guest's own memory never limits its host calls.
pub fn guest(imports: &[&str], exports: &str, heap: u32, core: &str) -> Arc<[u8]> {
    let imports: String = imports.iter().map(|name| format!("  import {name};\n")).collect();
    let wit = format!("package test:hostile;\nworld plugin {{\n{imports}{exports}\n}}");
    let shared = SHARED.replace("HEAP", &heap.to_string()).replace("PAGES", &((heap >> 16) + 2).to_string());
    let (own_imports, rest) = core.split_once(";; ---").unwrap_or(("", core));
    components::component(&wit, &format!("(module\n{own_imports}\n{shared}\n{rest})"))
}

const SHARED: &str = r#"
  (memory (export "memory") PAGES)
  (global $top (mut i32) (i32.const HEAP))
  (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $place i32)
    (local.set $place (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $place) (local.get 3)))
    (call $reach (global.get $top))
    (local.get $place))
  (func $reset (global.set $top (i32.const HEAP)))
  (func $reach (param $end i32) (local $pages i32)
    (local.set $pages (i32.sub (i32.add (i32.shr_u (local.get $end) (i32.const 16)) (i32.const 1)) (memory.size)))
    (if (i32.gt_s (local.get $pages) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then (unreachable))))))
  ;; The letter `a`, so many times.
  (func $fill (param $at i32) (param $length i32)
    (call $reach (i32.add (local.get $at) (local.get $length)))
    (memory.fill (local.get $at) (i32.const 97) (local.get $length)))
"#;

/// Passes the text of this length at [`LARGE`] to an import, with the name at 1024, and frees the result.
pub fn pass(import: &str, name: &str, length: u32) -> String {
    let name = name.len();
    format!(
        "(call ${import} (i32.const 1024) (i32.const {name}) (i32.const {LARGE}) (i32.const {length}) \
         (i32.const {RESULT})) (call $reset)"
    )
}

/// Runs `body` this many times. Each loop of a function needs a unique name; its local must be declared as `$name`.
pub fn repeat(name: &str, count: u32, body: &str) -> String {
    format!(
        "(local.set ${name} (i32.const {count})) (loop $again_{name} {body} \
         (local.set ${name} (i32.sub (local.get ${name}) (i32.const 1))) (br_if $again_{name} (local.get ${name})))"
    )
}

/// A text in the data of a module.
pub fn data(at: u32, text: &str) -> String {
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{bytes}\")")
}
