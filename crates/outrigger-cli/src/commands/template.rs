//! `outrigger template`: what new plugins are made from.

use std::path::Path;

use outrigger_api::{ApiError, Code, PackagePath, TemplateInfo, TemplateName, TemplateSummary};
use outrigger_devkit::read_template;
use serde_json::json;

use super::dev;
use crate::cli::TemplateCommand;
use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, fields, section, table};
use crate::output::{bytes, count, moment, one_line};

/// Runs one of the commands.
///
/// # Errors
/// The platform's, or the folder is not a template.
pub async fn run(context: &Context, command: TemplateCommand) -> CliResult {
    match command {
        TemplateCommand::List => {
            let templates = context.platform().await?.template_list().await?;
            let head = ["NAME", "LANGUAGE", "RUNTIME", "FILES>", "FROM", "DESCRIPTION"];
            context.output.print(&templates, || table(&head, templates.iter().map(row)))
        }
        TemplateCommand::Show { name, file } => show(context, &name, file).await,
        TemplateCommand::Add { folder, replace } => add(context, &folder, replace).await,
        TemplateCommand::Remove { name } => {
            context.platform().await?.template_delete(&name).await?;
            context.output.print(&json!({"name": name, "action": "removed"}), || format!("template {name} removed"))
        }
    }
}

fn row(template: &TemplateSummary) -> Vec<comfy_table::Cell> {
    let TemplateSummary { name, description, runtime, language, variables: _, files, size: _, built_in: _, made } =
        template;
    let from = made.as_ref().map_or_else(|| "built in".to_owned(), |made| made.updated_by.clone());
    vec![
        cell(name.as_str()),
        cell(language),
        cell(runtime),
        cell(files.len().to_string()),
        cell(from),
        cell(one_line(description)),
    ]
}

async fn show(context: &Context, name: &TemplateName, file: Option<PackagePath>) -> CliResult {
    let template = context.platform().await?.template_fetch(name).await?;
    let Some(path) = file else { return context.output.print(&template, || text(&template)) };
    let Some(text) = template.files.get(&path) else {
        let message = format!("the template `{name}` has no file `{path}`");
        return Err(ApiError::new(Code::NotFound, message)
            .with_hint(format!("`outrigger template show {name}` lists them"))
            .into());
    };
    match context.output.format() {
        crate::output::Format::Table => context.output.write_raw(text),
        _ => context.output.print(&json!({"path": path, "text": text}), String::new),
    }
}

fn text(template: &TemplateInfo) -> String {
    let TemplateInfo { name, description, runtime, language, variables, files, built_in: _, made } = template;
    let when = |at, by: &str| format!("{} by {by}", moment(at));
    let mut text = fields(&[
        ("Name", name.to_string()),
        ("Description", description.clone()),
        ("Language", language.clone()),
        ("Runtime", runtime.clone()),
        ("Added", made.as_ref().map_or_else(|| "built in".to_owned(), |made| when(made.created_at, &made.created_by))),
        ("Changed", made.as_ref().map(|made| when(made.updated_at, &made.updated_by)).unwrap_or_default()),
    ]);
    let of_variables = variables.iter().map(|variable| {
        let default = if variable.default.is_empty() { "-" } else { &variable.default };
        vec![cell(&variable.name), cell(default), cell(&variable.description)]
    });
    if !variables.is_empty() {
        text.push_str(&section("Variables", &table(&["NAME", "DEFAULT", "DESCRIPTION"], of_variables)));
    }
    let of_files = files.iter().map(|(path, text)| vec![cell(path.as_str()), cell(bytes(text.len() as u64))]);
    text.push_str(&section("Files", &table(&["PATH", "SIZE>"], of_files)));
    text
}

async fn add(context: &Context, folder: &Path, replace: bool) -> CliResult {
    let template = read_template(folder).map_err(|error| dev::template_failure(&error))?;
    let platform = context.platform().await?;
    let (made, action) = match replace {
        true => (platform.template_put(template, None).await?, "replaced"),
        false => (platform.template_create(template).await?, "added"),
    };
    let files = count(made.files.len(), "file");
    context.output.print(&made, || {
        format!("template {} {action}, {files}; `outrigger dev new NAME --template {}` uses it", made.name, made.name)
    })
}
