//! Work of which little is done at once: a caller has one turn at a time, so that the requests of one caller wait for
//! each other and not in front of those of others. Waiting for a turn takes no thread.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of one kind of work.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    /// Those of callers that have or want one.
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn, over when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _own: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Turns {
    /// This many at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(at_once)), callers: Mutex::default() }
    }

    /// Waits for a turn of this caller.
    pub(crate) async fn begin(&self, caller: &str) -> Turn {
        let own = self.of(caller).acquire_owned().await.expect("it is never closed");
        let place = Arc::clone(&self.all).acquire_owned().await.expect("it is never closed");
        Turn { _own: own, _place: place }
    }

    fn of(&self, caller: &str) -> Arc<Semaphore> {
        let mut callers = self.callers.lock();
        let known = callers.get(caller).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            callers.retain(|_, own| own.strong_count() > 0);
            let own = Arc::new(Semaphore::new(1));
            callers.insert(caller.to_owned(), Arc::downgrade(&own));
            own
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn s24_turns_of_one_caller_do_not_hold_up_those_of_others() {
        let turns = Turns::new(2);
        let first = turns.begin("loud").await;
        let mut more: Vec<_> = (0..10).map(|_| Box::pin(turns.begin("loud"))).collect();
        assert!(more.iter_mut().all(|one| one.now_or_never().is_none()), "it has one at a time");
        let other = turns.begin("quiet").now_or_never().expect("there is a place");
        assert!(turns.begin("third").now_or_never().is_none(), "there are two in all");
        drop((first, other));
        assert!(more[0].as_mut().now_or_never().is_some(), "the next one begins");
        drop(more);
        let _last = turns.begin("fourth").await;
        assert_eq!(turns.callers.lock().len(), 1, "callers without one are forgotten");
    }
}
