//! Templates in memory.

use async_trait::async_trait;
use outrigger_contract::TemplateName;
use outrigger_engine::store::{StoreError, TemplateMade, TemplateRecord, TemplateStore, TemplateSummary};

use super::MemoryStore;
use crate::templates as shared;

#[async_trait]
impl TemplateStore for MemoryStore {
    async fn template_list(&self) -> Result<Vec<TemplateSummary>, StoreError> {
        Ok(self.tables.lock().templates.values().map(TemplateRecord::summary).collect())
    }

    async fn template_fetch(&self, name: &TemplateName) -> Result<Option<TemplateRecord>, StoreError> {
        Ok(self.tables.lock().templates.get(name).cloned())
    }

    async fn template_put(&self, record: &TemplateRecord) -> Result<u64, StoreError> {
        let mut tables = self.tables.lock();
        let TemplateRecord { template, made } = record;
        let present = tables.templates.get(&template.name).map_or(0, |present| present.made.revision);
        if present != made.revision {
            return Err(shared::conflict(&template.name));
        }
        let made = TemplateMade { revision: present + 1, ..made.clone() };
        let written = TemplateRecord { template: template.clone(), made };
        tables.templates.insert(template.name.clone(), written);
        Ok(present + 1)
    }

    async fn template_delete(&self, name: &TemplateName) -> Result<bool, StoreError> {
        Ok(self.tables.lock().templates.remove(name).is_some())
    }
}
