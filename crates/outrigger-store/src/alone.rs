//! Large reads of the database run one at a time. Of its few connections one is enough for that: who reads little finds
//! another.

use std::sync::Arc;

use outrigger_engine::store::StoreError;
use tokio::sync::Mutex;

/// Room for one that reads a lot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alone(Arc<Mutex<()>>);

impl Alone {
    /// Waits for its turn, and then goes on to its end, also where nobody waits for it any more: the driver does not stop in the
    /// midst of a statement, so the next one would come beside it. Who gives up before its turn is none the less gone.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.0).lock_owned().await;
        let task = tokio::spawn(async move {
            let outcome = work.await;
            drop(turn);
            outcome
        });
        task.await.map_err(|source| StoreError::Database { action, source: Box::new(source) })?
    }

    /// Whether somebody is at it.
    #[cfg(test)]
    pub(crate) fn is_taken(&self) -> bool {
        self.0.try_lock().is_err()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use tokio::sync::oneshot;

    use super::*;

    /// Begins something that takes longer, and gives it up.
    pub(crate) async fn begin_and_drop(work: impl Future) {
        let mut work = pin!(work);
        let is_pending = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await;
        assert!(is_pending, "it is done at once");
    }

    #[tokio::test]
    async fn the_next_one_waits_for_one_that_was_given_up() {
        let alone = Alone::default();
        let (end, ended) = oneshot::channel::<()>();
        let first = async move {
            ended.await.unwrap();
            Ok(())
        };
        begin_and_drop(alone.run("wait", first)).await;
        // This one is given up before its turn, and never has one.
        begin_and_drop(alone.run("wait", std::future::pending::<Result<(), StoreError>>())).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(alone.is_taken());
        end.send(()).unwrap();
        assert_eq!(alone.run("answer", async { Ok(1) }).await.unwrap(), 1);
        assert!(!alone.is_taken());
    }
}
