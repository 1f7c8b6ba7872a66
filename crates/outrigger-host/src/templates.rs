//! Templates: the built-in ones and those that a team keeps, as one list.

use outrigger_api::{ApiError, ApiResult, Code, TemplateInfo, TemplateMade, TemplateSummary};
use outrigger_contract::{Template, TemplateName};
use outrigger_engine::store::{self, TemplateRecord};
use outrigger_engine::{Store, cap};
use outrigger_registry::{TemplateError, built_in_templates};

use crate::convert;

/// All templates, by name.
pub(crate) async fn list(store: &dyn Store) -> ApiResult<Vec<TemplateSummary>> {
    let own = store.template_list().await.map_err(convert::store_error)?;
    let built_in = built_in_templates().iter().map(|template| summary(template.clone()));
    let mut all: Vec<_> = built_in.chain(own.into_iter().map(own_summary)).collect();
    all.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(all)
}

/// Checks that a template, or its new content, fits into the cap. A template counts for the key that last changed it,
/// so no key can enlarge it at the expense of another.
pub(crate) async fn check_room(store: &dyn Store, template: &Template, by: &str) -> ApiResult<()> {
    let others = store.template_list().await.map_err(convert::store_error)?;
    let others = others.iter().filter(|other| other.name != template.name);
    let others = others.map(|other| (cap::key_of(&other.made.updated_by), other.size));
    cap::TEMPLATES.check(cap::key_of(by), others, template.size() as u64).map_err(convert::error)
}

/// Checks or renders a template outside the async workers, in the turn of this owner.
pub(crate) async fn at_work<T: Send + 'static>(
    owner: &str,
    work: impl FnOnce() -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    outrigger_compute::blocking(owner, work)
        .await
        .unwrap_or_else(|panicked| Err(ApiError::new(Code::Internal, panicked.to_string())))
}

/// One template, built in or not.
pub(crate) async fn fetch(store: &dyn Store, name: &TemplateName) -> ApiResult<TemplateInfo> {
    match built_in(name) {
        Some(template) => Ok(info(template.clone(), None)),
        None => own(store, name).await.map(own_info),
    }
}

/// One that a team keeps.
pub(crate) async fn own(store: &dyn Store, name: &TemplateName) -> ApiResult<TemplateRecord> {
    let found = store.template_fetch(name).await.map_err(convert::store_error)?;
    found.ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("there is no template `{name}`"))
            .with_hint("`outrigger template list` lists the templates")
    })
}

pub(crate) fn built_in(name: &TemplateName) -> Option<&'static Template> {
    built_in_templates().iter().find(|template| template.name == *name)
}

/// Refuses to touch a built-in template.
pub(crate) fn refuse_built_in(name: &TemplateName) -> ApiResult<()> {
    match built_in(name) {
        None => Ok(()),
        Some(_) => Err(ApiError::new(Code::Conflict, format!("the template `{name}` is built in"))
            .with_hint("create a template with another name")),
    }
}

pub(crate) fn template_error(error: &TemplateError) -> ApiError {
    ApiError::caused(error.code(), error, error.hint())
}

pub(crate) fn own_info(record: TemplateRecord) -> TemplateInfo {
    let TemplateRecord { template, made } = record;
    info(template, Some(made))
}

fn info(template: Template, made: Option<store::TemplateMade>) -> TemplateInfo {
    let Template { name, description, runtime, language, variables, files } = template;
    let (built_in, made) = (made.is_none(), made.map(made_of));
    TemplateInfo { name, description, runtime, language, variables, files, built_in, made }
}

fn summary(template: Template) -> TemplateSummary {
    let size = template.size() as u64;
    let Template { name, description, runtime, language, variables, files } = template;
    let files = files.into_keys().collect();
    TemplateSummary { name, description, runtime, language, variables, files, size, built_in: true, made: None }
}

fn own_summary(summary: store::TemplateSummary) -> TemplateSummary {
    let store::TemplateSummary { name, description, runtime, language, variables, paths, size, made } = summary;
    let made = Some(made_of(made));
    TemplateSummary { name, description, runtime, language, variables, files: paths, size, built_in: false, made }
}

fn made_of(made: store::TemplateMade) -> TemplateMade {
    let store::TemplateMade { created_at, created_by, updated_at, updated_by, revision } = made;
    TemplateMade { created_at, created_by, updated_at, updated_by, revision }
}
