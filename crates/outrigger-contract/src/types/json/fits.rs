//! Whether values that did not come from JSON are of their type: what a runtime gave back, and what a caller in the same
//! process passes.

use super::{Fault, Faults};
use crate::types::graph::{Function, Shape, Type, TypeGraph};
use crate::types::value::Value;

/// Checks that values which did not come from JSON fit the parameters of a function.
///
/// # Errors
/// The first place where they do not.
pub fn check_arguments(graph: &TypeGraph, function: &Function, values: &[Value]) -> Result<(), Faults> {
    let fault = |path: String, message: String| Err(Faults(vec![Fault { path, message }]));
    if values.len() != function.params.len() {
        return fault(String::new(), format!("takes {} arguments, {} were given", function.params.len(), values.len()));
    }
    for (param, value) in function.params.iter().zip(values) {
        if !fits(graph, &param.ty, value) {
            return fault(format!("/{}", param.name), format!("is not of type {}", graph.display(&param.ty)));
        }
    }
    Ok(())
}

/// Whether a value is one of this type.
#[must_use]
pub fn fits(graph: &TypeGraph, ty: &Type, value: &Value) -> bool {
    let fits_payload = |ty: Option<&Type>, payload: Option<&Value>| match (ty, payload) {
        (None, None) => true,
        (Some(ty), Some(value)) => fits(graph, ty, value),
        _ => false,
    };
    let in_range = |value: u64, max: u64| value <= max;
    let within = |value: i64, min: i64, max: i64| (min..=max).contains(&value);
    match (graph.resolve(ty), value) {
        (Type::Bool, Value::Bool(_))
        | (Type::U64, Value::Unsigned(_))
        | (Type::S64, Value::Signed(_))
        | (Type::F32, Value::Float32(_))
        | (Type::F64, Value::Float64(_))
        | (Type::Char, Value::Char(_))
        | (Type::String, Value::String(_))
        | (Type::Bytes, Value::Bytes(_)) => true,
        (Type::U8, Value::Unsigned(n)) => in_range(*n, u8::MAX.into()),
        (Type::U16, Value::Unsigned(n)) => in_range(*n, u16::MAX.into()),
        (Type::U32, Value::Unsigned(n)) => in_range(*n, u32::MAX.into()),
        (Type::S8, Value::Signed(n)) => within(*n, i8::MIN.into(), i8::MAX.into()),
        (Type::S16, Value::Signed(n)) => within(*n, i16::MIN.into(), i16::MAX.into()),
        (Type::S32, Value::Signed(n)) => within(*n, i32::MIN.into(), i32::MAX.into()),
        (Type::List(item), Value::List(values)) => values.iter().all(|value| fits(graph, item, value)),
        (Type::Option(_), Value::Option(None)) => true,
        (Type::Option(inner), Value::Option(Some(value))) => fits(graph, inner, value),
        (Type::Tuple(types), Value::Tuple(values)) => {
            types.len() == values.len() && types.iter().zip(values).all(|(ty, value)| fits(graph, ty, value))
        }
        (Type::Result { ok, .. }, Value::Result(Ok(payload))) => fits_payload(ok.as_deref(), payload.as_deref()),
        (Type::Result { err, .. }, Value::Result(Err(payload))) => fits_payload(err.as_deref(), payload.as_deref()),
        (Type::Named(id), value) => match (&graph.named(*id).shape, value) {
            (Shape::Record(fields), Value::Record(values)) => {
                fields.len() == values.len()
                    && fields.iter().zip(values).all(|(field, value)| fits(graph, &field.ty, value))
            }
            (Shape::Variant(cases), Value::Variant(index, payload)) => {
                cases.get(*index as usize).is_some_and(|case| fits_payload(case.ty.as_ref(), payload.as_deref()))
            }
            (Shape::Enum(cases), Value::Enum(index)) => (*index as usize) < cases.len(),
            (Shape::Flags(flags), Value::Flags(set)) => {
                set.is_sorted_by(|a, b| a < b) && set.last().is_none_or(|last| (*last as usize) < flags.len())
            }
            _ => false,
        },
        _ => false,
    }
}
