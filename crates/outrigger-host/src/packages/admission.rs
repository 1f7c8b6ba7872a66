//! Checks whether a package may be installed.

use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_contract::manifest::UnknownFunction;
use outrigger_contract::{Digest, Manifest, PluginName};
use outrigger_engine::runtime::Inspection;
use serde_json::{Value, json};

/// An approval holds for exactly the package that was shown.
pub(super) fn check_unchanged(digest: &Digest, approved: Option<&str>) -> ApiResult<()> {
    match approved {
        Some(approved) if approved != digest.to_string() => Err(ApiError::new(
            Code::GrantRequired,
            format!("the package changed after its approval: {approved} was approved, it is now {digest}"),
        )),
        _ => Ok(()),
    }
}

/// A package that asks for more than was granted needs the approval of an administrator.
pub(super) fn check_modest(plugin: &PluginName, widened: &[String]) -> ApiResult<()> {
    if widened.is_empty() {
        return Ok(());
    }
    Err(ApiError::new(
        Code::GrantRequired,
        format!("the plugin `{plugin}` requests permission to {}", widened.join("; to ")),
    ))
}

/// Nobody can approve limits above the operator's ceiling.
pub(super) fn check_ceiling(plugin: &PluginName, above_ceiling: &[String]) -> ApiResult<()> {
    if above_ceiling.is_empty() {
        return Ok(());
    }
    let message = format!("the plugin `{plugin}` exceeds the operator's ceiling: {}", above_ceiling.join("; "));
    Err(ApiError::new(Code::AboveCeiling, message))
}

/// Refuses a manifest that names functions which the component does not export.
pub(super) fn check_functions(manifest: &Manifest, inspection: &Inspection) -> ApiResult<()> {
    let unknown = manifest.unknown_functions(&inspection.graph);
    if unknown.is_empty() {
        return Ok(());
    }
    let found = unknown.iter().map(|UnknownFunction { key, message, .. }| format!("`{key}`: {message}"));
    let message = format!("the manifest of `{}`: {}", manifest.name, found.collect::<Vec<_>>().join("; "));
    let hints = match &unknown[..] {
        [one] => one.hint.clone(),
        all => {
            let hints = all.iter().map(|UnknownFunction { key, hint, .. }| format!("`{key}`: {hint}"));
            hints.collect::<Vec<_>>().join("; ")
        }
    };
    let detail = unknown
        .iter()
        .map(|UnknownFunction { key, message, hint }| json!({"key": key, "message": message, "hint": hint}));
    let mut error = ApiError::new(Code::InvalidManifest, message).with_hint(hints);
    error.detail = Some(Value::Array(detail.collect()));
    Err(error)
}
