//! From a function's types to its flags. Each parameter becomes one flag, with its documentation as help, and every
//! value is read and checked by its type, so that an error can name the flag and what would be right.
//!
//! | type | on the command line |
//! |---|---|
//! | `bool` | `--flag`, `--flag=false` |
//! | integers, floats, `char`, `string`, enums | `--flag VALUE`; a string is taken as it is |
//! | flags | `--flag a,b`, or several times |
//! | lists | `--flag` once for each item |
//! | records | `--flag key=value,key=value`, JSON, or `@FILE` with JSON |
//! | variants | the name of a case without a value, JSON, or `@FILE` |
//! | `list<u8>` | `@FILE` with the bytes, or base64 |
//! | tuples, results, lists of lists | JSON, or `@FILE` |
//! | `option<t>` | as `t`, and may be left out |

pub mod example;
pub mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::builder::{BoolValueParser, PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use outrigger_api::{ApiError, Code, FunctionDescription};
use outrigger_contract::types::{Field, Function, Label, Shape, Type, TypeGraph};
use serde_json::{Map, Value as Json};

use crate::cli::Argument;
use crate::error::{CliResult, usage};

/// The heading of the flags in help.
const HEADING: &str = "Parameters";

/// The parameters of one function, as flags.
#[derive(Clone, Debug)]
pub struct Parameters {
    graph: Arc<TypeGraph>,
    /// `plugin.function`.
    name: String,
    params: Vec<Parameter>,
}

/// One parameter with its flag.
#[derive(Clone, Debug)]
struct Parameter {
    field: Field,
    flag: String,
}

impl Parameters {
    /// The parameters of a described function. Flags in `reserved` are taken; a parameter of such a name gets the flag
    /// `--param-NAME`.
    ///
    /// # Errors
    /// The description has no types for its own function.
    pub fn new(description: &FunctionDescription, reserved: &Command) -> Result<Self, ApiError> {
        let function = described(description)?;
        let mut taken: BTreeSet<String> =
            reserved.get_arguments().filter_map(Arg::get_long).map(str::to_owned).collect();
        taken.extend(["help".to_owned(), "version".to_owned()]);
        let params = function
            .params
            .iter()
            .map(|field| {
                let mut flag = flag_name(&field.name);
                while !taken.insert(flag.clone()) {
                    flag = format!("param-{flag}");
                }
                Parameter { field: field.clone(), flag }
            })
            .collect();
        let graph = Arc::new(description.types.clone());
        Ok(Self { graph, name: description.summary.function.to_string(), params })
    }

    /// A command with a flag for each parameter.
    #[must_use]
    pub fn augment(&self, command: Command) -> Command {
        command.args(self.params.iter().map(|param| self.arg(param)))
    }

    fn arg(&self, param: &Parameter) -> Arg {
        let ty = self.heart(&param.field.ty);
        let arg = Arg::new(id(&param.field.name))
            .long(param.flag.clone())
            .help_heading(HEADING)
            .value_name(value_name(&self.graph, self.item(ty).unwrap_or(ty)))
            .allow_negative_numbers(true)
            .action(if self.repeats(ty) { ArgAction::Append } else { ArgAction::Set });
        let arg = match self.help(&param.field) {
            Some(help) => arg.help(help),
            None => arg,
        };
        match (self.graph.resolve(ty), self.shape(ty)) {
            (Type::Bool, _) => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .hide_possible_values(true)
                .value_parser(BoolValueParser::new().map(Json::Bool)),
            (_, Some(Shape::Flags(labels))) => arg.value_delimiter(',').value_parser(possible(labels)),
            (_, Some(Shape::Enum(labels))) => arg.value_parser(possible(labels)),
            (Type::List(item), _) => match self.shape(item) {
                Some(Shape::Enum(labels)) => arg.value_parser(possible(labels)),
                _ => arg.value_parser(self.item_parser(item)),
            },
            _ => arg.value_parser(self.parser(&param.field.ty)),
        }
    }

    /// The type without the option around it. An option of an option keeps both: it can only be written as JSON.
    fn heart<'a>(&'a self, ty: &'a Type) -> &'a Type {
        match self.graph.resolve(ty) {
            Type::Option(inner) if !self.graph.is_optional(inner) => inner,
            _ => ty,
        }
    }

    /// The type of the items of a list.
    fn item<'a>(&'a self, ty: &'a Type) -> Option<&'a Type> {
        match self.graph.resolve(ty) {
            Type::List(item) => Some(item),
            _ => None,
        }
    }

    fn shape(&self, ty: &Type) -> Option<&Shape> {
        match self.graph.resolve(ty) {
            Type::Named(id) => Some(&self.graph.named(*id).shape),
            _ => None,
        }
    }

    fn repeats(&self, ty: &Type) -> bool {
        self.item(ty).is_some() || matches!(self.shape(ty), Some(Shape::Flags(_)))
    }

    fn parser(&self, ty: &Type) -> ValueParser {
        let (graph, ty) = (Arc::clone(&self.graph), ty.clone());
        ValueParser::new(move |text: &str| text::read(&graph, &ty, text))
    }

    /// For one item of a list. Where an item is no array itself, an array stands for all of its items, so that
    /// `--items @items.json` works with a file of one item and with a file of many.
    fn item_parser(&self, item: &Type) -> ValueParser {
        let (graph, item) = (Arc::clone(&self.graph), item.clone());
        ValueParser::new(move |text: &str| text::read_items(&graph, &item, text))
    }

    fn help(&self, field: &Field) -> Option<String> {
        let mut notes = Vec::new();
        let ty = self.heart(&field.ty);
        if let Some(form) = text::form(&self.graph, self.item(ty).unwrap_or(ty)) {
            notes.push(form);
        }
        if self.repeats(ty) {
            notes.push("may be repeated".to_owned());
        }
        if self.is_required(field) {
            notes.push("required".to_owned());
        }
        let docs = field.docs.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let notes = if notes.is_empty() { String::new() } else { format!("[{}]", notes.join("; ")) };
        Some(crate::output::clean(format!("{docs} {notes}").trim())).filter(|help| !help.is_empty())
    }

    /// Whether the parameter must be given as a flag when there is no JSON.
    fn is_required(&self, field: &Field) -> bool {
        !self.graph.is_optional(&field.ty) && self.empty(&field.ty).is_none()
    }

    /// The value of an omitted flag: a switch is off, and a repeatable flag is empty.
    fn empty(&self, ty: &Type) -> Option<Json> {
        match self.graph.resolve(ty) {
            Type::Bool => Some(Json::Bool(false)),
            _ if self.repeats(ty) => Some(Json::Array(Vec::new())),
            _ => None,
        }
    }

    /// The arguments of a call: what is in `base`, over it each `name=value`, and over that the flags.
    ///
    /// # Errors
    /// A name that is not a parameter, a value that is not of its type, or a parameter that is missing.
    pub fn arguments(
        &self,
        base: Option<Map<String, Json>>,
        pairs: &[Argument],
        matches: &ArgMatches,
    ) -> CliResult<Map<String, Json>> {
        let fill = base.is_none();
        let mut arguments = base.unwrap_or_default();
        for pair in pairs {
            let (name, value) = self.pair(pair)?;
            arguments.insert(name, value);
        }
        for Parameter { field, .. } in &self.params {
            if let Some(value) = self.flag_value(field, matches) {
                arguments.insert(field.name.clone(), value);
            }
        }
        let missing: Vec<_> = self.params.iter().filter(|param| !arguments.contains_key(&param.field.name)).collect();
        let mut needed = Vec::new();
        for param in missing {
            match self.empty(&param.field.ty) {
                Some(value) if fill => {
                    arguments.insert(param.field.name.clone(), value);
                }
                _ if self.graph.is_optional(&param.field.ty) => {}
                _ => needed.push(self.shown(param)),
            }
        }
        match needed.is_empty() {
            true => Ok(arguments),
            false => Err(usage(
                format!("`{}` needs {}", self.name, needed.join(", ")),
                format!("`outrigger call {} --help` shows its parameters", self.name),
            )),
        }
    }

    fn shown(&self, param: &Parameter) -> String {
        let ty = self.heart(&param.field.ty);
        match self.graph.resolve(ty) {
            Type::Bool => format!("--{}", param.flag),
            _ => format!("--{} <{}>", param.flag, value_name(&self.graph, self.item(ty).unwrap_or(ty))),
        }
    }

    fn flag_value(&self, field: &Field, matches: &ArgMatches) -> Option<Json> {
        let ty = self.heart(&field.ty);
        let id = id(&field.name);
        if self.item(ty).is_some_and(|item| !matches!(self.shape(item), Some(Shape::Enum(_)))) {
            let given = matches.get_many::<Vec<Json>>(&id)?;
            return Some(Json::Array(given.flatten().cloned().collect()));
        }
        match self.repeats(ty) {
            true => Some(Json::Array(matches.get_many::<Json>(&id)?.cloned().collect())),
            false => matches.get_one::<Json>(&id).cloned(),
        }
    }

    fn pair(&self, pair: &Argument) -> CliResult<(String, Json)> {
        let Argument { name, value } = pair;
        let help = || format!("`outrigger call {} --help` shows its parameters", self.name);
        let Some(param) = self.params.iter().find(|param| param.field.name == *name) else {
            return Err(usage(format!("--arg {name}: `{}` has no parameter `{name}`", self.name), self.nearest(name)));
        };
        let Some(value) = value else {
            return Err(usage(format!("--arg {name} has no value"), format!("write `--arg {name}=VALUE`")));
        };
        let read = text::read(&self.graph, &param.field.ty, value).map_err(|reason| {
            let ty = self.graph.display(&param.field.ty);
            usage(format!("--arg {name}, of type {ty}: {reason}"), help())
        })?;
        Ok((name.clone(), read))
    }

    /// Advice on a name that is not a parameter.
    fn nearest(&self, name: &str) -> String {
        let names = || self.params.iter().map(|param| param.field.name.as_str());
        let near = names().map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
        match near {
            None => "it takes no arguments".to_owned(),
            Some((distance, known)) if distance <= name.len().max(3) / 3 => format!("did you mean `{known}`?"),
            Some(_) => format!("it has {}", names().collect::<Vec<_>>().join(", ")),
        }
    }
}

/// The function that a description is of, in its own types.
///
/// # Errors
/// It is not there, which would be a fault of the platform.
pub fn described(description: &FunctionDescription) -> Result<&Function, ApiError> {
    let name = &description.summary.function;
    match description.types.function(name.function.as_str()) {
        Some((_, function)) => Ok(function),
        None => Err(ApiError::new(Code::Internal, format!("the description of `{name}` has no types"))),
    }
}

/// Ids of flags, apart from those of other options.
fn id(name: &str) -> String {
    format!("parameter {name}")
}

/// A parameter's name as a flag: letters, digits, `-`, `_` and `.`.
fn flag_name(name: &str) -> String {
    let flag: String =
        name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '.') { c } else { '-' }).collect();
    match flag.trim_start_matches('-') {
        "" => "param".to_owned(),
        flag => flag.to_owned(),
    }
}

fn value_name(graph: &TypeGraph, ty: &Type) -> String {
    match graph.resolve(ty) {
        Type::Bytes => "@FILE|BASE64".to_owned(),
        Type::List(_) | Type::Tuple(_) | Type::Result { .. } | Type::Option(_) => "JSON".to_owned(),
        _ => graph.display(ty).to_uppercase(),
    }
}

fn possible(labels: &[Label]) -> ValueParser {
    let values = labels.iter().map(|label| {
        let value = PossibleValue::new(label.name.clone());
        let summary = label.docs.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
        if summary.is_empty() { value } else { value.help(crate::output::clean(&summary)) }
    });
    PossibleValuesParser::new(values).map(Json::String).into()
}
