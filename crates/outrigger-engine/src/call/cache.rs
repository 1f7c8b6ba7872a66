//! The answer may be known already, or be on its way. Only functions that declare a cache time come here; what
//! makes their answers differ is in the key: the revision's digest, the function, the configuration, the arguments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::Expiry;
use moka::future::Cache;
use outrigger_contract::{Code, Digest, Value};

use super::deadline::Deadline;
use super::large::Held;
use super::permit::Permit;
use super::{Execution, Found, retry};
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

/// Results larger than this, in bytes of memory, are not kept. One of them would evict thousands of others at once.
const LARGEST: usize = 1 << 20;

#[derive(Debug)]
struct Kept {
    /// None if it is too large.
    value: Option<Held<Value>>,
    /// Its size in memory, in bytes.
    bytes: usize,
    time_to_live: Duration,
}

impl Kept {
    /// A result to keep. It is no longer charged to its call, but counts in the cache.
    async fn of(value: &Held<Value>, time_to_live: Duration) -> Arc<Self> {
        let value = value.shared();
        let bytes = match value.is_large() {
            true => {
                let value = value.clone();
                outrigger_compute::run(true, Box::pin(async move { weigh(&value) })).await
            }
            false => weigh(&value),
        };
        Arc::new(Self { value: bytes.map(|_| value), bytes: bytes.unwrap_or_default(), time_to_live })
    }
}

/// The size of a result in memory; none if it is too large.
fn weigh(value: &Value) -> Option<usize> {
    value.left_of(LARGEST)?;
    Some(value.heap()).filter(|bytes| *bytes <= LARGEST)
}

/// Answers of all plugins, bounded by the bytes in them.
#[derive(Clone, Debug)]
pub(crate) struct AnswerCache {
    kept: Cache<Key, Arc<Kept>, RandomState>,
}

struct PerFunction;

impl Expiry<Key, Arc<Kept>> for PerFunction {
    fn expire_after_create(&self, _: &Key, kept: &Arc<Kept>, _: Instant) -> Option<Duration> {
        Some(kept.time_to_live)
    }
}

impl AnswerCache {
    pub(crate) fn new(capacity: u64) -> Self {
        let weigh = |key: &Key, kept: &Arc<Kept>| {
            let in_memory = |value: &Value| size_of::<Value>() + value.heap();
            let bytes = 256 + size_of::<Value>() + kept.bytes + key.arguments.iter().map(in_memory).sum::<usize>();
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
    arguments: &Held<[Value]>,
    deadline: Deadline,
    early: Option<Permit<'_>>,
) -> Result<Found, Failure> {
    execution.enter(Stage::Cache);
    let slot = execution.target.slot();
    // Hashing and comparing large arguments takes too long.
    let Some(time_to_live) = slot.cache.filter(|_| !execution.options.no_cache && !arguments.is_large()) else {
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
        return kept_or_own(execution, arguments, deadline, kept, CacheOutcome::Hit).await;
    }
    // Boxed: it is large, and would make the future of every call as large, which is moved a few times.
    Box::pin(fill(execution, arguments, deadline, &key, time_to_live)).await
}

/// Computes a result that is not kept, and keeps it. Calls with the same key wait for the first of them.
async fn fill(
    execution: &Execution<'_>,
    arguments: &Arc<[Value]>,
    deadline: Deadline,
    key: &Key,
    time_to_live: Duration,
) -> Result<Found, Failure> {
    let cache = &execution.engine.inner.cache.kept;
    if execution.caller.is_within(&execution.target.name.plugin) {
        // The computing call may wait for a permit that this call holds.
        let found = compute(execution, arguments, deadline, CacheOutcome::Miss, None).await?;
        cache.insert(key.clone(), Kept::of(&found.value, time_to_live).await).await;
        return Ok(found);
    }
    loop {
        // Set when this very call computes; otherwise it waits for the one that does.
        let mut computed = None;
        let fill = async {
            let found = compute(execution, arguments, deadline, CacheOutcome::Miss, None).await?;
            let kept = Kept::of(&found.value, time_to_live).await;
            computed = Some(found);
            execution.enter(Stage::Cache);
            Ok::<_, Failure>(kept)
        };
        let outcome = cache.try_get_with_by_ref(key, fill).await;
        match (outcome, computed) {
            (Ok(_), Some(found)) => return Ok(found),
            (Ok(kept), None) => {
                return kept_or_own(execution, arguments, deadline, kept, CacheOutcome::Shared).await;
            }
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
) -> Result<Found, Failure> {
    let observed = Arc::new(Observed::default());
    let (value, attempts) = retry::run(execution, arguments, deadline, &observed, early).await?;
    Ok(Found { value, cache, attempts, observed: Some(observed) })
}

/// Answers with the kept result. If that was too large to be kept, the call computes its own.
async fn kept_or_own(
    execution: &Execution<'_>,
    arguments: &Arc<[Value]>,
    deadline: Deadline,
    kept: Arc<Kept>,
    cache: CacheOutcome,
) -> Result<Found, Failure> {
    let Some(value) = &kept.value else {
        // Boxed: it is large, and rarely needed.
        return Box::pin(compute(execution, arguments, deadline, CacheOutcome::Bypass, None)).await;
    };
    Ok(Found { value: value.shared(), cache, attempts: 0, observed: None })
}

const fn ended_by_its_caller(code: Code) -> bool {
    matches!(code, Code::DeadlineExceeded | Code::Cancelled | Code::Busy)
}
