//! `outrigger functions`: lists, searches and describes.

use outrigger_api::{ApiResult, Code, FunctionDescription, FunctionQuery, FunctionRef, FunctionSummary, PluginName};
use outrigger_contract::types::{Shape, TypeGraph};
use outrigger_contract::units::Span;
use serde_json::json;

use crate::cli::FunctionsArguments;
use crate::context::Context;
use crate::error::{CliResult, usage};
use crate::flags::{described, example};
use crate::output::table::{bullets, cell, fields, indent, section, table, table_or};
use crate::output::{bold, clean, dim};

/// Lists functions, or describes the one that was named.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, arguments: FunctionsArguments) -> CliResult {
    let FunctionsArguments { query, schema, all } = arguments;
    let text = query.join(" ");
    if let Some(description) = describe(context, &text).await? {
        return match schema {
            true => print_schemas(context, &description),
            false => context.output.print(&description, || describe_text(&description)),
        };
    }
    if schema {
        return Err(usage(
            "--schema requires the name of one function",
            "name it: `outrigger functions PLUGIN.FUNCTION --schema`",
        ));
    }
    let platform = context.platform().await?;
    let plugin = match text.parse::<PluginName>() {
        Ok(name) => platform.plugin_list().await?.into_iter().find(|plugin| plugin.name == name),
        Err(_) => None,
    };
    match plugin {
        Some(plugin) => {
            let query = FunctionQuery { plugin: Some(plugin.name), all: true, ..FunctionQuery::default() };
            let functions = platform.function_list(&query).await?;
            context.output.print(&functions, || of_plugin(&functions))
        }
        None => {
            let functions = platform.function_list(&FunctionQuery { text: text.clone(), plugin: None, all }).await?;
            context.output.print(&functions, || list(&functions, &text))
        }
    }
}

/// The description of the function, if exactly one is named. A dotted word that names none is searched for.
async fn describe(context: &Context, text: &str) -> ApiResult<Option<FunctionDescription>> {
    let Ok(function) = text.parse::<FunctionRef>() else { return Ok(None) };
    let platform = context.platform().await?;
    match platform.function_describe(&function).await {
        Ok(description) => Ok(Some(description)),
        Err(error) if matches!(error.code, Code::PluginNotFound | Code::FunctionNotFound) => {
            let query = FunctionQuery { text: text.to_owned(), ..FunctionQuery::default() };
            match platform.function_list(&query).await?.is_empty() {
                // Nothing of that name and nothing like it: the advice of the first error says more.
                true => Err(error),
                false => Ok(None),
            }
        }
        Err(error) => Err(error),
    }
}

fn print_schemas(context: &Context, description: &FunctionDescription) -> CliResult {
    let mut schemas = json!({"arguments": description.arguments_schema, "result": description.result_schema});
    if let Some(error) = &description.error_schema {
        schemas["error"] = error.clone();
    }
    let text = serde_json::to_string_pretty(&schemas).unwrap_or_default();
    context.output.print(&schemas, || text)
}

/// A list as a table.
pub(crate) fn list(functions: &[FunctionSummary], query: &str) -> String {
    let empty = match query {
        "" => "No functions. `outrigger plugin install PATH` installs a plugin.".to_owned(),
        _ => format!("No function has `{}` in its name, title, description or tags.", clean(query)),
    };
    let rows = functions.iter().map(|one| {
        let about = if one.summary.is_empty() { &one.title } else { &one.summary };
        vec![cell(one.function.to_string()), cell(notes(one)), cell(first_sentence(about))]
    });
    table_or(&empty, &["FUNCTION", "KIND", "DESCRIPTION"], rows.collect())
}

fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim_end()
}

/// The kind of function, in a word.
fn notes(function: &FunctionSummary) -> &'static str {
    match (function.read_only, function.destructive, function.idempotent) {
        (true, _, _) => "reads",
        (false, true, _) => "destructive",
        (false, false, true) => "idempotent",
        (false, false, false) => "changes",
    }
}

fn of_plugin(functions: &[FunctionSummary]) -> String {
    let mut text = String::new();
    for one in functions {
        let about = if one.summary.is_empty() { &one.title } else { &one.summary };
        text.push_str(&format!("{}  {}\n", bold(&one.function.to_string()), dim(notes(one))));
        text.push_str(&format!("  {}\n  {}\n\n", clean(about), dim(&clean(&one.signature))));
    }
    if text.is_empty() {
        return "This plugin has no functions.".to_owned();
    }
    text.push_str("`outrigger functions PLUGIN.FUNCTION` shows more about one.");
    text
}

fn describe_text(description: &FunctionDescription) -> String {
    let FunctionDescription { summary, parameters, types, .. } = description;
    let name = summary.function.to_string();
    let mut text = format!("{}  {}\n", bold(&name), clean(&summary.title));
    if !description.description.trim().is_empty() {
        text.push_str(&format!("\n{}\n", clean(description.description.trim())));
    }
    text.push_str(&section("Signature", &clean(&summary.signature)));
    let rows = parameters.iter().map(|one| {
        let required = if one.required { "required" } else { "" };
        vec![cell(&one.name), cell(&one.ty), cell(required), cell(crate::output::one_line(&one.description))]
    });
    if !parameters.is_empty() {
        text.push_str(&section("Parameters", &table(&["NAME", "TYPE", "", "DESCRIPTION"], rows)));
    }
    text.push_str(&section("Types", &named_types(types)));
    text.push_str(&section("Behaviour", &behaviour(description)));
    if let Ok(function) = described(description) {
        text.push_str(&section("Example", &clean(&example::command_line(types, &name, function))));
    }
    text
}

/// The named types, as WIT would write them, with their documentation.
fn named_types(graph: &TypeGraph) -> String {
    let mut text = String::new();
    for named in &graph.types {
        let docs = first_sentence(named.docs.split("\n\n").next().unwrap_or_default()).to_owned();
        let parts = match &named.shape {
            Shape::Record(items) => {
                items.iter().map(|one| part(&one.name, &graph.display(&one.ty), &one.docs)).collect::<Vec<_>>()
            }
            Shape::Variant(cases) => {
                let ty = |ty: &Option<_>| ty.as_ref().map(|ty| graph.display(ty)).unwrap_or_default();
                cases.iter().map(|one| part(&one.name, &ty(&one.ty), &one.docs)).collect()
            }
            Shape::Enum(labels) | Shape::Flags(labels) => {
                labels.iter().map(|one| part(&one.name, "", &one.docs)).collect()
            }
            Shape::Alias(target) => vec![vec![cell("="), cell(graph.display(target)), cell("")]],
        };
        let kind = match &named.shape {
            Shape::Record(_) => "record",
            Shape::Variant(_) => "variant",
            Shape::Enum(_) => "enum",
            Shape::Flags(_) => "flags",
            Shape::Alias(_) => "type",
        };
        let body = table(&["", "", ""], parts);
        // The head of the table is empty here, and only takes a line.
        let body = body.split_once('\n').map_or("", |(_, rows)| rows);
        text.push_str(&format!(
            "{kind} {}  {}\n{}\n",
            bold(&clean(&named.name)),
            dim(&clean(&docs)),
            indent(body, "  ")
        ));
    }
    text
}

fn part(name: &str, ty: &str, docs: &str) -> Vec<comfy_table::Cell> {
    vec![cell(name), cell(ty), cell(crate::output::one_line(docs))]
}

fn behaviour(description: &FunctionDescription) -> String {
    let FunctionDescription {
        summary,
        timeout_ms,
        cache_ms,
        rate_limit,
        estimated_ms,
        requires_auth,
        requires_admin,
        ..
    } = description;
    let mut kinds = Vec::new();
    kinds.extend(summary.read_only.then_some("only reads"));
    kinds.extend(summary.destructive.then_some("may delete or overwrite"));
    kinds.extend(summary.idempotent.then_some("may be repeated"));
    let needs = match (requires_admin, requires_auth) {
        (true, _) => "an administrator",
        (false, true) => "an authenticated caller",
        (false, false) => "",
    };
    let milliseconds = |time: u64| Span::from_millis(time).to_string();
    fields(&[
        ("Kind", kinds.join(", ")),
        ("Timeout", milliseconds(*timeout_ms)),
        ("Cached for", cache_ms.map(milliseconds).unwrap_or_default()),
        ("Rate limit", rate_limit.clone().unwrap_or_default()),
        ("Usually takes", estimated_ms.map(milliseconds).unwrap_or_default()),
        ("Needs", needs.to_owned()),
        ("Tags", summary.tags.join(", ")),
    ])
}

/// The functions of a package, for a look before it is installed.
pub(crate) fn offered(functions: &[FunctionSummary]) -> String {
    bullets(functions.iter().map(|one| match one.summary.as_str() {
        "" => one.signature.clone(),
        summary => format!("{}: {}", one.function.function, first_sentence(summary)),
    }))
}
