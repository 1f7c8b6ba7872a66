//! Keys: made, recognised, revoked. What is stored is in the engine's store; this holds a copy in memory, so that a
//! request is recognised without asking the database.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use outrigger_api::{ApiError, ApiResult, Code, Visit};
use outrigger_engine::Principal;
use outrigger_engine::access::{Attempts, Role, RoleName, built_in_roles};
use outrigger_engine::store::{KeyRecord, Store};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use crate::convert;

/// The prefix of every key, so that scanners for leaked secrets can find them.
const PREFIX: &str = "outrigger";
/// When a key was last used is noted to within this time.
const USE_NOTED: time::Duration = time::Duration::minutes(1);

/// The keys and roles of one data directory.
#[derive(Debug)]
pub(crate) struct Keys {
    store: Arc<dyn Store>,
    table: ArcSwap<Table>,
    /// Held while keys and roles are read and put in their place. Of two who do it at once, the one that read first could
    /// be the last to put them there, and a key that was revoked in between would be back.
    reading: tokio::sync::Mutex<()>,
    /// Held while a role is checked and changed, and while a key is added.
    changing: tokio::sync::Mutex<()>,
    attempts: Attempts,
    used: Mutex<HashMap<String, OffsetDateTime>>,
}

/// All keys and roles, as they were when they were last read.
#[derive(Debug, Default)]
struct Table {
    keys: HashMap<String, Entry>,
    roles: Vec<Arc<Role>>,
}

#[derive(Debug)]
struct Entry {
    record: KeyRecord,
    principal: Arc<Principal>,
}

impl Keys {
    pub(crate) async fn open(store: Arc<dyn Store>) -> ApiResult<Self> {
        let keys = Self {
            store,
            table: ArcSwap::default(),
            reading: tokio::sync::Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            attempts: Attempts::default(),
            used: Mutex::default(),
        };
        keys.refresh().await?;
        Ok(keys)
    }

    /// Reads keys and roles again: after a change, and periodically, for changes by other processes.
    pub(crate) async fn refresh(&self) -> ApiResult<()> {
        let _reading = self.reading.lock().await;
        let records = self.store.key_list().await.map_err(convert::store_error)?;
        let own = self.store.role_list().await.map_err(convert::store_error)?;
        let roles: Vec<_> = built_in_roles().into_iter().chain(own).map(Arc::new).collect();
        let with_roles = |record: KeyRecord| {
            let principal = Arc::new(principal(&record, &roles));
            (record.id.clone(), Entry { record, principal })
        };
        let keys = records.into_iter().map(with_roles).collect();
        self.table.store(Arc::new(Table { keys, roles }));
        Ok(())
    }

    /// Prevents other changes of roles, and new keys, until it is dropped.
    pub(crate) async fn change(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Periodic work.
    pub(crate) async fn tidy(&self) -> ApiResult<()> {
        self.attempts.tidy();
        let used: Vec<_> = self.used.lock().drain().collect();
        if !used.is_empty() {
            self.store.key_used(&used).await.map_err(convert::store_error)?;
        }
        self.refresh().await
    }

    /// At shutdown: stores when keys were last used, and logs the remaining counts of wrong keys.
    pub(crate) async fn close(&self) -> ApiResult<()> {
        self.attempts.close();
        self.tidy().await
    }

    /// Recognises a key.
    pub(crate) fn recognise(&self, key: &str, visit: &Visit) -> ApiResult<Arc<Principal>> {
        let now = OffsetDateTime::now_utc();
        let table = self.table.load();
        let known = parse(key).and_then(|id| table.keys.get(id)).filter(|entry| {
            let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
            bool::from(numbers(&hash).ct_eq(&numbers(&entry.record.hash)))
        });
        match known {
            Some(entry) if !entry.principal.has_expired(now) => {
                self.note_use(&entry.record, now);
                Ok(Arc::clone(&entry.principal))
            }
            expired => Err(self.refuse(expired.map(|entry| &*entry.record.name), visit)),
        }
    }

    /// The same error for an unknown, revoked or expired key. The server's log counts wrong keys by address. The audit
    /// log has no record of them, because it records what known callers do.
    fn refuse(&self, expired: Option<&str>, visit: &Visit) -> ApiError {
        match self.attempts.failed(visit.from, expired) {
            Ok(()) => ApiError::new(Code::Unauthenticated, "the key is unknown or has expired"),
            Err(wait) => {
                let message = format!("too many wrong keys; try again in {} s", wait.as_secs() + 1);
                let mut error = ApiError::new(Code::RateLimited, message);
                error.retry_after_ms = u64::try_from(wait.as_millis()).ok();
                error.with_hint("send a valid key")
            }
        }
    }

    fn note_use(&self, record: &KeyRecord, now: OffsetDateTime) {
        if record.last_used_at.is_some_and(|last| now - last < USE_NOTED) {
            return;
        }
        let mut used = self.used.lock();
        match used.get_mut(&record.id) {
            Some(last) if now - *last < USE_NOTED => {}
            Some(last) => *last = now,
            None => drop(used.insert(record.id.clone(), now)),
        }
    }

    /// The principal of the key with this id. Names can be reused, ids never are.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Principal>> {
        self.table.load().keys.get(id).map(|entry| Arc::clone(&entry.principal))
    }

    /// A key by its id or name.
    pub(crate) fn find(&self, key: &str) -> ApiResult<(KeyRecord, Arc<Principal>)> {
        let table = self.table.load();
        let found = table.keys.get(key).or_else(|| table.keys.values().find(|entry| entry.record.name == key));
        match found {
            Some(entry) => Ok((entry.record.clone(), Arc::clone(&entry.principal))),
            None => Err(not_found(key)),
        }
    }

    /// All roles, the built-in ones first.
    pub(crate) fn roles(&self) -> Vec<Arc<Role>> {
        self.table.load().roles.clone()
    }

    /// One role.
    pub(crate) fn role(&self, name: &RoleName) -> Option<Arc<Role>> {
        self.table.load().roles.iter().find(|role| role.name == *name).cloned()
    }
}

pub(crate) fn not_found(key: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("there is no key `{key}`"))
        .with_hint("`outrigger access key list` shows the keys")
}

/// The principal of a key. A removed role grants nothing.
fn principal(record: &KeyRecord, roles: &[Arc<Role>]) -> Principal {
    let role = |name: &RoleName| roles.iter().find(|role| role.name == *name).cloned();
    Principal {
        id: record.id.clone(),
        name: record.name.clone(),
        roles: record.roles.iter().filter_map(role).collect(),
        scope: record.scope.clone(),
        expires_at: record.expires_at,
    }
}

/// A new key: its id, the whole of it, and the hash that is kept. It has 256 random bits besides the id.
pub(crate) fn generate() -> ApiResult<(String, String, [u8; 32])> {
    let random = |bytes: &mut [u8]| {
        getrandom::fill(bytes).map_err(|error| {
            ApiError::new(Code::Internal, format!("failed to get random numbers from the system: {error}"))
        })
    };
    let (mut id, mut secret) = ([0; 8], [0; 32]);
    random(&mut id)?;
    random(&mut secret)?;
    let id = hex::encode(id);
    let key = format!("{PREFIX}_{id}_{}", hex::encode(secret));
    let hash = Sha256::digest(key.as_bytes()).into();
    Ok((id, key, hash))
}

/// A hash as four numbers: byte by byte, to compare it in constant time takes as long as to make it.
fn numbers(hash: &[u8; 32]) -> [u64; 4] {
    let (words, _) = hash.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_ne_bytes(words[at]))
}

/// The id in a key, where it has the form of one.
fn parse(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
    (id.len() == 16 && secret.len() == 64).then_some(id)
}
