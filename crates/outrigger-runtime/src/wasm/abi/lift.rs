//! Converts a component's data to values. Nothing is trusted: pointers, lengths, discriminants and characters are
//! checked, and the memory of each value is taken from an allowance ([`lifted`]) and charged to the call, so that a
//! result whose lists all point to the same memory cannot make the host allocate without bound.

use bytes::Bytes;
use outrigger_contract::Value;
use wasmtime::ValRaw;
use wasmtime::component::__internal::wasmtime_environ::component::{StringEncoding, VariantInfo};
use wasmtime::component::__internal::{InterfaceType, LiftContext};

use super::{AbiError, lifted};

/// The size of a value inside another value.
const VALUE: usize = size_of::<Value>();
/// Set in the length of a `latin1+utf16` text if it is UTF-16.
const UTF16_TAG: u32 = 1 << 31;
/// The overhead of an allocation.
const ALLOCATION: usize = 16;

/// Lifts the result of a call from its one core value.
pub(super) fn answer(cx: &mut LiftContext<'_>, ty: InterfaceType, raw: ValRaw) -> wasmtime::Result<Option<Value>> {
    let InterfaceType::Tuple(tuple) = ty else { wasmtime::bail!("results are not a tuple") };
    let tuple = &cx.types[tuple];
    let Some(ty) = tuple.types.first().copied() else { return Ok(None) };
    if tuple.abi.flat_count(1).is_some() {
        return Ok(Some(flat(cx, ty, &mut Some(raw))?));
    }
    let (size, align) = (tuple.abi.size32 as usize, tuple.abi.align32 as usize);
    let bytes = slice(cx, raw.get_u32(), size, align)?;
    Ok(Some(memory(cx, ty, bytes)?))
}

fn malformed<T>(message: impl Into<String>) -> Result<T, AbiError> {
    Err(AbiError::Malformed(message.into()))
}

/// Takes from the allowance.
fn spend(amount: usize) -> Result<(), AbiError> {
    if amount == 0 { Ok(()) } else { lifted::spend(amount.saturating_add(ALLOCATION)) }
}

fn slice<'a>(cx: &LiftContext<'a>, pointer: u32, size: usize, align: usize) -> Result<&'a [u8], AbiError> {
    let pointer = pointer as usize;
    if !pointer.is_multiple_of(align) {
        return malformed("a pointer in the result is not aligned");
    }
    match pointer.checked_add(size).and_then(|end| cx.memory().get(pointer..end)) {
        Some(bytes) => Ok(bytes),
        None => malformed("a pointer in the result leads out of the memory"),
    }
}

/// A value that takes at most one core value, which is in `slot` until it is used.
fn flat(cx: &mut LiftContext<'_>, ty: InterfaceType, slot: &mut Option<ValRaw>) -> Result<Value, AbiError> {
    let types = cx.types;
    let mut take = || slot.take().unwrap_or(ValRaw::u64(0));
    match ty {
        InterfaceType::Float32 => Ok(Value::Float32(f32::from_bits(take().get_f32()))),
        InterfaceType::Float64 => Ok(Value::Float64(f64::from_bits(take().get_f64()))),
        InterfaceType::U64 | InterfaceType::S64 => scalar(ty, take().get_u64()),
        InterfaceType::Record(record) => {
            let fields = &types[record].fields;
            spend(fields.len() * VALUE)?;
            Ok(Value::Record(fields.iter().map(|field| flat(cx, field.ty, slot)).collect::<Result<_, _>>()?))
        }
        InterfaceType::Tuple(tuple) => {
            let items = &types[tuple].types;
            spend(items.len() * VALUE)?;
            Ok(Value::Tuple(items.iter().map(|ty| flat(cx, *ty, slot)).collect::<Result<_, _>>()?))
        }
        InterfaceType::Flags(flags) => Ok(flags_of(&[take().get_u32()], types[flags].names.len())),
        InterfaceType::Enum(cases) => enum_of(take().get_u32(), types[cases].names.len()),
        InterfaceType::Option(_) | InterfaceType::Result(_) | InterfaceType::Variant(_) => {
            let index = take().get_u32();
            // The discriminant is the one core value; a payload beside it takes none.
            case(cx, ty, index, |cx, ty| flat(cx, ty, &mut None))
        }
        _ => scalar(ty, u64::from(take().get_u32())),
    }
}

fn memory(cx: &mut LiftContext<'_>, ty: InterfaceType, bytes: &[u8]) -> Result<Value, AbiError> {
    let types = cx.types;
    match ty {
        InterfaceType::String => string(cx, bytes),
        InterfaceType::List(list) => list_of(cx, types[list].element, bytes),
        InterfaceType::Record(record) => {
            let fields = types[record].fields.iter().map(|field| field.ty);
            Ok(Value::Record(sequence(cx, fields, bytes)?))
        }
        InterfaceType::Tuple(tuple) => Ok(Value::Tuple(sequence(cx, types[tuple].types.iter().copied(), bytes)?)),
        InterfaceType::Flags(flags) => {
            spend(types[flags].names.len() * size_of::<u32>())?;
            let words: Vec<u32> = bytes[..types[flags].abi.size32 as usize]
                .chunks(4)
                .map(|chunk| chunk.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)))
                .collect();
            Ok(flags_of(&words, types[flags].names.len()))
        }
        InterfaceType::Enum(cases) => enum_of(discriminant(&types[cases].info, bytes), types[cases].names.len()),
        InterfaceType::Option(_) | InterfaceType::Result(_) | InterfaceType::Variant(_) => {
            let info = match ty {
                InterfaceType::Option(option) => &types[option].info,
                InterfaceType::Result(result) => &types[result].info,
                InterfaceType::Variant(variant) => &types[variant].info,
                _ => return malformed("a type without cases"),
            };
            let payload = &bytes[info.payload_offset32 as usize..];
            case(cx, ty, discriminant(info, bytes), |cx, ty| {
                let size = cx.types.canonical_abi(&ty).size32 as usize;
                memory(cx, ty, &payload[..size])
            })
        }
        InterfaceType::Float32 => Ok(Value::Float32(f32::from_bits(little_endian(&bytes[..4]) as u32))),
        InterfaceType::Float64 => Ok(Value::Float64(f64::from_bits(little_endian(&bytes[..8])))),
        _ => {
            let size = types.canonical_abi(&ty).size32 as usize;
            scalar(ty, little_endian(&bytes[..size]))
        }
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn discriminant(info: &VariantInfo, bytes: &[u8]) -> u32 {
    little_endian(&bytes[..u32::from(info.size) as usize]) as u32
}

/// A scalar from its bits. Bits beyond its width are ignored, as the canonical ABI has it.
fn scalar(ty: InterfaceType, bits: u64) -> Result<Value, AbiError> {
    Ok(match ty {
        InterfaceType::Bool => Value::Bool(bits as u32 != 0),
        InterfaceType::U8 => Value::Unsigned(u64::from(bits as u8)),
        InterfaceType::U16 => Value::Unsigned(u64::from(bits as u16)),
        InterfaceType::U32 => Value::Unsigned(u64::from(bits as u32)),
        InterfaceType::U64 => Value::Unsigned(bits),
        InterfaceType::S8 => Value::Signed(i64::from(bits as i8)),
        InterfaceType::S16 => Value::Signed(i64::from(bits as i16)),
        InterfaceType::S32 => Value::Signed(i64::from(bits as i32)),
        InterfaceType::S64 => Value::Signed(bits.cast_signed()),
        InterfaceType::Char => match char::from_u32(bits as u32) {
            Some(character) => Value::Char(character),
            None => return malformed(format!("{:#x} is not a character", bits as u32)),
        },
        _ => return malformed("a type that cannot be passed as a value"),
    })
}

fn flags_of(words: &[u32], names: usize) -> Value {
    let names = u32::try_from(names).unwrap_or(u32::MAX);
    let set = |flag: &u32| words.get(*flag as usize / 32).is_some_and(|word| word >> (flag % 32) & 1 == 1);
    Value::Flags((0..names).filter(set).collect())
}

fn enum_of(index: u32, names: usize) -> Result<Value, AbiError> {
    if (index as usize) < names { Ok(Value::Enum(index)) } else { malformed(format!("there is no case {index}")) }
}

/// The chosen case of an option, a result or a variant.
fn case<'a>(
    cx: &mut LiftContext<'a>,
    ty: InterfaceType,
    index: u32,
    mut payload: impl FnMut(&mut LiftContext<'a>, InterfaceType) -> Result<Value, AbiError>,
) -> Result<Value, AbiError> {
    let mut boxed = |cx: &mut LiftContext<'a>, ty: Option<InterfaceType>| {
        let Some(ty) = ty else { return Ok(None) };
        spend(VALUE)?;
        payload(cx, ty).map(|value| Some(Box::new(value)))
    };
    let types = cx.types;
    Ok(match (ty, index) {
        (InterfaceType::Option(_), 0) => Value::Option(None),
        (InterfaceType::Option(option), 1) => Value::Option(boxed(cx, Some(types[option].ty))?),
        (InterfaceType::Result(result), 0) => Value::Result(Ok(boxed(cx, types[result].ok)?)),
        (InterfaceType::Result(result), 1) => Value::Result(Err(boxed(cx, types[result].err)?)),
        (InterfaceType::Variant(variant), _) => match types[variant].cases.get_index(index as usize) {
            Some((_, ty)) => Value::Variant(index, boxed(cx, *ty)?),
            None => return malformed(format!("there is no case {index}")),
        },
        _ => return malformed(format!("there is no case {index}")),
    })
}

fn sequence(
    cx: &mut LiftContext<'_>,
    types: impl ExactSizeIterator<Item = InterfaceType>,
    bytes: &[u8],
) -> Result<Vec<Value>, AbiError> {
    spend(types.len() * VALUE)?;
    let mut offset = 0;
    let mut values = Vec::with_capacity(types.len());
    for ty in types {
        let abi = cx.types.canonical_abi(&ty);
        let place = abi.next_field32_size(&mut offset);
        values.push(memory(cx, ty, &bytes[place..][..abi.size32 as usize])?);
    }
    Ok(values)
}

/// Reads a string in the encoding that the component chose.
fn string(cx: &LiftContext<'_>, bytes: &[u8]) -> Result<Value, AbiError> {
    let (pointer, length) = pair(bytes);
    let (encoding, units) = match cx.options().string_encoding {
        // A bit of the length selects the encoding.
        StringEncoding::CompactUtf16 if length & UTF16_TAG != 0 => (StringEncoding::Utf16, length ^ UTF16_TAG),
        encoding => (encoding, length),
    };
    let units = units as usize;
    let broken = || AbiError::Malformed("a string in the result is not valid in its encoding".to_owned());
    let text = match encoding {
        StringEncoding::Utf8 => {
            let text = slice(cx, pointer, units, 1)?;
            spend(units)?;
            std::str::from_utf8(text).map_err(|_| broken())?.to_owned()
        }
        StringEncoding::Utf16 => {
            let text = slice(cx, pointer, units.saturating_mul(2), 2)?;
            let units = text.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            let characters = char::decode_utf16(units);
            if characters.clone().any(|character| character.is_err()) {
                return Err(broken());
            }
            collect(characters.flatten())?
        }
        StringEncoding::CompactUtf16 => {
            let text = slice(cx, pointer, units, 2)?;
            collect(text.iter().copied().map(char::from))?
        }
    };
    Ok(Value::String(text))
}

/// Collects a text of unknown length.
fn collect(characters: impl Iterator<Item = char> + Clone) -> Result<String, AbiError> {
    let length = characters.clone().map(char::len_utf8).sum();
    spend(length)?;
    let mut text = String::with_capacity(length);
    text.extend(characters);
    Ok(text)
}

fn pair(bytes: &[u8]) -> (u32, u32) {
    (little_endian(&bytes[..4]) as u32, little_endian(&bytes[4..8]) as u32)
}

fn list_of(cx: &mut LiftContext<'_>, element: InterfaceType, bytes: &[u8]) -> Result<Value, AbiError> {
    let (pointer, length) = pair(bytes);
    let length = length as usize;
    if element == InterfaceType::U8 {
        let bytes = slice(cx, pointer, length, 1)?;
        spend(length)?;
        return Ok(Value::Bytes(Bytes::copy_from_slice(bytes)));
    }
    let abi = cx.types.canonical_abi(&element);
    let (size, align) = (abi.size32 as usize, abi.align32 as usize);
    let Some(total) = size.checked_mul(length) else { return malformed("a list in the result is too long") };
    let bytes = slice(cx, pointer, total, align)?;
    spend(length.saturating_mul(VALUE))?;
    let mut values = Vec::with_capacity(length);
    for index in 0..length {
        values.push(memory(cx, element, &bytes[index * size..][..size])?);
    }
    Ok(Value::List(values))
}
