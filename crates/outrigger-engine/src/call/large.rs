//! Large values. Rendering and freeing them takes milliseconds, so that happens in the pool for long computations.

use std::ops::Deref;
use std::sync::Arc;

use outrigger_contract::Value;

use crate::account::Account;

/// Values of more data than this, in bytes, are large.
const LARGE: usize = 64 << 10;

/// Arguments or results.
pub(super) trait Values {
    /// What is left of a number of bytes after the size of the values; `None` if they are larger.
    fn left_of(&self, bytes: usize) -> Option<usize>;
    fn none() -> Arc<Self>;
}

impl Values for Value {
    fn left_of(&self, bytes: usize) -> Option<usize> {
        self.left_of(bytes)
    }

    fn none() -> Arc<Self> {
        Arc::new(Self::Bool(false))
    }
}

impl Values for [Value] {
    fn left_of(&self, bytes: usize) -> Option<usize> {
        self.iter().try_fold(bytes, |left, value| value.left_of(left))
    }

    fn none() -> Arc<Self> {
        Arc::default()
    }
}

/// Values of a call. If they are large, they are freed in the pool, and stay charged to the call until then.
#[derive(Clone, Debug)]
pub(super) struct Held<V: Values + Send + Sync + ?Sized + 'static> {
    values: Arc<V>,
    /// The account of large values.
    large: Option<Account>,
}

impl<V: Values + Send + Sync + ?Sized> Held<V> {
    /// Values that are charged to this account.
    pub(super) fn new(values: Arc<V>, account: &Account) -> Self {
        // Most calls hold so little altogether that nothing needs to be counted.
        let is_large = account.held() > LARGE as u64 && values.left_of(LARGE).is_none();
        Self { values, large: is_large.then(|| account.clone()) }
    }

    /// The same values, for a holder who is not charged for them.
    pub(super) fn shared(&self) -> Self {
        Self { values: Arc::clone(&self.values), large: self.large.as_ref().map(|_| Account::default()) }
    }

    pub(super) const fn is_large(&self) -> bool {
        self.large.is_some()
    }
}

impl<V: Values + Send + Sync + ?Sized> Deref for Held<V> {
    type Target = Arc<V>;

    fn deref(&self) -> &Arc<V> {
        &self.values
    }
}

impl<V: Values + Send + Sync + ?Sized> Drop for Held<V> {
    fn drop(&mut self) {
        if let Some(account) = self.large.take()
            && Arc::strong_count(&self.values) == 1
        {
            let values = std::mem::replace(&mut self.values, V::none());
            outrigger_compute::discard((values, account));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn s02_values_are_charged_until_they_are_freed() {
        let plugin = Account::all(100 << 20).plugin(100 << 20);
        let held = |count: usize| {
            let values: Arc<[Value]> = [Value::List(vec![Value::Unsigned(1); count])].into();
            let account = plugin.call(100 << 20);
            account.charge(values[0].heap()).expect("there is room").keep();
            Held::new(values, &account)
        };
        drop(held(10));
        assert_eq!(plugin.held(), 0, "small ones are freed at once");
        let large = held(100_000);
        let shared = Arc::clone(&large);
        drop(large);
        assert_eq!(plugin.held(), 0, "shared ones are freed by the last holder");
        drop(shared);
        drop(held(100_000));
        let deadline = Instant::now() + Duration::from_secs(10);
        while plugin.held() > 0 {
            assert!(Instant::now() < deadline, "{} bytes are still charged", plugin.held());
            std::thread::yield_now();
        }
    }
}
