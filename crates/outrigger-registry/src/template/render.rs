//! Rendering: values in, files out.

use std::collections::BTreeMap;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};
use outrigger_contract::manifest::PackagePath;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{PluginName, Template, TemplateValues};

use super::check;
use super::error::TemplateError;

/// What every template can name.
pub(super) const STANDARD: [&str; 4] = ["name", "title", "description", "author"];
/// How long the files made from a template may be, all together.
pub(super) const MAX_OUTPUT: usize = 4 << 20;

/// The files of a new plugin.
///
/// # Errors
/// A value is given that the template does not know or that does not fit on a line; or the template is wrong, which one
/// that was [checked](super::check_template) is not.
pub fn render_template(
    template: &Template,
    values: &TemplateValues,
) -> Result<BTreeMap<PackagePath, String>, TemplateError> {
    let context = context(template, values)?;
    let environment = environment();
    let mut left = MAX_OUTPUT;
    let mut files = BTreeMap::new();
    for (path, text) in &template.files {
        let rendered = render(&environment, path.as_str(), text, &context, left)?;
        left -= rendered.len();
        files.insert(path.clone(), rendered);
    }
    Ok(files)
}

/// The values of all names, defaults included.
pub(super) fn context(template: &Template, values: &TemplateValues) -> Result<Value, TemplateError> {
    let TemplateValues { name, title, description, author, variables } = values;
    for (name, value) in variables {
        if !template.variables.iter().any(|variable| variable.name == *name) {
            let known = template.variables.iter().map(|variable| variable.name.clone()).collect();
            return Err(TemplateError::UnknownVariable { name: name.chars().take(80).collect(), known });
        }
        check::value(name, value)?;
    }
    let title = title.clone().unwrap_or_else(|| title_of(name));
    let [description, author] = [description, author].map(|text| text.clone().unwrap_or_default());
    for (what, value) in [("title", &title), ("description", &description), ("author", &author)] {
        check::value(what, value)?;
    }
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for variable in &template.variables {
        let value = variables.get(&variable.name).unwrap_or(&variable.default);
        known.insert(variable.name.clone(), value.clone());
    }
    for (what, value) in STANDARD.into_iter().zip([name.to_string(), title, description, author]) {
        known.insert(what.to_owned(), value);
    }
    Ok(Value::from_pairs(known))
}

/// The language that files are written in: the placeholders of Jinja with a few filters.
pub(super) fn environment() -> Environment<'static> {
    // Nothing that is built in: what is not listed here, there is not.
    let mut environment = Environment::empty();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the usual braces"));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("kebab", |text: String| words(&text).join("-"));
    environment.add_filter("snake", |text: String| words(&text).join("_"));
    environment
        .add_filter("pascal", |text: String| words(&text).iter().map(|word| capitalized(word)).collect::<String>());
    environment.add_filter("upper", |text: String| text.to_uppercase());
    environment.add_filter("lower", |text: String| text.to_lowercase());
    environment.add_filter("toml", |text: String| quoted(&text));
    environment.add_filter("json", |text: String| quoted(&text));
    environment
}

/// Renders one text, to at most so many bytes.
pub(super) fn render(
    environment: &Environment<'_>,
    path: &str,
    text: &str,
    context: &Value,
    most: usize,
) -> Result<String, TemplateError> {
    let wrong = |error: &minijinja::Error| {
        let line = error.line().unwrap_or(1);
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        TemplateError::Text { path: path.to_owned(), line, message }
    };
    let compiled = environment.template_from_named_str(path, text).map_err(|error| wrong(&error))?;
    let mut output = Bounded { bytes: Vec::new(), left: most };
    match compiled.render_captured_to(context.clone(), &mut output) {
        Ok(_) => Ok(String::from_utf8(output.bytes).expect("texts make a text")),
        Err(_) if output.left == 0 => Err(TemplateError::OutputTooLong { max: ByteSize::bytes(MAX_OUTPUT as u64) }),
        Err(error) => Err(wrong(&error)),
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.left {
            self.left = 0;
            return Err(io::Error::other("it is too long"));
        }
        self.left -= bytes.len();
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `disk-report` → `Disk report`.
fn title_of(name: &PluginName) -> String {
    capitalized(&words(name.as_str()).join(" "))
}

/// The words of a name, whatever stands between them.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}

/// A text in quotes, as TOML and JSON both read it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => quoted.push_str(&format!("\\u{:04x}", character as u32)),
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
