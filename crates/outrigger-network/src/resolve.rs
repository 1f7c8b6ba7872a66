//! Resolves names to addresses. The system's resolver blocks a thread until the name servers answer and cannot be
//! interrupted. So the number of concurrent lookups is limited, and each counts until it has ended, even if nothing
//! waits for it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Maximum number of concurrent lookups of one plugin or owner.
const LOOKUPS_OF_ONE: usize = 4;
/// Maximum number of concurrent lookups of all plugins. The runtime has 512 threads for blocking work.
const LOOKUPS_OF_PLUGINS: usize = 32;
/// Maximum number of concurrent lookups of all owners of a [`ResolverPool`].
const LOOKUPS_OF_OWNERS: usize = 32;
/// Maximum number of addresses used of one name.
const ADDRESSES_AT_MOST: usize = 64;

static OF_PLUGINS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LOOKUPS_OF_PLUGINS)));

/// Resolves names with a limited number of concurrent lookups. Clones share the limit.
#[derive(Clone, Debug)]
pub struct Resolver {
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

/// Resolvers for owners, such as the keys that set up webhooks. Each owner has a share of the lookups of all owners, so
/// that names that never resolve hold up only their owner. Plugins do not use these lookups.
#[derive(Debug)]
pub struct ResolverPool {
    shared: Arc<Semaphore>,
    /// Lookups that still run keep the share of their owner.
    owners: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Default for ResolverPool {
    fn default() -> Self {
        Self { shared: Arc::new(Semaphore::new(LOOKUPS_OF_OWNERS)), owners: Mutex::default() }
    }
}

impl ResolverPool {
    /// The resolver of an owner. Resolvers of one owner share its limit.
    #[must_use]
    pub fn for_owner(&self, owner: &str) -> Resolver {
        let mut owners = self.owners.lock();
        let known = owners.get(owner).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            owners.retain(|_, share| share.strong_count() > 0);
            let own = Arc::new(Semaphore::new(LOOKUPS_OF_ONE));
            owners.insert(owner.to_owned(), Arc::downgrade(&own));
            own
        });
        Resolver { own, shared: Arc::clone(&self.shared) }
    }
}

impl Resolver {
    /// A resolver for one plugin, with a share of the lookups of all plugins.
    #[must_use]
    pub fn for_plugin() -> Self {
        Self { own: Arc::new(Semaphore::new(LOOKUPS_OF_ONE)), shared: Arc::clone(&OF_PLUGINS) }
    }

    /// Resolves a host: a name, or an address with or without brackets. Waits while too many lookups run.
    ///
    /// # Errors
    /// The host cannot be resolved.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = bare.to_owned();
        let lookup = move || (name, port).to_socket_addrs().map(|found| found.take(ADDRESSES_AT_MOST).collect());
        self.run(lookup).await?
    }

    /// Runs a lookup. It counts until it has ended, even if the future is dropped.
    async fn run<T: Send + 'static>(&self, lookup: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let own = Arc::clone(&self.own).acquire_owned().await.map_err(io::Error::other)?;
        let shared = Arc::clone(&self.shared).acquire_owned().await.map_err(io::Error::other)?;
        let running = tokio::task::spawn_blocking(move || {
            let found = lookup();
            drop((own, shared));
            found
        });
        running.await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn s22_lookups_that_hang_hold_no_more_than_their_share_of_threads() {
        let mut releases = Vec::new();
        let plugins = [Resolver::for_plugin(), Resolver::for_plugin()];
        // Started and dropped in a loop, as a plugin can.
        for _ in 0..300 {
            for resolver in &plugins {
                let (release, hold) = mpsc::channel::<()>();
                releases.push(release);
                let hang = resolver.run(move || _ = hold.recv());
                _ = tokio::time::timeout(Duration::from_millis(1), hang).await;
            }
        }
        for resolver in &plugins {
            assert_eq!(resolver.own.available_permits(), 0, "lookups that hang are still counted");
        }
        assert_eq!(OF_PLUGINS.available_permits(), LOOKUPS_OF_PLUGINS - 2 * LOOKUPS_OF_ONE);
        for other in [Resolver::for_plugin(), ResolverPool::default().for_owner("key")] {
            let found = tokio::time::timeout(SOON, other.resolve("localhost", 7)).await.expect("it need not wait");
            assert!(found.expect("it is known").iter().all(|address| address.ip().is_loopback()));
        }
        let found = tokio::time::timeout(SOON, plugins[0].resolve("[::1]", 7)).await.expect("it is no name");
        assert_eq!(found.expect("an address"), ["[::1]:7".parse().expect("an address")]);
        let host = tokio::time::timeout(SOON, tokio::task::spawn_blocking(|| 7)).await;
        assert_eq!(host.expect("other work runs").expect("it ends"), 7);
        drop(releases);
        let found = tokio::time::timeout(SOON, plugins[0].resolve("localhost", 7)).await.expect("there is room again");
        found.expect("it is known");
    }
    #[tokio::test]
    async fn s22_lookups_of_one_owner_leave_the_others_their_share() {
        let pool = ResolverPool::default();
        let mut releases = Vec::new();
        for _ in 0..100 {
            let (release, hold) = mpsc::channel::<()>();
            releases.push(release);
            let resolver = pool.for_owner("greedy");
            let hang = resolver.run(move || _ = hold.recv());
            _ = tokio::time::timeout(Duration::from_millis(1), hang).await;
        }
        assert_eq!(pool.for_owner("greedy").own.available_permits(), 0, "its lookups are counted though it left");
        assert_eq!(pool.shared.available_permits(), LOOKUPS_OF_OWNERS - LOOKUPS_OF_ONE);
        for owner in ["honest", "local"] {
            let found = tokio::time::timeout(SOON, pool.for_owner(owner).resolve("localhost", 7)).await;
            found.expect("it need not wait").expect("it is known");
        }
        drop(releases);
        let found = tokio::time::timeout(SOON, pool.for_owner("greedy").resolve("localhost", 7)).await;
        found.expect("there is room again").expect("it is known");
        let others = pool.for_owner("one more");
        assert!(pool.owners.lock().len() <= 2, "owners without lookups are forgotten");
        drop(others);
    }
}
