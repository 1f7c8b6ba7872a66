//! Work of which little is done at once: a caller has few turns at a time, so that the requests of one caller wait for
//! each other and not in front of those of others. Waiting for a turn takes no thread.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of one kind of work.
#[derive(Debug)]
pub struct Turns {
    each: usize,
    all: Arc<Semaphore>,
    /// Those of callers that have or want one.
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn, over when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _own: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Turns {
    /// This many at once, of which each caller has one.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self { each: 1, all: Arc::new(Semaphore::new(at_once)), callers: Mutex::default() }
    }

    /// This many at once for each caller, however many callers there are.
    #[must_use]
    pub fn for_each(at_once: usize) -> Self {
        Self { each: at_once, ..Self::new(Semaphore::MAX_PERMITS) }
    }

    /// Waits for a turn of this caller.
    pub async fn begin(&self, caller: &str) -> Turn {
        let own = self.of(caller).acquire_owned().await.expect("it is never closed");
        let place = Arc::clone(&self.all).acquire_owned().await.expect("it is never closed");
        Turn { _own: own, _place: place }
    }

    fn of(&self, caller: &str) -> Arc<Semaphore> {
        let mut callers = self.callers.lock();
        let known = callers.get(caller).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            callers.retain(|_, own| own.strong_count() > 0);
            let own = Arc::new(Semaphore::new(self.each));
            callers.insert(caller.to_owned(), Arc::downgrade(&own));
            own
        })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// The result of a future, if it is ready.
    fn now<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn s24_turns_of_one_caller_do_not_hold_up_those_of_others() {
        let turns = Turns::new(2);
        let first = turns.begin("loud").await;
        let mut more: Vec<_> = (0..10).map(|_| Box::pin(turns.begin("loud"))).collect();
        assert!(more.iter_mut().all(|one| now(one.as_mut()).is_none()), "it has one at a time");
        let other = now(std::pin::pin!(turns.begin("quiet"))).expect("there is a place");
        assert!(now(std::pin::pin!(turns.begin("third"))).is_none(), "there are two in all");
        drop((first, other));
        assert!(now(more[0].as_mut()).is_some(), "the next one begins");
        drop(more);
        let _last = turns.begin("fourth").await;
        assert_eq!(turns.callers.lock().len(), 1, "callers without one are forgotten");
    }

    #[tokio::test]
    async fn s12_each_caller_has_a_few_turns_at_a_time() {
        let turns = Turns::for_each(2);
        let _loud = (turns.begin("loud").await, turns.begin("loud").await);
        assert!(now(std::pin::pin!(turns.begin("loud"))).is_none());
        let _quiet = (turns.begin("quiet").await, turns.begin("quiet").await);
    }
}
