//! Length limits for names and documentation. Both appear in lists and messages about the plugin.

use wit_parser::{FunctionKind, Resolve, TypeDefKind, WorldItem, WorldKey};

use super::WitError;
use crate::name::shorten;
use crate::text;

/// The maximum length of the name of a function, parameter, type, field, case or interface, in bytes.
pub(super) const LONGEST_NAME: usize = 256;
/// The maximum length of the documentation of one item; longer text is truncated.
const LONGEST_DOCS: usize = 16 << 10;

/// Refuses a component with a longer name.
pub(super) fn check(resolve: &Resolve) -> Result<(), WitError> {
    for package in resolve.packages.iter().map(|(_, package)| package) {
        name(&package.name.to_string())?;
    }
    for (_, world) in &resolve.worlds {
        for (key, item) in world.imports.iter().chain(&world.exports) {
            if let WorldKey::Name(text) = key {
                name(text)?;
            }
            if let WorldItem::Function(function) = item {
                self::function(function)?;
            }
        }
    }
    for (_, interface) in &resolve.interfaces {
        interface.name.iter().try_for_each(|text| name(text))?;
        interface.functions.values().try_for_each(function)?;
    }
    for (_, ty) in &resolve.types {
        ty.name.iter().try_for_each(|text| name(text))?;
        match &ty.kind {
            TypeDefKind::Record(record) => record.fields.iter().try_for_each(|field| name(&field.name))?,
            TypeDefKind::Variant(variant) => variant.cases.iter().try_for_each(|case| name(&case.name))?,
            TypeDefKind::Enum(labels) => labels.cases.iter().try_for_each(|case| name(&case.name))?,
            TypeDefKind::Flags(flags) => flags.flags.iter().try_for_each(|flag| name(&flag.name))?,
            _ => {}
        }
    }
    Ok(())
}

fn function(function: &wit_parser::Function) -> Result<(), WitError> {
    name(&function.name)?;
    let FunctionKind::Freestanding = function.kind else { return Ok(()) };
    function.params.iter().try_for_each(|param| name(&param.name))
}

fn name(text: &str) -> Result<(), WitError> {
    match text.len() {
        0..=LONGEST_NAME => Ok(()),
        length => Err(WitError::LongName { start: shorten(text), length }),
    }
}

/// Truncates documentation.
pub(super) fn docs(text: &str) -> String {
    text::cut(text.trim(), LONGEST_DOCS).into_owned()
}
