//! Reads the type graph out of a component: its exported functions and every type they mention, with documentation.
//!
//! A component does not carry documentation in its types; [`docs`] reads it from the section beside them. What a
//! component says is not trusted: names that cannot be called and types that cannot be written as JSON are refused one
//! function at a time, with the reason, and the work stays in proportion to the size of the component.

mod bounds;
mod docs;
mod names;
mod weight;

use std::collections::{BTreeSet, HashMap, HashSet};

use wasmparser::{Encoding, Payload};
use wit_parser::decoding::DecodedWasm;
use wit_parser::{self as wit, Resolve, WorldItem};

use self::docs::{ItemDocs, WorldDocs};
use self::names::short_interface;
use self::weight::Weights;
use super::graph::{Case, Field, Function, Label, NamedType, Outcome, Refused, Shape, Type, TypeGraph, TypeId};

/// The exports and imports of a component, read from its type without running it.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentType {
    /// Its callable functions.
    pub graph: TypeGraph,
    /// Which of the platform's own interfaces it exports.
    pub exports: BTreeSet<OptionalExport>,
    /// Names of everything it imports and has to be offered, such as `wasi:filesystem/types@0.2.6`.
    pub imports: BTreeSet<String>,
    /// Notes for people about parts that were left out.
    pub notes: Vec<String>,
}

/// An interface of `outrigger:plugin` that a plugin may export to take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionalExport {
    Lifecycle,
    Health,
    Migration,
}

/// Why a component could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WitError {
    /// The bytes are not a component that can be decoded.
    #[error("the file cannot be read as a WebAssembly component: {0}")]
    Decode(String),
    /// The file holds a WIT package instead of code.
    #[error("the file holds only WIT definitions, no code")]
    WitPackage,
    /// A name is too long.
    #[error("a name in the component is {length} bytes long; the limit is {}: `{start}`", bounds::LONGEST_NAME)]
    LongName {
        /// Its first characters.
        start: String,
        length: usize,
    },
    /// A type is nested so deeply that it cannot be handled safely.
    #[error("the types of `{function}` are nested more than {MAX_DEPTH} levels deep")]
    TooDeep {
        /// The function whose types they are.
        function: String,
    },
    #[error("the component exports {0} functions; the limit is {MOST_FUNCTIONS}")]
    TooManyFunctions(usize),
}

const MAX_DEPTH: usize = 64;
/// Functions that a component may export.
const MOST_FUNCTIONS: usize = 2_000;

/// Reads the type of a component.
///
/// # Errors
/// The bytes are not a component, or its types cannot be handled.
pub fn read_component(bytes: &[u8]) -> Result<ComponentType, WitError> {
    let header = wasmparser::Parser::new(0).parse_all(bytes).next();
    match header {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => {}
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => {
            let hint = "it is a core module; convert it with `wasm-tools component new`";
            return Err(WitError::Decode(hint.to_owned()));
        }
        _ => return Err(WitError::Decode("it does not begin as WebAssembly does".to_owned())),
    }
    let (docs, decodable) = docs::take(bytes);
    let decoded = wit::decoding::decode(&decodable).map_err(|error| WitError::Decode(format!("{error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else { return Err(WitError::WitPackage) };
    bounds::check(&resolve)?;
    read_world(&resolve, world, docs)
}

/// A function that the component exports.
struct Offered<'a> {
    /// The name of its interface; none for a function of the world.
    interface: Option<String>,
    function: &'a wit::Function,
    docs: String,
}

fn read_world(resolve: &Resolve, world: wit::WorldId, docs: docs::PackageDocs) -> Result<ComponentType, WitError> {
    let world = &resolve.worlds[world];
    let exported: BTreeSet<_> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
    let notes: Vec<String> = docs.note().into_iter().collect();
    let docs = docs.of_world(&exported);
    let mut interfaces = HashMap::new();
    for (key, item) in world.imports.iter().chain(&world.exports) {
        if let WorldItem::Interface { id, .. } = item {
            interfaces.insert(*id, resolve.name_world_key(key));
        }
    }
    let mut exports = BTreeSet::new();
    let mut offered = Vec::new();
    for (key, item) in &world.exports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Function(function) => {
                offered.push(Offered { interface: None, function, docs: docs.function(&function.name) });
            }
            WorldItem::Interface { id, .. } => match optional_export(&name) {
                Some(export) => _ = exports.insert(export),
                None => offered.extend(resolve.interfaces[*id].functions.values().map(|function| Offered {
                    interface: Some(name.clone()),
                    function,
                    docs: docs.interface_function(&name, &function.name),
                })),
            },
            WorldItem::Type { .. } => {}
        }
    }
    if offered.len() > MOST_FUNCTIONS {
        return Err(WitError::TooManyFunctions(offered.len()));
    }
    let names = names::choose(&offered);
    let mut builder = Builder::new(resolve, &docs, interfaces);
    builder.graph.docs = docs.overview(&exported);
    for (offered, name) in offered.into_iter().zip(names) {
        match name {
            Ok(name) => builder.function(name, offered)?,
            Err(refused) => builder.graph.refused.push(refused),
        }
    }
    let needed = world.imports.iter().filter(|(_, item)| is_needed(resolve, item));
    let imports = needed.map(|(key, _)| resolve.name_world_key(key)).collect();
    Ok(ComponentType { graph: builder.graph, exports, imports, notes })
}

/// Whether an import has to be offered. An interface of plain types, which other interfaces share, has not.
fn is_needed(resolve: &Resolve, item: &WorldItem) -> bool {
    let is_resource = |id: &wit::TypeId| matches!(resolve.types[*id].kind, wit::TypeDefKind::Resource);
    match item {
        WorldItem::Function(_) => true,
        WorldItem::Type { id, .. } => is_resource(id),
        WorldItem::Interface { id, .. } => {
            let interface = &resolve.interfaces[*id];
            !interface.functions.is_empty() || interface.types.values().any(is_resource)
        }
    }
}

/// `outrigger:plugin/health@1.2.3` → `Health`, for any 1.x.
fn optional_export(name: &str) -> Option<OptionalExport> {
    let (interface, version) = name.strip_prefix("outrigger:plugin/")?.split_once('@')?;
    match (interface, version.starts_with("1.")) {
        ("lifecycle", true) => Some(OptionalExport::Lifecycle),
        ("health", true) => Some(OptionalExport::Health),
        ("migration", true) => Some(OptionalExport::Migration),
        _ => None,
    }
}

struct Builder<'a> {
    resolve: &'a Resolve,
    docs: &'a WorldDocs,
    /// The names of interfaces, also of those that are written inside the world and have none of their own.
    interfaces: HashMap<wit::InterfaceId, String>,
    graph: TypeGraph,
    /// For each type of the graph: what it was read from.
    published: Vec<Published>,
    ids: HashMap<wit::TypeId, TypeId>,
    names: HashSet<String>,
    /// For a duplicate name, the next number to try as a suffix.
    numbers: HashMap<String, u32>,
    weights: Weights,
    /// How many types the one that is being read is inside of.
    depth: usize,
}

struct Published {
    source: wit::TypeId,
    /// How deeply types are nested in it.
    height: usize,
}

/// Why a type cannot cross into JSON.
enum Obstacle {
    Refused(String),
    TooDeep,
}

impl<'a> Builder<'a> {
    fn new(resolve: &'a Resolve, docs: &'a WorldDocs, interfaces: HashMap<wit::InterfaceId, String>) -> Self {
        Self {
            resolve,
            docs,
            interfaces,
            graph: TypeGraph::default(),
            published: Vec::new(),
            ids: HashMap::new(),
            names: HashSet::new(),
            numbers: HashMap::new(),
            weights: Weights::default(),
            depth: 0,
        }
    }

    fn function(&mut self, name: String, offered: Offered<'_>) -> Result<(), WitError> {
        let known_types = self.graph.types.len();
        // Before any type is expanded.
        let weighed = self.weigh(&offered);
        match weighed.and_then(|()| self.try_function(&name, offered)) {
            Ok(function) => self.graph.functions.push(function),
            Err(Obstacle::Refused(reason)) => {
                // Types met only by a refused function are not published.
                for ty in self.graph.types.drain(known_types..) {
                    self.names.remove(&ty.name);
                }
                for published in self.published.drain(known_types..) {
                    self.ids.remove(&published.source);
                }
                self.graph.refused.push(Refused { name, reason });
            }
            Err(Obstacle::TooDeep) => return Err(WitError::TooDeep { function: name }),
        }
        Ok(())
    }

    fn try_function(&mut self, name: &str, offered: Offered<'_>) -> Result<Function, Obstacle> {
        let Offered { interface, function, docs } = offered;
        match function.kind {
            wit::FunctionKind::Freestanding => {}
            wit::FunctionKind::AsyncFreestanding => {
                return Err(Obstacle::Refused(
                    "it is an async function of WASI 0.3, which is not supported yet".to_owned(),
                ));
            }
            _ => {
                return Err(Obstacle::Refused(
                    "it belongs to a resource, and resources cannot be passed as JSON".to_owned(),
                ));
            }
        }
        let params = function
            .params
            .iter()
            .map(|param| {
                let ty = self.ty(&param.ty)?;
                Ok(Field { docs: parameter_docs(&docs, &param.name), name: param.name.clone(), ty })
            })
            .collect::<Result<_, Obstacle>>()?;
        let outcome = self.outcome(function.result.as_ref())?;
        Ok(Function { name: name.to_owned(), interface, export: function.name.clone(), docs, params, outcome })
    }

    /// A top-level result (also behind aliases) becomes success and failure of the call.
    fn outcome(&mut self, result: Option<&wit::Type>) -> Result<Outcome, Obstacle> {
        let Some(result) = result else { return Ok(Outcome { ok: None, err: None }) };
        Ok(match self.ty(result)? {
            Type::Result { ok, err } => Outcome { ok: ok.map(|ty| *ty), err: Some(err.map(|ty| *ty)) },
            other => match self.graph.resolve(&other).clone() {
                Type::Result { ok, err } => Outcome { ok: ok.map(|ty| *ty), err: Some(err.map(|ty| *ty)) },
                _ => Outcome { ok: Some(other), err: None },
            },
        })
    }

    fn ty(&mut self, ty: &wit::Type) -> Result<Type, Obstacle> {
        Ok(match ty {
            wit::Type::Bool => Type::Bool,
            wit::Type::U8 => Type::U8,
            wit::Type::U16 => Type::U16,
            wit::Type::U32 => Type::U32,
            wit::Type::U64 => Type::U64,
            wit::Type::S8 => Type::S8,
            wit::Type::S16 => Type::S16,
            wit::Type::S32 => Type::S32,
            wit::Type::S64 => Type::S64,
            wit::Type::F32 => Type::F32,
            wit::Type::F64 => Type::F64,
            wit::Type::Char => Type::Char,
            wit::Type::String => Type::String,
            wit::Type::ErrorContext => return refused("an error context"),
            wit::Type::Id(id) => {
                if self.depth == MAX_DEPTH {
                    return Err(Obstacle::TooDeep);
                }
                self.depth += 1;
                let ty = self.defined(*id);
                self.depth -= 1;
                ty?
            }
        })
    }

    fn defined(&mut self, id: wit::TypeId) -> Result<Type, Obstacle> {
        if let Some(id) = self.ids.get(&id) {
            // The depth counts this type already.
            let depth = self.depth - 1 + self.published[id.0 as usize].height;
            return if depth > MAX_DEPTH { Err(Obstacle::TooDeep) } else { Ok(Type::Named(*id)) };
        }
        let definition = &self.resolve.types[id];
        let anonymous = match &definition.kind {
            wit::TypeDefKind::List(wit::Type::U8) => Type::Bytes,
            wit::TypeDefKind::List(item) => Type::List(Box::new(self.ty(item)?)),
            wit::TypeDefKind::Option(item) => Type::Option(Box::new(self.ty(item)?)),
            wit::TypeDefKind::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(|ty| self.ty(ty)).collect::<Result<_, _>>()?)
            }
            wit::TypeDefKind::Result(result) => Type::Result {
                ok: result.ok.as_ref().map(|ty| self.ty(ty)).transpose()?.map(Box::new),
                err: result.err.as_ref().map(|ty| self.ty(ty)).transpose()?.map(Box::new),
            },
            // Another name for a type, or the `use` of one, whose documentation stands where it is defined.
            wit::TypeDefKind::Type(target) => self.ty(target)?,
            wit::TypeDefKind::Record(_)
            | wit::TypeDefKind::Variant(_)
            | wit::TypeDefKind::Enum(_)
            | wit::TypeDefKind::Flags(_) => return self.named(id),
            wit::TypeDefKind::Resource | wit::TypeDefKind::Handle(_) => return refused("a resource"),
            wit::TypeDefKind::Future(_) => return refused("a future"),
            wit::TypeDefKind::Stream(_) => return refused("a stream"),
            wit::TypeDefKind::Map(..) => return refused("a map, which the component model does not specify yet"),
            wit::TypeDefKind::FixedLengthList(..) => {
                return refused("a fixed-length list, which the component model does not specify yet");
            }
            wit::TypeDefKind::Unknown => return refused("an unknown type"),
        };
        // An alias is a type of its own only where it has something to say.
        let docs = self.type_docs(id);
        match (&definition.name, docs.text()) {
            (Some(name), text) if !text.is_empty() => Ok(self.publish(id, name, text, Shape::Alias(anonymous))),
            _ => Ok(anonymous),
        }
    }

    fn named(&mut self, id: wit::TypeId) -> Result<Type, Obstacle> {
        let definition = &self.resolve.types[id];
        let docs = self.type_docs(id);
        let label = |name: &String| Label { name: name.clone(), docs: docs.item(name) };
        let shape = match &definition.kind {
            wit::TypeDefKind::Record(record) => Shape::Record(
                record
                    .fields
                    .iter()
                    .map(|field| {
                        Ok(Field { name: field.name.clone(), docs: docs.item(&field.name), ty: self.ty(&field.ty)? })
                    })
                    .collect::<Result<_, Obstacle>>()?,
            ),
            wit::TypeDefKind::Variant(variant) => Shape::Variant(
                variant
                    .cases
                    .iter()
                    .map(|case| {
                        let ty = case.ty.as_ref().map(|ty| self.ty(ty)).transpose()?;
                        Ok(Case { name: case.name.clone(), docs: docs.item(&case.name), ty })
                    })
                    .collect::<Result<_, Obstacle>>()?,
            ),
            wit::TypeDefKind::Enum(cases) => Shape::Enum(cases.cases.iter().map(|case| label(&case.name)).collect()),
            wit::TypeDefKind::Flags(flags) => Shape::Flags(flags.flags.iter().map(|flag| label(&flag.name)).collect()),
            _ => return refused("an unknown type"),
        };
        let name = definition.name.as_deref().unwrap_or("type");
        Ok(self.publish(id, name, docs.text(), shape))
    }

    fn publish(&mut self, source: wit::TypeId, name: &str, docs: String, shape: Shape) -> Type {
        let qualified = match self.owner(source) {
            Some(owner) if self.names.contains(name) => format!("{}.{name}", short_interface(owner)),
            _ => name.to_owned(),
        };
        let mut unique = qualified.clone();
        while self.names.contains(&unique) {
            let number = self.numbers.entry(qualified.clone()).or_insert(1);
            *number += 1;
            unique = format!("{qualified}-{number}");
        }
        let place = TypeId(u32::try_from(self.graph.types.len()).expect("a component has fewer than 2^32 types"));
        self.names.insert(unique.clone());
        self.published.push(Published { source, height: 1 + self.height_within(&shape) });
        self.graph.types.push(NamedType::new(unique, docs, shape));
        self.ids.insert(source, place);
        Type::Named(place)
    }

    fn height_within(&self, shape: &Shape) -> usize {
        match shape {
            Shape::Alias(target) => self.height(target),
            Shape::Record(fields) => fields.iter().map(|field| self.height(&field.ty)).max().unwrap_or_default(),
            Shape::Variant(cases) => {
                cases.iter().filter_map(|case| case.ty.as_ref()).map(|ty| self.height(ty)).max().unwrap_or_default()
            }
            Shape::Enum(_) | Shape::Flags(_) => 0,
        }
    }

    fn height(&self, ty: &Type) -> usize {
        match ty {
            Type::List(item) | Type::Option(item) => 1 + self.height(item),
            Type::Tuple(items) => 1 + items.iter().map(|item| self.height(item)).max().unwrap_or_default(),
            Type::Result { ok, err } => {
                1 + [ok, err].into_iter().flatten().map(|ty| self.height(ty)).max().unwrap_or_default()
            }
            Type::Named(id) => self.published[id.0 as usize].height,
            _ => 0,
        }
    }

    /// The interface that a type is defined in.
    fn owner(&self, id: wit::TypeId) -> Option<&str> {
        match self.resolve.types[id].owner {
            wit::TypeOwner::Interface(interface) => self.interfaces.get(&interface).map(String::as_str),
            _ => None,
        }
    }

    fn type_docs(&self, id: wit::TypeId) -> ItemDocs {
        match &self.resolve.types[id].name {
            Some(name) => self.docs.ty(self.owner(id), name),
            None => ItemDocs::default(),
        }
    }
}

fn refused<T>(what: &str) -> Result<T, Obstacle> {
    Err(Obstacle::Refused(format!("its types include {what}, which cannot be converted to JSON")))
}

/// WIT has no documentation for parameters. By convention a list item in the function's own does it:
/// ``- `quantity`: how many units``. Lines that are indented below it go on with it.
fn parameter_docs(docs: &str, name: &str) -> String {
    let marker = format!("`{name}`");
    let item = |line: &str| -> Option<String> {
        let item = line.trim_start().strip_prefix(['-', '*'])?;
        let text = item.trim_start().strip_prefix(marker.as_str())?;
        Some(text.trim_start_matches([':', ' ', '—', '-']).trim().to_owned())
    };
    let mut lines = docs.lines();
    let Some(mut text) = lines.by_ref().find_map(item) else { return String::new() };
    let goes_on = |line: &&str| line.starts_with("  ") && !line.trim_start().starts_with(['-', '*']);
    for line in lines.take_while(goes_on) {
        text.push(' ');
        text.push_str(line.trim());
    }
    text
}
