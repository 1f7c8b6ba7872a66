//! Large values. Rendering and freeing them takes milliseconds, so that happens in the pool for long computations.

use std::ops::Deref;
use std::sync::Arc;

use outrigger_contract::Value;

use crate::account::Account;

/// Values that hold less than this many bytes of memory are small.
const SMALL: u64 = 64 << 10;
/// Values that take more work than this are large. It takes about a tenth of a millisecond, a few times as long as handing
/// it to the pool.
const LARGE: usize = 256 << 10;
/// The work of checking and freeing a value, if that for four bytes of its text is one.
const VALUE: usize = 64;

/// What is left of an amount of work after that for a value; `None` if it takes more.
fn left_of(value: &Value, work: usize) -> Option<usize> {
    let left = work.checked_sub(VALUE)?;
    match value {
        Value::String(text) => left.checked_sub(text.len() / 4),
        Value::Bytes(bytes) => left.checked_sub(bytes.len() / 4),
        Value::Flags(flags) => left.checked_sub(flags.len()),
        Value::List(items) | Value::Tuple(items) | Value::Record(items) => {
            items.iter().try_fold(left, |left, item| left_of(item, left))
        }
        Value::Option(Some(inner))
        | Value::Variant(_, Some(inner))
        | Value::Result(Ok(Some(inner)) | Err(Some(inner))) => left_of(inner, left),
        _ => Some(left),
    }
}

/// Arguments or results.
pub(super) trait Values {
    /// What is left of an amount of work after that for the values; `None` if they take more.
    fn left_of(&self, work: usize) -> Option<usize>;
    fn none() -> Arc<Self>;
}

impl Values for Value {
    fn left_of(&self, work: usize) -> Option<usize> {
        left_of(self, work)
    }

    fn none() -> Arc<Self> {
        Arc::new(Self::Bool(false))
    }
}

impl Values for [Value] {
    fn left_of(&self, work: usize) -> Option<usize> {
        self.iter().try_fold(work, |left, value| left_of(value, left))
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
        let is_large = account.held() > SMALL && Values::left_of(&*values, LARGE).is_none();
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
    fn many_values_are_large_and_a_long_text_is_not() {
        let is_large = |value: &Value| left_of(value, LARGE).is_none();
        assert!(!is_large(&Value::Bytes(vec![0; 128 << 10].into())));
        assert!(!is_large(&Value::String("x".repeat(512 << 10))));
        assert!(is_large(&Value::String("x".repeat(2 << 20))));
        assert!(!is_large(&Value::List(vec![Value::Bool(true); 4_000])));
        assert!(is_large(&Value::List(vec![Value::Bool(true); 5_000])));
        let nested = Value::Record(vec![Value::Option(Some(Box::new(Value::List(vec![Value::Char('x'); 5_000]))))]);
        assert!(is_large(&nested));
    }

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
