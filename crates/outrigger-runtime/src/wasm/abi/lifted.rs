//! The allowance and the charge for a result that is being lifted. The traits of wasmtime give lifting no way to the call's own
//! data, but it happens within one poll of the call, on that thread: so the call puts them there while it is polled, and takes them
//! back afterwards. The store's own allowance ("hostcall fuel") is the same for results and for arguments of host functions, which
//! are lifted before anybody is charged and must not be large.

use std::cell::RefCell;

use outrigger_engine::Charge;

use super::AbiError;

/// What the result of a call may take.
#[derive(Debug)]
pub(in crate::wasm) struct Lifted {
    /// Bytes that may still be allocated.
    pub(in crate::wasm) left: usize,
    pub(in crate::wasm) charge: Charge,
}

thread_local! {
    static LIFTED: RefCell<Option<Lifted>> = const { RefCell::new(None) };
}

/// Runs `work` with an allowance in its place. Calls that are polled within it have theirs in turn.
pub(in crate::wasm) fn within<T>(lifted: &mut Option<Lifted>, work: impl FnOnce() -> T) -> T {
    struct Back<'a>(&'a mut Option<Lifted>);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            LIFTED.with_borrow_mut(|present| std::mem::swap(present, self.0));
        }
    }
    LIFTED.with_borrow_mut(|present| std::mem::swap(present, lifted));
    let _back = Back(lifted);
    work()
}

/// Takes bytes that are about to be allocated from the allowance, and charges them. Outside of a call, as in tests, there is
/// neither.
pub(super) fn spend(bytes: usize) -> Result<(), AbiError> {
    LIFTED.with_borrow_mut(|lifted| {
        let Some(Lifted { left, charge }) = lifted else { return Ok(()) };
        *left = left.checked_sub(bytes).ok_or(AbiError::TooLarge)?;
        charge.grow(bytes).map_err(AbiError::Memory)
    })
}
