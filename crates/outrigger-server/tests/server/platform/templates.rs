//! The templates: `rust`, and the one that the team made.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_api::*;
use time::OffsetDateTime;

use super::Seen;

/// `rust` is there, as one that can be changed, so that each route has something to do.
impl Seen {
    fn template(&self, name: &TemplateName) -> ApiResult<(Template, u64)> {
        self.allowed()?;
        let kept = self.state.template.lock().clone().filter(|(template, _)| template.name == *name);
        match kept {
            Some(kept) => Ok(kept),
            None if name.as_str() == "rust" => Ok((template("rust"), 3)),
            None => Err(ApiError::new(Code::NotFound, format!("there is no template `{name}`"))),
        }
    }
}

fn template(name: &str) -> Template {
    Template {
        name: name.parse().unwrap(),
        description: "A function in Rust".to_owned(),
        runtime: "wasm".to_owned(),
        language: "rust".to_owned(),
        variables: Vec::new(),
        files: BTreeMap::from([("plugin.toml".parse().unwrap(), "name = \"{{ name }}\"\n".to_owned())]),
    }
}

fn made(revision: u64) -> TemplateMade {
    let at = OffsetDateTime::UNIX_EPOCH;
    let by = || "local".to_owned();
    TemplateMade { created_at: at, created_by: by(), updated_at: at, updated_by: by(), revision }
}

fn template_info(template: Template, revision: u64) -> TemplateInfo {
    let Template { name, description, runtime, language, variables, files } = template;
    let made = Some(made(revision));
    TemplateInfo { name, description, runtime, language, variables, files, built_in: false, made }
}

#[async_trait]
impl Templates for Seen {
    async fn template_list(&self) -> ApiResult<Vec<TemplateSummary>> {
        self.allowed()?;
        let summary = |name: &str, language: &str| {
            let Template { name, description, runtime, variables, files, .. } = template(name);
            let built_in = language == "rust";
            let made = (!built_in).then(|| made(1));
            let (files, language) = (files.into_keys().collect(), language.to_owned());
            TemplateSummary { name, description, runtime, language, variables, files, size: 1, built_in, made }
        };
        Ok(vec![summary("rust", "rust"), summary("team", "python")])
    }

    async fn template_fetch(&self, name: &TemplateName) -> ApiResult<TemplateInfo> {
        self.template(name).map(|(template, revision)| template_info(template, revision))
    }

    async fn template_create(&self, template: Template) -> ApiResult<TemplateInfo> {
        self.allowed()?;
        if self.template(&template.name).is_ok() {
            return Err(ApiError::new(Code::AlreadyExists, "it is there already"));
        }
        *self.state.template.lock() = Some((template.clone(), 1));
        Ok(template_info(template, 1))
    }

    async fn template_put(&self, template: Template, expected: Option<u64>) -> ApiResult<TemplateInfo> {
        let (_, revision) = self.template(&template.name)?;
        if expected.is_some_and(|expected| expected != revision) {
            return Err(ApiError::new(Code::Conflict, "somebody else was quicker"));
        }
        *self.state.template.lock() = Some((template.clone(), revision + 1));
        Ok(template_info(template, revision + 1))
    }

    async fn template_delete(&self, name: &TemplateName) -> ApiResult<()> {
        self.template(name).map(drop)
    }

    async fn template_render(&self, name: &TemplateName, _: TemplateValues) -> ApiResult<RenderedTemplate> {
        self.template(name).map(|(template, _)| RenderedTemplate { template: template.name, files: template.files })
    }
}
