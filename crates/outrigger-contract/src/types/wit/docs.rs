//! The documentation of a component, which stands in a custom section beside its types, in the layout of `wit-parser`.
//!
//! The section is named `outrigger:package-docs` by our own tools and `package-docs` by others. A decoder takes the
//! latter to describe the world `root` that it makes up, and refuses a component in which it describes, as it should,
//! the author's package. So that section is read here and hidden from the decoder.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use wasmparser::{Parser, Payload};

use super::bounds;
use super::names::short_interface;
use crate::units::ByteSize;

const OURS: &str = "outrigger:package-docs";
const USUAL: &str = "package-docs";
/// The maximum size of the documentation section, in bytes.
const LONGEST: usize = 1 << 20;
/// The replacement of [`USUAL`], of the same length.
const HIDDEN: &[u8; USUAL.len()] = b"package_docs";

/// The documentation in a component, and the component as it can be decoded. A section that cannot be read is no reason
/// to refuse the plugin.
pub(super) fn take(bytes: &[u8]) -> (PackageDocs, Cow<'_, [u8]>) {
    let mut decodable = Cow::Borrowed(bytes);
    let (mut ours, mut usual) = (None, None);
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == USUAL => {
                let end = section.data_offset();
                decodable.to_mut()[end - USUAL.len()..end].copy_from_slice(HIDDEN);
                if depth == 0 {
                    usual.get_or_insert(section.data());
                }
            }
            Payload::CustomSection(section) if section.name() == OURS && depth == 0 => {
                ours.get_or_insert(section.data());
            }
            _ => {}
        }
    }
    (ours.or(usual).map(read).unwrap_or_default(), decodable)
}

/// A version byte, then JSON.
fn read(section: &[u8]) -> PackageDocs {
    if section.len() > LONGEST {
        return PackageDocs { too_long: Some(section.len()), ..PackageDocs::default() };
    }
    match section.split_first() {
        Some((0 | 1, json)) => serde_json::from_slice(json).unwrap_or_default(),
        _ => PackageDocs::default(),
    }
}

/// The section, as far as it is used here. Unknown members are left alone: it is documentation.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PackageDocs {
    #[serde(default)]
    docs: Option<String>,
    #[serde(default)]
    worlds: BTreeMap<String, WorldItems>,
    #[serde(default)]
    interfaces: BTreeMap<String, InterfaceDocs>,
    /// The size of a section that was skipped, in bytes.
    #[serde(skip)]
    too_long: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
struct WorldItems {
    #[serde(default)]
    docs: Option<String>,
    #[serde(default)]
    funcs: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    func_exports: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    types: BTreeMap<String, ItemDocs>,
    /// Interfaces written inside the world.
    #[serde(default)]
    interfaces: BTreeMap<String, InterfaceDocs>,
    #[serde(default)]
    interface_exports: BTreeMap<String, InterfaceDocs>,
}

#[derive(Debug, Default, Deserialize)]
struct InterfaceDocs {
    #[serde(default)]
    docs: Option<String>,
    #[serde(default)]
    funcs: BTreeMap<String, ItemDocs>,
    #[serde(default)]
    types: BTreeMap<String, ItemDocs>,
}

/// Documentation of a function or type: its text alone, or with that of its fields and cases.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ItemDocs {
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
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Full { docs: Some(text), .. } => bounds::docs(text),
            Self::Full { docs: None, .. } => String::new(),
        }
    }

    /// The documentation of a field or case.
    pub(super) fn item(&self, name: &str) -> String {
        match self {
            Self::Full { items, .. } => items.get(name).map(|text| bounds::docs(text)).unwrap_or_default(),
            Self::Text(_) => String::new(),
        }
    }
}

impl PackageDocs {
    /// A note about a section that was skipped.
    pub(super) fn note(&self) -> Option<String> {
        let length = ByteSize::bytes(self.too_long? as u64).rounded();
        let limit = ByteSize::bytes(LONGEST as u64);
        Some(format!("the component's documentation is {length} and is not shown; the limit is {limit}"))
    }

    /// The documentation of the one world that the component is of. Its name is not in the component; it is the world
    /// that documents most of the component's exports and none that the component does not have.
    pub(super) fn of_world(self, exported: &BTreeSet<String>) -> WorldDocs {
        let Self { docs, worlds, interfaces, too_long: _ } = self;
        let mut best = WorldItems::default();
        let mut score = None;
        for world in worlds.into_values() {
            let documented = || world.func_exports.keys().chain(world.interface_exports.keys());
            let there = documented().filter(|name| exported.contains(*name)).count();
            let candidate = Some((there == documented().count(), there, world.docs.is_some()));
            if candidate > score {
                (best, score) = (world, candidate);
            }
        }
        WorldDocs { package: docs, world: best, interfaces }
    }
}

/// The documentation of a component's world, of its interfaces and of its package.
#[derive(Debug, Default)]
pub(super) struct WorldDocs {
    package: Option<String>,
    world: WorldItems,
    interfaces: BTreeMap<String, InterfaceDocs>,
}

impl WorldDocs {
    /// The plugin's documentation: of its world, its package, or its only exported interface.
    pub(super) fn overview(&self, exported: &BTreeSet<String>) -> String {
        let only_interface = || match exported.iter().collect::<Vec<_>>().as_slice() {
            [one] => self.interface(one)?.docs.as_deref(),
            _ => None,
        };
        let text = self.world.docs.as_deref().or(self.package.as_deref()).or_else(only_interface);
        bounds::docs(text.unwrap_or_default())
    }

    /// The documentation of a function of the world.
    pub(super) fn function(&self, name: &str) -> String {
        let found = self.world.func_exports.get(name).or_else(|| self.world.funcs.get(name));
        found.map(ItemDocs::text).unwrap_or_default()
    }

    /// The documentation of a function of an interface.
    pub(super) fn interface_function(&self, interface: &str, name: &str) -> String {
        let found = self.interface(interface).and_then(|interface| interface.funcs.get(name));
        found.map(ItemDocs::text).unwrap_or_default()
    }

    /// The documentation of a type of an interface, or of the world.
    pub(super) fn ty(&self, interface: Option<&str>, name: &str) -> ItemDocs {
        let found = match interface {
            Some(interface) => self.interface(interface).and_then(|interface| interface.types.get(name)),
            None => self.world.types.get(name),
        };
        found.cloned().unwrap_or_default()
    }

    fn interface(&self, name: &str) -> Option<&InterfaceDocs> {
        let short = short_interface(name);
        let inside = || self.world.interface_exports.get(short).or_else(|| self.world.interfaces.get(short));
        self.interfaces.get(short).or_else(inside)
    }
}
