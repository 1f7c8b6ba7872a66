//! `outrigger batch`: many calls from one file, results in its order, one a line.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::StreamExt;
use outrigger_api::{ApiError, ApiResult, CallRequest, CallResponse, Code, FunctionRef, Platform};
use outrigger_contract::units::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tokio_util::task::AbortOnDropHandle;

use super::call::failure_line;
use crate::cli::{BatchArguments, TIMEOUTS};
use crate::context::Context;
use crate::error::{CliError, CliResult, usage};
use crate::input;
use crate::output::{clean, count, duration, green, red, shortened};

/// One call in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    function: FunctionRef,
    #[serde(default)]
    arguments: Map<String, Json>,
    #[serde(default)]
    timeout: Option<Span>,
    #[serde(default, rename = "no-cache")]
    no_cache: bool,
}

/// One line of results.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// The place in the file, counted from 1.
    index: usize,
    function: &'a FunctionRef,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ApiError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

/// The addition of `--details` to a line.
#[derive(Debug, Serialize)]
struct Details<'a> {
    version: &'a str,
    revision: &'a str,
    attempts: u32,
    correlation: &'a str,
}

/// Makes the calls of a file.
///
/// # Errors
/// The file is wrong, or a call failed, which the results then tell.
pub async fn run(context: &Context, arguments: BatchArguments) -> CliResult {
    let BatchArguments { file, parallel, keep_going, details } = arguments;
    // All of the file is understood before anything is done.
    let entries = parse(&file, &input::read_text(&file)?)?;
    let platform = context.platform().await?;
    let parallel = match parallel {
        Some(parallel) => usize::from(parallel),
        None => std::thread::available_parallelism().map_or(2, usize::from),
    };
    let started = Instant::now();
    let progress = context.output.bar(entries.len() as u64);
    let stopped = (!keep_going).then(AtomicBool::default);
    let stopped = stopped.as_ref();
    let calls = entries.clone().into_iter().map(|entry| unless(stopped, call(Arc::clone(platform), entry)));
    let mut results = futures::stream::iter(calls).buffered(parallel).enumerate();
    let mut failure = None;
    let (mut succeeded, mut failed) = (0, 0);
    while let Some((place, result)) = results.next().await {
        let Some(result) = result else { continue };
        let entry = &entries[place];
        progress.say(entry.function.to_string());
        progress.advance();
        progress.aside(|| print(context, place + 1, &entry.function, &result, details))?;
        match result {
            Ok(_) => succeeded += 1,
            Err(error) => {
                failed += 1;
                failure = failure.or(Some(error.code));
            }
        }
    }
    drop((results, progress));
    let left = entries.len() - succeeded - failed;
    let elapsed = duration(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    let left = if left == 0 { String::new() } else { format!(", {left} not made") };
    context.output.remark(&format!(
        "{}: {succeeded} succeeded, {failed} failed{left}, in {elapsed}",
        count(entries.len(), "call")
    ));
    match failure {
        Some(code) => Err(CliError::Reported(code)),
        None => Ok(()),
    }
}

/// The result of a call; none if it was not started because another one had failed. Running calls continue, because the
/// effects of an aborted call are unknown.
async fn unless(
    stopped: Option<&AtomicBool>,
    call: impl Future<Output = ApiResult<CallResponse>>,
) -> Option<ApiResult<CallResponse>> {
    if stopped.is_some_and(|stopped| stopped.load(Ordering::Relaxed)) {
        return None;
    }
    let answer = call.await;
    if let (Some(stopped), Err(_)) = (stopped, &answer) {
        stopped.store(true, Ordering::Relaxed);
    }
    Some(answer)
}

/// A call on a thread of the pool. It is cancelled when its future is dropped.
async fn call(platform: Arc<dyn Platform>, entry: Entry) -> ApiResult<CallResponse> {
    let Entry { function, arguments, timeout, no_cache } = entry;
    let milliseconds = |time: Span| u64::try_from(time.as_duration().as_millis()).unwrap_or(u64::MAX).max(1);
    let request =
        CallRequest { timeout_ms: timeout.map(milliseconds), no_cache, ..CallRequest::new(function, arguments) };
    let task = AbortOnDropHandle::new(tokio::spawn(async move { platform.call(request).await }));
    match task.await {
        Ok(answer) => answer,
        Err(error) => Err(ApiError::new(Code::Internal, format!("internal error: the call panicked: {error}"))),
    }
}

fn print(
    context: &Context,
    index: usize,
    function: &FunctionRef,
    result: &ApiResult<CallResponse>,
    details: bool,
) -> CliResult {
    let response = result.as_ref().ok();
    let line = Line {
        index,
        function,
        ok: result.is_ok(),
        result: response.map(|response| response.result.to_value()),
        error: result.as_ref().err(),
        cache: response.map(|response| response.cache.as_str()),
        duration_us: response.map(|response| response.duration_us),
        details: response.filter(|_| details).map(|response| Details {
            version: &response.version,
            revision: &response.revision,
            attempts: response.attempts,
            correlation: &response.correlation,
        }),
    };
    context.output.print_line(&line, || {
        let (head, tail) = match result {
            Ok(response) => {
                let CallResponse { cache, duration_us, version, correlation, .. } = response;
                let details = if details { format!("  {version}  {correlation}") } else { String::new() };
                let head = format!("ok  {function}  {}  {cache}{details}", duration(*duration_us));
                (head, response.result.as_str().to_owned())
            }
            Err(error) => (format!("failed  {function}"), failure_line(error.code, &error.message)),
        };
        let used = index.to_string().len() + head.chars().count() + 4;
        let head = match head.split_once(' ') {
            Some(("ok", rest)) => format!("{} {rest}", green("ok")),
            Some((failed, rest)) => format!("{} {rest}", red(failed)),
            None => head,
        };
        format!("{index}  {head}  {}", shortened(clean(&tail), used))
    })
}

/// Reads the calls in a file: a JSON array, JSON objects one after another, or YAML.
fn parse(file: &Path, text: &str) -> CliResult<Vec<Entry>> {
    let yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let wrong = |reason: String| {
        let hint = "each call is an object such as `{\"function\": \"pricing.quote\", \"arguments\": {\"quantity\": 3}}`, \
                    with `timeout` and `no-cache` if need be";
        usage(format!("{}: {reason}", file.display()), hint)
    };
    let calls: Vec<Entry> = match text.trim_start().chars().next() {
        None => Err(wrong("there are no calls in it".to_owned())),
        Some('[') if !yaml => serde_json::from_str(text).map_err(|error| wrong(error.to_string())),
        Some('{') if !yaml => json_lines(text).map_err(wrong),
        Some(_) => outrigger_host::yaml::from_str(text).map_err(|error| wrong(error.to_string())),
    }?;
    match calls.iter().filter_map(|call| call.timeout).find(|timeout| !TIMEOUTS.contains(timeout)) {
        None => Ok(calls),
        Some(timeout) => {
            Err(wrong(format!("`timeout` is {timeout}; it must be from {} to {}", TIMEOUTS.start(), TIMEOUTS.end())))
        }
    }
}

/// JSON objects one after another, most often one a line.
fn json_lines(text: &str) -> Result<Vec<Entry>, String> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Json>();
    let mut entries = Vec::new();
    loop {
        let begin = stream.byte_offset();
        let Some(read) = stream.next() else { return Ok(entries) };
        let begin = begin + text[begin..].len() - text[begin..].trim_start().len();
        let line = text[..begin].matches('\n').count() + 1;
        let value = read.map_err(|error| error.to_string())?;
        let number = entries.len() + 1;
        let entry = serde_json::from_value(value).map_err(|error| format!("call {number}, on line {line}: {error}"))?;
        entries.push(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str, expected: Result<usize, &str>) {
        match (parse(Path::new(file), text), expected) {
            (Ok(entries), Ok(number)) => assert_eq!(entries.len(), number, "{text}"),
            (Err(CliError::Api(error)), Err(part)) => assert!(error.message.contains(part), "{}", error.message),
            (read, _) => panic!("{text}: {read:?}"),
        }
    }

    #[test]
    fn calls_in_every_form() {
        check("x.jsonl", "{\"function\": \"a.b\"}\n\n{\"function\": \"a.c\", \"arguments\": {\"n\": 1}}\n", Ok(2));
        check("x.json", "[{\"function\": \"a.b\", \"timeout\": \"10s\", \"no-cache\": true}]", Ok(1));
        check("x.yaml", "- function: a.b\n  arguments:\n    n: 1\n- function: a.c\n", Ok(2));
        check("-", "- function: a.b\n", Ok(1));
    }

    #[test]
    fn a_mistake_is_placed() {
        check("x", "", Err("there are no calls"));
        check("x", "{\"function\": \"a.b\"}\n\n{\"function\": \"ab\"}", Err("call 2, on line 3: `ab` does not name"));
        check("x", "{\"function\": \"a.b\", \"argument\": {}}", Err("unknown field `argument`"));
        check("x", "{\"function\": \"a.b\"}\n{\"function\": ", Err("line 2"));
        check("x.yaml", "- function: ab\n", Err("does not name"));
        check("x.yaml", "- function: a.b\n  timeout: 2d\n", Err("`timeout` is 2d; it must be from 1ms to 1d"));
    }
}
