//! Reads the type graph out of a component: its exported functions and every type they mention, with documentation.
//!
//! A component does not carry documentation in its types. Tools put it beside them, in a custom section named
//! `package-docs` (the layout of `wit-parser`), which is read here for functions, interfaces, types, fields and cases.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;
use wit_parser::decoding::DecodedWasm;
use wit_parser::{self as wit, Resolve, WorldItem, WorldKey};

use super::graph::{Case, Field, Function, Label, NamedType, Outcome, Refused, Shape, Type, TypeGraph, TypeId};

/// What a component offers and needs, read from its type without running it.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentType {
    /// Its callable functions.
    pub graph: TypeGraph,
    /// Which of the platform's own interfaces it exports.
    pub exports: BTreeSet<OptionalExport>,
    /// Names of everything it imports, such as `wasi:filesystem/types@0.2.6`.
    pub imports: BTreeSet<String>,
}

/// An interface of `outrigger:plugin` that a plugin may export to take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionalExport {
    Lifecycle,
    Health,
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
    /// A type is nested so deeply that it cannot be handled safely.
    #[error("the types of `{function}` are nested more than {MAX_DEPTH} levels deep")]
    TooDeep {
        /// The function whose types they are.
        function: String,
    },
}

const MAX_DEPTH: usize = 64;

/// Reads the type of a component.
///
/// # Errors
/// The bytes are not a component, or its types cannot be handled.
pub fn read_component(bytes: &[u8]) -> Result<ComponentType, WitError> {
    let decoded = wit::decoding::decode(bytes).map_err(|error| WitError::Decode(format!("{error:#}")))?;
    let DecodedWasm::Component(resolve, world) = decoded else { return Err(WitError::WitPackage) };
    let docs = read_docs(bytes);
    read_world(&resolve, world, &docs)
}

fn read_world(resolve: &Resolve, world: wit::WorldId, docs: &PackageDocs) -> Result<ComponentType, WitError> {
    let world = &resolve.worlds[world];
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
    let mut exports = BTreeSet::new();
    let mut offered = Vec::new();
    for (key, item) in &world.exports {
        let name = resolve.name_world_key(key);
        match item {
            WorldItem::Function(function) => offered.push((None, function, docs.world_function(&function.name))),
            WorldItem::Interface { id, .. } => match optional_export(&name) {
                Some(export) => _ = exports.insert(export),
                None => {
                    let interface_docs = docs.interface(&name);
                    for function in resolve.interfaces[*id].functions.values() {
                        let function_docs = interface_docs.and_then(|docs| docs.funcs.get(&function.name));
                        offered.push((Some(name.clone()), function, function_docs));
                    }
                }
            },
            WorldItem::Type { .. } => {}
        }
    }
    let names = choose_names(&offered);
    let mut builder = Builder { resolve, docs, graph: TypeGraph::default(), ids: HashMap::new(), depth: 0 };
    builder.graph.docs = docs.overview();
    for ((interface, function, function_docs), name) in offered.into_iter().zip(names) {
        builder.function(name, interface, function, function_docs.map(ItemDocs::text).unwrap_or_default())?;
    }
    Ok(ComponentType { graph: builder.graph, exports, imports })
}

/// `outrigger:plugin/health@1.2.3` → `Health`, for any 1.x.
fn optional_export(name: &str) -> Option<OptionalExport> {
    let (interface, version) = name.strip_prefix("outrigger:plugin/")?.split_once('@')?;
    match (interface, version.starts_with("1.")) {
        ("lifecycle", true) => Some(OptionalExport::Lifecycle),
        ("health", true) => Some(OptionalExport::Health),
        _ => None,
    }
}

/// The function's own name where it is the only one of that name; otherwise `interface.function`.
fn choose_names<T>(offered: &[(Option<String>, &wit::Function, T)]) -> Vec<String> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for (_, function, _) in offered {
        *uses.entry(function.name.as_str()).or_default() += 1;
    }
    let qualified = |(interface, function, _): &(Option<String>, &wit::Function, T)| match interface {
        Some(interface) if uses[function.name.as_str()] > 1 => {
            format!("{}.{}", short_interface(interface), function.name)
        }
        _ => function.name.clone(),
    };
    offered.iter().map(qualified).collect()
}

/// `acme:pricing/quotes@1.0.0` → `quotes`.
fn short_interface(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    name.rsplit('/').next().unwrap_or(name)
}

struct Builder<'a> {
    resolve: &'a Resolve,
    docs: &'a PackageDocs,
    graph: TypeGraph,
    ids: HashMap<wit::TypeId, TypeId>,
    depth: usize,
}

/// Why a type cannot cross into JSON.
enum Obstacle {
    Refused(String),
    TooDeep,
}

impl Builder<'_> {
    fn function(
        &mut self,
        name: String,
        interface: Option<String>,
        function: &wit::Function,
        docs: String,
    ) -> Result<(), WitError> {
        let known_types = self.graph.types.len();
        match self.try_function(&name, interface, function, docs) {
            Ok(function) => self.graph.functions.push(function),
            Err(Obstacle::Refused(reason)) => {
                // Types met only by a refused function are not published.
                self.graph.types.truncate(known_types);
                self.ids.retain(|_, id| (id.0 as usize) < known_types);
                self.graph.refused.push(Refused { name, reason });
            }
            Err(Obstacle::TooDeep) => return Err(WitError::TooDeep { function: name }),
        }
        Ok(())
    }

    fn try_function(
        &mut self,
        name: &str,
        interface: Option<String>,
        function: &wit::Function,
        docs: String,
    ) -> Result<Function, Obstacle> {
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
            return Ok(Type::Named(*id));
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
            // `use` of a type from another interface: the original carries the documentation.
            wit::TypeDefKind::Type(target @ wit::Type::Id(target_id))
                if self.resolve.types[*target_id].name == definition.name =>
            {
                self.ty(target)?
            }
            wit::TypeDefKind::Type(target) => self.ty(target)?,
            wit::TypeDefKind::Record(_)
            | wit::TypeDefKind::Variant(_)
            | wit::TypeDefKind::Enum(_)
            | wit::TypeDefKind::Flags(_) => return self.named(id),
            wit::TypeDefKind::Resource | wit::TypeDefKind::Handle(_) => return refused("a resource"),
            wit::TypeDefKind::Future(_) => return refused("a future"),
            wit::TypeDefKind::Stream(_) => return refused("a stream"),
            wit::TypeDefKind::Map(..) => return refused("a map, which the component model has not settled yet"),
            wit::TypeDefKind::FixedLengthList(..) => {
                return refused("a list of fixed length, which the component model has not settled yet");
            }
            wit::TypeDefKind::Unknown => return refused("a type that is not known"),
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
            _ => return refused("a type that is not known"),
        };
        let name = definition.name.as_deref().unwrap_or("type");
        Ok(self.publish(id, name, docs.text(), shape))
    }

    fn publish(&mut self, id: wit::TypeId, name: &str, docs: String, shape: Shape) -> Type {
        let taken = |candidate: &str| self.graph.types.iter().any(|ty| ty.name == candidate);
        let qualified = match self.owner(id) {
            Some(owner) if taken(name) => format!("{}.{name}", short_interface(&owner)),
            _ => name.to_owned(),
        };
        let unique = std::iter::once(qualified.clone())
            .chain((2..).map(|number| format!("{qualified}-{number}")))
            .find(|candidate| !taken(candidate))
            .expect("the numbers do not end");
        let place = TypeId(u32::try_from(self.graph.types.len()).expect("a component has fewer than 2^32 types"));
        self.graph.types.push(NamedType { name: unique, docs, shape });
        self.ids.insert(id, place);
        Type::Named(place)
    }

    /// The interface that a type is defined in.
    fn owner(&self, id: wit::TypeId) -> Option<String> {
        match self.resolve.types[id].owner {
            wit::TypeOwner::Interface(interface) => Some(match self.resolve.id_of(interface) {
                Some(name) => name,
                None => self.resolve.name_world_key(&WorldKey::Interface(interface)),
            }),
            _ => None,
        }
    }

    fn type_docs(&self, id: wit::TypeId) -> ItemDocs {
        let Some(name) = &self.resolve.types[id].name else { return ItemDocs::default() };
        let found = match self.owner(id) {
            Some(owner) => self.docs.interface(&owner).and_then(|docs| docs.types.get(name)),
            None => self.docs.worlds.values().find_map(|world| world.types.get(name)),
        };
        found.cloned().unwrap_or_default()
    }
}

fn refused<T>(what: &str) -> Result<T, Obstacle> {
    Err(Obstacle::Refused(format!("its types include {what}, which cannot be passed as JSON")))
}

/// WIT has no documentation for parameters. By convention a list item in the function's own does it:
/// ``- `quantity`: how many units``.
fn parameter_docs(docs: &str, name: &str) -> String {
    let marker = format!("`{name}`");
    docs.lines()
        .filter_map(|line| line.trim_start().strip_prefix(['-', '*']))
        .filter_map(|item| item.trim_start().strip_prefix(marker.as_str()))
        .map(|text| text.trim_start_matches([':', ' ', '—', '-']).trim().to_owned())
        .next()
        .unwrap_or_default()
}

/// The `package-docs` section, as far as it is used here. Unknown members are left alone: it is documentation.
#[derive(Debug, Default, Deserialize)]
struct PackageDocs {
    #[serde(default)]
    docs: Option<String>,
    #[serde(default)]
    worlds: BTreeMap<String, WorldDocs>,
    #[serde(default)]
    interfaces: BTreeMap<String, InterfaceDocs>,
}

#[derive(Debug, Default, Deserialize)]
struct WorldDocs {
    #[serde(default)]
    docs: Option<String>,
    #[serde(default)]
    funcs: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    func_exports: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    types: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    interfaces: BTreeMap<String, InterfaceDocs>,
    #[serde(default)]
    interface_exports: BTreeMap<String, InterfaceDocs>,
}

#[derive(Debug, Default, Deserialize)]
struct InterfaceDocs {
    #[serde(default)]
    funcs: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    types: BTreeMap<String, ItemDocs>,
}

impl WorldDocs {
    /// An interface written inside the world.
    fn interface(&self, name: &str) -> Option<&InterfaceDocs> {
        self.interface_exports.get(name).or_else(|| self.interfaces.get(name))
    }
}

/// Documentation of a function or type: its text alone, or with that of its fields and cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum ItemDocs {
    Text(String),
    Full {
        #[serde(default)]
        docs: Option<String>,
        #[serde(default)]
        items: BTreeMap<String, String>,
    },
}

impl Default for ItemDocs {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl ItemDocs {
    fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Full { docs: Some(text), .. } => text.trim().to_owned(),
            Self::Full { docs: None, .. } => String::new(),
        }
    }

    fn item(&self, name: &str) -> String {
        match self {
            Self::Full { items, .. } => items.get(name).map(|text| text.trim().to_owned()).unwrap_or_default(),
            Self::Text(_) => String::new(),
        }
    }
}

impl PackageDocs {
    fn overview(&self) -> String {
        let world = self.worlds.values().find_map(|world| world.docs.as_deref());
        world.or(self.docs.as_deref()).unwrap_or_default().trim().to_owned()
    }

    fn world_function(&self, name: &str) -> Option<&ItemDocs> {
        self.worlds.values().find_map(|world| world.func_exports.get(name).or_else(|| world.funcs.get(name)))
    }

    fn interface(&self, name: &str) -> Option<&InterfaceDocs> {
        let short = short_interface(name);
        self.interfaces.get(short).or_else(|| self.worlds.values().find_map(|world| world.interface(short)))
    }
}

/// The documentation section of a component. A section that cannot be read is no reason to refuse the plugin.
fn read_docs(bytes: &[u8]) -> PackageDocs {
    let sections = wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok);
    for payload in sections {
        if let wasmparser::Payload::CustomSection(section) = payload
            && section.name() == "package-docs"
            && let Some((0 | 1, json)) = section.data().split_first()
        {
            return serde_json::from_slice(json).unwrap_or_default();
        }
    }
    PackageDocs::default()
}
