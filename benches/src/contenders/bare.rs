//! Bare wasmtime: the least that calls the same component at all. A store without data, no limits, no deadline, values
//! that lie ready; the settings of the engine are those of ours (`outrigger-runtime/src/wasm/engine.rs`), because compiled
//! code and the pool of instances depend on them.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use async_trait::async_trait;
use wasmtime::component::{Component, ComponentExportIndex, Func, InstancePre, Linker, Val};
use wasmtime::error::Context as _;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store, bail, ensure,
};

use super::payload;
use crate::measure::{Contender, breathe};

const INTERFACE: &str = "outrigger:peer/orders@1.0.0";

/// Whether an instance serves one call or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instances {
    Fresh,
    Warm,
}

/// How the Wasm code is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// On the caller's stack.
    Sync,
    /// On a stack of its own, so that host functions could wait.
    Async,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// With dynamic values: what a host must do that knows no types when it is compiled.
    Quote,
    /// With Rust's own types.
    Echo,
}

/// The component, ready.
pub struct Bare {
    pre: InstancePre<()>,
    quote: ComponentExportIndex,
    echo: ComponentExportIndex,
    order: Vec<Val>,
    payload: Vec<u8>,
}

impl Bare {
    pub fn start(component: &[u8]) -> anyhow::Result<Arc<Self>> {
        Self::prepare(component).map_err(|error| anyhow!("bare wasmtime: {error:?}"))
    }

    fn prepare(component: &[u8]) -> Result<Arc<Self>> {
        let engine = engine()?;
        let component = Component::new(&engine, component)?;
        let interface = component.get_export_index(None, INTERFACE).context("the interface is not exported")?;
        let export = |name| component.get_export_index(Some(&interface), name).context("a function is not exported");
        let (quote, echo) = (export("quote")?, export("echo")?);
        let pre = Linker::new(&engine).instantiate_pre(&component)?;
        let bare = Arc::new(Self { pre, quote, echo, order: vec![order()], payload: payload() });
        bare.check()?;
        Ok(bare)
    }

    fn check(&self) -> Result<()> {
        let (mut store, quote, _) = self.instantiate()?;
        let mut results = [Val::Bool(false)];
        quote.call(&mut store, &self.order, &mut results)?;
        let Val::Record(fields) = &results[0] else { bail!("the result is no record") };
        let gross = fields.iter().find(|(name, _)| name == "gross-cents").map(|(_, value)| value);
        ensure!(matches!(gross, Some(Val::U64(67_008))), "bare wasmtime answers {fields:?}");
        Ok(())
    }

    pub fn contender(
        self: &Arc<Self>,
        name: &'static str,
        function: Function,
        instances: Instances,
        stack: Stack,
    ) -> Arc<dyn Contender> {
        Arc::new(Calls { name, function, instances, stack, bare: Arc::clone(self), idle: Mutex::default() })
    }

    fn store(&self) -> Store<()> {
        let mut store = Store::new(self.pre.engine(), ());
        store.set_epoch_deadline(1 << 40);
        store
    }

    fn instantiate(&self) -> Result<Instance> {
        let mut store = self.store();
        let instance = self.pre.instantiate(&mut store)?;
        let function = |store: &mut Store<()>, index| instance.get_func(store, index).context("no such function");
        let (quote, echo) = (function(&mut store, &self.quote)?, function(&mut store, &self.echo)?);
        Ok((store, quote, echo))
    }

    async fn instantiate_async(&self) -> Result<Instance> {
        let mut store = self.store();
        let instance = self.pre.instantiate_async(&mut store).await?;
        let function = |store: &mut Store<()>, index| instance.get_func(store, index).context("no such function");
        let (quote, echo) = (function(&mut store, &self.quote)?, function(&mut store, &self.echo)?);
        Ok((store, quote, echo))
    }
}

/// A store with `quote` and `echo` of the instance in it.
type Instance = (Store<()>, Func, Func);

struct Calls {
    name: &'static str,
    function: Function,
    instances: Instances,
    stack: Stack,
    bare: Arc<Bare>,
    idle: Mutex<Vec<Instance>>,
}

#[async_trait]
impl Contender for Calls {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn calls(&self, calls: usize) -> anyhow::Result<Vec<Duration>> {
        self.run(calls).await.map_err(|error| anyhow!("{error:?}"))
    }
}

impl Calls {
    async fn run(&self, calls: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(calls);
        let mut kept = match self.instances {
            Instances::Fresh => None,
            Instances::Warm => Some(self.take()?),
        };
        for call in 0..calls {
            let started = Instant::now();
            match &mut kept {
                Some(instance) => self.call(instance).await?,
                None => {
                    let mut instance = match self.stack {
                        Stack::Sync => self.bare.instantiate()?,
                        Stack::Async => self.bare.instantiate_async().await?,
                    };
                    self.call(&mut instance).await?;
                    // To give it back is part of having a new one for each call.
                    drop(instance);
                }
            }
            times.push(started.elapsed());
            breathe(call).await;
        }
        if let Some(instance) = kept {
            self.idle.lock().expect("no call panics").push(instance);
        }
        Ok(times)
    }

    fn take(&self) -> Result<Instance> {
        let kept = self.idle.lock().expect("no call panics").pop();
        kept.map_or_else(|| self.bare.instantiate(), Ok)
    }

    async fn call(&self, (store, quote, echo): &mut Instance) -> Result<()> {
        match self.function {
            Function::Quote => {
                let mut results = [Val::Bool(false)];
                match self.stack {
                    Stack::Sync => quote.call(store, &self.bare.order, &mut results)?,
                    Stack::Async => quote.call_async(store, &self.bare.order, &mut results).await?,
                }
                black_box(results);
            }
            Function::Echo => {
                let echo = echo.typed::<(&[u8],), (Vec<u8>,)>(&*store)?;
                let (bytes,) = match self.stack {
                    Stack::Sync => echo.call(store, (&self.bare.payload,))?,
                    Stack::Async => echo.call_async(store, (&self.bare.payload,)).await?,
                };
                black_box(bytes);
            }
        }
        Ok(())
    }
}

/// The same order as in [`super::ARGUMENTS`].
fn order() -> Val {
    let text = |text: &str| Val::String(text.to_owned());
    let record = |fields: Vec<(&str, Val)>| {
        Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    };
    let item = |sku, quantity, cents, fragile| {
        record(vec![
            ("sku", text(sku)),
            ("quantity", Val::U32(quantity)),
            ("unit-cents", Val::U64(cents)),
            ("fragile", Val::Bool(fragile)),
        ])
    };
    record(vec![
        ("customer", text("Fjord & Sons")),
        ("currency", text("EUR")),
        (
            "items",
            Val::List(vec![
                item("OAR-210", 4, 8990, false),
                item("LAMP-7", 1, 12450, true),
                item("ROPE-12", 25, 310, false),
            ]),
        ),
        ("note", Val::Option(Some(Box::new(text("deliver to the boathouse"))))),
    ])
}

fn engine() -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(640);
    pool.total_tables(12_000);
    pool.total_core_instances(12_000);
    pool.total_component_instances(640);
    pool.total_stacks(640);
    pool.max_unused_warm_slots(64);
    pool.max_memory_size(1 << 32);
    pool.table_elements(200_000);
    pool.max_core_instance_size(4 << 20);
    pool.max_component_instance_size(4 << 20);
    pool.max_memories_per_module(8);
    pool.max_tables_per_module(16);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes);
        pool.linear_memory_keep_resident(256 << 10);
        pool.table_keep_resident(64 << 10);
    }
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(1 << 20);
    config.async_stack_size(2 << 20);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}
