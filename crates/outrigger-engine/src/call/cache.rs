//! The answer may be known already, or be on its way. Only functions that declare a cache time come here; what
//! makes their answers differ is in the key: the revision's digest, the function, the configuration, the arguments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::Expiry;
use moka::future::Cache;
use outrigger_contract::{Code, Digest, Value};

use super::deadline::Deadline;
use super::permit::Permit;
use super::{Execution, Output, retry};
use crate::error::Failure;
use crate::profile::Stage;
use crate::runtime::Observed;
use crate::store::CacheOutcome;

/// The cache key. It contains the arguments themselves, not a hash: equal keys are equal calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    digest: Digest,
    function: usize,
    configuration: u64,
    arguments: Arc<[Value]>,
}

#[derive(Clone, Debug)]
struct Kept {
    value: Arc<Value>,
    time_to_live: Duration,
}

/// Answers of all plugins, bounded by the bytes in them.
#[derive(Clone, Debug)]
pub(crate) struct AnswerCache {
    kept: Cache<Key, Kept, RandomState>,
}

struct PerFunction;

impl Expiry<Key, Kept> for PerFunction {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.time_to_live)
    }
}

impl AnswerCache {
    pub(crate) fn new(capacity: u64) -> Self {
        let weigh = |key: &Key, kept: &Kept| {
            let in_memory = |value: &Value| size_of::<Value>() + value.heap();
            let bytes = 256 + in_memory(&kept.value) + key.arguments.iter().map(in_memory).sum::<usize>();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let builder = Cache::builder().max_capacity(capacity).weigher(weigh).expire_after(PerFunction);
        // Seeded anew in each process; the default hasher would take as long as the rest of a hit.
        let kept = builder.build_with_hasher(RandomState::default());
        Self { kept }
    }

    /// Forgets everything. Used when a plugin is removed or reloaded: rare, and an answer too many costs one call.
    pub(crate) fn clear(&self) {
        self.kept.invalidate_all();
    }
}

pub(super) async fn answer(
    execution: &Execution<'_>,
    arguments: &Arc<[Value]>,
    deadline: Deadline,
    no_cache: bool,
    early: Option<Permit<'_>>,
) -> Result<Output, Failure> {
    execution.enter(Stage::Cache);
    let slot = execution.target.slot();
    let Some(time_to_live) = slot.cache.filter(|_| !no_cache) else {
        return compute(execution, arguments, deadline, CacheOutcome::Bypass, early).await;
    };
    // Calls that wait for the computing call must not block it.
    drop(early);
    let key = Key {
        digest: execution.target.revision.digest,
        function: execution.target.index,
        configuration: execution.target.revision.configuration.load().number,
        arguments: Arc::clone(arguments),
    };
    let cache = &execution.engine.inner.cache.kept;
    if let Some(kept) = cache.get(&key).await {
        return Ok(known(execution, kept.value, CacheOutcome::Hit));
    }
    if execution.caller.is_within(&execution.target.name.plugin) {
        // The computing call may wait for a permit that this call holds.
        let output = compute(execution, arguments, deadline, CacheOutcome::Miss, None).await?;
        cache.insert(key, Kept { value: Arc::clone(&output.value), time_to_live }).await;
        return Ok(output);
    }
    loop {
        // Set when this very call computes; otherwise it waits for the one that does.
        let mut computed = None;
        let fill = async {
            let output = compute(execution, arguments, deadline, CacheOutcome::Miss, None).await?;
            let kept = Kept { value: Arc::clone(&output.value), time_to_live };
            computed = Some(output);
            execution.enter(Stage::Cache);
            Ok::<_, Failure>(kept)
        };
        // Boxed: it is large, and would make the future of every call as large, which is moved a few times.
        let outcome = Box::pin(cache.try_get_with_by_ref(&key, fill)).await;
        match (outcome, computed) {
            (Ok(_), Some(output)) => return Ok(output),
            (Ok(kept), None) => return Ok(known(execution, kept.value, CacheOutcome::Shared)),
            // The one that computed ran out of its own time or was cancelled. That is not this call's failure.
            (Err(failure), None) if ended_by_its_caller(failure.code) && !deadline.passed() => {}
            (Err(failure), _) => return Err((*failure).clone()),
        }
    }
}

async fn compute(
    execution: &Execution<'_>,
    arguments: &Arc<[Value]>,
    deadline: Deadline,
    cache: CacheOutcome,
    early: Option<Permit<'_>>,
) -> Result<Output, Failure> {
    let observed = Arc::new(Observed::default());
    let (value, attempts) = retry::run(execution, arguments, deadline, &observed, early).await?;
    Ok(Output {
        value,
        target: Arc::clone(execution.target),
        cache,
        attempts,
        observed: Some(observed),
        account: execution.account.clone(),
    })
}

fn known(execution: &Execution<'_>, value: Arc<Value>, cache: CacheOutcome) -> Output {
    Output {
        value,
        target: Arc::clone(execution.target),
        cache,
        attempts: 0,
        observed: None,
        account: execution.account.clone(),
    }
}

const fn ended_by_its_caller(code: Code) -> bool {
    matches!(code, Code::DeadlineExceeded | Code::Cancelled | Code::Busy)
}
