//! The account of memory: what the server holds for a plugin, counted before it is allocated.
//!
//! Accounts form a tree, all → plugin → call, and each has a bound in bytes. What is charged to an account counts in those
//! above it. A [`Charge`] gives its bytes back when it is dropped.
//!
//! Two things keep this cheap and fair:
//! - An account has an allowance that it does not ask its parent for. The first kilobytes of a call cost one atomic of the
//!   call's own; the first megabytes of a plugin are its own, so that plugins which take all they can get leave it running.
//!   Beyond the allowance a call draws from its plugin in blocks.
//! - A plugin may draw from what all share only as much as is left for the others afterwards: one alone gets half, and nine
//!   greedy ones get a tenth each and leave a tenth free.
//!
//! The instances of a plugin (memories, tables) are charged to the plugin, for they outlive calls; what the host holds for one
//! call is charged to the call. See ADR 29.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, PluginName};
use parking_lot::Mutex;

use crate::error::Failure;
use crate::runtime::RuntimeFault;

/// Bounds of memory that the operator sets for all plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Bytes that all plugins share: their instances, and what the host holds for them.
    pub all: u64,
    /// Bytes of one plugin.
    pub plugin: u64,
}

impl Default for MemoryBounds {
    fn default() -> Self {
        Self { all: 512 << 20, plugin: 256 << 20 }
    }
}

impl MemoryBounds {
    /// Bytes of a plugin that are its own, and do not count against what all share.
    pub const OWN: u64 = 4 << 20;
    /// Bytes that the host may hold for one call, besides four times the result that the call may give.
    pub const CALL: u64 = 64 << 20;

    /// The bound of one call of a plugin whose results may have this many bytes.
    #[must_use]
    pub const fn call(output: u64) -> u64 {
        Self::CALL.saturating_add(output.saturating_mul(4))
    }
}

/// The accounts of an engine: one for all plugins, and one below it for each.
#[derive(Debug)]
pub(crate) struct Accounts {
    all: Account,
    plugin: u64,
    plugins: Mutex<HashMap<PluginName, Account>>,
}

impl Accounts {
    pub(crate) fn new(bounds: MemoryBounds) -> Self {
        let MemoryBounds { all, plugin } = bounds;
        Self { all: Account::all(all), plugin: plugin.min(all), plugins: Mutex::default() }
    }

    pub(crate) const fn all(&self) -> &Account {
        &self.all
    }

    /// The most that one plugin can ever take.
    pub(crate) fn largest(&self) -> u64 {
        let share = self.all.limit() / 2 + MemoryBounds::OWN;
        if self.plugin < share { self.plugin } else { share }
    }

    /// The account of a plugin. It outlives its revisions.
    pub(crate) fn of(&self, plugin: &PluginName) -> Account {
        let mut plugins = self.plugins.lock();
        plugins.entry(plugin.clone()).or_insert_with(|| self.all.plugin(self.plugin)).clone()
    }

    /// Forgets a plugin that was removed. What it still holds counts until it is given back.
    pub(crate) fn forget(&self, plugin: &PluginName) {
        self.plugins.lock().remove(plugin);
    }
}

/// Whose bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Plugin,
    Call,
}

/// A bound on bytes, below that of its parent. A cheap handle; all clones are the same account.
#[derive(Clone, Debug)]
pub struct Account(Arc<Node>);

#[derive(Debug)]
struct Node {
    scope: Scope,
    limit: u64,
    /// Bytes that are not drawn from the parent.
    allowance: u64,
    /// What is drawn from the parent is a multiple of this.
    block: u64,
    parent: Option<Account>,
    held: AtomicU64,
    /// What the parent holds for this account.
    drawn: AtomicU64,
    peak: AtomicU64,
    refused: AtomicU64,
}

/// More was asked for than there is. Nothing was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The account whose bound it would have exceeded.
    pub scope: Scope,
    /// Its bound.
    pub limit: u64,
    /// What it held.
    pub held: u64,
    /// What was asked for.
    pub wanted: u64,
}

/// An unbounded account, for what is only measured.
impl Default for Account {
    fn default() -> Self {
        Self::all(u64::MAX)
    }
}

impl Account {
    /// The account of all plugins together.
    #[must_use]
    pub fn all(limit: u64) -> Self {
        Self::node(Scope::All, limit, 0, 1, None)
    }

    /// The account of a plugin, below the one of all.
    #[must_use]
    pub fn plugin(&self, limit: u64) -> Self {
        Self::node(Scope::Plugin, limit, MemoryBounds::OWN, 1, Some(self.clone()))
    }

    /// The account of a call, below the one of its plugin.
    #[must_use]
    pub fn call(&self, limit: u64) -> Self {
        const ALLOWANCE: u64 = 16 << 10;
        const BLOCK: u64 = 64 << 10;
        Self::node(Scope::Call, limit, ALLOWANCE, BLOCK, Some(self.clone()))
    }

    fn node(scope: Scope, limit: u64, allowance: u64, block: u64, parent: Option<Self>) -> Self {
        let zero = AtomicU64::default;
        let (held, drawn, peak, refused) = (zero(), zero(), zero(), zero());
        Self(Arc::new(Node { scope, limit, allowance, block, parent, held, drawn, peak, refused }))
    }

    /// Counts bytes that are about to be allocated.
    ///
    /// # Errors
    /// A bound would be exceeded: of this account, or of one above.
    pub fn charge(&self, bytes: usize) -> Result<Charge, Exceeded> {
        let mut charge = self.nothing();
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// A charge to grow.
    #[must_use]
    pub fn nothing(&self) -> Charge {
        Charge { account: self.clone(), bytes: 0 }
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    /// The most bytes that were held at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// How often more was asked for than this account may hold.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// The bound.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

impl Node {
    fn take(&self, bytes: u64) -> Result<(), Exceeded> {
        let before = self.held.fetch_add(bytes, Ordering::SeqCst);
        let held = before.saturating_add(bytes);
        let refusal = if held > self.limit { Some(self.exceeded(before, bytes)) } else { self.draw(held).err() };
        if let Some(exceeded) = refusal {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.give_back(bytes);
            return Err(exceeded);
        }
        // Looked at first: nearly nothing sets a new record.
        if held > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(held, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Has the parent hold what this account holds beyond its allowance.
    fn draw(&self, held: u64) -> Result<(), Exceeded> {
        let Some(Account(parent)) = &self.parent else { return Ok(()) };
        let drawn = self.drawn.load(Ordering::SeqCst);
        let missing = held.saturating_sub(self.allowance).saturating_sub(drawn);
        if missing == 0 {
            return Ok(());
        }
        let wanted = missing.next_multiple_of(self.block);
        parent.lend(wanted, drawn.saturating_add(wanted))?;
        self.drawn.fetch_add(wanted, Ordering::SeqCst);
        Ok(())
    }

    /// Takes bytes for a child, which then has `share` of them.
    fn lend(&self, bytes: u64, share: u64) -> Result<(), Exceeded> {
        self.take(bytes)?;
        let held = self.held.load(Ordering::SeqCst);
        if self.scope == Scope::All && share > self.limit.saturating_sub(held) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.give_back(bytes);
            return Err(self.exceeded(held.saturating_sub(bytes), bytes));
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        let Some(Account(parent)) = &self.parent else { return };
        // Some stays, so that what is taken and given back in a loop does not ask the parent each time.
        let spare = if self.block > 1 { 4 * self.block } else { 0 };
        let (drawn, needed) = loop {
            let (drawn, needed) = (self.drawn.load(Ordering::SeqCst), self.needed());
            if drawn <= needed.saturating_add(spare) {
                return;
            }
            if self.drawn.compare_exchange(drawn, needed, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                break (drawn, needed);
            }
        };
        // What was charged meanwhile, by a thread that saw the blocks still drawn, is theirs.
        let missing = self.needed().saturating_sub(self.drawn.load(Ordering::SeqCst)).min(drawn - needed);
        self.drawn.fetch_add(missing, Ordering::SeqCst);
        parent.give_back(drawn - needed - missing);
    }

    /// What must be drawn for what is held.
    fn needed(&self) -> u64 {
        self.held.load(Ordering::SeqCst).saturating_sub(self.allowance).next_multiple_of(self.block)
    }

    const fn exceeded(&self, held: u64, wanted: u64) -> Exceeded {
        Exceeded { scope: self.scope, limit: self.limit, held, wanted }
    }
}

/// What is still drawn goes back when the account itself is gone, and with it every charge.
impl Drop for Node {
    fn drop(&mut self) {
        if let Some(Account(parent)) = &self.parent {
            let drawn = *self.drawn.get_mut();
            if drawn > 0 {
                parent.give_back(drawn);
            }
        }
    }
}

/// Bytes charged to an account. They are given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Account,
    bytes: u64,
}

impl Charge {
    /// Counts further bytes.
    ///
    /// # Errors
    /// A bound would be exceeded; the charge is as it was.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exceeded> {
        if bytes > 0 {
            self.account.0.take(bytes as u64)?;
            self.bytes += bytes as u64;
        }
        Ok(())
    }

    /// Gives some back.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = self.bytes.min(bytes as u64);
        if bytes > 0 {
            self.bytes -= bytes;
            self.account.0.give_back(bytes);
        }
    }

    /// Another charge to the same account.
    ///
    /// # Errors
    /// A bound would be exceeded.
    pub fn sibling(&self, bytes: usize) -> Result<Self, Exceeded> {
        self.account.charge(bytes)
    }

    /// Leaves the bytes charged for as long as there is the account: for what a call holds to its end.
    pub fn keep(mut self) {
        self.bytes = 0;
    }

    /// What is charged.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.0.give_back(self.bytes);
        }
    }
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scope, limit, held, wanted } = self;
        let (limit, held) = (ByteSize::bytes(*limit), ByteSize::bytes(*held));
        match scope {
            Scope::Call => write!(
                f,
                "the call reached its server memory limit of {limit}: it held {held} and requested {wanted} bytes more"
            ),
            Scope::Plugin => {
                write!(
                    f,
                    "the plugin reached its server memory limit of {limit}: it held {held} and requested {wanted} \
                     bytes more"
                )
            }
            Scope::All => write!(
                f,
                "all plugins share {limit} of server memory, and one plugin gets at most as much as it leaves free: \
                 they held {held} and this one requested {wanted} bytes more"
            ),
        }
    }
}

impl std::error::Error for Exceeded {}

impl Exceeded {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self.scope {
            Scope::Call => "send or return less data at once, or raise `[limits] output` for larger results",
            Scope::Plugin => {
                "lower `concurrency` or `max-instances`, or have the operator raise OUTRIGGER_PLUGIN_MEMORY"
            }
            Scope::All => "try again; if that does not help, have the operator raise OUTRIGGER_MEMORY",
        }
    }
}

impl From<Exceeded> for Failure {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(Code::HostMemoryLimit, exceeded.to_string()).with_hint(exceeded.hint())
    }
}

impl From<Exceeded> for RuntimeFault {
    fn from(exceeded: Exceeded) -> Self {
        Self::new(Code::HostMemoryLimit, format!("{exceeded}; {}", exceeded.hint()))
    }
}

#[cfg(test)]
mod tests;
