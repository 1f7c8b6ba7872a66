//! From a core module to a component that says what its functions are for.
//!
//! `wit-component` makes the component and leaves the documentation of the WIT behind, so it is put beside the types in
//! a custom section. That section is [`DOCS_SECTION`] and not `package-docs`, which `wit-parser` writes into binary WIT
//! packages: a decoder takes a section of that name to describe the component's own world, `root`, and refuses
//! the file when it describes the author's package. `wasm-tools`, `jco` and `wkg` would then fail on every plugin.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::{ComponentSection as _, CustomSection, Module, RawSection};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};
use wit_component::ComponentEncoder;
use wit_parser::{PackageMetadata, Resolve};

/// The custom section that carries the documentation of the plugin's WIT: a version byte and JSON, as
/// [`PackageMetadata::encode`] writes them.
pub const DOCS_SECTION: &str = "outrigger:package-docs";

/// Makes a component of what the compiler made. `wit` is the folder with the plugin's own WIT package, whose
/// documentation goes along.
pub fn componentize(module: &[u8], wit: Option<&Path>) -> Result<Vec<u8>> {
    let mut component = match encoding(module)? {
        Encoding::Component => module.to_vec(),
        Encoding::Module => encode(&without_debug_sections(module)?)?,
    };
    if let Some(docs) = wit.map(read_docs).transpose()? {
        let section = CustomSection { name: DOCS_SECTION.into(), data: docs.as_slice().into() };
        section.append_to_component(&mut component);
    }
    Validator::new_with_features(WasmFeatures::default())
        .validate_all(&component)
        .context("the component is not valid WebAssembly")?;
    Ok(component)
}

fn encoding(bytes: &[u8]) -> Result<Encoding> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        Some(Err(error)) => Err(error).context("the compiler's output is not WebAssembly"),
        _ => bail!("the compiler's output is empty"),
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = ComponentEncoder::default().validate(false).module(module)?;
    if imports_preview_1(module)? {
        encoder = encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?;
    }
    encoder.encode()
}

fn imports_preview_1(module: &[u8]) -> Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                if import?.module == WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// The module less what only a debugger reads. Function names stay: they make the trace of a trap readable.
fn without_debug_sections(module: &[u8]) -> Result<Vec<u8>> {
    let mut stripped = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload
            && (section.name().starts_with(".debug_") || section.name().starts_with("reloc."))
        {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            stripped.section(&RawSection { id, data: &module[range] });
        }
    }
    Ok(stripped.finish())
}

fn read_docs(wit: &Path) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).with_context(|| format!("the WIT in {}", wit.display()))?;
    PackageMetadata::extract(&resolve, package).encode()
}
