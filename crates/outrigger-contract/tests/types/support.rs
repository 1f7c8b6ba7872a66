//! Graphs made by hand, and components made from WIT.

use outrigger_contract::types::schema::DIALECT;
use outrigger_contract::types::wit::{ComponentType, WitError, read_component};
use outrigger_contract::types::{Case, Field, Label, NamedType, Shape, Type, TypeGraph, TypeId};
use serde_json::Value as Json;
use wasm_encoder::{ComponentSection as _, CustomSection};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, PackageMetadata, Resolve};

/// A component of the world `plugin`, whose functions trap. It carries the documentation of the WIT in a custom section
/// of the given name.
pub fn component(wit: &str, docs_section: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_source("plugin.wit", include_str!("../../../../wit/plugin.wit")).unwrap();
    let package = resolve.push_source("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut component = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let docs = PackageMetadata::extract(&resolve, package).encode().unwrap();
    let section = CustomSection { name: docs_section.into(), data: docs.as_slice().into() };
    section.append_to_component(&mut component);
    component
}

/// The types of such a component.
pub fn read(wit: &str) -> Result<ComponentType, WitError> {
    read_component(&component(wit, "outrigger:package-docs"))
}

/// A validator for a schema that names its dialect and is itself valid by it.
#[track_caller]
pub fn validator(schema: &Json) -> jsonschema::Validator {
    assert_eq!(schema["$schema"], DIALECT);
    assert!(jsonschema::draft202012::meta::is_valid(schema), "not a schema: {schema:#}");
    jsonschema::draft202012::new(schema).unwrap()
}

pub fn list(item: Type) -> Type {
    Type::List(Box::new(item))
}

pub fn option(item: Type) -> Type {
    Type::Option(Box::new(item))
}

pub fn result(ok: Option<Type>, err: Option<Type>) -> Type {
    Type::Result { ok: ok.map(Box::new), err: err.map(Box::new) }
}

pub fn field(name: &str, ty: Type) -> Field {
    Field { name: name.to_owned(), docs: String::new(), ty }
}

/// A graph with one type of each shape, named as the constants below.
pub fn graph() -> TypeGraph {
    let label = |name: &&str| Label { name: (*name).to_owned(), docs: String::new() };
    let case = |name: &str, ty: Option<Type>| Case { name: name.to_owned(), docs: String::new(), ty };
    let named = |name: &str, shape: Shape| NamedType::new(name, "", shape);
    TypeGraph {
        types: vec![
            named("point", Shape::Record(vec![field("x", Type::S32), field("label", option(Type::String))])),
            named(
                "discount",
                Shape::Variant(vec![
                    case("none", None),
                    case("percent", Some(Type::U8)),
                    case("note", Some(option(Type::String))),
                ]),
            ),
            named("colour", Shape::Enum(["red", "green", "dark-blue"].iter().map(label).collect())),
            named("rights", Shape::Flags(["read", "write", "execute"].iter().map(label).collect())),
            named("maybe", Shape::Alias(option(Type::U8))),
            // WIT has no such names. Should it ever, pointers are escaped.
            named("odd", Shape::Record(vec![field("a/b~c", list(Type::Bool)), field("maybe", Type::Named(MAYBE))])),
        ],
        ..TypeGraph::default()
    }
}

pub const POINT: TypeId = TypeId(0);
pub const DISCOUNT: TypeId = TypeId(1);
pub const COLOUR: TypeId = TypeId(2);
pub const RIGHTS: TypeId = TypeId(3);
pub const MAYBE: TypeId = TypeId(4);
pub const ODD: TypeId = TypeId(5);
