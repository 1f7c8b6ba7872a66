//! Results that are expensive to compute and that any key may request. They are computed one at a time, and the latest
//! one is shared for a short while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::{ApiError, ApiResult, Code};
use tokio::sync::Mutex;

/// How old a result for a key may be.
pub(crate) const RECENT: Duration = Duration::from_secs(10);

/// The latest result, with the time when it was ready. Locked while another one is computed.
#[derive(Debug)]
pub(crate) struct Latest<T>(Arc<Mutex<Option<(Instant, T)>>>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<T: Clone + Send + 'static> Latest<T> {
    /// The latest result if it is younger than `age`, otherwise a new one. Waits while another one is computed. The work
    /// runs on a task of its own: if the client leaves, it still ends, and no other work starts beside it.
    pub(crate) async fn get(
        &self,
        age: Duration,
        work: impl Future<Output = ApiResult<T>> + Send + 'static,
    ) -> ApiResult<T> {
        let mut latest = Arc::clone(&self.0).lock_owned().await;
        if let Some((at, found)) = &*latest
            && at.elapsed() < age
        {
            return Ok(found.clone());
        }
        let task = tokio::spawn(async move {
            let outcome = work.await;
            if let Ok(found) = &outcome {
                *latest = Some((Instant::now(), found.clone()));
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
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn s13_expensive_work_runs_once_whoever_requests_it_and_leaves() {
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
        assert_eq!(latest.get(LONG, async { Ok(3) }).await.expect("failures are not kept"), 2);
    }
}
