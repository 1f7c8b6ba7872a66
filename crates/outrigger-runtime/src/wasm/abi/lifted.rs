//! The charge for lifted values. Wasmtime's traits give lifting no access to the call's data, but lifting happens
//! within one poll of the call, on that thread. So the call stores its charge in a thread-local while it is polled.

use std::cell::RefCell;

use outrigger_engine::Charge;

use super::AbiError;

thread_local! {
    static CHARGE: RefCell<Option<Charge>> = const { RefCell::new(None) };
}

/// Runs `work` with a charge in the thread-local. Nested polls of other calls have their own.
pub(in crate::wasm) fn within<T>(charge: &mut Option<Charge>, work: impl FnOnce() -> T) -> T {
    struct Back<'a>(&'a mut Option<Charge>);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            CHARGE.with_borrow_mut(|present| std::mem::swap(present, self.0));
        }
    }
    CHARGE.with_borrow_mut(|present| std::mem::swap(present, charge));
    let _back = Back(charge);
    work()
}

/// Charges bytes that are about to be allocated. Outside a call, as in tests, nothing is charged.
pub(super) fn charge(bytes: usize) -> Result<(), AbiError> {
    CHARGE.with_borrow_mut(|charge| match charge {
        Some(charge) => charge.grow(bytes).map_err(AbiError::Memory),
        None => Ok(()),
    })
}
