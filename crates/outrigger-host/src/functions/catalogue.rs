//! The functions of installed plugins. A revision never changes, so its catalogue is built once and cached: to read a
//! thousand manifests and type graphs for each list would take a fifth of a second.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use outrigger_api::{ApiError, ApiResult, FunctionQuery, FunctionSummary};
use outrigger_contract::{Code, Digest};
use outrigger_engine::Engine;
use outrigger_engine::store::RevisionRecord;
use parking_lot::Mutex;

use super::offered;
use crate::convert;

/// Maximum number of words to search for. Each is looked for in the texts of all functions.
const MOST_WORDS: usize = 32;

/// The cached catalogues, by revision.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    kept: Mutex<HashMap<Digest, Arc<[Entry]>>>,
}

/// A function, and the text in which words are looked for.
#[derive(Debug)]
struct Entry {
    summary: FunctionSummary,
    text: String,
}

impl Catalogue {
    /// The functions that a query asks for.
    pub(crate) async fn list(&self, engine: &Engine, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>> {
        if let Some(name) = &query.plugin {
            engine.plugin(name).map_err(convert::error)?;
        }
        let words: Vec<_> = query.text.split_whitespace().map(str::to_lowercase).collect();
        if words.len() > MOST_WORDS {
            let message = format!("the text has {} words to search for; the limit is {MOST_WORDS}", words.len());
            return Err(ApiError::new(Code::InvalidUsage, message).with_hint("search for fewer words"));
        }
        let (plugins, mut found) = (engine.plugins(), Vec::new());
        self.forget_all_but(plugins.iter().map(|(record, _)| record.active));
        for (record, _) in plugins {
            let wanted = query.plugin.as_ref().is_none_or(|name| *name == record.name);
            if !wanted || !(query.all || record.state.is_enabled()) {
                continue;
            }
            let entries = match self.of(engine, &record.active).await {
                // Of all plugins, one that is being removed is none any more.
                Err(error) if error.code == Code::PluginNotFound && query.plugin.is_none() => continue,
                entries => entries?,
            };
            let fitting = entries.iter().filter(|entry| words.iter().all(|word| entry.text.contains(word.as_str())));
            found.extend(fitting.map(|entry| entry.summary.clone()));
        }
        Ok(found)
    }

    async fn of(&self, engine: &Engine, digest: &Digest) -> ApiResult<Arc<[Entry]>> {
        if let Some(entries) = self.kept.lock().get(digest) {
            return Ok(Arc::clone(entries));
        }
        let revision = engine.revision(digest).await.map_err(convert::error)?;
        let entries: Arc<[Entry]> = offered(&revision).into_iter().map(|summary| entry(&revision, summary)).collect();
        self.kept.lock().insert(*digest, Arc::clone(&entries));
        Ok(entries)
    }

    /// Keeps nothing of revisions that are no longer active.
    fn forget_all_but(&self, active: impl Iterator<Item = Digest>) {
        let mut kept = self.kept.lock();
        if !kept.is_empty() {
            let active: HashSet<Digest> = active.collect();
            kept.retain(|digest, _| active.contains(digest));
        }
    }
}

fn entry(revision: &RevisionRecord, summary: FunctionSummary) -> Entry {
    let text = [
        summary.function.to_string(),
        summary.title.clone(),
        summary.summary.clone(),
        summary.tags.join(" "),
        revision.manifest.title.clone(),
        revision.manifest.keywords.join(" "),
    ];
    Entry { text: text.join(" ").to_lowercase(), summary }
}
