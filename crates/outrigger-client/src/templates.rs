//! Templates over HTTP.

use async_trait::async_trait;
use outrigger_api::{
    ApiResult, RenderedTemplate, Template, TemplateInfo, TemplateName, TemplateSummary, TemplateValues, Templates,
};

use crate::Client;

const ALL: &str = "api/v1/plugins/templates";

fn one(name: &TemplateName, rest: &str) -> String {
    format!("{ALL}/{name}{rest}")
}

#[async_trait]
impl Templates for Client {
    async fn template_list(&self) -> ApiResult<Vec<TemplateSummary>> {
        self.pages(ALL, &()).await
    }

    async fn template_fetch(&self, name: &TemplateName) -> ApiResult<TemplateInfo> {
        self.get(&one(name, ""), &()).await
    }

    async fn template_create(&self, template: Template) -> ApiResult<TemplateInfo> {
        self.post(ALL, &template).await
    }

    async fn template_put(&self, template: Template, expected: Option<u64>) -> ApiResult<TemplateInfo> {
        self.put(&one(&template.name, ""), &template, expected).await
    }

    async fn template_delete(&self, name: &TemplateName) -> ApiResult<()> {
        self.delete(&one(name, "")).await
    }

    async fn template_render(&self, name: &TemplateName, values: TemplateValues) -> ApiResult<RenderedTemplate> {
        self.post(&one(name, "/render"), &values).await
    }
}
