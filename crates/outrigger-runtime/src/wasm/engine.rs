//! The one wasmtime engine: how components are compiled, how instances are allocated, and the clock that interrupts
//! them.

use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::limits::INSTANCES_AT_MOST;
use super::slots::Counts;

/// How often running code is interrupted: to let other calls run, and to check its limits.
///
/// At its first tick, a call leaves the serving threads (see [`outrigger_compute`]). A short call waits at most for the
/// rest of a tick.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Instances at once. A component has one linear memory, as a rule; those made from interpreters have two.
const MEMORIES: u32 = 640;
/// Maximum number of tables. A component from a language's tool chain has up to two dozen core instances, with a table
/// each.
const TABLES: u32 = 12_000;
/// The size of the pool: instances (each with its stack), memories and tables; see [`super::slots`].
pub(super) const POOL: Counts = [MEMORIES, MEMORIES, TABLES];
/// Maximum number of core instances. They take no slot of the pool, and instances are limited.
const CORE_INSTANCES: u32 = MEMORIES * INSTANCES_AT_MOST as u32;
/// All that a 32-bit memory can address, so that the limit of each plugin is the only one.
const LARGEST_MEMORY: usize = 1 << 32;
/// Enough for the tables of interpreters compiled to Wasm, with a margin.
pub(super) const TABLE_ELEMENTS: usize = 200_000;
/// The part of a freed table that stays in memory. There is one for each core instance, and it is not charged.
const TABLE_KEPT_RESIDENT: usize = 4 << 10;
/// The maximum stack of Wasm code. Touched pages stay resident for the next call and are not charged: giving them back
/// would cost each call two system calls. Half a megabyte each is 320 MiB for all slots of the pool.
const WASM_STACK: usize = 512 << 10;
/// The stack that a call runs on: the one of the Wasm code, and what host functions need on top.
const CALL_STACK: usize = WASM_STACK + (1 << 20);
/// Memory of a slot that is wiped in place instead of being given back to the system, where the kernel can say which
/// pages were touched.
const KEPT_RESIDENT: usize = 256 << 10;
/// Slots that keep their last contents mapped, in case the same plugin comes again.
const WARM_SLOTS: u32 = 64;

/// The address space layout of memories, on which compiled code depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Each memory reserves its full address space.
    Reserved,
    /// Each memory reserves only what it uses.
    Scarce,
}

impl Layout {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Scarce => "scarce",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Reserved, Self::Scarce].into_iter().find(|layout| layout.name() == name)
    }
}

/// An engine that only compiles, for this layout.
pub(super) fn for_compiling(layout: Layout) -> wasmtime::Result<Engine> {
    match layout {
        Layout::Reserved => Engine::new(&base()),
        Layout::Scarce => Engine::new(&on_demand()),
    }
}

/// Makes the engine. Instances come from a pool, which makes a fresh one cheap; where the address space for it
/// cannot be reserved (`ulimit -v`), they are allocated one by one.
pub(super) fn create() -> wasmtime::Result<(Engine, Layout)> {
    let (engine, layout) = match Engine::new(&pooled()) {
        Ok(engine) => (engine, Layout::Reserved),
        Err(error) => {
            tracing::warn!(
                reason = %format_args!("{error:#}"),
                "no address space for a pool of instances; each is allocated on its own, which is slower"
            );
            (Engine::new(&on_demand())?, Layout::Scarce)
        }
    };
    tick(&engine);
    Ok((engine, layout))
}

fn base() -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK);
    config.async_stack_size(CALL_STACK);
    config
}

fn pooled() -> Config {
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

/// Where address space is scarce, a memory takes what it uses and moves when it grows.
fn on_demand() -> Config {
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config.memory_reservation(0);
    config.memory_reservation_for_growth(1 << 20);
    config.memory_guard_size(64 << 10);
    config.memory_may_move(true);
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(MEMORIES);
    pool.total_tables(TABLES);
    pool.total_core_instances(CORE_INSTANCES);
    pool.total_component_instances(MEMORIES);
    pool.total_stacks(MEMORIES);
    pool.max_unused_warm_slots(WARM_SLOTS);
    pool.max_memory_size(LARGEST_MEMORY);
    pool.table_elements(TABLE_ELEMENTS);
    pool.max_core_instance_size(4 << 20);
    pool.max_component_instance_size(4 << 20);
    pool.max_memories_per_module(8);
    pool.max_tables_per_module(16);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes);
        pool.linear_memory_keep_resident(KEPT_RESIDENT);
        pool.table_keep_resident(TABLE_KEPT_RESIDENT);
    }
    pool
}

/// Advances the epoch from a thread of its own, because the threads that run Wasm may all be busy with it.
/// The thread ends with the engine.
fn tick(engine: &Engine) {
    let engine = engine.weak();
    let run = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::park_timeout(TICK);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("outrigger-epoch".to_owned()).spawn(run) {
        tracing::error!(%error, "the clock that interrupts plugins could not be started");
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    #[test]
    fn s09_code_of_another_process_is_that_of_this_one() {
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let check = |running: &Config, layout: Layout| {
            let running = Engine::new(running).expect("an engine");
            assert_eq!(hash(&running), hash(&for_compiling(layout).expect("an engine")), "{layout:?}");
            assert_eq!(Layout::from_name(layout.name()), Some(layout));
        };
        check(&pooled(), Layout::Reserved);
        check(&on_demand(), Layout::Scarce);
    }
}
