//! The checks of a template before it is stored.

use std::collections::BTreeSet;
use std::path::Path;

use outrigger_contract::manifest::FILE_NAME;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Manifest, Template, TemplateValues, TemplateVariable};

use super::error::TemplateError;
use super::language;
use super::render::{Left, STANDARD, context, environment, render, render_within};
use super::scan::Fault;
use crate::package::Gate;
use crate::{PackageError, PackageLimits};

/// Values to try for variables without a default, to check whether the result is a valid manifest.
const STAND_INS: [&str; 3] = ["example", "1", ""];

/// Checks a template as a whole: its words, the paths and lengths of its files, that each file renders, and that the plugins
/// made from it would have a manifest.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_template(template: &Template) -> Result<(), TemplateError> {
    let Template { name: _, description, runtime, language, variables, files: _ } = template;
    let shape = |what: String| Err(TemplateError::Shape { what });
    if description.trim().is_empty() || description.chars().count() > 500 || has_control(description) {
        return shape("needs a description of one line, with at most 500 characters".to_owned());
    }
    for (what, word) in [("runtime", runtime), ("language", language)] {
        if !is_word(word, "+-") {
            return shape(format!("says `{}` for its {what}, which is not a lowercase word", shown(word)));
        }
    }
    check_variables(variables)?;
    check_files(template)?;
    check_names(template)?;
    // Every name is known by now; what is left shows only when it is rendered.
    let mut left = Left::default();
    render_within(template, &sample(), &mut left)?;
    check_manifest(template, &mut left)
}

/// A plugin that could be made from it.
fn sample() -> TemplateValues {
    TemplateValues::new("sample-plugin".parse().expect("a name"))
}

/// The same, with this in the place of what has no default. With nothing in its place, description and author are not said
/// either.
fn sample_with(template: &Template, stand_in: &str) -> TemplateValues {
    let open = without_default(template).map(|name| (name.to_owned(), stand_in.to_owned())).collect();
    let words = (!stand_in.is_empty()).then(|| "Sample".to_owned());
    TemplateValues { description: words.clone(), author: words, variables: open, ..sample() }
}

fn without_default(template: &Template) -> impl Iterator<Item = &str> {
    template.variables.iter().filter(|variable| variable.default.is_empty()).map(|variable| variable.name.as_str())
}

/// That `plugin.toml`, where there is one, becomes a manifest. One that names a variable without a default may need a value of
/// which nothing is known here, such as the address of a host: it passes whatever comes of it.
fn check_manifest(template: &Template, left: &mut Left) -> Result<(), TemplateError> {
    let Some((path, text)) = template.files.iter().find(|(path, _)| path.as_str() == FILE_NAME) else {
        return Ok(());
    };
    let environment = environment(left);
    let mut fault = None;
    for stand_in in STAND_INS {
        let context = context(template, &sample_with(template, stand_in))?;
        let rendered = render(&environment, path.as_str(), text, &context, left)?;
        match Manifest::parse(&rendered) {
            Ok(_) => return Ok(()),
            Err(source) => fault = fault.or(Some(source)),
        }
    }
    let names = language::read(text).map_err(|fault| fault.in_file(path.as_str()))?;
    match fault {
        Some(source) if !without_default(template).any(|open| names.iter().any(|name| name.text == open)) => {
            Err(TemplateError::Manifest { path: path.clone(), source })
        }
        _ => Ok(()),
    }
}

fn check_variables(variables: &[TemplateVariable]) -> Result<(), TemplateError> {
    let shape = |what: String| Err(TemplateError::Shape { what });
    if variables.len() > Template::MAX_VARIABLES {
        return shape(format!("has {} variables; at most {} are kept", variables.len(), Template::MAX_VARIABLES));
    }
    let mut names = BTreeSet::new();
    for TemplateVariable { name, description, default } in variables {
        if !is_word(name, "_") && !name.starts_with('_') || name.len() > 64 {
            return shape(format!("has a variable `{}`; lowercase letters, digits and `_` make a name", shown(name)));
        }
        if STANDARD.contains(&name.as_str()) || matches!(name.as_str(), "true" | "false" | "none" | "loop" | "self") {
            return shape(format!("has a variable `{name}`, which every template has"));
        }
        if !names.insert(name) {
            return shape(format!("has the variable `{name}` twice"));
        }
        if description.chars().count() > 500 {
            return shape(format!("has a variable `{name}` with more than 500 characters of description"));
        }
        value(name, default)?;
    }
    Ok(())
}

fn check_files(template: &Template) -> Result<(), TemplateError> {
    let files = &template.files;
    if files.is_empty() {
        return Err(TemplateError::Empty);
    }
    if files.len() > Template::MAX_FILES {
        return Err(TemplateError::TooManyFiles { count: files.len(), max: Template::MAX_FILES });
    }
    let limits = PackageLimits::default();
    let mut gate = Gate::new(Path::new("template"), &limits, None);
    for (path, text) in files {
        // A path that is also a folder, two that are the same to a file system: refused as in a package.
        gate.file(path.as_str(), text.len() as u64).map_err(|error| match error {
            PackageError::Entry { entry, fault, .. } => TemplateError::Path { path: entry, why: fault.to_string() },
            other => other.into(),
        })?;
        if text.len() > Template::MAX_FILE {
            let (size, max) = (ByteSize::bytes(text.len() as u64), ByteSize::bytes(Template::MAX_FILE as u64));
            return Err(TemplateError::FileTooLong { path: path.clone(), size, max });
        }
    }
    if template.size() > Template::MAX_TOTAL {
        let (size, max) = (ByteSize::bytes(template.size() as u64), ByteSize::bytes(Template::MAX_TOTAL as u64));
        return Err(TemplateError::TooLong { size, max });
    }
    Ok(())
}

/// That every name in every placeholder is known, also behind conditions.
fn check_names(template: &Template) -> Result<(), TemplateError> {
    let known: BTreeSet<&str> =
        STANDARD.into_iter().chain(template.variables.iter().map(|variable| variable.name.as_str())).collect();
    for (path, text) in &template.files {
        let names = language::read(text).map_err(|fault| fault.in_file(path.as_str()))?;
        if let Some(name) = names.iter().find(|name| !known.contains(name.text)) {
            let known = known.iter().copied().collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is not known; there are {known}", name.text);
            return Err(Fault { line: name.line, message }.in_file(path.as_str()));
        }
    }
    Ok(())
}

/// That a text can stand in the place of a placeholder.
pub(super) fn value(name: &str, text: &str) -> Result<(), TemplateError> {
    let why = match text {
        text if has_control(text) => "has a line break or another control character".to_owned(),
        text if text.chars().count() > Template::MAX_VALUE => {
            format!("is too long: at most {} characters", Template::MAX_VALUE)
        }
        _ => return Ok(()),
    };
    Err(TemplateError::Value { name: name.to_owned(), why })
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Lowercase letters and digits and some more, beginning with a letter, at most 64 of them.
fn is_word(text: &str, more: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
}

fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
