//! Several calls in one request. Their results are in memory together before they are sent, so each is counted when it
//! arrives. If one does not fit, its call reports that, and calls that have not started are not made.

use std::borrow::Cow;

use futures::StreamExt as _;
use outrigger_api::{
    ApiError, ApiResult, CallRequest, CallResponse, Code, FunctionRef, JsonObject, JsonText, TreeBound, text,
};
use outrigger_compute::{blocking, discard};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::super::records::checked;
use crate::endpoint::answer::Counted;
use crate::endpoint::budget::Share;
use crate::endpoint::input::{AsText, Input};
use crate::endpoint::problem::{Problem, refused_throughout};
use crate::endpoint::who::{Caller, Who as _};
use crate::endpoint::{NoPath, NoQuery, fault, outflow};
use crate::page::{Milliseconds, Parallel};

/// How many calls one batch may have.
const BATCH: usize = 256;
/// The maximum size of all results of one batch, in bytes.
const LONGEST: u64 = 16 << 20;
/// The size of a response without its result, in bytes: ids, the version, the digest.
const AROUND: u64 = 512;
/// How many times as long a text is if all of its characters are escaped.
const ESCAPED: usize = 6;

/// Several calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    #[serde(deserialize_with = "outrigger_api::object::list_up_to::<_, _, BATCH>")]
    #[schemars(length(min = 1, max = 256))]
    calls: Vec<BatchCall>,
    /// The number of concurrent calls; the default is 8.
    #[serde(default)]
    parallel: Parallel,
}

/// One of several calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BatchCall {
    function: FunctionRef,
    /// An object with a member for each parameter.
    #[serde(default)]
    args: JsonObject,
    /// Instead of the function's own timeout; at most a day.
    #[serde(default)]
    timeout_ms: Option<Milliseconds>,
    /// Ask for a fresh answer.
    #[serde(default)]
    no_cache: bool,
    /// The correlation id to use (a ULID), instead of that of the request.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"))]
    correlation: Option<String>,
    /// Say where the time went.
    #[serde(default)]
    profile: bool,
}

/// The results of several calls.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BatchReport {
    succeeded: u32,
    failed: u32,
    /// In the order of the calls.
    results: Vec<BatchResult>,
}

/// The result of one call, or its problem.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BatchResult {
    Answer(CallResponse),
    Error(Problem),
}

pub async fn batch(caller: Caller, input: Input<NoPath, NoQuery, AsText<Batch>>) -> ApiResult<Counted<BatchReport>> {
    let Batch { calls, parallel } = input.body.0;
    if calls.is_empty() {
        return Err(ApiError::new(Code::InvalidInput, format!("`calls` is empty; it must have 1 to {BATCH} calls")));
    }
    for call in &calls {
        checked(0, call.correlation.as_deref(), None)?;
    }
    let share = caller.app.answers.share(caller.holder()).owned_by(Some(&caller.platform));
    let collected = Mutex::new(Collected { share, bytes: 0, full: None });
    let mut report = BatchReport { succeeded: 0, failed: 0, results: Vec::with_capacity(calls.len()) };
    let running = calls.into_iter().map(|call| outcome(&caller, call, &collected));
    let mut outcomes = futures::stream::iter(running).buffered(parallel.0 as usize);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            BatchResult::Answer(_) => report.succeeded += 1,
            BatchResult::Error(_) => report.failed += 1,
        }
        report.results.push(outcome);
    }
    drop(outcomes);
    refused_throughout(report.results.iter().map(|result| match result {
        BatchResult::Answer(_) => None,
        BatchResult::Error(problem) => Some(problem),
    }))?;
    Ok(Counted(report, Some(collected.into_inner().share)))
}

/// Makes one call, unless the results of others fill the batch already.
async fn outcome(caller: &Caller, call: BatchCall, collected: &Mutex<Collected>) -> BatchResult {
    let BatchCall { function, args, timeout_ms, no_cache, correlation, profile } = call;
    let timeout_ms = timeout_ms.map(|timeout| timeout.0);
    let refusal = collected.lock().refusal(&function);
    let answer = match refusal {
        Some(error) => Err(error),
        None => {
            let request = CallRequest::new(function.clone(), args);
            let request = CallRequest { timeout_ms, no_cache, correlation, profile, ..request };
            caller.platform.call(request).await
        }
    };
    let answer = match answer {
        Ok(answer) => collect(answer, &function, collected).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => BatchResult::Answer(answer),
        Err(error) => BatchResult::Error(collected.lock().problem(error, caller.correlation)),
    }
}

/// Counts a result with the length that it has when it is sent.
async fn collect(
    answer: CallResponse,
    function: &FunctionRef,
    collected: &Mutex<Collected>,
) -> ApiResult<CallResponse> {
    let length = answer.result.as_str().len();
    let counted = collected.lock().grow(length as u64 + AROUND);
    if let Err(reason) = counted {
        discard(answer);
        return Err(unfit(function, &reason));
    }
    let CallResponse { result, .. } = answer;
    let result = match length <= outflow::SHORT {
        true => escaped(result),
        false => {
            let owner = collected.lock().share.turn_owner();
            blocking(&owner, move || escaped(result)).await.map_err(|_| fault())?
        }
    };
    let longer = result.as_str().len().saturating_sub(length);
    let counted = collected.lock().grow(longer as u64);
    if let Err(reason) = counted {
        discard(result);
        return Err(unfit(function, &reason));
    }
    Ok(CallResponse { result, ..answer })
}

/// A result with the escapes that it is sent with.
fn escaped(result: JsonText) -> JsonText {
    match text::json(result.as_str()) {
        // It is still JSON.
        Cow::Owned(text) => JsonText::parse(text).unwrap_or_default(),
        Cow::Borrowed(_) => result,
    }
}

fn unfit(function: &FunctionRef, reason: &str) -> ApiError {
    ApiError::new(Code::OutputLimit, format!("`{function}` was executed, but its result does not fit: {reason}"))
        .with_hint("call functions with large results one at a time")
}

/// The results of a batch that have arrived.
#[derive(Debug)]
struct Collected {
    /// What counts them for the key.
    share: Share,
    bytes: u64,
    /// Why one of them did not fit.
    full: Option<String>,
}

impl Collected {
    /// Counts further bytes, or says why they do not fit.
    fn grow(&mut self, bytes: u64) -> Result<(), String> {
        let grown = match self.bytes + bytes > LONGEST {
            true => Err(format!("the results of one batch are limited to {} MiB", LONGEST >> 20)),
            false => self.share.grow(bytes).map_err(|full| ApiError::from(full).message),
        };
        match &grown {
            Ok(()) => self.bytes += bytes,
            Err(reason) => self.full = Some(reason.clone()),
        }
        grown
    }

    /// The error of a call that is not made.
    fn refusal(&self, function: &FunctionRef) -> Option<ApiError> {
        let reason = self.full.as_ref()?;
        let error = ApiError::new(Code::OutputLimit, format!("`{function}` was not called: {reason}"));
        Some(error.with_hint("send the calls that were not made in another batch"))
    }

    /// The problem of a call. It is always reported; details that do not fit are left out.
    fn problem(&mut self, mut error: ApiError, correlation: Ulid) -> Problem {
        if let Some(detail) = &error.detail {
            let text = detail.to_string();
            let most = TreeBound::of(&text).max(ESCAPED * text.len());
            if self.grow(most as u64).is_err() {
                error.detail = None;
            }
        }
        Problem::new(error, correlation)
    }
}
