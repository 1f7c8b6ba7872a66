//! Templates for new plugins.

use outrigger_api::{
    ApiError, ApiResult, Code, RenderedTemplate, Template, TemplateInfo, TemplateName, TemplateSummary, TemplateValues,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::endpoint::answer::{Created, Done, Reply, Tagged};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::etag::{self, Demand, ETag};
use crate::page::{Limit, Offset, Page};

const TAG: &str = "Templates";
const FILES: &str = "`files` are paths and texts. Texts can contain the placeholders `{{ name }}`, `{{ title }}`, \
    `{{ description }}`, `{{ author }}` and the `variables`, with the filters `kebab`, `snake`, `pascal`, `upper`, \
    `lower`, `toml` and `json`; `{% if … %}`; and `{% raw %}` around literal text. A template is refused, with file \
    and line, if it does not render, or if its rendered `plugin.toml` is not a valid manifest. At most 200 files, 256 \
    KiB each and 1 MiB in total.";

pub fn routes(api: &mut Api) {
    api.get("/api/v1/plugins/templates", "template_list", list)
        .tag(TAG)
        .summary("List the templates for plugins")
        .describe("Without the contents of their files.")
        .right("template_view");
    api.post("/api/v1/plugins/templates", "template_create", create)
        .tag(TAG)
        .summary("Add a template")
        .describe(FILES)
        .right("template_create")
        .example(example("team"))
        .fails(&[Code::AlreadyExists, Code::InvalidTemplate]);
    api.get("/api/v1/plugins/templates/{template}", "template_fetch", fetch)
        .tag(TAG)
        .summary("Show a template with its files")
        .describe("The ETag is its revision, which counts changes.")
        .right("template_view");
    api.put("/api/v1/plugins/templates/{template}", "template_put", put)
        .tag(TAG)
        .summary("Replace a template")
        .describe("Built-in templates cannot be changed.")
        .right("template_update")
        .example(example("rust"))
        .takes_if_match()
        .fails(&[Code::Conflict, Code::InvalidTemplate]);
    api.delete("/api/v1/plugins/templates/{template}", "template_delete", delete)
        .tag(TAG)
        .summary("Remove a template that is not built in")
        .right("template_delete")
        .fails(&[Code::Conflict]);
    api.post("/api/v1/plugins/templates/{template}/render", "template_render", render)
        .tag(TAG)
        .summary("Render the files of a new plugin from a template")
        .describe("The files are not stored.")
        .right("template_view")
        .example(json!({"name": "disk-report", "title": "Disk report", "author": "Ada"}))
        .fails(&[Code::InvalidTemplate])
        .reads();
}

fn example(name: &str) -> serde_json::Value {
    json!({
        "name": name,
        "description": "What our team begins with",
        "runtime": "wasm",
        "language": "rust",
        "variables": [{"name": "team", "description": "Who looks after it", "default": "operations"}],
        "files": {"README.md": "# {{ title }}\n\nLooked after by {{ team }}.\n"},
    })
}

/// The path of a template.
#[derive(Debug, Deserialize, JsonSchema)]
struct TemplatePath {
    /// Its name.
    template: TemplateName,
}

/// Which templates to list, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TemplateQuery {
    /// Text in the name or description, ignoring case.
    #[serde(default)]
    q: Option<String>,
    /// Only for this runtime, such as `wasm`.
    #[serde(default)]
    runtime: Option<String>,
    /// Only in this language, such as `rust`.
    #[serde(default)]
    language: Option<String>,
    /// Only built-in or only added templates.
    #[serde(default)]
    built_in: Option<bool>,
    /// The field to sort by; a leading `-` reverses the order.
    #[serde(default)]
    sort: Sort,
    /// How many to pass over.
    #[serde(default)]
    offset: Offset,
    /// How many to answer with at most.
    #[serde(default)]
    limit: Limit,
}

/// The field to sort by; a leading `-` reverses the order.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
enum Sort {
    #[default]
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
    #[serde(rename = "updated_at")]
    Updated,
    #[serde(rename = "-updated_at")]
    UpdatedDown,
}

async fn list(caller: Caller, input: Input<NoPath, TemplateQuery, NoBody>) -> ApiResult<Reply<Page<TemplateSummary>>> {
    let TemplateQuery { q, runtime, language, built_in, sort, offset, limit } = input.query;
    let text = q.unwrap_or_default().to_lowercase();
    let mut templates = caller.platform.template_list().await?;
    templates.retain(|template| {
        (template.name.as_str().contains(&text) || template.description.to_lowercase().contains(&text))
            && runtime.as_ref().is_none_or(|runtime| template.runtime == *runtime)
            && language.as_ref().is_none_or(|language| template.language == *language)
            && built_in.is_none_or(|built_in| template.built_in == built_in)
    });
    let updated_at = |template: &TemplateSummary| template.made.as_ref().map(|made| made.updated_at);
    // The sort is stable and the platform lists by name.
    match sort {
        Sort::Name => {}
        Sort::NameDown => templates.reverse(),
        Sort::Updated => templates.sort_by_key(updated_at),
        Sort::UpdatedDown => templates.sort_by_key(|template| std::cmp::Reverse(updated_at(template))),
    }
    Ok(Reply(Page::of(templates, offset, limit)))
}

async fn create(caller: Caller, input: Input<NoPath, NoQuery, Template>) -> ApiResult<Created<TemplateInfo>> {
    let made = caller.platform.template_create(input.body).await?;
    let location = format!("/api/v1/plugins/templates/{}", made.name);
    Ok(Created(made, location))
}

async fn fetch(caller: Caller, input: Input<TemplatePath, NoQuery, NoBody>) -> ApiResult<Tagged<TemplateInfo>> {
    caller.platform.template_fetch(&input.path.template).await.map(tagged)
}

async fn put(caller: Caller, input: Input<TemplatePath, NoQuery, Template>) -> ApiResult<Tagged<TemplateInfo>> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let (name, template) = (input.path.template, input.body);
    if template.name != name {
        let message = format!("the template in the body is called `{}`, not `{name}`", template.name);
        return Err(ApiError::new(Code::InvalidInput, message)
            .with_hint("a template cannot be renamed; remove it and add one with the new name"));
    }
    let expected = match demand {
        Demand::OneOf(_) => {
            let present = caller.platform.template_fetch(&name).await?;
            demand.check(&tag(&present))?;
            Some(present.revision())
        }
        Demand::Nothing | Demand::Something => None,
    };
    let put = caller.platform.template_put(template, expected).await;
    // A built-in one is at 0 and cannot be changed: the ETag is not to blame.
    let depends = expected.is_some_and(|revision| revision > 0);
    put.map(tagged).map_err(|error| if depends { etag::stale(error) } else { error })
}

async fn delete(caller: Caller, input: Input<TemplatePath, NoQuery, NoBody>) -> ApiResult<Done> {
    caller.platform.template_delete(&input.path.template).await.map(|()| Done)
}

async fn render(
    caller: Caller,
    input: Input<TemplatePath, NoQuery, TemplateValues>,
) -> ApiResult<Reply<RenderedTemplate>> {
    caller.platform.template_render(&input.path.template, input.body).await.map(Reply)
}

fn tag(template: &TemplateInfo) -> ETag {
    ETag::new(template.revision().to_string())
}

fn tagged(template: TemplateInfo) -> Tagged<TemplateInfo> {
    let tag = tag(&template);
    Tagged(template, tag)
}
