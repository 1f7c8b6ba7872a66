//! Limits on concurrent examinations of packages. Each package is read and hashed as a whole, and any caller that can
//! see plugins can request it, so one caller has one at a time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of concurrent examinations of all callers.
const AT_ONCE: usize = 2;

/// The examinations in progress.
#[derive(Debug)]
pub(crate) struct Examinations {
    all: Arc<Semaphore>,
    /// Those of callers that have or want one.
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// An examination, over when this is dropped.
#[derive(Debug)]
pub(crate) struct Examination {
    _own: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Default for Examinations {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), callers: Mutex::default() }
    }
}

impl Examinations {
    /// Begins an examination when the caller has no other one, and there are not too many.
    pub(crate) async fn begin(&self, caller: &str) -> Examination {
        let own = self.of(caller).acquire_owned().await.expect("it is never closed");
        let place = Arc::clone(&self.all).acquire_owned().await.expect("it is never closed");
        Examination { _own: own, _place: place }
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
    async fn s24_examinations_of_one_caller_do_not_hold_up_those_of_others() {
        let examinations = Examinations::default();
        let first = examinations.begin("loud").await;
        let mut more: Vec<_> = (0..10).map(|_| Box::pin(examinations.begin("loud"))).collect();
        assert!(more.iter_mut().all(|one| one.now_or_never().is_none()), "it has one at a time");
        let other = examinations.begin("quiet").now_or_never().expect("there is a place");
        assert!(examinations.begin("third").now_or_never().is_none(), "there are two in all");
        drop((first, other));
        assert!(more[0].as_mut().now_or_never().is_some(), "the next one begins");
        drop(more);
        let _last = examinations.begin("fourth").await;
        assert_eq!(examinations.callers.lock().len(), 1, "callers without one are forgotten");
    }
}
