//! Rendering: values in, files out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use outrigger_contract::manifest::PackagePath;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{PluginName, Template, TemplateValues};

use super::error::TemplateError;
use super::scan::Fault;
use super::{check, language};

/// The placeholders of every template.
pub(super) const STANDARD: [&str; 4] = ["name", "title", "description", "author"];
/// How long the files made from a template may be, all together.
pub(super) const MAX_OUTPUT: usize = 4 << 20;
/// The maximum output of a filter, in bytes: twice the maximum value, because the most expanding filter doubles it.
pub(super) const MAX_TEXT: usize = 16 << 10;
/// The maximum number of steps for rendering all files of a template. A step handles at most one text, so this limits
/// the time for any branch.
pub(super) const MAX_STEPS: u64 = 100_000;
/// The maximum size of all texts that filters take, in bytes: about 0.2 s of filters like `upper`, which take about
/// 10 ns for a byte.
pub(super) const MAX_FILTERED: u64 = 16 << 20;
/// The size that a text counts with besides its length.
const FILTER_BYTES: u64 = 64;

/// The files of a new plugin.
///
/// # Errors
/// A value is given that the template does not know or that does not fit on a line; or the template has an error,
/// because it was never [checked](super::check_template) or was checked by an older version.
pub fn render_template(
    template: &Template,
    values: &TemplateValues,
) -> Result<BTreeMap<PackagePath, String>, TemplateError> {
    render_within(template, values, &mut Left::default())
}

/// Renders the files within the remaining limits, and deducts what it used.
pub(super) fn render_within(
    template: &Template,
    values: &TemplateValues,
    left: &mut Left,
) -> Result<BTreeMap<PackagePath, String>, TemplateError> {
    let context = context(template, values)?;
    let environment = environment(left);
    let mut files = BTreeMap::new();
    for (path, text) in &template.files {
        let rendered = render(&environment, path.as_str(), text, &context, left)?;
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

/// The language that files are written in: the placeholders of Jinja with a few filters, within the remaining limits.
pub(super) fn environment(left: &Left) -> Environment<'static> {
    // Nothing that is built in: what is not listed here, there is not.
    let mut environment = Environment::empty();
    environment.set_syntax(language::syntax());
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut filter = |name, make: fn(&str) -> String| {
        let filtered = Arc::clone(&left.filtered);
        environment.add_filter(name, move |value: Value| bounded(&value, make, &filtered));
    };
    filter("kebab", |text| words(text).join("-"));
    filter("snake", |text| words(text).join("_"));
    filter("pascal", |text| words(text).iter().map(|word| capitalized(word)).collect());
    filter("upper", str::to_uppercase);
    filter("lower", str::to_lowercase);
    filter("toml", quoted);
    filter("json", quoted);
    environment
}

/// Applies a filter, if input and output are within the limit: chained filters would double the text each time. Adds the
/// input to the size of all filtered texts.
fn bounded(value: &Value, make: fn(&str) -> String, filtered: &AtomicU64) -> Result<String, Error> {
    let fault = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let text = match value.kind() {
        ValueKind::String | ValueKind::Bool | ValueKind::Number => value.to_string(),
        ValueKind::Undefined => return Err(ErrorKind::UndefinedError.into()),
        kind => return Err(fault(format!("filters take text, not a {kind}"))),
    };
    let cost = FILTER_BYTES + text.len() as u64;
    if filtered.fetch_add(cost, Ordering::Relaxed) + cost > MAX_FILTERED {
        return Err(fault("the filters take too much text".to_owned()));
    }
    let made = if text.len() <= MAX_TEXT { make(&text) } else { text };
    match made.len() {
        ..=MAX_TEXT => Ok(made),
        length => {
            let (size, limit) = (ByteSize::bytes(length as u64).rounded(), ByteSize::bytes(MAX_TEXT as u64));
            Err(fault(format!("the output of a filter is {size}; the limit is {limit}")))
        }
    }
}

/// The remaining output bytes and steps of one rendering, or of all renderings of a check.
pub(super) struct Left {
    bytes: usize,
    steps: u64,
    /// The size of the texts that filters have taken, which the filters count themselves.
    filtered: Arc<AtomicU64>,
}

impl Default for Left {
    fn default() -> Self {
        Self { bytes: MAX_OUTPUT, steps: MAX_STEPS, filtered: Arc::default() }
    }
}

/// Checks and renders one text within the remaining limits, and deducts what it used.
pub(super) fn render(
    environment: &Environment<'_>,
    path: &str,
    text: &str,
    context: &Value,
    left: &mut Left,
) -> Result<String, TemplateError> {
    let wrong = |error: &Error| Fault::from(error).in_file(path);
    language::read(text).map_err(|fault| fault.in_file(path))?;
    let mut environment = environment.clone();
    environment.set_fuel(Some(left.steps));
    let compiled = environment.template_from_named_str(path, text).map_err(|error| wrong(&error))?;
    let mut output = Bounded { bytes: Vec::new(), left: left.bytes, full: false };
    match compiled.render_captured_to(context.clone(), &mut output) {
        Ok(captured) => {
            left.bytes = output.left;
            left.steps = captured.state().fuel_levels().map_or(0, |(_, steps)| steps);
            Ok(String::from_utf8(output.bytes).expect("texts make a text"))
        }
        Err(_) if output.full => Err(TemplateError::OutputTooLong { max: ByteSize::bytes(MAX_OUTPUT as u64) }),
        Err(error) if error.kind() == ErrorKind::OutOfFuel => {
            Err(TemplateError::TooManySteps { path: path.to_owned(), max: MAX_STEPS })
        }
        Err(_) if left.filtered.load(Ordering::Relaxed) > MAX_FILTERED => {
            Err(TemplateError::TooMuchFiltered { path: path.to_owned(), max: ByteSize::bytes(MAX_FILTERED) })
        }
        Err(error) => Err(wrong(&error)),
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    left: usize,
    /// Whether the output limit was exceeded.
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.left {
            self.full = true;
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
