//! Values across the boundary of a component, by the canonical ABI, without the detour of wasmtime's `Val`.
//!
//! A `Val` carries the name of every field and case as a string of its own and a byte list as one enum per byte, which
//! makes 64 KiB of bytes 300 times slower than a typed call. A typed call needs the types when Rust is compiled.
//! So this module stands behind the *typed* call with one pair of Rust types for every signature: [`Arguments`] and
//! [`Answer`] move [`Value`]s straight into and out of linear memory, directed by the types that wasmtime holds of the
//! component itself. A list of bytes is one copy, a record has no names, and what lifting allocates is bounded.
//!
//! It leans on the traits behind wasmtime's own derive macros, which are public for that purpose but not documented.
//! Its tests compare it with wasmtime's `Val` over random types, so that a change there is noticed.

mod lift;
pub(super) mod lifted;
mod lower;

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use outrigger_contract::Value;
use outrigger_engine::Exceeded;
use wasmtime::ValRaw;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};

/// The number of core values that parameters may take before they go through memory.
const MAX_FLAT_PARAMS: usize = 16;

/// The arguments of a call, in order.
#[derive(Debug)]
pub struct Arguments<'a>(pub &'a [Value]);

/// The result of a call: nothing, or one value.
#[derive(Debug)]
pub struct Answer(pub Option<Value>);

/// Why an answer could not be taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AbiError {
    /// It is larger than may be copied out of the component.
    #[error("the result is too large to copy out of the plugin")]
    TooLarge,
    /// The call reached its server memory limit.
    #[error(transparent)]
    Memory(Exceeded),
    /// It breaks the rules of the canonical ABI.
    #[error("{0}")]
    Malformed(String),
    /// The arguments are not of the types that the component declares.
    #[error("argument {0} does not have the type that the component declares")]
    Mismatch(usize),
}

#[expect(unsafe_code, reason = "the trait is unsafe because an implementation vouches for its layout")]
// SAFETY: parameters are lowered by the types that wasmtime hands to `linear_lower_to_flat`, never by what the Rust
// type says, so that they fit each signature. `Lower` is as large as the largest flat parameter list, and all of it is
// written. Every access to linear memory goes through checked slices.
unsafe impl ComponentType for Arguments<'_> {
    type Lower = [ValRaw; MAX_FLAT_PARAMS];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> wasmtime::Result<()> {
        Ok(())
    }
}

#[expect(unsafe_code, reason = "see `ComponentType`")]
// SAFETY: as above.
unsafe impl ComponentNamedList for Arguments<'_> {}

#[expect(unsafe_code, reason = "see `ComponentType`")]
// SAFETY: as above; all slots are initialised.
unsafe impl Lower for Arguments<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> wasmtime::Result<()> {
        let mut slots = [ValRaw::u64(0); MAX_FLAT_PARAMS];
        lower::arguments(cx, ty, self.0, &mut slots)?;
        dst.write(slots);
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: usize,
    ) -> wasmtime::Result<()> {
        wasmtime::bail!("arguments are never stored as a whole")
    }
}

#[expect(unsafe_code, reason = "the trait is unsafe because an implementation vouches for its layout")]
// SAFETY: a result takes at most one core value: itself, or a pointer to it. Which of the two is decided by the
// type that wasmtime hands to `linear_lift_from_flat`. Linear memory is read through checked slices.
unsafe impl ComponentType for Answer {
    type Lower = ValRaw;
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::SCALAR4;

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> wasmtime::Result<()> {
        Ok(())
    }
}

#[expect(unsafe_code, reason = "see `ComponentType`")]
// SAFETY: as above.
unsafe impl ComponentNamedList for Answer {}

#[expect(unsafe_code, reason = "see `ComponentType`")]
// SAFETY: as above; nothing but safe code.
unsafe impl Lift for Answer {
    fn linear_lift_from_flat(cx: &mut LiftContext<'_>, ty: InterfaceType, src: &ValRaw) -> wasmtime::Result<Self> {
        Ok(Self(lift::answer(cx, ty, *src)?))
    }

    fn linear_lift_from_memory(_: &mut LiftContext<'_>, _: InterfaceType, _: &[u8]) -> wasmtime::Result<Self> {
        wasmtime::bail!("answers are never stored as a whole")
    }
}
