//! Memory accounts: count the memory that the server holds for a plugin, before it is allocated.
//!
//! Accounts form a tree, all plugins → plugin → call, and each has a limit in bytes. A charge to an account also counts
//! in its parents. Dropping a [`Charge`] releases its bytes.
//!
//! Two things keep this cheap and fair:
//! - An account has an allowance that is not charged to its parent. The first kilobytes of a call cost one atomic of
//!   the call's own. The first megabytes of a plugin are its own, so greedy plugins cannot stop it. Beyond the
//!   allowance, a call draws blocks from its plugin.
//! - A plugin can draw at most as much shared memory as it leaves free: one plugin alone gets half, and nine greedy
//!   plugins get a tenth each and leave a tenth free.
//!
//! The instances of a plugin (memories, tables) are charged to the plugin, because they outlive calls. Memory that the
//! host holds for a call is charged to the call. See ADR 29.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, PluginName};
use parking_lot::Mutex;

use crate::error::Failure;
use crate::runtime::RuntimeFault;

/// The operator's memory limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// The limit for all plugins together, in bytes: their instances, and the host's memory for them.
    pub all: u64,
    /// The limit for one plugin, in bytes.
    pub plugin: u64,
}

impl Default for MemoryBounds {
    fn default() -> Self {
        Self { all: 512 << 20, plugin: 256 << 20 }
    }
}

impl MemoryBounds {
    /// The allowance of a plugin, in bytes. It does not count against the shared memory.
    pub const OWN: u64 = 4 << 20;
    /// The limit for one call, in bytes, in addition to four times the limit of its result.
    pub const CALL: u64 = 64 << 20;

    /// The limit for one call, given the limit of its result.
    #[must_use]
    pub const fn call(output: u64) -> u64 {
        Self::CALL.saturating_add(output.saturating_mul(4))
    }
}

/// The accounts of an engine: one for all plugins, and one child for each plugin.
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

    /// The maximum that one plugin can ever hold.
    pub(crate) fn largest(&self) -> u64 {
        let share = self.all.limit() / 2 + MemoryBounds::OWN;
        if self.plugin < share { self.plugin } else { share }
    }

    /// The account of a plugin. It outlives its revisions.
    pub(crate) fn of(&self, plugin: &PluginName) -> Account {
        let mut plugins = self.plugins.lock();
        plugins.entry(plugin.clone()).or_insert_with(|| self.all.plugin(self.plugin)).clone()
    }

    /// Forgets a removed plugin. Memory that it still holds counts until it is released.
    pub(crate) fn forget(&self, plugin: &PluginName) {
        self.plugins.lock().remove(plugin);
    }
}

/// The level of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Plugin,
    Call,
}

/// An account with a limit in bytes, and a parent. A cheap handle; all clones are the same account.
#[derive(Clone, Debug)]
pub struct Account(Arc<Node>);

#[derive(Debug)]
struct Node {
    scope: Scope,
    limit: u64,
    /// The allowance that is not drawn from the parent.
    allowance: u64,
    /// Draws from the parent are multiples of this.
    block: u64,
    parent: Option<Account>,
    held: AtomicU64,
    /// Bytes drawn from the parent.
    drawn: AtomicU64,
    peak: AtomicU64,
    refused: AtomicU64,
}

/// A charge exceeded a limit. Nothing was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The level of the exceeded limit.
    pub scope: Scope,
    /// The limit.
    pub limit: u64,
    /// Bytes held at that time.
    pub held: u64,
    /// Bytes requested.
    pub wanted: u64,
}

/// An account without a limit, only for measuring.
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

    /// The account of a plugin, a child of the account of all plugins.
    #[must_use]
    pub fn plugin(&self, limit: u64) -> Self {
        Self::node(Scope::Plugin, limit, MemoryBounds::OWN, 1, Some(self.clone()))
    }

    /// The account for what is measured of the functions of a plugin, a child of the account of all measurements.
    pub(crate) fn measurements(&self) -> Self {
        const ALLOWANCE: u64 = 512 << 10;
        Self::node(Scope::Plugin, self.limit(), ALLOWANCE, 1, Some(self.clone()))
    }

    /// The account of a call, a child of its plugin's account.
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

    /// Charges bytes that are about to be allocated.
    ///
    /// # Errors
    /// The limit of this account or of a parent would be exceeded.
    pub fn charge(&self, bytes: usize) -> Result<Charge, Exceeded> {
        let mut charge = self.nothing();
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// An empty charge that can grow.
    #[must_use]
    pub fn nothing(&self) -> Charge {
        Charge { account: self.clone(), bytes: 0 }
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Peak of the bytes held.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// How many charges exceeded the limit of this account.
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
        // Checked first, because new peaks are rare.
        if held > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(held, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Draws everything beyond the allowance from the parent.
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

    /// Takes bytes for a child, which then holds `share` of this account.
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
        // Keeps a reserve, so that a loop of charges and releases does not go to the parent each time.
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
        // Another thread may have charged bytes in the meantime, because it saw the blocks as still drawn.
        let missing = self.needed().saturating_sub(self.drawn.load(Ordering::SeqCst)).min(drawn - needed);
        self.drawn.fetch_add(missing, Ordering::SeqCst);
        parent.give_back(drawn - needed - missing);
    }

    /// Bytes to draw from the parent, given the bytes held.
    fn needed(&self) -> u64 {
        self.held.load(Ordering::SeqCst).saturating_sub(self.allowance).next_multiple_of(self.block)
    }

    const fn exceeded(&self, held: u64, wanted: u64) -> Exceeded {
        Exceeded { scope: self.scope, limit: self.limit, held, wanted }
    }
}

/// Releases drawn bytes when the account, and with it every charge, is gone.
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

/// Bytes charged to an account. Dropping it releases them.
#[derive(Debug)]
pub struct Charge {
    account: Account,
    bytes: u64,
}

impl Charge {
    /// Charges further bytes.
    ///
    /// # Errors
    /// A limit would be exceeded; the charge is unchanged.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exceeded> {
        if bytes > 0 {
            self.account.0.take(bytes as u64)?;
            self.bytes += bytes as u64;
        }
        Ok(())
    }

    /// Releases some bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = self.bytes.min(bytes as u64);
        if bytes > 0 {
            self.bytes -= bytes;
            self.account.0.give_back(bytes);
        }
    }

    /// Keeps the bytes charged until the account is dropped, for memory that a call holds to its end.
    pub fn keep(mut self) {
        self.bytes = 0;
    }

    /// Bytes charged.
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
        let [limit, held, wanted] = [limit, held, wanted].map(|bytes| ByteSize::bytes(*bytes).rounded());
        match scope {
            Scope::Call => write!(
                f,
                "the call reached its server memory limit of {limit}: it held {held} and requested {wanted} more"
            ),
            Scope::Plugin => {
                write!(
                    f,
                    "the plugin reached its server memory limit of {limit}: it held {held} and requested {wanted} more"
                )
            }
            Scope::All => write!(
                f,
                "all plugins share {limit} of server memory, and one plugin gets at most as much as it leaves free: \
                 they held {held} and this one requested {wanted} more"
            ),
        }
    }
}

impl std::error::Error for Exceeded {}

impl Exceeded {
    /// A hint for the caller or the operator.
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
