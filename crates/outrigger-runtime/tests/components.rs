//! Requirements on component files, compiled code on disk, and idle instances.

mod common;

use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;

use common::{Bench, PLENTY, number};
use outrigger_contract::manifest::InstancePolicy;
use outrigger_contract::{Code, Digest, Manifest};
use outrigger_engine::runtime::Runtime;
use outrigger_runtime::{WasmOptions, WasmRuntime};
use outrigger_testkit::components;

fn manifest(permissions: &str) -> Manifest {
    let text = format!(
        "name = \"test\"\nversion = \"1.0.0\"\ntitle = \"Test\"\ndescription = \"A test.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"plugin.wasm\"\n{permissions}"
    );
    Manifest::parse(&text).expect("a good manifest")
}

async fn inspect(wasm: &[u8], permissions: &str) -> Result<outrigger_engine::runtime::Inspection, (Code, String)> {
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join("plugin.wasm"), wasm).expect("room on the disk");
    let result = bench.runtime.inspect(bench.folder.path(), &manifest(permissions)).await;
    result.map_err(|fault| (fault.code, fault.message))
}

#[tokio::test]
async fn a_component_is_read_without_running_it() {
    let inspection = inspect(&components::hostile(), "").await.expect("a component");
    assert!(inspection.graph.function("spin").is_some());
    assert!(inspection.imports.iter().any(|import| import == "wasi:http/outgoing-handler@0.2.0"));
    assert_eq!(inspection.warnings.len(), 2, "{:?}", inspection.warnings);
    let granted = "[permissions]\nhttp = [\"example.org:443\"]\nplugins = [\"pricing.*\"]";
    let inspection = inspect(&components::hostile(), granted).await.expect("a component");
    assert_eq!(inspection.warnings, Vec::<String>::new());
    let inspection = inspect(&components::managed(components::Step::Loops, 1), "").await.expect("a component");
    assert_eq!(inspection.exports.len(), 2);
}

#[tokio::test]
async fn s07_more_idle_instances_than_are_kept_are_a_warning() {
    let granted = "[permissions]\nhttp = [\"example.org:443\"]\nplugins = [\"pricing.*\"]";
    for (wasm, instances, expected) in [
        (components::hostile(), "\"warm\"", None),
        (components::hostile(), "{ warm = { max-instances = 40 } }", None),
        (components::hostile(), "{ warm = { max-instances = 41 } }", Some("at most 40 instances")),
        (components::hostile_with_memories(), "{ warm = { max-instances = 1000 } }", Some("at most 10 instances")),
    ] {
        let inspection = inspect(&wasm, &format!("instances = {instances}\n{granted}")).await.expect("a component");
        match expected {
            Some(part) => assert!(inspection.warnings.concat().contains(part), "{:?}", inspection.warnings),
            None => assert_eq!(inspection.warnings, [""; 0], "{instances}"),
        }
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_the_reason() {
    let hostile = components::hostile();
    let mut damaged = hostile.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    for (wasm, says) in [
        (b"".as_slice(), "empty"),
        (b"#!/bin/sh\n", "not a WebAssembly file"),
        (b"(component)", "WebAssembly text"),
        (b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (b"\0asm", "cut short"),
        (&hostile[..hostile.len() / 2], "damaged or not valid"),
        (&damaged, "damaged or not valid"),
        (&components::unknown_import(), "test:unknown/engine"),
    ] {
        let (code, message) = inspect(wasm, "").await.expect_err("it cannot run");
        assert_eq!(code, Code::InvalidComponent, "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn s09_a_component_that_uses_what_is_not_measured_is_refused_with_the_feature() {
    for (core, feature) in [
        (
            "(type $t (func)) (func $f (type $t)) (elem declare func $f) (func (call_ref $t (ref.func $f)))",
            "function references",
        ),
        ("(type $t (func)) (func (param (ref $t)))", "function references"),
        ("(tag)", "exceptions"),
    ] {
        let wasm = wat::parse_str(format!("(component (core module {core}))")).expect("a component");
        let (code, message) = inspect(&wasm, "").await.expect_err("it is not supported");
        assert_eq!(code, Code::InvalidComponent, "{message}");
        assert!(message.contains("uses a WebAssembly feature that is not supported"), "{message}");
        assert!(message.contains(feature), "{message}");
    }
}

#[tokio::test]
async fn a_component_that_is_too_large_is_not_read() {
    let bench = Bench::new();
    let file = std::fs::File::create(bench.folder.path().join("plugin.wasm")).expect("room on the disk");
    file.set_len(500 << 20).expect("a sparse file");
    let fault = bench.runtime.inspect(bench.folder.path(), &manifest("")).await.expect_err("500 MiB");
    assert_eq!(fault.code, Code::PackageTooLarge);
    std::fs::remove_file(bench.folder.path().join("plugin.wasm")).expect("it is there");
    let fault = bench.runtime.inspect(bench.folder.path(), &manifest("")).await.expect_err("nothing");
    assert_eq!(fault.code, Code::InvalidPackage);
}

#[tokio::test]
async fn compiled_code_is_used_again_and_made_again_when_it_is_damaged() {
    let bench = Bench::new();
    let wasm = components::hostile();
    bench.hostile(|_| ()).await.still_works().await;
    let compiled = std::fs::read_dir(bench.compiled())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .expect("code was stored");
    assert!(compiled.file_name().expect("a name").to_string_lossy().starts_with(&Digest::of(&wasm).hex()));
    assert_eq!(std::fs::metadata(&compiled).expect("it is there").permissions().mode() & 0o777, 0o600);

    // Without the component itself, only compiled code can be loaded.
    let missing = |spec: &mut outrigger_engine::runtime::RevisionSpec| spec.entry = "not-there.wasm".into();
    bench.hostile(missing).await.still_works().await;

    let whole = std::fs::read(&compiled).expect("it is there");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &whole[..0], b"something else", &flipped] {
        std::fs::write(&compiled, damaged).expect("room on the disk");
        let another = Bench::open(&bench.folder);
        another.load(bench.spec(&wasm)).await.expect("it is compiled again");
        assert!(std::fs::read(&compiled).expect("it is there") == whole, "it was stored again");
    }

    bench.runtime.forget(&Digest::of(&wasm)).await;
    assert!(!compiled.exists());
    let mut spec = bench.spec(&wasm);
    missing(&mut spec);
    assert_eq!(bench.runtime.load(spec).await.expect_err("nothing is left").code, Code::InvalidPackage);
}

#[tokio::test]
async fn compiled_code_that_others_could_write_is_not_trusted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    let fault = WasmRuntime::new(WasmOptions::new(folder.path())).expect_err("anyone may write there");
    assert_eq!(fault.code, Code::DataDirectory);
    assert!(fault.message.contains("chmod go-w"), "{fault}");
}

fn warm(max_instances: u32, max_calls: u32) -> InstancePolicy {
    let some = |number| NonZeroU32::new(number).expect("not zero");
    InstancePolicy::Warm { max_instances: some(max_instances), max_calls: some(max_calls) }
}

#[tokio::test]
async fn a_fresh_instance_remembers_nothing_and_a_kept_one_serves_its_calls() {
    let bench = Bench::new();
    let fresh = bench.hostile(|_| ()).await;
    for _ in 0..3 {
        assert_eq!(fresh.call("count", &[]).await.expect("it counts"), number(1));
    }
    assert_eq!(fresh.revision.warm().await.expect("nothing to do"), 0);

    let kept = bench.hostile(|spec| spec.instances = warm(1, 3)).await;
    for expected in [1, 2, 3, 1, 2] {
        assert_eq!(kept.call("count", &[]).await.expect("it counts"), number(expected));
    }
    assert!(kept.call("trap", &[]).await.is_err());
    assert_eq!(kept.call("count", &[]).await.expect("it counts"), number(1), "a trap ends an instance");
    assert!(kept.call_within("spin", &[], std::time::Duration::from_millis(50)).await.0.is_err());
    assert_eq!(kept.call("count", &[]).await.expect("it counts"), number(1), "so does a deadline");
    assert!(kept.call("fail", &[]).await.is_err());
    assert_eq!(kept.call("count", &[]).await.expect("it counts"), number(2), "an error value does not");
}

#[tokio::test]
async fn instances_can_be_made_ahead_of_calls() {
    let bench = Bench::new();
    let kept = bench.hostile(|spec| spec.instances = warm(3, 100)).await;
    assert_eq!(kept.revision.warm().await.expect("they are made"), 3);
    let (result, observed) = kept.call_within("count", &[], PLENTY).await;
    assert_eq!(result.expect("it counts"), number(1));
    assert!(!observed.instantiated, "there was one");
}

#[tokio::test]
async fn a_call_leaves_nothing_to_the_next_on_a_kept_instance() {
    let bench = Bench::new();
    let kept = bench.hostile(|spec| {
        spec.instances = warm(1, 100);
        spec.limits.log_lines = 3;
        spec.limits.memory = outrigger_contract::units::ByteSize::mib(4);
    });
    let kept = kept.await;
    for _ in 0..2 {
        let (result, observed) = kept.call_within("log", &[number(5)], PLENTY).await;
        result.expect("it goes on");
        assert_eq!(observed.dropped_log_lines, 2, "each call has its own lines");
        assert!(
            kept.call(
                "open",
                &[number(0), common::text("etc/shadow"), number(0), number(1), outrigger_contract::Value::Bool(false)]
            )
            .await
            .is_err()
        );
        // The refusal before is not held against this one.
        assert_eq!(kept.call("fail", &[]).await.expect_err("it fails").code, Code::FunctionFailed);
        kept.call("bomb-kindly", &[]).await.expect("it copes");
        assert_eq!(kept.call("fail", &[]).await.expect_err("it fails").code, Code::FunctionFailed, "nor is the limit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_run_at_once() {
    let bench = Bench::new();
    let plugin = std::sync::Arc::new(bench.hostile(|_| ()).await);
    let calls: Vec<_> = (0..256)
        .map(|_| {
            let plugin = std::sync::Arc::clone(&plugin);
            tokio::spawn(async move { plugin.call("sleep", &[number(300_000_000)]).await })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic").expect("there is room for all");
    }
}
