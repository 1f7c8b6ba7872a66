//! The charge for what is being lifted. The traits of wasmtime give lifting no way to the call's own data, but it happens within
//! one poll of the call, on that thread: so the call puts its charge there while it is polled, and takes it back afterwards.

use std::cell::RefCell;

use outrigger_engine::Charge;

use super::AbiError;

thread_local! {
    static CHARGE: RefCell<Option<Charge>> = const { RefCell::new(None) };
}

/// Runs `work` with a charge in its place. Calls that are polled within it have theirs in turn.
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

/// Charges bytes that are about to be allocated. Outside of a call, as in tests, nobody is charged.
pub(super) fn charge(bytes: usize) -> Result<(), AbiError> {
    CHARGE.with_borrow_mut(|charge| match charge {
        Some(charge) => charge.grow(bytes).map_err(AbiError::Memory),
        None => Ok(()),
    })
}
