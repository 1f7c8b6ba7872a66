//! Results that are expensive to compute and that any key may request. They are computed one at a time. The latest
//! result is shared for a short time, and an error for a shorter one, so that waiting callers do not repeat failing
//! work one after another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{ApiError, ApiResult, Code};
use tokio::sync::Mutex;

/// How old a result for a key may be.
pub(crate) const RECENT: Duration = Duration::from_secs(10);
/// How old an error may be.
const FAILED: Duration = Duration::from_secs(1);

/// The latest outcomes. Locked while another one is computed.
#[derive(Debug)]
pub(crate) struct Latest<T>(Arc<Mutex<Outcomes<T>>>);

/// Outcomes with the times when they were ready.
#[derive(Debug)]
struct Outcomes<T> {
    result: Option<(Instant, T)>,
    /// The error of the latest work, if it failed. The result before it is kept.
    error: Option<(Instant, ApiError)>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Outcomes { result: None, error: None })))
    }
}

impl<T: Clone> Outcomes<T> {
    /// The outcome that is younger than `age`, preferably the result.
    fn shared(&self, age: Duration, now: Instant) -> Option<ApiResult<T>> {
        let is_within = |at: Instant, age: Duration| now.saturating_duration_since(at) < age;
        match (&self.result, &self.error) {
            (Some((at, result)), _) if is_within(*at, age) => Some(Ok(result.clone())),
            (_, Some((at, error))) if is_within(*at, age.min(FAILED)) => Some(Err(error.clone())),
            _ => None,
        }
    }
}

impl<T: Clone + Send + 'static> Latest<T> {
    /// The latest result if it is younger than `age`, otherwise a new one. Waits while another one is computed; if that
    /// fails, returns its error, unless `age` is zero. The work runs in a task of its own: if the client leaves, it
    /// still ends, and no other work starts beside it.
    pub(crate) async fn get(
        &self,
        age: Duration,
        work: impl Future<Output = ApiResult<T>> + Send + 'static,
    ) -> ApiResult<T> {
        let mut latest = Arc::clone(&self.0).lock_owned().await;
        if let Some(outcome) = latest.shared(age, Instant::now()) {
            return outcome;
        }
        let task = tokio::spawn(async move {
            let outcome = work.await;
            let now = Instant::now();
            match &outcome {
                Ok(result) => *latest = Outcomes { result: Some((now, result.clone())), error: None },
                Err(error) => latest.error = Some((now, error.clone())),
            }
            outcome
        });
        match task.await {
            Ok(outcome) => outcome,
            Err(error) => Err(ApiError::new(Code::Internal, format!("a background task failed: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn s13_expensive_work_runs_once_even_if_its_client_leaves() {
        const LONG: Duration = Duration::from_secs(600);
        let latest = Arc::new(Latest::<u32>::default());
        let (begin, has_begun) = oneshot::channel::<()>();
        let (end, has_ended) = oneshot::channel::<()>();
        let client = tokio::spawn({
            let latest = Arc::clone(&latest);
            async move {
                let work = async move {
                    begin.send(()).expect("the test waits");
                    has_ended.await.expect("the test ends it");
                    Ok(1)
                };
                latest.get(LONG, work).await
            }
        });
        has_begun.await.expect("it runs");
        client.abort();
        assert!(client.await.expect_err("the client left").is_cancelled());

        let others: Vec<_> = (0..10)
            .map(|_| {
                let latest = Arc::clone(&latest);
                tokio::spawn(async move { latest.get(LONG, async { panic!("other work runs beside it") }).await })
            })
            .collect();
        end.send(()).expect("the work waits");
        for other in others {
            assert_eq!(other.await.expect("it gets a result").expect("the work succeeded"), 1);
        }
        assert_eq!(latest.get(Duration::ZERO, async { Ok(2) }).await.expect("it is new"), 2);
        let failing = latest.get(Duration::ZERO, async { Err(ApiError::new(Code::Internal, "no")) });
        failing.await.expect_err("it fails");
        assert_eq!(latest.get(LONG, async { Ok(3) }).await.expect("the result before it is kept"), 2);
    }

    #[tokio::test]
    async fn s13_a_failure_is_shared_by_those_who_wait_for_it() {
        let latest = Arc::new(Latest::<u32>::default());
        let (end, has_ended) = oneshot::channel::<()>();
        let repeated = Arc::new(AtomicUsize::new(0));
        let mut callers = Vec::new();
        let mut has_ended = Some(has_ended);
        for _ in 0..10 {
            let (latest, repeated, has_ended) = (Arc::clone(&latest), Arc::clone(&repeated), has_ended.take());
            let work = async move {
                match has_ended {
                    Some(has_ended) => has_ended.await.expect("the test ends it"),
                    None => {
                        repeated.fetch_add(1, Ordering::Relaxed);
                    }
                }
                ApiResult::<u32>::Err(ApiError::new(Code::Io, "the disk is gone"))
            };
            callers.push(tokio::spawn(async move { latest.get(RECENT, work).await }));
            // So that the first caller is the first to lock.
            tokio::task::yield_now().await;
        }
        let ended = Instant::now();
        end.send(()).expect("the first caller waits");
        for caller in callers {
            let error = caller.await.expect("it ends").expect_err("the work failed");
            assert_eq!(error.message, "the disk is gone");
        }
        // On a machine that is busy for so long, the work may run again.
        assert!(repeated.load(Ordering::Relaxed) == 0 || ended.elapsed() >= FAILED);
        let fresh = latest.get(Duration::ZERO, async { Ok(1) }).await;
        assert_eq!(fresh.expect("callers that accept no age get a new result"), 1);
        assert_eq!(latest.get(RECENT, async { Ok(2) }).await.expect("the error is forgotten"), 1);
    }

    #[test]
    fn s13_an_error_is_shared_for_a_second() {
        let now = Instant::now();
        let after = |milliseconds: u64| now + Duration::from_millis(milliseconds);
        let failed = || Some((after(5_000), ApiError::new(Code::Io, "no")));
        let check = |outcomes: &Outcomes<u32>, age: Duration, at: u64, expected: Option<Result<u32, Code>>| {
            let shared = outcomes.shared(age, after(at)).map(|outcome| outcome.map_err(|error| error.code));
            assert_eq!(shared, expected, "{age:?} {at}");
        };
        let failing = Outcomes { result: None, error: failed() };
        check(&failing, RECENT, 5_999, Some(Err(Code::Io)));
        check(&failing, RECENT, 6_000, None);
        check(&failing, Duration::from_millis(100), 5_099, Some(Err(Code::Io)));
        check(&failing, Duration::from_millis(100), 5_100, None);
        check(&failing, Duration::ZERO, 5_000, None);
        let both = Outcomes { result: Some((now, 1)), error: failed() };
        check(&both, RECENT, 5_500, Some(Ok(1)));
        check(&both, Duration::from_secs(5), 5_500, Some(Err(Code::Io)));
        check(&both, RECENT, 10_000, None);
    }
}
