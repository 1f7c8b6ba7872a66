//! Random WIT types and values of them, for properties that must hold of every type.
//!
//! A [`TypeTree`] is made first, and written as WIT; the type graph is then read back from a component, as it is for any
//! plugin, and values are made from the graph. So nothing here shares a mistake with what is tested.

use std::fmt::Write;

use outrigger_contract::types::Shape;
use outrigger_contract::{Type, TypeGraph, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A type, by structure.
#[derive(Clone, Debug)]
pub enum TypeTree {
    Scalar(&'static str),
    List(Box<TypeTree>),
    Option(Box<TypeTree>),
    Result(Option<Box<TypeTree>>, Option<Box<TypeTree>>),
    Tuple(Vec<TypeTree>),
    Record(Vec<TypeTree>),
    Variant(Vec<Option<TypeTree>>),
    Enum(usize),
    Flags(usize),
}

/// All scalars and `string`.
pub const SCALARS: [&str; 13] =
    ["bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string"];

/// Any type, nested a few levels deep.
pub fn any_type() -> impl Strategy<Value = TypeTree> {
    let leaf = prop_oneof![
        4 => select(SCALARS.as_slice()).prop_map(TypeTree::Scalar),
        1 => Just(TypeTree::List(Box::new(TypeTree::Scalar("u8")))),
        1 => prop_oneof![1_usize..6, Just(256), Just(257)].prop_map(TypeTree::Enum),
        1 => prop_oneof![1_usize..33, Just(8), Just(9), Just(16), Just(17), Just(32)].prop_map(TypeTree::Flags),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed.clone().prop_map(TypeTree::List),
            boxed.clone().prop_map(TypeTree::Option),
            (proptest::option::of(boxed.clone()), proptest::option::of(boxed))
                .prop_map(|(ok, err)| TypeTree::Result(ok, err)),
            vec(inner.clone(), 1..5).prop_map(TypeTree::Tuple),
            vec(inner.clone(), 1..6).prop_map(TypeTree::Record),
            vec(proptest::option::of(inner), 1..6).prop_map(TypeTree::Variant),
        ]
    })
}

/// Writes types as WIT. Records, variants, enums and flags need a declaration and get a name.
#[derive(Debug, Default)]
pub struct WitWriter {
    /// The declarations so far.
    pub declarations: String,
    names: usize,
}

impl WitWriter {
    /// The type as it is mentioned, with its declarations added.
    pub fn mention(&mut self, tree: &TypeTree) -> String {
        let mut some = |tree: &Option<Box<TypeTree>>| tree.as_ref().map(|tree| self.mention(tree));
        match tree {
            TypeTree::Scalar(name) => (*name).to_owned(),
            TypeTree::List(item) => format!("list<{}>", self.mention(item)),
            TypeTree::Option(item) => format!("option<{}>", self.mention(item)),
            TypeTree::Result(ok, err) => match (some(ok), some(err)) {
                (None, None) => "result".to_owned(),
                (Some(ok), None) => format!("result<{ok}>"),
                (None, Some(err)) => format!("result<_, {err}>"),
                (Some(ok), Some(err)) => format!("result<{ok}, {err}>"),
            },
            TypeTree::Tuple(items) => {
                let items: Vec<_> = items.iter().map(|item| self.mention(item)).collect();
                format!("tuple<{}>", items.join(", "))
            }
            TypeTree::Record(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .enumerate()
                    .map(|(index, field)| format!("field-{index}: {}", self.mention(field)))
                    .collect();
                self.declare("record", &fields)
            }
            TypeTree::Variant(cases) => {
                let cases: Vec<_> = cases
                    .iter()
                    .enumerate()
                    .map(|(index, case)| match case {
                        Some(case) => format!("case-{index}({})", self.mention(case)),
                        None => format!("case-{index}"),
                    })
                    .collect();
                self.declare("variant", &cases)
            }
            TypeTree::Enum(count) => self.declare("enum", &labels(*count)),
            TypeTree::Flags(count) => self.declare("flags", &labels(*count)),
        }
    }

    fn declare(&mut self, kind: &str, members: &[String]) -> String {
        let name = format!("type-{}", self.names);
        self.names += 1;
        writeln!(self.declarations, "  {kind} {name} {{ {} }}", members.join(", ")).expect("a string takes all");
        name
    }
}

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("label-{index}")).collect()
}

/// Values of a type, with the ends of its range more often than chance would have them.
pub fn values_of(graph: &TypeGraph, ty: &Type) -> BoxedStrategy<Value> {
    let unsigned = |max: u64| prop_oneof![Just(0), Just(max), 0..=max].prop_map(Value::Unsigned).boxed();
    let signed =
        |min: i64, max: i64| prop_oneof![Just(min), Just(-1), Just(max), min..=max].prop_map(Value::Signed).boxed();
    match graph.resolve(ty) {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::U8 => unsigned(u8::MAX.into()),
        Type::U16 => unsigned(u16::MAX.into()),
        Type::U32 => unsigned(u32::MAX.into()),
        Type::U64 => unsigned(u64::MAX),
        Type::S8 => signed(i8::MIN.into(), i8::MAX.into()),
        Type::S16 => signed(i16::MIN.into(), i16::MAX.into()),
        Type::S32 => signed(i32::MIN.into(), i32::MAX.into()),
        Type::S64 => signed(i64::MIN, i64::MAX),
        Type::F32 => prop_oneof![
            proptest::num::f32::ANY,
            select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45]),
        ]
        .prop_map(Value::Float32)
        .boxed(),
        Type::F64 => prop_oneof![
            proptest::num::f64::ANY,
            select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324]),
        ]
        .prop_map(Value::Float64)
        .boxed(),
        Type::Char => prop_oneof![any::<char>(), select(vec!['\0', '\u{d7ff}', '\u{e000}', char::MAX])]
            .prop_map(Value::Char)
            .boxed(),
        Type::String => prop_oneof![Just(String::new()), any::<String>()].prop_map(Value::String).boxed(),
        Type::Bytes => vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())).boxed(),
        Type::List(item) => vec(values_of(graph, item), 0..5).prop_map(Value::List).boxed(),
        Type::Option(item) => {
            proptest::option::of(values_of(graph, item)).prop_map(|item| Value::Option(item.map(Box::new))).boxed()
        }
        Type::Tuple(items) => every(graph, items.iter()).prop_map(Value::Tuple).boxed(),
        Type::Result { ok, err } => {
            let ok = payload_of(graph, ok.as_deref()).prop_map(|value| Value::Result(Ok(value)));
            let err = payload_of(graph, err.as_deref()).prop_map(|value| Value::Result(Err(value)));
            prop_oneof![ok, err].boxed()
        }
        Type::Named(id) => match &graph.named(*id).shape {
            Shape::Alias(target) => values_of(graph, target),
            Shape::Record(fields) => every(graph, fields.iter().map(|field| &field.ty)).prop_map(Value::Record).boxed(),
            Shape::Enum(labels) => (0..number(labels.len())).prop_map(Value::Enum).boxed(),
            Shape::Flags(labels) => vec(any::<bool>(), labels.len())
                .prop_map(|set| {
                    let set = set.iter().enumerate().filter(|(_, set)| **set);
                    Value::Flags(set.map(|(index, _)| number(index)).collect())
                })
                .boxed(),
            Shape::Variant(cases) => {
                let cases: Vec<_> = cases
                    .iter()
                    .enumerate()
                    .map(|(index, case)| {
                        let payload = payload_of(graph, case.ty.as_ref());
                        payload.prop_map(move |payload| Value::Variant(number(index), payload)).boxed()
                    })
                    .collect();
                (any::<Index>(), Just(cases))
                    .prop_flat_map(|(index, cases)| cases[index.index(cases.len())].clone())
                    .boxed()
            }
        },
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("few")
}

fn payload_of(graph: &TypeGraph, ty: Option<&Type>) -> BoxedStrategy<Option<Box<Value>>> {
    match ty {
        Some(ty) => values_of(graph, ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    }
}

fn every<'a>(graph: &TypeGraph, types: impl Iterator<Item = &'a Type>) -> BoxedStrategy<Vec<Value>> {
    types.map(|ty| values_of(graph, ty)).collect::<Vec<_>>().boxed()
}
