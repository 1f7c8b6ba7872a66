//! Components that take long to compile are compiled in a child process, within limits, and only once.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use outrigger_testkit::components::component;
use outrigger_testkit::disk::SmallDisk;
use serde_json::json;

use crate::harness::{Outcome, Place};

/// A package with a trivial function `run`, and further functions in its core module.
fn package(place: &Place, functions: &str) -> String {
    let core = format!(
        r#"(module (memory (export "memory") 1) (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "run") (result i32) (i32.const 7)) {functions})"#
    );
    let wasm = component("package test:big; world plugin { export run: func() -> u32; }", &core);
    place.write("big/big.wasm", wasm);
    let manifest = "name = \"big\"\nversion = \"1.0.0\"\ntitle = \"Big\"\ndescription = \"For tests.\"\n\
                    [runtime]\nkind = \"wasm\"\nentry = \"big.wasm\"\n";
    place.write("big/plugin.toml", manifest);
    place.path("big").display().to_string()
}

fn install(place: &Place, package: &str, limits: &[(&str, &str)]) -> Outcome {
    Outcome::of(place.command(&["plugin", "install", package, "--yes"]).envs(limits.iter().copied()))
}

/// One function: consecutive loops, each of which changes other locals than the previous one.
fn loops_and_locals(loops: usize, locals: usize) -> String {
    let mut text = format!("(func (local {})", "i64 ".repeat(locals));
    for number in 0..loops {
        let (a, b, c) = (number % locals, (number * 7 + 1) % locals, (number * 31 + 2) % locals);
        _ = write!(
            text,
            "(loop (local.set {a} (i64.add (local.get {b}) (local.get {c}))) (br_if 0 (i64.eqz (local.get {a}))))"
        );
    }
    text + ")"
}

/// One function: nested loops.
fn nested_loops(depth: usize, locals: usize, times: usize) -> String {
    let mut text = format!("(func (local {})", "i64 ".repeat(locals));
    for time in 0..times {
        text += &"(loop ".repeat(depth);
        for number in 0..depth {
            let (a, b) = ((number + time) % locals, (number * 13 + time) % locals);
            _ = write!(
                text,
                "(local.set {a} (i64.mul (local.get {b}) (i64.const 3))) (br_if {} (i64.eqz (local.get {a}))))",
                number % 7 % (depth - number)
            );
        }
    }
    text + ")"
}

/// One function: branch tables, each of which passes all locals on.
fn tables(count: usize, locals: usize) -> String {
    let mut text = format!("(func (param i32) (local {})", "i64 ".repeat(locals));
    for number in 0..count {
        let labels: String = (0..100).map(|label| format!("{} ", label % 20)).collect();
        let (a, b) = (1 + number % locals, 1 + (number * 17 + 3) % locals);
        text += &"(block ".repeat(20);
        _ = write!(text, "(br_table {labels} 0 (local.get 0))");
        text += &")".repeat(20);
        _ = write!(text, "(local.set {a} (i64.add (local.get {b}) (i64.const 1)))");
    }
    text + ")"
}

#[test]
fn s09_what_takes_too_long_to_compile_is_refused_and_not_tried_again() {
    let place = Place::new();
    let package = package(&place, &loops_and_locals(16_000, 3_000));
    let limits = [("OUTRIGGER_COMPILE_CPU", "2s")];
    let started = Instant::now();
    install(&place, &package, &limits).failed(5, &["error[compile_limit]"]);
    let first = started.elapsed();
    assert_eq!(place.json(&["plugin", "list"]), json!([]));
    let started = Instant::now();
    install(&place, &package, &limits).failed(5, &["error[compile_limit]"]);
    // The cached code is loaded again, and nothing is compiled.
    assert!(started.elapsed() + Duration::from_millis(700) < first, "{:?} after {first:?}", started.elapsed());
    let kept = std::fs::read_dir(place.path("data/cache/compiled")).unwrap().flatten();
    let kept: Vec<_> = kept.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert!(kept.iter().any(|name| name.ends_with(".refused")), "{kept:?}");
    assert!(!kept.iter().any(|name| name.ends_with(".cwasm") || name.ends_with(".tmp")), "{kept:?}");
}

#[test]
fn s09_other_shapes_that_take_long_are_refused_too() {
    for (name, functions) in [
        ("nested loops", nested_loops(400, 2_000, 20)),
        ("tables of branches", tables(1_500, 2_000)),
        ("several such functions", loops_and_locals(4_000, 3_000).repeat(4)),
    ] {
        let place = Place::new();
        let package = package(&place, &functions);
        let outcome = install(&place, &package, &[("OUTRIGGER_COMPILE_CPU", "1s")]);
        assert_eq!(outcome.code, 5, "{name}: {outcome:#?}");
        assert!(outcome.stderr.contains("error[compile_limit]"), "{name}: {outcome:#?}");
    }
}

#[test]
fn s09_what_takes_too_much_memory_to_compile_is_refused() {
    let place = Place::new();
    let package = package(&place, &loops_and_locals(16_000, 3_000));
    let outcome = install(&place, &package, &[("OUTRIGGER_COMPILE_MEMORY", "96MiB")]);
    outcome.failed(5, &["error[compile_limit]", "96MiB of memory"]);
    // With other limits, it is compiled again.
    let outcome = install(&place, &package, &[("OUTRIGGER_COMPILE_CPU", "1s")]);
    // The machine decides which limit is reached first.
    assert!(!outcome.stderr.contains(" 96MiB"), "{outcome:#?}");
    outcome.failed(5, &["error[compile_limit]"]);
}

/// Many ordinary functions.
fn ordinary(count: usize) -> String {
    let function = "(func (param i32 i64) (result i64) (local i64) (local.set 2 (i64.mul (local.get 1) (i64.const 3)))
        (if (i32.gt_s (local.get 0) (i32.const 9)) (then (local.set 2 (i64.add (local.get 2) (local.get 1)))))
        (loop (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if 0 (local.get 0))) (local.get 2))";
    function.repeat(count)
}

/// Names and sizes of the files in the folder of compiled code.
fn compiled(data: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(data.join("cache/compiled")).unwrap().flatten();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect()
}

/// A child process writes the code, and leaves the free space that the database needs.
#[test]
fn s09_compiled_code_that_has_no_room_is_refused_and_removed() {
    let place = Place::new();
    let package = package(&place, &ordinary(8_000));
    install(&place, &package, &[]).succeeded();
    let made = compiled(&place.path("data"));
    let size = made.iter().find(|(name, _)| name.ends_with(".cwasm")).unwrap().1;

    let Some(disk) = SmallDisk::mount(64 << 20) else { return };
    let data = disk.path().join("data");
    let on_disk = |arguments: &[&str]| Outcome::of(place.command(arguments).env("OUTRIGGER_DATA", &data));
    on_disk(&["plugin", "list"]).succeeded();
    // One component can use half of the free space beyond the database's part.
    let wasm = std::fs::metadata(place.path("big/big.wasm")).unwrap().len();
    let room = 2 * (wasm + (size - wasm) / 2) + wasm;
    let filled = disk.fill_but(usize::try_from((4 << 20) + room).unwrap());
    on_disk(&["plugin", "install", &package, "--yes"]).failed(9, &["error[disk_full]", "compiled code"]);
    let half_done = |(name, _): &(String, u64)| [".cwasm", ".sum", ".tmp"].iter().any(|end| name.ends_with(end));
    assert!(!compiled(&data).iter().any(half_done), "{:?}", compiled(&data));
    let free = rustix::fs::statvfs(disk.path()).unwrap();
    assert!(free.f_bavail * free.f_frsize >= 4 << 20);
    // The disk is the reason, not the component, so it can be compiled again.
    drop(filled);
    on_disk(&["plugin", "install", &package, "--yes"]).succeeded();
}

#[test]
fn s09_what_is_large_and_ordinary_is_compiled_and_called() {
    let place = Place::new();
    let package = package(&place, &ordinary(8_000));
    install(&place, &package, &[]).succeeded();
    place.run(&["call", "big.run"]).succeeded().shows(&["7"]);
    let wrong = Outcome::of(place.command(&["plugin", "list"]).env("OUTRIGGER_COMPILE_CPU", "soon"));
    wrong.failed(2, &["OUTRIGGER_COMPILE_CPU is `soon`"]);
}
