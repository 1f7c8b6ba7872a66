//! Extism, as its documentation says it is quickest: compiled once, then a plugin from the compiled code for each call,
//! or one plugin that is kept. It runs with its own defaults, and once more with the pool of instances that ours has,
//! which its documentation does not mention.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use async_trait::async_trait;
use extism::{CompiledPlugin, Manifest, Plugin, PluginBuilder, Wasm};
use wasmtime_of_extism::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bare::Instances;
use super::{ANSWER, ARGUMENTS};
use crate::measure::{Contender, breathe};

/// Where instances come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    Default,
    Pool,
}

/// The compiled plugin.
pub struct Extism {
    compiled: CompiledPlugin,
}

impl Extism {
    pub fn start(module: &[u8], allocation: Allocation) -> Result<Arc<Self>> {
        let manifest = Manifest::new([Wasm::data(module)]);
        let builder = PluginBuilder::new(manifest).with_wasi(false).with_cache_disabled();
        let builder = match allocation {
            Allocation::Default => builder,
            Allocation::Pool => builder.with_wasmtime_config(pooling()),
        };
        let extism = Arc::new(Self { compiled: builder.compile()? });
        let answer: String = extism.plugin()?.call("quote", ARGUMENTS)?;
        ensure!(answer == ANSWER, "extism answers {answer}");
        Ok(extism)
    }

    fn plugin(&self) -> Result<Plugin> {
        Plugin::new_from_compiled(&self.compiled)
    }

    pub fn contender(self: &Arc<Self>, name: &'static str, instances: Instances) -> Arc<dyn Contender> {
        Arc::new(Calls { name, instances, extism: Arc::clone(self), idle: Mutex::default() })
    }
}

struct Calls {
    name: &'static str,
    instances: Instances,
    extism: Arc<Extism>,
    idle: Mutex<Vec<Plugin>>,
}

#[async_trait]
impl Contender for Calls {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn calls(&self, calls: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(calls);
        let mut kept = match self.instances {
            Instances::Fresh => None,
            Instances::Warm => Some(self.take()?),
        };
        for call in 0..calls {
            let started = Instant::now();
            match &mut kept {
                Some(plugin) => _ = black_box(plugin.call::<&str, String>("quote", ARGUMENTS)?),
                None => {
                    let mut plugin = self.extism.plugin()?;
                    black_box(plugin.call::<&str, String>("quote", ARGUMENTS)?);
                    // To give it back is part of having a new one for each call.
                    drop(plugin);
                }
            }
            times.push(started.elapsed());
            breathe(call).await;
        }
        if let Some(plugin) = kept {
            self.idle.lock().expect("no call panics").push(plugin);
        }
        Ok(times)
    }
}

impl Calls {
    fn take(&self) -> Result<Plugin> {
        let kept = self.idle.lock().expect("no call panics").pop();
        kept.map_or_else(|| self.extism.plugin(), Ok)
    }
}

fn pooling() -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(640);
    pool.total_tables(1_280);
    pool.total_core_instances(1_280);
    pool.total_gc_heaps(640);
    pool.max_core_instance_size(4 << 20);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
