//! The initial size of a component's instance, read from the component: core instances, tables and memories. A
//! component of one kilobyte can instantiate a module a thousand times.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Parser, Payload,
};

use super::engine::{POOL, TABLE_ELEMENTS};
use super::limits::{INSTANCES_AT_MOST, MEMORIES_AT_MOST, TABLE_ELEMENT, TABLES_AT_MOST};

/// The host's memory for a core instance and its parts, in bytes.
const INSTANCE: u64 = 512;
const FUNCTION: u64 = 32;
const GLOBAL: u64 = 16;
const TABLE: u64 = 96;
const MEMORY: u64 = 96;
const SEGMENT: u64 = 16;
const PAGE: u64 = 64 << 10;
/// Idle instances of one plugin can use this fraction of the pool, see [`super::slots`].
const IDLE_PART: u32 = 16;

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
    /// The number of canonical functions (lift, lower and others), and how many of them are in inner components.
    canonicals: u64,
    inner_canonicals: u64,
    /// The number of items in the component and in all that it instantiates, as often as it does. The compiler goes
    /// through them one by one.
    pub(super) steps: u64,
}

impl Footprint {
    fn add(&mut self, other: Self) {
        let Self { instances, tables, memories, bytes, initial, largest_table, canonicals, inner_canonicals, steps } =
            other;
        self.steps = self.steps.saturating_add(steps);
        self.canonicals = self.canonicals.saturating_add(canonicals);
        self.inner_canonicals = self.inner_canonicals.saturating_add(inner_canonicals);
        self.instances = self.instances.saturating_add(instances);
        self.tables = self.tables.saturating_add(tables);
        self.memories = self.memories.saturating_add(memories);
        self.bytes = self.bytes.saturating_add(bytes);
        self.initial = self.initial.saturating_add(initial);
        self.largest_table = self.largest_table.max(largest_table);
    }

    /// An upper bound for the adapters between components. If no inner component has canonical functions, there are
    /// none: the host is called without adapters.
    pub(super) const fn adapters(&self) -> u64 {
        if self.inner_canonicals == 0 { 0 } else { self.canonicals }
    }

    /// The maximum number of instances that stay idle, if no other plugin needs their slots.
    pub(super) fn idle_at_most(&self) -> u64 {
        let needed = [1, self.memories, self.tables];
        let kinds = POOL.into_iter().zip(needed).filter(|(_, needed)| *needed > 0);
        kinds.map(|(size, needed)| u64::from(size / IDLE_PART) / needed).min().unwrap_or_default()
    }

    /// The larger one, for an item of unknown origin.
    fn larger(self, other: Self) -> Self {
        let size = |one: &Self| (one.instances, one.canonicals, one.bytes, one.initial, one.steps);
        if size(&other) > size(&self) { other } else { self }
    }

    /// The reason why it can never be instantiated, if there is one.
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
    modules: Space,
    components: Space,
    total: Footprint,
    /// It is a core module; the rest is unused then.
    is_module: bool,
}

/// The items by index, and the largest of them. There can be many items of unknown origin.
#[derive(Debug, Default)]
struct Space {
    known: Vec<Footprint>,
    largest: Footprint,
}

impl Space {
    fn push(&mut self, one: Footprint) {
        self.largest = self.largest.larger(one);
        self.known.push(one);
    }

    fn get(&self, index: u32) -> Footprint {
        self.known.get(index as usize).copied().unwrap_or(self.largest)
    }
}

impl Level {
    /// Adds an item of unknown origin, which counts as the largest known one, and a component as too large to be
    /// instantiated.
    fn define(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules.push(self.modules.largest),
            // It can instantiate what it is given, and so on. No tool chain makes use of that.
            ComponentExternalKind::Component => {
                self.components.push(Footprint { steps: u64::MAX, ..self.components.largest });
            }
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
                level.total.steps = 1;
                if level.is_module {
                    (level.total.instances, level.total.bytes) = (1, INSTANCE);
                }
                levels.push(level);
            }
            Payload::End(_) => {
                let Some(Level { total, is_module, .. }) = levels.pop() else { continue };
                match levels.last_mut() {
                    Some(parent) if is_module => parent.modules.push(total),
                    Some(parent) => {
                        parent.components.push(Footprint { inner_canonicals: total.canonicals, ..total });
                    }
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
    total.steps = total.steps.saturating_add(u64::from(items(&payload)));
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
        Payload::ComponentCanonicalSection(functions) => {
            total.canonicals = total.canonicals.saturating_add(u64::from(functions.count()));
        }
        Payload::InstanceSection(instances) => {
            for instance in instances {
                if let Instance::Instantiate { module_index, .. } = instance? {
                    level.total.add(level.modules.get(module_index));
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances {
                if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                    level.total.add(level.components.get(component_index));
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
                match export.kind {
                    ComponentExternalKind::Module => level.modules.push(level.modules.get(export.index)),
                    ComponentExternalKind::Component => level.components.push(level.components.get(export.index)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// The number of items in a section of a component.
fn items(payload: &Payload<'_>) -> u32 {
    match payload {
        Payload::InstanceSection(instances) => instances.count(),
        Payload::ComponentInstanceSection(instances) => instances.count(),
        Payload::ComponentAliasSection(aliases) => aliases.count(),
        Payload::ComponentCanonicalSection(functions) => functions.count(),
        Payload::ComponentImportSection(imports) => imports.count(),
        Payload::ComponentExportSection(exports) => exports.count(),
        _ => 0,
    }
}

/// An alias of a module or component of an enclosing component; 0 is the current one.
fn alias_outer(level: &mut Level, outer: &[Level], kind: ComponentOuterAliasKind, count: u32, index: u32) {
    let found = |own: &Space, of: fn(&Level) -> &Space| {
        let from = match count as usize {
            0 => own,
            count => outer.len().checked_sub(count).and_then(|place| outer.get(place)).map_or(own, of),
        };
        from.get(index)
    };
    match kind {
        ComponentOuterAliasKind::CoreModule => level.modules.push(found(&level.modules, |level| &level.modules)),
        ComponentOuterAliasKind::Component => {
            level.components.push(found(&level.components, |level| &level.components));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use outrigger_testkit::components;
    use wasmtime::component::Component;

    use super::*;
    use crate::wasm::engine::{Layout, for_compiling};
    use crate::wasm::slots::Pool;

    #[test]
    fn s07_the_number_of_idle_instances_is_that_of_the_pool() {
        let engine = for_compiling(Layout::Scarce).expect("an engine");
        for wasm in [components::hostile(), components::hostile_with_memories()] {
            let component = Component::new(&engine, &wasm).expect("it compiles");
            let slots = Arc::<Pool>::default().slots(&"one".parse().expect("a name"), &component);
            let idle = (0..).take_while(|idle| slots.may_keep(*idle)).count();
            assert_eq!(of(&wasm).expect("it can be read").idle_at_most(), idle as u64);
        }
    }

    #[test]
    fn s09_aliases_are_read_in_linear_time() {
        let import = "(import \"i\" (instance $i (export \"m\" (core module))))";
        let wat = format!("(component {import} {})", "(alias export $i \"m\" (core module))".repeat(90_000));
        let wasm = wat::parse_str(&wat).expect("a component");
        let started = Instant::now();
        of(&wasm).expect("it can be read");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}
