//! From values into a component.

use outrigger_contract::Value;
use wasmtime::ValRaw;
use wasmtime::component::__internal::wasmtime_environ::component::VariantInfo;
use wasmtime::component::__internal::{ComponentTypes, InterfaceType, LowerContext};
use wasmtime::component::Lower;

use super::{AbiError, MAX_FLAT_PARAMS};

/// A value that is not of its type. Which argument it is in, the caller knows.
struct Mismatch;

enum Failure {
    Mismatch,
    Wasm(wasmtime::Error),
}

impl From<Mismatch> for Failure {
    fn from(_: Mismatch) -> Self {
        Self::Mismatch
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasm(error)
    }
}

impl Failure {
    fn of_argument(self, index: usize) -> wasmtime::Error {
        match self {
            Self::Mismatch => AbiError::Mismatch(index + 1).into(),
            Self::Wasm(error) => error,
        }
    }
}

/// Puts the arguments into the slots, or into memory where there are too few slots.
pub(super) fn arguments<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    values: &[Value],
    slots: &mut [ValRaw; MAX_FLAT_PARAMS],
) -> wasmtime::Result<()> {
    let InterfaceType::Tuple(tuple) = ty else { wasmtime::bail!("parameters are not a tuple") };
    let tuple = &cx.types[tuple];
    if tuple.types.len() != values.len() {
        return Err(AbiError::Mismatch(values.len().min(tuple.types.len()) + 1).into());
    }
    let typed = tuple.types.iter().zip(values).enumerate();
    if tuple.abi.flat_count(MAX_FLAT_PARAMS).is_some() {
        let mut slots = Slots { slots, next: 0 };
        for (index, (ty, value)) in typed {
            flat(cx, *ty, value, &mut slots).map_err(|failure| failure.of_argument(index))?;
        }
    } else {
        let pointer = cx.realloc(0, 0, tuple.abi.align32, tuple.abi.size32 as usize)?;
        let mut offset = pointer;
        for (index, (ty, value)) in typed {
            let place = cx.types.canonical_abi(ty).next_field32_size(&mut offset);
            memory(cx, *ty, value, place).map_err(|failure| failure.of_argument(index))?;
        }
        slots[0] = ValRaw::i64(pointer as i64);
    }
    Ok(())
}

/// Core values in order. Slots that a smaller case of a variant leaves over stay zero.
struct Slots<'a> {
    slots: &'a mut [ValRaw; MAX_FLAT_PARAMS],
    next: usize,
}

impl Slots<'_> {
    fn push(&mut self, value: ValRaw) -> Result<(), Failure> {
        let slot = self.slots.get_mut(self.next).ok_or(Mismatch)?;
        *slot = value;
        self.next += 1;
        Ok(())
    }
}

fn flat<T>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, value: &Value, out: &mut Slots<'_>) -> Result<(), Failure> {
    let types = cx.types;
    match (ty, value) {
        (InterfaceType::String | InterfaceType::List(_), _) => {
            let (pointer, length) = outside(cx, ty, value)?;
            out.push(ValRaw::i64(i64::from(pointer)))?;
            out.push(ValRaw::i64(i64::from(length)))
        }
        (InterfaceType::Float32, Value::Float32(number)) => out.push(ValRaw::f32(number.to_bits())),
        (InterfaceType::Float64, Value::Float64(number)) => out.push(ValRaw::f64(number.to_bits())),
        (InterfaceType::S64 | InterfaceType::U64, _) => out.push(ValRaw::u64(scalar(ty, value)?)),
        (InterfaceType::Record(record), Value::Record(values)) => {
            let fields = &types[record].fields;
            each(fields.iter().map(|field| field.ty), values, |ty, value| flat(cx, ty, value, out))
        }
        (InterfaceType::Tuple(tuple), Value::Tuple(values)) => {
            each(types[tuple].types.iter().copied(), values, |ty, value| flat(cx, ty, value, out))
        }
        (InterfaceType::Flags(flags), Value::Flags(set)) => {
            let words = types[flags].abi.flat_count(MAX_FLAT_PARAMS).ok_or(Mismatch)?;
            let bits = bits(set, types[flags].names.len())?;
            (0..words).try_for_each(|word| out.push(ValRaw::u32(bits.get(word).copied().unwrap_or_default())))
        }
        (InterfaceType::Enum(cases), Value::Enum(case)) => {
            let known = (*case as usize) < types[cases].names.len();
            if known { out.push(ValRaw::u32(*case)) } else { Err(Failure::Mismatch) }
        }
        _ if let Some((case, _)) = chosen(types, ty, value)? => {
            let end = out.next + types.canonical_abi(&ty).flat_count(MAX_FLAT_PARAMS).ok_or(Mismatch)?;
            out.push(ValRaw::u32(case.index))?;
            if let Some((ty, value)) = case.payload {
                flat(cx, ty, value, out)?;
            }
            out.next = end;
            Ok(())
        }
        _ => out.push(ValRaw::u32(scalar(ty, value)? as u32)),
    }
}

fn memory<T>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, value: &Value, place: usize) -> Result<(), Failure> {
    let types = cx.types;
    match (ty, value) {
        (InterfaceType::String | InterfaceType::List(_), _) => {
            let (pointer, length) = outside(cx, ty, value)?;
            *cx.get(place) = pointer.to_le_bytes();
            *cx.get(place + 4) = length.to_le_bytes();
            Ok(())
        }
        (InterfaceType::Float32, Value::Float32(number)) => {
            *cx.get(place) = number.to_le_bytes();
            Ok(())
        }
        (InterfaceType::Float64, Value::Float64(number)) => {
            *cx.get(place) = number.to_le_bytes();
            Ok(())
        }
        (InterfaceType::Record(record), Value::Record(values)) => {
            let fields = types[record].fields.iter().map(|field| field.ty);
            sequence(cx, fields, values, place)
        }
        (InterfaceType::Tuple(tuple), Value::Tuple(values)) => {
            sequence(cx, types[tuple].types.iter().copied(), values, place)
        }
        (InterfaceType::Flags(flags), Value::Flags(set)) => {
            let bits = bits(set, types[flags].names.len())?;
            let bytes: Vec<u8> = bits.iter().flat_map(|word| word.to_le_bytes()).collect();
            let size = types[flags].abi.size32 as usize;
            cx.as_slice_mut()[place..][..size].copy_from_slice(&bytes[..size]);
            Ok(())
        }
        (InterfaceType::Enum(cases), Value::Enum(case)) => {
            if *case as usize >= types[cases].names.len() {
                return Err(Failure::Mismatch);
            }
            discriminant(cx, &types[cases].info, *case, place);
            Ok(())
        }
        _ if let Some((case, info)) = chosen(types, ty, value)? => {
            discriminant(cx, info, case.index, place);
            match case.payload {
                Some((ty, value)) => memory(cx, ty, value, place + info.payload_offset32 as usize),
                None => Ok(()),
            }
        }
        _ => {
            let bytes = scalar(ty, value)?.to_le_bytes();
            let size = types.canonical_abi(&ty).size32 as usize;
            cx.as_slice_mut()[place..][..size].copy_from_slice(&bytes[..size]);
            Ok(())
        }
    }
}

/// The bits of a scalar that is neither a float nor wider than its type.
fn scalar(ty: InterfaceType, value: &Value) -> Result<u64, Mismatch> {
    let unsigned = |number: u64, max: u64| if number <= max { Ok(number) } else { Err(Mismatch) };
    let signed = |number: i64, min: i64, max: i64| {
        if (min..=max).contains(&number) { Ok(number.cast_unsigned()) } else { Err(Mismatch) }
    };
    match (ty, value) {
        (InterfaceType::Bool, Value::Bool(truth)) => Ok(u64::from(*truth)),
        (InterfaceType::U8, Value::Unsigned(number)) => unsigned(*number, u8::MAX.into()),
        (InterfaceType::U16, Value::Unsigned(number)) => unsigned(*number, u16::MAX.into()),
        (InterfaceType::U32, Value::Unsigned(number)) => unsigned(*number, u32::MAX.into()),
        (InterfaceType::U64, Value::Unsigned(number)) => Ok(*number),
        (InterfaceType::S8, Value::Signed(number)) => signed(*number, i8::MIN.into(), i8::MAX.into()),
        (InterfaceType::S16, Value::Signed(number)) => signed(*number, i16::MIN.into(), i16::MAX.into()),
        (InterfaceType::S32, Value::Signed(number)) => signed(*number, i32::MIN.into(), i32::MAX.into()),
        (InterfaceType::S64, Value::Signed(number)) => Ok(number.cast_unsigned()),
        (InterfaceType::Char, Value::Char(character)) => Ok(u64::from(u32::from(*character))),
        _ => Err(Mismatch),
    }
}

/// The chosen case of a variant, an option or a result, with its payload.
struct Chosen<'a> {
    index: u32,
    payload: Option<(InterfaceType, &'a Value)>,
}

/// Reads a value as a case of its type; none where the type has no cases.
fn chosen<'a, 't>(
    types: &'t ComponentTypes,
    ty: InterfaceType,
    value: &'a Value,
) -> Result<Option<(Chosen<'a>, &'t VariantInfo)>, Mismatch> {
    let paired = |ty: Option<InterfaceType>, value: Option<&'a Value>| match (ty, value) {
        (Some(ty), Some(value)) => Ok(Some((ty, value))),
        (None, None) => Ok(None),
        _ => Err(Mismatch),
    };
    let (index, payload, info) = match (ty, value) {
        (InterfaceType::Option(option), Value::Option(inner)) => {
            let option = &types[option];
            let payload = inner.as_deref().map(|value| (option.ty, value));
            (u32::from(payload.is_some()), payload, &option.info)
        }
        (InterfaceType::Result(result), Value::Result(outcome)) => {
            let result = &types[result];
            match outcome {
                Ok(value) => (0, paired(result.ok, value.as_deref())?, &result.info),
                Err(value) => (1, paired(result.err, value.as_deref())?, &result.info),
            }
        }
        (InterfaceType::Variant(variant), Value::Variant(index, value)) => {
            let variant = &types[variant];
            let (_, ty) = variant.cases.get_index(*index as usize).ok_or(Mismatch)?;
            (*index, paired(*ty, value.as_deref())?, &variant.info)
        }
        _ => return Ok(None),
    };
    Ok(Some((Chosen { index, payload }, info)))
}

fn discriminant<T>(cx: &mut LowerContext<'_, T>, info: &VariantInfo, index: u32, place: usize) {
    let size = u32::from(info.size) as usize;
    cx.as_slice_mut()[place..][..size].copy_from_slice(&index.to_le_bytes()[..size]);
}

fn each<'a>(
    types: impl ExactSizeIterator<Item = InterfaceType>,
    values: &'a [Value],
    mut lower: impl FnMut(InterfaceType, &'a Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if types.len() != values.len() {
        return Err(Failure::Mismatch);
    }
    types.zip(values).try_for_each(|(ty, value)| lower(ty, value))
}

fn sequence<T>(
    cx: &mut LowerContext<'_, T>,
    types: impl ExactSizeIterator<Item = InterfaceType>,
    values: &[Value],
    place: usize,
) -> Result<(), Failure> {
    let mut offset = place;
    each(types, values, |ty, value| {
        let place = cx.types.canonical_abi(&ty).next_field32_size(&mut offset);
        memory(cx, ty, value, place)
    })
}

/// The set bits of flags, as words of 32.
fn bits(set: &[u32], names: usize) -> Result<Vec<u32>, Mismatch> {
    let mut words = vec![0; names.div_ceil(32)];
    for flag in set {
        if *flag as usize >= names {
            return Err(Mismatch);
        }
        words[*flag as usize / 32] |= 1 << (flag % 32);
    }
    Ok(words)
}

/// Strings and lists: what they hold lies elsewhere in memory. Gives pointer and length.
fn outside<T>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, value: &Value) -> Result<(u32, u32), Failure> {
    let (pointer, length) = match (ty, value) {
        (InterfaceType::String, Value::String(text)) => return string(cx, text),
        (InterfaceType::List(list), value) => match (cx.types[list].element, value) {
            (InterfaceType::U8, Value::Bytes(bytes)) => {
                let pointer = cx.realloc(0, 0, 1, bytes.len())?;
                cx.as_slice_mut()[pointer..][..bytes.len()].copy_from_slice(bytes);
                (pointer, bytes.len())
            }
            (element, Value::List(items)) => {
                let abi = cx.types.canonical_abi(&element);
                let (size, align) = (abi.size32 as usize, abi.align32);
                let total = size.checked_mul(items.len()).ok_or(Mismatch)?;
                let pointer = cx.realloc(0, 0, align, total)?;
                for (index, item) in items.iter().enumerate() {
                    memory(cx, element, item, pointer + index * size)?;
                }
                (pointer, items.len())
            }
            _ => return Err(Failure::Mismatch),
        },
        _ => return Err(Failure::Mismatch),
    };
    let narrow = |number: usize| u32::try_from(number).map_err(|_| Failure::Mismatch);
    Ok((narrow(pointer)?, narrow(length)?))
}

/// A string in the encoding that the component asked for; wasmtime knows them all.
fn string<T>(cx: &mut LowerContext<'_, T>, text: &str) -> Result<(u32, u32), Failure> {
    let mut pair = std::mem::MaybeUninit::uninit();
    pair.write([ValRaw::u64(0); 2]);
    text.linear_lower_to_flat(cx, InterfaceType::String, &mut pair)?;
    #[expect(unsafe_code, reason = "the slots are handed over as `MaybeUninit`")]
    // SAFETY: initialised two lines above, and only ever written to since.
    let [pointer, length] = unsafe { pair.assume_init() };
    Ok((pointer.get_u32(), length.get_u32()))
}
