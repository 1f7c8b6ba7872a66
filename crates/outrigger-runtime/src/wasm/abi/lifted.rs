//! The allowance and the charge for a result that is being lifted. Wasmtime's traits give lifting no access to the
//! call's data. Lifting happens within one poll of the call, on that thread, so the call stores them in a thread-local
//! while it is polled and takes them back afterwards. The store's own limit ("hostcall fuel") also applies to the
//! arguments of host functions, which are lifted before they are charged and must not be large.

use std::cell::{Cell, RefCell};

use outrigger_engine::Charge;

use super::AbiError;

/// Results up to this size are not charged.
const SMALL: usize = 4 << 10;
/// Larger ones are charged in steps of this size: charging each value would take as long as lifting it.
const STEP: usize = 64 << 10;

/// The allowance for the result of a call.
#[derive(Debug)]
pub(in crate::wasm) struct Lifted {
    /// The remaining bytes, without those that are covered.
    left: usize,
    /// Bytes that may be allocated before the next charge. While the call is polled, they are in [`COVERED`].
    covered: usize,
    charge: Charge,
}

impl Lifted {
    pub(in crate::wasm) const fn new(allowance: usize, charge: Charge) -> Self {
        Self { left: allowance.saturating_sub(SMALL), covered: SMALL, charge }
    }

    /// Keeps the result charged until the call ends.
    pub(in crate::wasm) fn keep(self) {
        self.charge.keep();
    }
}

thread_local! {
    static LIFTED: RefCell<Option<Lifted>> = const { RefCell::new(None) };
    /// Apart from the rest, because it is used for each value.
    static COVERED: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work` with an allowance in the thread-local. Nested calls have their own.
pub(in crate::wasm) fn within<T>(lifted: &mut Option<Lifted>, work: impl FnOnce() -> T) -> T {
    struct Back<'a>(&'a mut Option<Lifted>);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            swap(self.0);
        }
    }
    swap(lifted);
    let _back = Back(lifted);
    work()
}

/// Exchanges the allowance in the thread-local.
fn swap(lifted: &mut Option<Lifted>) {
    LIFTED.with_borrow_mut(|present| {
        let covered = COVERED.replace(lifted.as_ref().map_or(0, |lifted| lifted.covered));
        if let Some(present) = present {
            present.covered = covered;
        }
        std::mem::swap(present, lifted);
    });
}

/// Takes bytes from the allowance before they are allocated, and charges them. Outside of a call, as in tests, there is
/// neither.
#[inline]
pub(super) fn spend(bytes: usize) -> Result<(), AbiError> {
    match COVERED.get().checked_sub(bytes) {
        Some(covered) => {
            COVERED.set(covered);
            Ok(())
        }
        None => cover(bytes),
    }
}

/// Charges more, and takes bytes from it.
#[cold]
fn cover(bytes: usize) -> Result<(), AbiError> {
    LIFTED.with_borrow_mut(|lifted| {
        let Some(Lifted { left, charge, covered: _ }) = lifted else { return Ok(()) };
        let covered = COVERED.get();
        let more = (bytes - covered).max(STEP.min(*left));
        let rest = left.checked_sub(more).ok_or(AbiError::TooLarge)?;
        charge.grow(more).map_err(AbiError::Memory)?;
        *left = rest;
        COVERED.set(covered + more - bytes);
        Ok(())
    })
}
