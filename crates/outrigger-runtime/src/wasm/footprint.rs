//! The initial size of a component's instance, read from the component: core instances, tables and memories. A
//! component of one kilobyte can instantiate a module a thousand times.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Parser, Payload,
};

use super::engine::TABLE_ELEMENTS;
use super::limits::{INSTANCES_AT_MOST, MEMORIES_AT_MOST, TABLE_ELEMENT, TABLES_AT_MOST};

/// The host's memory for a core instance and its parts, in bytes.
const INSTANCE: u64 = 512;
const FUNCTION: u64 = 32;
const GLOBAL: u64 = 16;
const TABLE: u64 = 96;
const MEMORY: u64 = 96;
const SEGMENT: u64 = 16;
const PAGE: u64 = 64 << 10;

/// The initial size of each instance of a module or component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    pub(super) instances: u64,
    pub(super) tables: u64,
    pub(super) memories: u64,
    /// Bytes of the core instances.
    pub(super) bytes: u64,
    /// Initial bytes of memories and tables.
    pub(super) initial: u64,
    /// Elements of the largest table.
    largest_table: u64,
}

impl Footprint {
    fn add(&mut self, other: Self) {
        let Self { instances, tables, memories, bytes, initial, largest_table } = other;
        self.instances = self.instances.saturating_add(instances);
        self.tables = self.tables.saturating_add(tables);
        self.memories = self.memories.saturating_add(memories);
        self.bytes = self.bytes.saturating_add(bytes);
        self.initial = self.initial.saturating_add(initial);
        self.largest_table = self.largest_table.max(largest_table);
    }

    /// Why it cannot be instantiated under any limit, if so.
    pub(super) fn problem(&self) -> Option<String> {
        let beyond = |count: u64, most: usize| count > most as u64;
        let problem =
            |what: &str, count: u64, most: usize| Some(format!("an instance has {count} {what}; the limit is {most}"));
        if beyond(self.instances, INSTANCES_AT_MOST) {
            return problem("core instances", self.instances, INSTANCES_AT_MOST);
        }
        if beyond(self.tables, TABLES_AT_MOST) {
            return problem("tables", self.tables, TABLES_AT_MOST);
        }
        if beyond(self.memories, MEMORIES_AT_MOST) {
            return problem("memories", self.memories, MEMORIES_AT_MOST);
        }
        if beyond(self.largest_table, TABLE_ELEMENTS) {
            return Some(format!("it has a table of {} elements; the limit is {TABLE_ELEMENTS}", self.largest_table));
        }
        None
    }
}

/// The reader's state: index spaces, and instances so far.
#[derive(Debug, Default)]
struct Level {
    modules: Vec<Footprint>,
    components: Vec<Footprint>,
    total: Footprint,
    /// It is a core module; the rest is unused then.
    is_module: bool,
}

impl Level {
    /// An item of unknown origin: counted as the largest known one.
    fn any(known: &[Footprint]) -> Footprint {
        known.iter().copied().max_by_key(|one| (one.instances, one.bytes, one.initial)).unwrap_or_default()
    }

    fn define(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules.push(Self::any(&self.modules)),
            ComponentExternalKind::Component => self.components.push(Self::any(&self.components)),
            _ => {}
        }
    }
}

/// Computes the initial size of an instance of a valid component.
pub(super) fn of(wasm: &[u8]) -> wasmparser::Result<Footprint> {
    let mut levels: Vec<Level> = Vec::new();
    let mut whole = Footprint::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match payload {
            Payload::Version { encoding, .. } => {
                let mut level = Level { is_module: encoding == Encoding::Module, ..Level::default() };
                if level.is_module {
                    (level.total.instances, level.total.bytes) = (1, INSTANCE);
                }
                levels.push(level);
            }
            Payload::End(_) => {
                let Some(Level { total, is_module, .. }) = levels.pop() else { continue };
                match levels.last_mut() {
                    Some(parent) if is_module => parent.modules.push(total),
                    Some(parent) => parent.components.push(total),
                    None => whole = total,
                }
            }
            other => section(&mut levels, other)?,
        }
    }
    Ok(whole)
}

fn section(levels: &mut [Level], payload: Payload<'_>) -> wasmparser::Result<()> {
    let Some((level, outer)) = levels.split_last_mut() else { return Ok(()) };
    let total = &mut level.total;
    match payload {
        Payload::ImportSection(imports) => {
            total.bytes += FUNCTION * u64::from(imports.count());
        }
        Payload::FunctionSection(functions) => total.bytes += FUNCTION * u64::from(functions.count()),
        Payload::GlobalSection(globals) => total.bytes += GLOBAL * u64::from(globals.count()),
        Payload::ElementSection(segments) => total.bytes += SEGMENT * u64::from(segments.count()),
        Payload::DataSection(segments) => total.bytes += SEGMENT * u64::from(segments.count()),
        Payload::TagSection(tags) => total.bytes += GLOBAL * u64::from(tags.count()),
        Payload::TableSection(tables) => {
            for table in tables {
                let initial = table?.ty.initial;
                total.tables += 1;
                total.bytes += TABLE;
                total.initial = total.initial.saturating_add(initial.saturating_mul(TABLE_ELEMENT as u64));
                total.largest_table = total.largest_table.max(initial);
            }
        }
        Payload::MemorySection(memories) => {
            for memory in memories {
                total.memories += 1;
                total.bytes += MEMORY;
                total.initial = total.initial.saturating_add(memory?.initial.saturating_mul(PAGE));
            }
        }
        Payload::InstanceSection(instances) => {
            for instance in instances {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    let module = level.modules.get(module_index as usize).copied();
                    level.total.add(module.unwrap_or_else(|| Level::any(&level.modules)));
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    let component = level.components.get(component_index as usize).copied();
                    level.total.add(component.unwrap_or_else(|| Level::any(&level.components)));
                }
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            for alias in aliases {
                match alias? {
                    ComponentAlias::InstanceExport { kind, .. } => level.define(kind),
                    ComponentAlias::Outer { kind, count, index } => alias_outer(level, outer, kind, count, index),
                    ComponentAlias::CoreInstanceExport { .. } => {}
                }
            }
        }
        Payload::ComponentImportSection(imports) => {
            for import in imports {
                match import?.ty {
                    ComponentTypeRef::Module(_) => level.define(ComponentExternalKind::Module),
                    ComponentTypeRef::Component(_) => level.define(ComponentExternalKind::Component),
                    _ => {}
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports {
                let export = export?;
                let index = export.index as usize;
                match export.kind {
                    ComponentExternalKind::Module => level.modules.extend(level.modules.get(index).copied()),
                    ComponentExternalKind::Component => level.components.extend(level.components.get(index).copied()),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// An alias of a module or component of an enclosing component; 0 is the current one.
fn alias_outer(level: &mut Level, outer: &[Level], kind: ComponentOuterAliasKind, count: u32, index: u32) {
    let found = |own: &[Footprint], of: fn(&Level) -> &[Footprint]| {
        let from = match count as usize {
            0 => own,
            count => outer.len().checked_sub(count).and_then(|place| outer.get(place)).map_or(own, of),
        };
        from.get(index as usize).copied().unwrap_or_else(|| Level::any(from))
    };
    match kind {
        ComponentOuterAliasKind::CoreModule => level.modules.push(found(&level.modules, |level| &level.modules)),
        ComponentOuterAliasKind::Component => {
            level.components.push(found(&level.components, |level| &level.components));
        }
        _ => {}
    }
}
