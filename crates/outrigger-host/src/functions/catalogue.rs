//! The functions of installed plugins. A revision never changes, so its catalogue is built once and cached: to read a
//! thousand manifests and type graphs for each list would take a fifth of a second.
//!
//! Many plugins with 2,000 documented functions each would fill the memory, so the cache is bounded, and a list copies
//! only the functions of the requested page.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use outrigger_api::{ApiError, ApiResult, FunctionQuery, FunctionSummary};
use outrigger_compute::run;
use outrigger_contract::{Code, Digest};
use outrigger_engine::Engine;
use outrigger_engine::store::RevisionRecord;
use parking_lot::Mutex;

use super::offered;
use crate::convert;

/// The maximum size of the cached catalogues, in bytes.
const MOST_KEPT: usize = 64 << 20;
/// The catalogue of a plugin with more functions than this is made outside the threads that serve requests.
const MANY: usize = 100;
/// The maximum number of words in a search. Each is looked for in each function.
const MOST_WORDS: usize = 20;

/// The cached catalogues, by revision.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    kept: Mutex<HashMap<Digest, Arc<Listed>>>,
}

/// The functions of a revision.
#[derive(Debug)]
struct Listed {
    entries: Vec<Entry>,
    /// The text of the plugin, in which words are looked for. Kept once, because the keywords can be many.
    text: String,
    /// Its size in memory.
    bytes: usize,
}

/// A function, and the text in which words are looked for.
#[derive(Debug)]
struct Entry {
    summary: FunctionSummary,
    text: String,
}

impl Catalogue {
    /// A page of the functions that a query asks for and that are seen, and how many there are in total.
    pub(crate) async fn list(
        &self,
        engine: &Engine,
        query: &FunctionQuery,
        page: Range<usize>,
        seen: impl Fn(&FunctionSummary) -> bool,
    ) -> ApiResult<(Vec<FunctionSummary>, usize)> {
        let words = words(&query.text)?;
        if let Some(name) = &query.plugin {
            engine.plugin(name).map_err(convert::error)?;
        }
        let (plugins, mut found, mut total) = (engine.plugins(), Vec::new(), 0);
        self.forget_all_but(plugins.iter().map(|(record, _)| record.active));
        for (record, _) in plugins {
            let wanted = query.plugin.as_ref().is_none_or(|name| *name == record.name);
            if !wanted || !(query.all || record.state.is_enabled()) {
                continue;
            }
            let listed = match self.of(engine, &record.active).await {
                // Of all plugins, one that is being removed is none any more.
                Err(error) if error.code == Code::PluginNotFound && query.plugin.is_none() => continue,
                listed => listed?,
            };
            for summary in listed.fitting(&words) {
                if !seen(summary) {
                    continue;
                }
                if page.contains(&total) {
                    found.push(summary.clone());
                }
                total += 1;
            }
            // Lets the other tasks of this thread run.
            tokio::task::yield_now().await;
        }
        Ok((found, total))
    }

    async fn of(&self, engine: &Engine, digest: &Digest) -> ApiResult<Arc<Listed>> {
        if let Some(listed) = self.kept.lock().get(digest) {
            return Ok(Arc::clone(listed));
        }
        let revision = engine.revision(digest).await.map_err(convert::error)?;
        let is_large = revision.inspection.graph.functions.len() > MANY;
        let listed = run(is_large, Box::pin(async move { Arc::new(Listed::of(&revision)) })).await;
        keep(&mut self.kept.lock(), *digest, Arc::clone(&listed), MOST_KEPT);
        Ok(listed)
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

/// Keeps a catalogue. If all of them take more than `most` bytes, the largest are dropped first.
fn keep(kept: &mut HashMap<Digest, Arc<Listed>>, digest: Digest, listed: Arc<Listed>, most: usize) {
    kept.insert(digest, listed);
    let mut bytes: usize = kept.values().map(|listed| listed.bytes).sum();
    while bytes > most {
        let largest = kept.iter().max_by_key(|(_, listed)| listed.bytes);
        let Some((digest, size)) = largest.map(|(digest, listed)| (*digest, listed.bytes)) else { return };
        kept.remove(&digest);
        bytes -= size;
    }
}

fn words(text: &str) -> ApiResult<Vec<String>> {
    let words: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
    if words.len() <= MOST_WORDS {
        return Ok(words);
    }
    let message = format!("the search has {} words; the limit is {MOST_WORDS}", words.len());
    Err(ApiError::new(Code::InvalidUsage, message).with_hint("search for fewer words"))
}

impl Listed {
    fn of(revision: &RevisionRecord) -> Self {
        let text = format!("{} {}", revision.manifest.title, revision.manifest.keywords.join(" ")).to_lowercase();
        let entries: Vec<_> = offered(revision).into_iter().map(Entry::of).collect();
        let bytes = size_of::<Self>() + text.len() + entries.iter().map(Entry::bytes).sum::<usize>();
        Self { entries, text, bytes }
    }

    /// The functions in which all words occur.
    fn fitting(&self, words: &[String]) -> impl Iterator<Item = &FunctionSummary> {
        let words: Vec<_> = words.iter().map(String::as_str).filter(|word| !self.text.contains(*word)).collect();
        let fits = move |entry: &&Entry| words.iter().all(|word| entry.text.contains(*word));
        self.entries.iter().filter(fits).map(|entry| &entry.summary)
    }
}

impl Entry {
    fn of(summary: FunctionSummary) -> Self {
        let text = [&summary.function.to_string(), &summary.title, &summary.summary, &summary.tags.join(" ")]
            .map(String::as_str)
            .join(" ")
            .to_lowercase();
        Self { summary, text }
    }

    /// Its size in memory.
    fn bytes(&self) -> usize {
        let FunctionSummary { function, title, summary, signature, tags, .. } = &self.summary;
        let names = function.plugin.as_str().len() + function.function.as_str().len();
        let texts = names + title.len() + summary.len() + signature.len() + self.text.len();
        let tags = tags.iter().map(|tag| size_of::<String>() + tag.len());
        size_of::<Self>() + texts + tags.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(functions: usize, text: &str) -> Listed {
        let entry = |number: usize| {
            Entry::of(FunctionSummary {
                function: format!("demo.f{number}").parse().expect("a name"),
                title: format!("Number {number}"),
                summary: "x".repeat(1_000),
                signature: String::new(),
                tags: Vec::new(),
                read_only: true,
                destructive: false,
                idempotent: true,
            })
        };
        let entries: Vec<_> = (0..functions).map(entry).collect();
        let bytes = entries.iter().map(Entry::bytes).sum();
        Listed { entries, text: text.to_owned(), bytes }
    }

    #[test]
    fn s02_the_largest_catalogues_are_not_kept() {
        let mut kept = HashMap::new();
        let digest = |number: u8| Digest::of(&[number]);
        for (number, functions) in [(0, 3), (1, 200), (2, 3), (3, 100), (4, 3)] {
            keep(&mut kept, digest(number), Arc::new(listed(functions, "")), 100_000);
            assert!(kept.values().map(|listed| listed.bytes).sum::<usize>() <= 100_000);
        }
        let mut left: Vec<_> = (0..5).filter(|number| kept.contains_key(&digest(*number))).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 2, 4]);
    }

    #[test]
    fn words_are_found_in_the_text_of_the_plugin_or_of_the_function() {
        let listed = listed(20, "demo plugin keyword");
        let found = |text: &str| listed.fitting(&words(text).expect("few words")).count();
        assert_eq!((found(""), found("keyword"), found("KEYWORD 19"), found("keyword other")), (20, 20, 1, 0));
    }

    #[test]
    fn s03_a_search_has_few_words() {
        assert!(words(&"a ".repeat(MOST_WORDS)).is_ok());
        assert_eq!(words(&"a ".repeat(MOST_WORDS + 1)).expect_err("too many").code, Code::InvalidUsage);
    }
}
