//! The types themselves. Named types stand once in [`TypeGraph::types`] and are referred to by id, so that a type
//! used a thousand times is stored, and published, once. WIT has no recursive types; the graph has no cycles.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, Serialize};

/// All functions of one plugin revision, with every type they mention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TypeGraph {
    /// The plugin's own words about itself: documentation of its world or package.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
    /// Named types, in the order in which they were met. [`TypeId`] is an index into it.
    pub types: Vec<NamedType>,
    /// Callable functions, in the order of the contract they were read from.
    pub functions: Vec<Function>,
    /// Exported functions that cannot be called from here, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

/// A function that the plugin exports and that is not offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The name it would have had.
    pub name: String,
    /// Why it is not offered, for a person to read.
    pub reason: String,
}

/// One typed operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// The name within the plugin; unique in the graph.
    pub name: String,
    /// The interface it is exported from, such as `acme:pricing/quotes@1.0.0`; none for a function of the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The name in that interface, or in the world.
    pub export: String,
    /// Documentation as written by the author, in Markdown; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
    /// Parameters in order. Arguments are given by name.
    pub params: Vec<Field>,
    /// The result.
    pub outcome: Outcome,
}

/// The result of a function. A top-level WIT `result` is not a value: its error is the failure of the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The type of the result; none for a function that gives nothing (rendered as JSON `null`).
    pub ok: Option<Type>,
    /// For a fallible function: the type of its error value, itself optional.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub err: Option<Option<Type>>,
}

/// A member that is there is `Some`, also when it is `null`: a function that fails without a value is fallible too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Type>>, D::Error> {
    Option::<Type>::deserialize(deserializer).map(Some)
}

impl Outcome {
    /// Whether the function can answer with an error value.
    #[must_use]
    pub const fn fallible(&self) -> bool {
        self.err.is_some()
    }
}

/// A type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Type {
    Bool,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`: bytes, which are base64 in JSON and one block of memory everywhere else.
    Bytes,
    List(Box<Type>),
    Option(Box<Type>),
    Tuple(Vec<Type>),
    Result {
        ok: Option<Box<Type>>,
        err: Option<Box<Type>>,
    },
    /// A type with a name of its own, by its place in [`TypeGraph::types`].
    Named(TypeId),
}

/// Index into [`TypeGraph::types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypeId(pub u32);

/// A type with a name and documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedType {
    /// The name, unique in the graph. Where two interfaces use the same name, the later one is qualified.
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
    pub shape: Shape,
    #[serde(skip)]
    index: NameIndex,
}

impl NamedType {
    #[must_use]
    pub fn new(name: impl Into<String>, docs: impl Into<String>, shape: Shape) -> Self {
        Self { name: name.into(), docs: docs.into(), shape, index: NameIndex::default() }
    }

    /// The position of a case of a variant or an enum, or of a flag, by its name. `shape` must not change afterwards.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        match &self.shape {
            Shape::Enum(labels) | Shape::Flags(labels) => self.index.find(labels, |label| label.name.as_str(), name),
            Shape::Variant(cases) => self.index.find(cases, |case| case.name.as_str(), name),
            Shape::Record(_) | Shape::Alias(_) => None,
        }
    }
}

/// The positions of names, sorted by name: a type can have ten thousand of them. It follows from the shape, so it is
/// neither stored, compared nor copied.
#[derive(Default)]
struct NameIndex(OnceLock<Box<[u32]>>);

impl NameIndex {
    /// The maximum number of names that are searched one by one.
    const FEW: usize = 16;

    /// The position of the first item with this name.
    fn find<T>(&self, items: &[T], name_of: impl Fn(&T) -> &str, name: &str) -> Option<usize> {
        if items.len() <= Self::FEW {
            return items.iter().position(|item| name_of(item) == name);
        }
        let at = |position: u32| name_of(&items[position as usize]);
        let sorted = self.0.get_or_init(|| {
            let mut positions: Vec<u32> = (0..).take(items.len()).collect();
            positions.sort_by(|one, other| at(*one).cmp(at(*other)));
            positions.into()
        });
        let first = sorted.partition_point(|position| at(*position) < name);
        let position = *sorted.get(first)?;
        (at(position) == name).then_some(position as usize)
    }
}

impl Clone for NameIndex {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for NameIndex {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for NameIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameIndex")
    }
}

/// The structure of a named type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Record(Vec<Field>),
    Variant(Vec<Case>),
    Enum(Vec<Label>),
    Flags(Vec<Label>),
    /// Another name for a type, kept for its documentation.
    Alias(Type),
}

/// A field of a record, or a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
    #[serde(rename = "type")]
    pub ty: Type,
}

/// A case of a variant, with or without a payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub ty: Option<Type>,
}

/// A case of an enum, or one flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub docs: String,
}

impl TypeGraph {
    /// The named type behind an id.
    ///
    /// # Panics
    /// Ids are made together with their graph; one of another graph is a programming error.
    #[must_use]
    pub fn named(&self, id: TypeId) -> &NamedType {
        &self.types[id.0 as usize]
    }

    /// The type with aliases followed to what they stand for.
    #[must_use]
    pub fn resolve<'a>(&'a self, mut ty: &'a Type) -> &'a Type {
        while let Type::Named(id) = ty {
            match &self.named(*id).shape {
                Shape::Alias(target) => ty = target,
                _ => break,
            }
        }
        ty
    }

    /// Whether a field of this type may be left out: an option at its heart.
    #[must_use]
    pub fn is_optional(&self, ty: &Type) -> bool {
        matches!(self.resolve(ty), Type::Option(_))
    }

    /// A function by name, with its place in [`TypeGraph::functions`].
    #[must_use]
    pub fn function(&self, name: &str) -> Option<(usize, &Function)> {
        self.functions.iter().enumerate().find(|(_, function)| function.name == name)
    }

    /// A type as WIT would write it, for signatures and error messages.
    #[must_use]
    pub fn display(&self, ty: &Type) -> String {
        match ty {
            Type::Bool => "bool".to_owned(),
            Type::U8 => "u8".to_owned(),
            Type::U16 => "u16".to_owned(),
            Type::U32 => "u32".to_owned(),
            Type::U64 => "u64".to_owned(),
            Type::S8 => "s8".to_owned(),
            Type::S16 => "s16".to_owned(),
            Type::S32 => "s32".to_owned(),
            Type::S64 => "s64".to_owned(),
            Type::F32 => "f32".to_owned(),
            Type::F64 => "f64".to_owned(),
            Type::Char => "char".to_owned(),
            Type::String => "string".to_owned(),
            Type::Bytes => "list<u8>".to_owned(),
            Type::List(item) => format!("list<{}>", self.display(item)),
            Type::Option(item) => format!("option<{}>", self.display(item)),
            Type::Tuple(items) => {
                let items: Vec<_> = items.iter().map(|item| self.display(item)).collect();
                format!("tuple<{}>", items.join(", "))
            }
            Type::Result { ok, err } => match (ok, err) {
                (None, None) => "result".to_owned(),
                (Some(ok), None) => format!("result<{}>", self.display(ok)),
                (None, Some(err)) => format!("result<_, {}>", self.display(err)),
                (Some(ok), Some(err)) => format!("result<{}, {}>", self.display(ok), self.display(err)),
            },
            Type::Named(id) => self.named(*id).name.clone(),
        }
    }

    /// The signature of a function as WIT would write it.
    #[must_use]
    pub fn signature(&self, function: &Function) -> String {
        let params: Vec<_> =
            function.params.iter().map(|param| format!("{}: {}", param.name, self.display(&param.ty))).collect();
        let outcome = match (&function.outcome.ok, &function.outcome.err) {
            (None, None) => String::new(),
            (Some(ok), None) => format!(" -> {}", self.display(ok)),
            (ok, Some(err)) => {
                let result = Type::Result { ok: ok.clone().map(Box::new), err: err.clone().map(Box::new) };
                format!(" -> {}", self.display(&result))
            }
        };
        format!("{}({}){outcome}", function.name, params.join(", "))
    }

    /// A graph of one function and only the types it mentions.
    #[must_use]
    pub fn of_function(&self, function: &Function) -> Self {
        let mut pruned = Pruned { graph: self, ids: HashMap::new(), types: Vec::new() };
        let field = |pruned: &mut Pruned<'_>, field: &Field| Field { ty: pruned.ty(&field.ty), ..field.clone() };
        let params = function.params.iter().map(|param| field(&mut pruned, param)).collect();
        let ok = function.outcome.ok.as_ref().map(|ty| pruned.ty(ty));
        let err = function.outcome.err.as_ref().map(|err| err.as_ref().map(|ty| pruned.ty(ty)));
        let function = Function { params, outcome: Outcome { ok, err }, ..function.clone() };
        Self { docs: String::new(), types: pruned.types, functions: vec![function], refused: Vec::new() }
    }
}

/// Copies types out of a graph, each once, with new ids.
struct Pruned<'a> {
    graph: &'a TypeGraph,
    ids: HashMap<TypeId, TypeId>,
    types: Vec<NamedType>,
}

impl Pruned<'_> {
    fn ty(&mut self, ty: &Type) -> Type {
        match ty {
            Type::List(item) => Type::List(Box::new(self.ty(item))),
            Type::Option(item) => Type::Option(Box::new(self.ty(item))),
            Type::Tuple(items) => Type::Tuple(items.iter().map(|item| self.ty(item)).collect()),
            Type::Result { ok, err } => Type::Result {
                ok: ok.as_ref().map(|ty| Box::new(self.ty(ty))),
                err: err.as_ref().map(|ty| Box::new(self.ty(ty))),
            },
            Type::Named(id) => Type::Named(self.named(*id)),
            simple => simple.clone(),
        }
    }

    fn named(&mut self, id: TypeId) -> TypeId {
        if let Some(known) = self.ids.get(&id) {
            return *known;
        }
        let NamedType { name, docs, shape, index: _ } = self.graph.named(id);
        let shape = match shape {
            Shape::Alias(target) => Shape::Alias(self.ty(target)),
            Shape::Record(fields) => {
                Shape::Record(fields.iter().map(|field| Field { ty: self.ty(&field.ty), ..field.clone() }).collect())
            }
            Shape::Variant(cases) => Shape::Variant(
                cases.iter().map(|case| Case { ty: case.ty.as_ref().map(|ty| self.ty(ty)), ..case.clone() }).collect(),
            ),
            Shape::Enum(labels) => Shape::Enum(labels.clone()),
            Shape::Flags(labels) => Shape::Flags(labels.clone()),
        };
        let new = TypeId(u32::try_from(self.types.len()).expect("fewer types than in the graph they come from"));
        self.types.push(NamedType::new(name, docs, shape));
        self.ids.insert(id, new);
        new
    }
}
