//! Large values. Rendering and freeing them takes milliseconds, so that happens in the pool for long computations.

use std::ops::Deref;
use std::sync::Arc;

use outrigger_contract::Value;

use crate::account::Account;

/// Values of more data than this, in bytes, are large.
const LARGE: usize = 64 << 10;

/// Arguments or results.
pub(super) trait Values {
    fn is_large(&self) -> bool;
    fn none() -> Arc<Self>;
}

impl Values for Value {
    fn is_large(&self) -> bool {
        self.is_larger_than(LARGE)
    }

    fn none() -> Arc<Self> {
        Arc::new(Self::Bool(false))
    }
}

impl Values for [Value] {
    fn is_large(&self) -> bool {
        self.iter().any(Values::is_large)
    }

    fn none() -> Arc<Self> {
        Arc::default()
    }
}

/// Values of a call. If they are large, they are freed in the pool, and stay charged to the call until then.
#[derive(Clone, Debug)]
pub(super) struct Held<V: Values + Send + Sync + ?Sized + 'static> {
    values: Arc<V>,
    account: Account,
}

impl<V: Values + Send + Sync + ?Sized> Held<V> {
    pub(super) const fn new(values: Arc<V>, account: Account) -> Self {
        Self { values, account }
    }

    pub(super) const fn account(&self) -> &Account {
        &self.account
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
        if Arc::strong_count(&self.values) == 1 && self.values.is_large() {
            let values = std::mem::replace(&mut self.values, V::none());
            outrigger_compute::discard((values, self.account.clone()));
        }
    }
}
