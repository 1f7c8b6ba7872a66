//! Templates: seen, made, changed, removed, rendered.

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, Code, RenderedTemplate, Template, TemplateInfo, TemplateName, TemplateSummary, TemplateValues,
    Templates,
};
use outrigger_engine::Store;
use outrigger_engine::access::Right;
use outrigger_engine::store::{StoreError, TemplateMade, TemplateRecord};
use outrigger_registry::{check_template, render_template};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Act, Session, Trace};
use crate::convert;
use crate::templates::{self, at_work, template_error};

#[async_trait]
impl Templates for Session {
    async fn template_list(&self) -> ApiResult<Vec<TemplateSummary>> {
        self.require_some(Right::TEMPLATE_VIEW)?;
        let mut all = templates::list(self.store()).await?;
        all.retain(|template| self.may(Right::TEMPLATE_VIEW, template.name.as_str()));
        Ok(all)
    }

    async fn template_fetch(&self, name: &TemplateName) -> ApiResult<TemplateInfo> {
        self.require(Right::TEMPLATE_VIEW, name.as_str())?;
        templates::fetch(self.store(), name).await
    }

    async fn template_create(&self, template: Template) -> ApiResult<TemplateInfo> {
        let name = template.name.clone();
        let taken = || {
            ApiError::new(Code::AlreadyExists, format!("a template `{name}` already exists"))
                .with_hint("choose another name, or change the existing template")
        };
        let work = async {
            if templates::built_in(&name).is_some() {
                return Err(taken());
            }
            let template = checked(&self.caller().to_string(), template).await?;
            let (now, by) = (OffsetDateTime::now_utc(), self.caller().to_string());
            templates::check_room(self.store(), &template, &by).await?;
            let made =
                TemplateMade { created_at: now, created_by: by.clone(), updated_at: now, updated_by: by, revision: 0 };
            let record = self.written(TemplateRecord { template, made }).await.map_err(|error| match error.code {
                Code::Conflict => taken(),
                _ => error,
            })?;
            let after = Some(trace(&record));
            Ok((templates::own_info(record), Trace { after, ..Trace::default() }))
        };
        self.act(Act::new(Right::TEMPLATE_CREATE, name.as_str()), work).await
    }

    async fn template_put(&self, template: Template, expected: Option<u64>) -> ApiResult<TemplateInfo> {
        let name = template.name.clone();
        let work = async {
            templates::refuse_built_in(&name)?;
            let present = templates::own(self.store(), &name).await?;
            if expected.is_some_and(|expected| expected != present.made.revision) {
                return Err(convert::store_error(StoreError::Conflict { what: format!("the template {name}") }));
            }
            let before = Some(trace(&present));
            let template = checked(&self.caller().to_string(), template).await?;
            let (updated_at, updated_by) = (OffsetDateTime::now_utc(), self.caller().to_string());
            templates::check_room(self.store(), &template, &updated_by).await?;
            let made = TemplateMade { updated_at, updated_by, ..present.made };
            let record = self.written(TemplateRecord { template, made }).await?;
            let after = Some(trace(&record));
            Ok((templates::own_info(record), Trace { before, after, revision: None }))
        };
        self.act(Act::new(Right::TEMPLATE_UPDATE, name.as_str()), work).await
    }

    async fn template_delete(&self, name: &TemplateName) -> ApiResult<()> {
        let work = async {
            templates::refuse_built_in(name)?;
            let store = self.store();
            let before = Some(trace(&templates::own(store, name).await?));
            store.template_delete(name).await.map_err(convert::store_error)?;
            Ok(((), Trace { before, ..Trace::default() }))
        };
        self.act(Act::destroys(Right::TEMPLATE_DELETE, name.as_str()), work).await
    }

    async fn template_render(&self, name: &TemplateName, values: TemplateValues) -> ApiResult<RenderedTemplate> {
        self.require(Right::TEMPLATE_VIEW, name.as_str())?;
        let template = match templates::built_in(name) {
            Some(template) => template.clone(),
            None => templates::own(self.store(), name).await?.template,
        };
        let render = move || render_template(&template, &values).map_err(|error| template_error(&error));
        Ok(RenderedTemplate { template: name.clone(), files: at_work(&self.caller().to_string(), render).await? })
    }
}

impl Session {
    fn store(&self) -> &dyn Store {
        &**self.host.engine.store()
    }

    /// Writes a template over the revision that it carries. Answers with it as it is then.
    async fn written(&self, record: TemplateRecord) -> ApiResult<TemplateRecord> {
        let revision = self.store().template_put(&record).await.map_err(convert::store_error)?;
        let TemplateRecord { template, made } = record;
        Ok(TemplateRecord { template, made: TemplateMade { revision, ..made } })
    }
}

/// A valid template.
async fn checked(owner: &str, template: Template) -> ApiResult<Template> {
    at_work(owner, move || match check_template(&template) {
        Ok(()) => Ok(template),
        Err(error) => Err(template_error(&error)),
    })
    .await
}

/// The audit entry of a template: its fields, and the length of each file.
fn trace(record: &TemplateRecord) -> Value {
    let Template { name: _, description, runtime, language, variables, files } = &record.template;
    let variables: Vec<_> = variables.iter().map(|variable| &variable.name).collect();
    let files: serde_json::Map<_, _> = files.iter().map(|(path, text)| (path.to_string(), text.len().into())).collect();
    json!({
        "revision": record.made.revision, "description": description, "runtime": runtime, "language": language,
        "variables": variables, "files": files,
    })
}
