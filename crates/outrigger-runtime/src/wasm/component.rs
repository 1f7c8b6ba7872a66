//! Reads a component without running it, and says what keeps it from running.

use std::collections::BTreeSet;
use std::path::Path;

use outrigger_contract::manifest::{InstancePolicy, Limits};
use outrigger_contract::types::wit::{self, ComponentType};
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, Permissions};
use outrigger_engine::runtime::{Inspection, RuntimeFault};
use wasmparser::{Encoding, Parser, Payload, WasmFeatures};

use super::footprint::{self, Footprint};
use super::measure::{self, Measure};
use super::validate::{Problem, validate};

/// Interfaces that are offered, without their versions. Of WASI any 0.2, of ours any 1.
const OFFERED: &[(&str, &[&str])] = &[
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:filesystem", &["types", "preopens"]),
    ("wasi:http", &["types", "outgoing-handler"]),
    ("wasi:io", &["error", "poll", "streams"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:sockets",
        &["network", "instance-network", "tcp", "tcp-create-socket", "udp", "udp-create-socket", "ip-name-lookup"],
    ),
    (OURS, &["logging", "configuration", "state", "calls", "progress", "hooks"]),
];

const OURS: &str = "outrigger:plugin";

/// Reads the bytes of an entry.
///
/// # Errors
/// It cannot be read, or is larger than `max_bytes`.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, RuntimeFault> {
    let io = |error: std::io::Error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { Code::InvalidPackage } else { Code::Io };
        RuntimeFault::new(code, format!("the entry {} cannot be read: {error}", path.display()))
    };
    let size = std::fs::metadata(path).map_err(io)?.len();
    if size > max_bytes {
        let (size, limit) = (ByteSize::bytes(size).rounded(), ByteSize::bytes(max_bytes));
        return Err(RuntimeFault::new(
            Code::PackageTooLarge,
            format!("the component {} is {size}; the limit is {limit}", path.display()),
        ));
    }
    std::fs::read(path).map_err(io)
}

/// Checks a component and reads what it offers and needs.
///
/// # Errors
/// [`Code::InvalidComponent`] with what is wrong and what to do.
pub(super) fn inspect(
    name: &Path,
    wasm: &[u8],
    permissions: &Permissions,
    limits: &Limits,
    instances: InstancePolicy,
) -> Result<Inspection, RuntimeFault> {
    let invalid = |problem: String| RuntimeFault::new(Code::InvalidComponent, format!("{}: {problem}", name.display()));
    check_encoding(wasm).map_err(&invalid)?;
    measure(wasm)
        .map_err(|fault| RuntimeFault { message: format!("{}: {}", name.display(), fault.message), ..fault })?;
    validate(features(), wasm).map_err(|problem| match problem {
        Problem::Expensive => {
            let problem =
                "the component is too large: its types, expanded for each instance, take too long to validate";
            RuntimeFault::new(Code::CompileLimit, format!("{}: {problem}", name.display()))
        }
        Problem::Invalid(error) => invalid(match error.missing_wasm_feature() {
            Some(_) => format!("the component uses a WebAssembly feature that is not supported: {error}"),
            None => format!("the component is damaged or not valid: {error}"),
        }),
    })?;
    let ComponentType { graph, exports, imports, notes } =
        wit::read_component(wasm).map_err(|error| invalid(error.to_string()))?;
    let unknown: Vec<&str> = imports.iter().map(String::as_str).filter(|name| !offered(name)).collect();
    if !unknown.is_empty() {
        return Err(invalid(format!("unsupported import {}; supported are {}", unknown.join(", "), offers())));
    }
    let footprint = footprint::of(wasm).map_err(|error| invalid(error.to_string()))?;
    if let Some(problem) = footprint.problem() {
        return Err(invalid(problem));
    }
    let warnings =
        notes.into_iter().chain(warnings(&imports, permissions)).chain(idle_warning(&footprint, instances)).collect();
    check_fits(&footprint, limits)
        .map_err(|problem| RuntimeFault::new(Code::MemoryLimit, format!("{}: {problem}", name.display())))?;
    Ok(Inspection {
        graph,
        exports: exports.into_iter().collect(),
        imports: imports.into_iter().collect(),
        warnings,
        instance_bytes: footprint.bytes,
    })
}

/// The initial size of an instance must fit its limit, otherwise no call could ever run.
fn check_fits(footprint: &Footprint, limits: &Limits) -> Result<(), String> {
    let Footprint { bytes, initial, .. } = *footprint;
    let needed = bytes.saturating_add(initial);
    match needed > limits.memory.as_u64() {
        true => Err(format!(
            "an instance needs {} at start, for memories, tables and core instances; `[limits] memory` is {}",
            ByteSize::bytes(needed).rounded(),
            limits.memory
        )),
        false => Ok(()),
    }
}

/// A warning if the manifest asks to keep more idle instances than the plugin's share of the pool allows.
fn idle_warning(footprint: &Footprint, instances: InstancePolicy) -> Option<String> {
    let InstancePolicy::Warm { max_instances, .. } = instances else { return None };
    let most = footprint.idle_at_most();
    (u64::from(max_instances.get()) > most).then(|| {
        format!(
            "`[runtime] instances` has `max-instances = {max_instances}`, but at most {most} instances of this \
             component are kept: all plugins share the slots for instances, memories and tables"
        )
    })
}

/// Measures a component, and refuses one that is too large to compile under any limit.
pub(super) fn measure(wasm: &[u8]) -> Result<Measure, RuntimeFault> {
    let measured = Measure::of(wasm).and_then(|measure| measure.within(&measure::ANY).map(|()| measure));
    measured.map_err(|problem| RuntimeFault::new(Code::CompileLimit, format!("the component is too large: {problem}")))
}

fn features() -> WasmFeatures {
    // No tool chain needs them for components without a garbage collector, and validating them can cost more than this
    // pass measures. The engine itself would accept function references: without its garbage collector, they cannot be
    // disabled. But only components that passed this check are installed and compiled.
    let unused = WasmFeatures::GC | WasmFeatures::FUNCTION_REFERENCES | WasmFeatures::EXCEPTIONS;
    WasmFeatures::default().difference(unused) | WasmFeatures::COMPONENT_MODEL
}

/// Says at once what people most often hand over by mistake.
fn check_encoding(wasm: &[u8]) -> Result<(), String> {
    if wasm.is_empty() {
        return Err("the file is empty".to_owned());
    }
    match Parser::new(0).parse_all(wasm).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => Ok(()),
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => {
            Err("this is a core WebAssembly module, not a component; build it with `outrigger dev build`, \
             or make a component of it with `wasm-tools component new`"
                .to_owned())
        }
        _ if wasm.starts_with(b"\0asm") => Err("the file begins like WebAssembly, but is cut short".to_owned()),
        _ if wasm.trim_ascii_start().starts_with(b"(") => {
            Err("this is WebAssembly text; make it binary with `wasm-tools parse`".to_owned())
        }
        _ => Err("this is not a WebAssembly file".to_owned()),
    }
}

/// `wasi:cli/stdout@0.2.6` → (`wasi:cli`, `stdout`, `0.2.6`).
fn split(name: &str) -> Option<(&str, &str, &str)> {
    let (path, version) = name.split_once('@')?;
    let (package, interface) = path.split_once('/')?;
    Some((package, interface, version))
}

fn offered(name: &str) -> bool {
    let Some((package, interface, version)) = split(name) else { return false };
    let wanted = if package == OURS { "1." } else { "0.2." };
    let known = OFFERED.iter().any(|(offered, interfaces)| *offered == package && interfaces.contains(&interface));
    known && version.starts_with(wanted)
}

fn offers() -> String {
    let packages = OFFERED.iter().map(|(package, interfaces)| match *package {
        OURS => format!("{package}/{{{}}}@1.x", interfaces.join(", ")),
        _ => format!("{package}@0.2.x"),
    });
    packages.collect::<Vec<_>>().join(", ")
}

/// Imports that will be refused when they are used, for want of a permission.
///
/// The tool chains import files, the environment and sockets whether or not a program uses them, so only what is
/// never imported by chance is worth a word.
fn warnings(imports: &BTreeSet<String>, permissions: &Permissions) -> Vec<String> {
    let uses = |package: &str, interface: &str| {
        imports.iter().filter_map(|name| split(name)).any(|(p, i, _)| p == package && i == interface)
    };
    let mut warnings = Vec::new();
    if uses("wasi:http", "outgoing-handler") && permissions.http.is_empty() {
        warnings.push(
            "it imports wasi:http/outgoing-handler, but asks for no host; requests will be refused \
             (`[permissions] http = [\"api.example.org:443\"]`)"
                .to_owned(),
        );
    }
    if uses(OURS, "calls") && permissions.plugins.is_empty() {
        warnings.push(
            "it imports outrigger:plugin/calls, but asks for no function of another plugin; calls will be refused \
             (`[permissions] plugins = [\"pricing.quote\"]`)"
                .to_owned(),
        );
    }
    warnings
}
