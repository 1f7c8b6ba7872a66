//! Completions that know what is installed. A shell asks while somebody types, so any failure just means no candidates.

use std::ffi::OsStr;
use std::future::Future;
use std::sync::Arc;

use clap_complete::engine::{CompletionCandidate, ValueCompleter};
use outrigger_api::{ApiResult, FunctionQuery, Platform};

use crate::cli::GlobalOptions;
use crate::context::Context;
use crate::output::Output;

/// Names of installed plugins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plugins;

/// Names of functions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Functions;

/// The name of a function, as the first of several words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call;

impl ValueCompleter for Plugins {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let candidates = ask(async |platform| {
            let plugins = platform.plugin_list().await?;
            Ok(plugins.into_iter().map(|plugin| candidate(plugin.name.as_str(), &plugin.title)).collect())
        });
        beginning_with(current, candidates)
    }
}

impl ValueCompleter for Functions {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let candidates = ask(async |platform| {
            let functions = platform.function_list(&FunctionQuery::default()).await?;
            Ok(functions.into_iter().map(|one| candidate(&one.function.to_string(), &one.title)).collect())
        });
        beginning_with(current, candidates)
    }
}

impl ValueCompleter for Call {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        Functions.complete(current)
    }

    fn complete_at(&self, index: usize, current: &OsStr) -> Vec<CompletionCandidate> {
        // Behind the function's name stand its flags, which a shell asks for in another way.
        if index == 0 { self.complete(current) } else { Vec::new() }
    }
}

fn candidate(value: &str, help: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(crate::output::one_line(help).into()))
}

fn beginning_with(current: &OsStr, candidates: Vec<CompletionCandidate>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    candidates.into_iter().filter(|one| one.get_value().to_string_lossy().starts_with(&*current)).collect()
}

/// Asks the platform of the data directory that the half-typed command names.
fn ask<F>(question: impl FnOnce(Arc<dyn Platform>) -> F) -> Vec<CompletionCandidate>
where
    F: Future<Output = ApiResult<Vec<CompletionCandidate>>>,
{
    // The words of the command stand behind `--` in the words of this process.
    let words: Vec<_> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let global = GlobalOptions::scan(words.get(1..).unwrap_or_default());
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    runtime.block_on(async {
        let context = Context::new(Output::new(&global), global.data, global.server)
            .trusting(global.ca_certificate)
            .refusing_missing_data();
        let answer = match context.platform().await {
            Ok(platform) => question(Arc::clone(platform)).await,
            Err(error) => Err(error),
        };
        let closed = context.close().await;
        answer.ok().filter(|_| closed.is_ok()).unwrap_or_default()
    })
}
