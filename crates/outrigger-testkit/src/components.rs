//! Components for tests, made in memory from WIT and the text of a core module. Each is made once in a process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The contract of the platform, so that fixtures can import and export it.
const PLUGIN_WIT: &str = include_str!("../../../wit/plugin.wit");
const WASI_WIT: &str = include_str!("../fixtures/wasi.wit");

/// WIT and core module → component.
type Made = HashMap<(String, String), Arc<[u8]>>;

/// Makes a component of the world `plugin` in `wit` (a package with all that it needs but `outrigger:plugin` and the
/// parts of WASI in `fixtures/wasi.wit`) and a core module.
///
/// # Panics
/// When they do not fit each other; a fixture is wrong then.
#[must_use]
pub fn component(wit: &str, core: &str) -> Arc<[u8]> {
    static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Mutex::default);
    let key = (wit.to_owned(), core.to_owned());
    if let Some(made) = MADE.lock().get(&key) {
        return Arc::clone(made);
    }
    let made: Arc<[u8]> =
        encode(wit, core).unwrap_or_else(|error| panic!("the fixture is wrong: {error:#}\n{wit}")).into();
    MADE.lock().insert(key, Arc::clone(&made));
    made
}

fn encode(wit: &str, core: &str) -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    resolve.push_source("plugin.wit", PLUGIN_WIT)?;
    let package = resolve.push_source("test.wit", &format!("{wit}\n{WASI_WIT}"))?;
    let world = resolve.select_world(&[package], Some("plugin"))?;
    let mut module = wat::parse_str(core)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.validate(true).encode()
}

/// Misbehaves in many ways; see `fixtures/hostile.wit`.
#[must_use]
pub fn hostile() -> Arc<[u8]> {
    component(include_str!("../fixtures/hostile.wit"), include_str!("../fixtures/hostile.wat"))
}

/// Like [`hostile`], with four memories.
#[must_use]
pub fn hostile_with_memories() -> Arc<[u8]> {
    let memory = "(memory (export \"memory\") 2)";
    let core = include_str!("../fixtures/hostile.wat").replacen(
        memory,
        &format!("{memory} (memory 0) (memory 0) (memory 0)"),
        1,
    );
    component(include_str!("../fixtures/hostile.wit"), &core)
}

/// Performs file operations that a test chooses call by call; see `fixtures/files.wit`.
#[must_use]
pub fn files() -> Arc<[u8]> {
    component(include_str!("../fixtures/files.wit"), include_str!("../fixtures/files.wat"))
}

/// Functions to subscribe to hooks, well-behaved and not; see `fixtures/callbacks.wit`.
#[must_use]
pub fn callbacks() -> Arc<[u8]> {
    component(include_str!("../fixtures/callbacks.wit"), include_str!("../fixtures/callbacks.wat"))
}

/// Tells the host how far it is, and fires hooks; see `fixtures/telling.wit`.
#[must_use]
pub fn telling() -> Arc<[u8]> {
    component(include_str!("../fixtures/telling.wit"), include_str!("../fixtures/telling.wat"))
}

/// Is as well as it was told to be; see `fixtures/moody.wit`.
#[must_use]
pub fn moody() -> Arc<[u8]> {
    component(include_str!("../fixtures/moody.wit"), include_str!("../fixtures/moody.wat"))
}

/// Counts in its state, so that the count outlives instances and processes: `add` counts one more, `total` says how many.
#[must_use]
pub fn counter() -> Arc<[u8]> {
    component(include_str!("../fixtures/counter.wit"), include_str!("../fixtures/counter.wat"))
}

/// The behavior of a lifecycle step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Succeeds,
    Fails,
    Loops,
}

/// Takes part in the lifecycle and reports health: degraded as a whole, with one unhealthy check. `number` is answered
/// by its one function, `number`, so that revisions can be told apart.
#[must_use]
pub fn managed(initialize: Step, number: u32) -> Arc<[u8]> {
    let wit = "package test:managed;
        world plugin {
            export number: func() -> u32;
            export outrigger:plugin/lifecycle@1.0.0;
            export outrigger:plugin/health@1.0.0;
        }";
    let body = match initialize {
        Step::Succeeds => "(call $ok)",
        Step::Fails => {
            "(i32.store8 (i32.const 64) (i32.const 1))
            (i32.store (i32.const 68) (i32.const 16)) (i32.store (i32.const 72) (i32.const 10)) (i32.const 64)"
        }
        Step::Loops => "(loop $again (br $again)) (i32.const 64)",
    };
    let core = format!(
        r#"(module
            (memory (export "memory") 1)
            (data (i32.const 16) "no licence")
            (data (i32.const 32) "connectivity")
            (data (i32.const 48) "unreachable")
            (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func $ok (result i32) (i32.store8 (i32.const 64) (i32.const 0)) (i32.const 64))
            (func (export "number") (result i32) (i32.const {number}))
            (func (export "outrigger:plugin/lifecycle@1.0.0#initialize") (result i32) {body})
            (func (export "outrigger:plugin/lifecycle@1.0.0#activate") (result i32) (call $ok))
            (func (export "outrigger:plugin/lifecycle@1.0.0#deactivate") (result i32) (call $ok))
            (func (export "outrigger:plugin/lifecycle@1.0.0#cleanup") (result i32) (call $ok))
            ;; A report of one check: name, status, message.
            (func (export "outrigger:plugin/health@1.0.0#check") (result i32)
                (i32.store (i32.const 128) (i32.const 1))
                (i32.store (i32.const 132) (i32.const 192))
                (i32.store (i32.const 136) (i32.const 1))
                (i32.store (i32.const 192) (i32.const 32))
                (i32.store (i32.const 196) (i32.const 12))
                (i32.store (i32.const 200) (i32.const 2))
                (i32.store (i32.const 204) (i32.const 1))
                (i32.store (i32.const 208) (i32.const 48))
                (i32.store (i32.const 212) (i32.const 11))
                (i32.const 128)))"#
    );
    component(wit, &core)
}

/// A component that imports what nobody offers.
#[must_use]
pub fn unknown_import() -> Arc<[u8]> {
    component(
        "package test:unknown;
        interface engine { start: func(); }
        world plugin { import engine; export run: func(); }",
        r#"(module (import "test:unknown/engine" "start" (func $start)) (func (export "run") (call $start)))"#,
    )
}
