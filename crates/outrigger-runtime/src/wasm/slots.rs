//! Slots of the instance pool, which all plugins share. One plugin can use an eighth of them, and never more than it
//! leaves free for the others. A quarter of the pool is reserved for plugins that use few. A call that finds no slot
//! waits until its deadline for one of its plugin or of the pool. A call that a running call of the same plugin has
//! caused can use more than the eighth: otherwise the two could wait for each other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use outrigger_contract::PluginName;
use parking_lot::Mutex;
use wasmtime::component::Component;

use super::engine::POOL;
use super::limits::{MEMORIES_AT_MOST, TABLES_AT_MOST};

/// One plugin can use this fraction of the pool.
const PART: u32 = 8;
/// This fraction of the pool is reserved for plugins that use no more than their own slots.
const RESERVE: u32 = 4;
/// The fraction of the pool that is reserved for each plugin: four instances with a memory each.
const OWN: u32 = 160;

/// Numbers of slots by kind: instances with their stacks, memories, tables.
pub(super) type Counts = [u32; 3];
type Counters = [AtomicU32; 3];

/// Slots of the pool that are in use.
#[derive(Debug, Default)]
pub(super) struct Pool {
    used: Counters,
    shares: Mutex<HashMap<PluginName, Weak<Share>>>,
}

/// Slots that one plugin uses, in all its revisions.
#[derive(Debug)]
struct Share {
    pool: Arc<Pool>,
    held: Counters,
}

/// The source of slots for the instances of one revision.
#[derive(Debug)]
pub(super) struct Slots {
    share: Arc<Share>,
    needed: Counts,
}

/// Slots of one instance, released on drop. The instance must be dropped before.
#[derive(Debug)]
pub(super) struct Taken {
    share: Arc<Share>,
    counts: Counts,
}

impl Pool {
    /// The slots for a component of a plugin.
    pub(super) fn slots(self: &Arc<Self>, plugin: &PluginName, component: &Component) -> Slots {
        let needed = match component.resources_required() {
            Some(required) => [1, required.num_memories, required.num_tables],
            // The number is not known in advance.
            None => [1, MEMORIES_AT_MOST as u32, TABLES_AT_MOST as u32],
        };
        Slots { share: self.share(plugin), needed }
    }

    fn share(self: &Arc<Self>, plugin: &PluginName) -> Arc<Share> {
        let mut shares = self.shares.lock();
        if let Some(share) = shares.get(plugin).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share { pool: Arc::clone(self), held: Counters::default() });
        shares.insert(plugin.clone(), Arc::downgrade(&share));
        share
    }
}

impl Slots {
    /// Takes the slots of one instance; none if there are not enough at present. `is_nested`: a running call of the same
    /// plugin waits for it.
    pub(super) fn take(&self, is_nested: bool) -> Option<Taken> {
        let Self { share, needed } = self;
        let taken = Taken { share: Arc::clone(share), counts: *needed };
        let mut fits = true;
        // All kinds are counted in any case, because all are released.
        for (kind, size) in POOL.into_iter().enumerate() {
            let wanted = needed[kind];
            let held = share.held[kind].fetch_add(wanted, Ordering::SeqCst) + wanted;
            let used = share.pool.used[kind].fetch_add(wanted, Ordering::SeqCst) + wanted;
            let shared = (size - size / RESERVE).saturating_sub(used);
            let own = if is_nested { shared } else { shared.min(size / PART) };
            fits &= wanted == 0 || held <= own || held <= size / OWN && used <= size;
        }
        fits.then_some(taken)
    }

    /// Whether one more instance can stay idle, beside this many. Idle instances leave half of the plugin's slots to its
    /// calls and its next revision, and half of the pool to all plugins.
    pub(super) fn may_keep(&self, idle: usize) -> bool {
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        POOL.into_iter().enumerate().all(|(kind, size)| {
            let kept = self.needed[kind].saturating_mul(idle.saturating_add(1));
            kept <= size / PART / 2 && self.share.pool.used[kind].load(Ordering::Relaxed) <= size / 2
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (kind, count) in self.counts.into_iter().enumerate() {
            self.share.held[kind].fetch_sub(count, Ordering::SeqCst);
            self.share.pool.used[kind].fetch_sub(count, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(pool: &Arc<Pool>, plugin: &str, needed: Counts) -> Slots {
        Slots { share: pool.share(&plugin.parse().expect("a name")), needed }
    }

    fn all(slots: &Slots) -> Vec<Taken> {
        std::iter::from_fn(|| slots.take(false)).collect()
    }

    #[test]
    fn s07_greedy_plugins_leave_slots_to_the_others() {
        let pool = Arc::<Pool>::default();
        let one = all(&slots(&pool, "one", [1, 4, 0]));
        assert_eq!(one.len(), 20, "an eighth of the memories");
        assert!(slots(&pool, "one", [1, 1, 0]).take(false).is_none(), "another revision of it has no more");
        let mut others = Vec::new();
        for plugin in 0..40 {
            let held = all(&slots(&pool, &format!("plugin-{plugin}"), [1, 2, 3]));
            assert!(!held.is_empty(), "plugin {plugin} runs");
            others.extend(held);
        }
        assert!(others.len() * 2 + 80 < POOL[1] as usize);
        drop((one, others));
        assert_eq!(pool.used.each_ref().map(|used| used.load(Ordering::SeqCst)), [0; 3], "all of it is given back");
        assert_eq!(all(&slots(&pool, "one", [1, 0, 32])).len(), 46, "an eighth of the tables");
    }

    #[test]
    fn s07_a_plugin_that_is_called_back_does_not_wait_for_itself() {
        let pool = Arc::<Pool>::default();
        let slots = slots(&pool, "one", [1, 1, 1]);
        let outer = all(&slots);
        let nested: Vec<_> = std::iter::from_fn(|| slots.take(true)).take(outer.len()).collect();
        assert_eq!(nested.len(), outer.len(), "each outer call has its inner one");
        let further: Vec<_> = std::iter::from_fn(|| slots.take(true)).collect();
        let held = (outer.len() + nested.len() + further.len()) as u32;
        assert_eq!(held, (POOL[0] - POOL[0] / RESERVE) / 2, "no more than it leaves free");
    }

    #[test]
    fn s07_kept_instances_leave_slots_to_calls() {
        let pool = Arc::<Pool>::default();
        let slots = slots(&pool, "one", [1, 1, 1]);
        let mut kept = Vec::new();
        while let Some(taken) = slots.take(false) {
            if !slots.may_keep(kept.len()) {
                break;
            }
            kept.push(taken);
        }
        assert_eq!(kept.len(), 40);
    }
}
