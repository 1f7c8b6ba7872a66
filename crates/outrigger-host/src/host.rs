//! A data directory that is open: the engine over it, the packages in it, its keys. [`Host`] is the door through which
//! faces come in; what one caller can do is a [`Session`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, AuditVerification, Begun, Code, DoctorReport, Door, NewKey, Platform, PluginName,
    RequestTracer, Visit,
};
use outrigger_compute::Turns;
use outrigger_contract::Ceiling;
use outrigger_engine::health::HealthOptions;
use outrigger_engine::jobs::JobOptions;
use outrigger_engine::quota::Quotas;
use outrigger_engine::retention::Retention;
use outrigger_engine::store::{RequestProgress, RequestRecord, StoreError};
use outrigger_engine::webhooks::WebhookOptions;
use outrigger_engine::{Backends, CorrelationId, Engine, EngineOptions, Tracer};
use outrigger_runtime::{Protected, WasmOptions, WasmRuntime};
use outrigger_store::SqliteStore;
use time::OffsetDateTime;

use crate::data_directory::ownership::{self, Finding};
use crate::data_directory::{DataDirectory, DirectoryHold, Hold};
use crate::functions::Catalogue;
use crate::keys::Keys;
use crate::latest::Latest;
use crate::outgoing::Outgoing;
use crate::overrides::HostOverrides;
use crate::owners::Owners;
use crate::packages::Packages;
use crate::session::{Session, Who, prepare_folder};
use crate::telemetry::{Telemetry, TelemetryOptions};
use crate::vault::KeyRing;
use crate::{HostOptions, convert, environment, options, records};

/// How often keys that another process made or revoked are looked for.
const TIDY: Duration = Duration::from_secs(5);
/// For how long it holds whether the store can be written to.
const READY: Duration = Duration::from_secs(1);

/// An open data directory. A cheap handle; all of them are the same host.
#[derive(Clone, Debug)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) packages: Packages,
    pub(crate) catalogue: Catalogue,
    pub(crate) keys: Keys,
    /// The keys of secrets.
    pub(crate) key_ring: Arc<KeyRing>,
    /// The overrides of configurations.
    pub(crate) overrides: Arc<HostOverrides>,
    pub(crate) telemetry: Option<Arc<Telemetry>>,
    /// See [`ServerWork::backups`].
    pub(crate) backups: Option<PathBuf>,
    /// Rotations of the keys of secrets.
    pub(crate) rotations: Turns,
    /// Long lists that keys read from the database. They leave half of its connections to others.
    pub(crate) lists: Turns,
    /// Changes of jobs by keys.
    pub(crate) job_changes: Turns,
    /// The report of the doctor.
    pub(crate) doctor: Latest<DoctorReport>,
    /// The verification of the audit log.
    pub(crate) verification: Latest<AuditVerification>,
    /// Whether the store could be written to when that was last tried.
    ready: tokio::sync::Mutex<Option<(Instant, ApiResult<()>)>>,
    socket: PathBuf,
    _hold: DirectoryHold,
}

impl Inner {
    /// The names of the plugins that are installed.
    pub(crate) fn installed(&self) -> BTreeSet<PluginName> {
        self.engine.plugins().into_iter().map(|(record, _)| record.name).collect()
    }
}

/// The background tasks of a server.
#[derive(Clone, Debug, Default)]
pub struct ServerWork {
    pub jobs: JobOptions,
    pub health: HealthOptions,
    pub webhooks: WebhookOptions,
    /// Records above these limits are pruned.
    pub retention: Retention,
    /// The ceiling for granted limits, which overrides the environment: `memory=512MiB,concurrency=100`.
    pub ceiling: Vec<String>,
    /// The backup folder, for backups that are requested by file name only.
    pub backups: Option<PathBuf>,
    /// The TLS key file. It is never granted to a plugin.
    pub private_key: Option<PathBuf>,
    /// Reserved disk space, in bytes, so that audit records, pruning and deletions still work on a full disk.
    pub reserve: Option<u64>,
    /// The write quotas of each plugin and each key, per minute.
    pub quotas: Quotas,
}

/// How long a server waits for commands that are at work in its directory.
const WAIT_FOR_COMMANDS: Duration = Duration::from_secs(10);

/// The socket of the server that holds a data directory, if there is one.
///
/// # Errors
/// The directory cannot be used.
pub fn running_server(options: &HostOptions) -> ApiResult<Option<PathBuf>> {
    let directory = DataDirectory::open(&options.data)?;
    Ok(directory.hold(Hold::Shared)?.is_none().then(|| directory.socket()))
}

/// Refuses a private key file that users other than its owner and group can read, or that other users can change.
///
/// # Errors
/// `data_directory`, with the command that fixes it.
pub fn check_key_file(path: &Path) -> ApiResult<()> {
    ownership::refuse(&ownership::key_file(path))
}

/// Refuses a data directory that other users can change; logs a warning for files that other users can read but should
/// not.
fn look_at_everything(root: &Path) -> ApiResult<()> {
    let findings = ownership::everything(root);
    ownership::refuse(&findings)?;
    for Finding { severity: _, message, remedy } in findings {
        tracing::warn!("{message}; run `{remedy}`");
    }
    Ok(())
}

impl Host {
    /// Opens a data directory for one command, and creates it if it does not exist.
    ///
    /// # Errors
    /// The directory, the database or the Wasm engine cannot be used; or a server uses the directory.
    pub async fn open(options: HostOptions) -> ApiResult<Self> {
        let directory = DataDirectory::open(&options.data)?;
        match directory.hold(Hold::Shared)? {
            Some(hold) => {
                Self::over(directory, hold, options, options::ceiling(&[])?, None, &ServerWork::default()).await
            }
            None => {
                let message = format!("a server is using {}", directory.root().display());
                Err(ApiError::new(Code::DataDirectory, message)
                    .with_hint("commands connect to it automatically; run this command again"))
            }
        }
    }

    /// Opens a data directory for a server, with exclusive access. It runs queued jobs, notifies webhooks of events,
    /// monitors the health of plugins, and prunes old records.
    ///
    /// # Errors
    /// As for [`Host::open`]; others still use the directory after some seconds; or an OpenTelemetry variable is
    /// invalid.
    pub async fn open_alone(options: HostOptions) -> ApiResult<Self> {
        Self::open_alone_with(options, ServerWork::default()).await
    }

    /// Like [`Host::open_alone`], with options for its background work.
    ///
    /// # Errors
    /// As for [`Host::open_alone`].
    pub async fn open_alone_with(options: HostOptions, work: ServerWork) -> ApiResult<Self> {
        let telemetry = TelemetryOptions::from_environment()?.map(Telemetry::new).transpose()?;
        let directory = DataDirectory::open(&options.data)?;
        let until = Instant::now() + WAIT_FOR_COMMANDS;
        loop {
            if let Some(hold) = directory.hold(Hold::Alone)? {
                look_at_everything(directory.root())?;
                KeyRing::from_environment(directory.secret_key()).check()?;
                if let Some(folder) = &work.backups {
                    prepare_folder(folder, directory.root())?;
                }
                let ceiling = options::ceiling(&work.ceiling)?;
                let host = Self::over(directory, hold, options, ceiling, telemetry, &work).await?;
                // Uploads do not survive a restart: their senders are gone.
                host.inner.packages.uploads.clear();
                let idle_variables = host.inner.overrides.idle(&host.inner.engine).await;
                for idle in idle_variables.into_iter().chain(host.inner.overrides.files(&host.inner.installed()).idle) {
                    tracing::warn!("{idle}");
                }
                // Only here: of several processes, one does this.
                let owners = Arc::new(Owners(Arc::downgrade(&host.inner)));
                // The rest was used above.
                let ServerWork { jobs, health, webhooks, retention, .. } = work;
                let engine = &host.inner.engine;
                engine.start_jobs(jobs, Arc::clone(&owners) as _).await.map_err(convert::error)?;
                engine.start_health(health).await.map_err(convert::error)?;
                let sender = Arc::new(Outgoing::default());
                engine.start_webhooks(webhooks, sender, owners).await.map_err(convert::error)?;
                engine.start_pruning(retention);
                engine.keep_statistics().await;
                host.clear_up();
                return Ok(host);
            }
            if Instant::now() >= until {
                let message = format!("{} is in use by another server, or by a command", directory.root().display());
                return Err(ApiError::new(Code::DataDirectory, message)
                    .with_hint("stop the other process, or choose another directory with `--data DIR`"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes, in the background, what a dead process left behind; and reads the statistics, before they are
    /// requested.
    fn clear_up(&self) {
        let weak = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let Some(inner) = weak.upgrade() else { return };
            match inner.packages.sweep().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "removed unused packages"),
                Err(error) => tracing::warn!(%error, "failed to look for unused packages"),
            }
            if let Err(failure) = inner.engine.statistics(None).await {
                tracing::warn!(%failure, "failed to read the statistics");
            }
        });
    }

    async fn over(
        directory: DataDirectory,
        hold: DirectoryHold,
        options: HostOptions,
        ceiling: Ceiling,
        telemetry: Option<Arc<Telemetry>>,
        work: &ServerWork,
    ) -> ApiResult<Self> {
        let ServerWork { backups, reserve, quotas, private_key, .. } = work;
        let (backups, reserve, quotas) = (backups.clone(), *reserve, *quotas);
        let key_file = environment::path(environment::SECRET_KEY_FILE);
        if let Some(path) = &key_file {
            check_key_file(path)?;
        }
        let protected = |path: Option<PathBuf>, what| path.map(|path| Protected { path, what });
        let protected = [
            protected(Some(directory.root().to_owned()), "Outrigger's data directory"),
            protected(key_file, "Outrigger's secret key file"),
            protected(private_key.clone(), "the server's TLS key file"),
            protected(backups.clone(), "the backup folder"),
        ];
        let protected = protected.into_iter().flatten().collect();
        let store = SqliteStore::open_with_reserve(&directory.database(), reserve).await;
        let store = Arc::new(store.map_err(convert::store_error)?);
        let options_of_runtime = WasmOptions {
            protected,
            compile_limits: options::compile_limits()?,
            ..WasmOptions::new(directory.compiled())
        };
        let runtime = WasmRuntime::new(options_of_runtime).map_err(|fault| convert::error(fault.into()))?;
        let memory = options::memory()?;
        let options_of_engine = EngineOptions { memory, ceiling, quotas, ..EngineOptions::new(directory.packages()) };
        let key_ring = Arc::new(KeyRing::from_environment(directory.secret_key()));
        let overrides = Arc::new(HostOverrides::from_environment(&directory.config()));
        let backends = Backends {
            store: store.clone(),
            runtime: Arc::new(runtime),
            vault: key_ring.clone(),
            overrides: overrides.clone(),
            tracer: telemetry
                .clone()
                .filter(|telemetry| telemetry.has_traces())
                .map(|tracer| tracer as Arc<dyn Tracer>),
        };
        let engine = Engine::start_with(options_of_engine, backends).await.map_err(convert::error)?;
        let socket = directory.socket();
        let packages = Packages::new(engine.clone(), directory, options.search_paths, overrides.clone());
        let keys = Keys::open(store).await?;
        let inner = Arc::new(Inner {
            engine,
            packages,
            catalogue: Catalogue::default(),
            keys,
            key_ring,
            overrides,
            telemetry,
            backups,
            rotations: Turns::new(1),
            lists: Turns::new(2),
            job_changes: Turns::for_each(1),
            doctor: Latest::default(),
            verification: Latest::default(),
            ready: tokio::sync::Mutex::default(),
            socket,
            _hold: hold,
        });
        let weak = Arc::downgrade(&inner);
        let known = weak.clone();
        inner.overrides.know(move || known.upgrade().map(|inner| inner.installed()).unwrap_or_default());
        if let Some(telemetry) = &inner.telemetry {
            telemetry.start(weak.clone());
        }
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                let Some(inner) = weak.upgrade() else { return };
                if let Err(error) = inner.keys.tidy().await {
                    tracing::warn!(%error, "failed to reload keys");
                }
                inner.packages.uploads.tidy();
            }
        });
        Ok(Self { inner })
    }

    /// The platform for whoever can open the data directory: its administrator.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(Arc::clone(&self.inner), Who::Local, CorrelationId::new(), None)
    }

    fn session_of(&self, who: Who, visit: Visit) -> Session {
        let Visit { from: _, correlation, is_chosen: _, trace } = visit;
        Session::new(Arc::clone(&self.inner), who, CorrelationId::from(correlation), trace)
    }

    /// Where a server over this directory listens for commands on this machine.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.inner.socket
    }

    /// Creates an administrator's key if the data directory has no key yet.
    ///
    /// # Errors
    /// The store failed.
    pub async fn first_key(&self) -> ApiResult<Option<NewKey>> {
        self.session().first_key().await
    }
}

fn not_ready(error: ApiError) -> ApiError {
    let not_ready = ApiError::new(Code::NotReady, error.message);
    not_ready.with_hint(error.hint)
}

#[async_trait]
impl Door for Host {
    async fn enter(&self, key: &str, visit: Visit) -> ApiResult<Arc<dyn Platform>> {
        let principal = self.inner.keys.recognise(key, &visit)?;
        if visit.is_chosen {
            records::check_chosen(&self.inner.engine, visit.correlation.into()).await?;
        }
        Ok(Arc::new(self.session_of(Who::Key(principal), visit)))
    }

    fn local(&self, visit: Visit) -> Arc<dyn Platform> {
        Arc::new(self.session_of(Who::Local, visit))
    }

    async fn ready(&self) -> ApiResult<()> {
        if let Some(fault) = self.inner.engine.store().write_fault() {
            return Err(not_ready(convert::store_error(StoreError::Unwritable(fault))));
        }
        // Anyone can ask, and the check is a durable write, so one result is shared by all concurrent requests and
        // shortly after.
        let mut last = self.inner.ready.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < READY
        {
            return found.clone();
        }
        // Not `check`, which reads the whole database: this is asked every few seconds.
        let found = self.inner.engine.store().touch().await.map_err(|error| not_ready(convert::store_error(error)));
        *last = Some((Instant::now(), found.clone()));
        found
    }

    async fn request_begin(&self, place: [u8; 32], body: [u8; 32], owner: &str) -> ApiResult<Begun> {
        let (at, owner) = (OffsetDateTime::now_utc(), owner.to_owned());
        let record = RequestRecord { place, body, at, owner, progress: RequestProgress::Begun };
        let present = self.inner.engine.request_begin(&record).await.map_err(convert::store_error)?;
        Ok(match present {
            None => Begun::New,
            Some(RequestRecord { progress: RequestProgress::Begun, .. }) => Begun::Unfinished,
            Some(RequestRecord { body, progress: RequestProgress::Ended(answer), .. }) => Begun::Ended { body, answer },
        })
    }

    async fn request_end(&self, place: [u8; 32], owner: &str, answer: Option<Vec<u8>>) -> ApiResult<()> {
        self.inner.engine.request_end(&place, owner, answer.as_deref()).await.map_err(convert::store_error)
    }

    async fn request_forget(&self, place: [u8; 32]) -> ApiResult<()> {
        self.inner.engine.store().request_forget(&place).await.map_err(convert::store_error)
    }

    fn tracer(&self) -> Option<Arc<dyn RequestTracer>> {
        let telemetry = self.inner.telemetry.clone().filter(|telemetry| telemetry.has_traces());
        telemetry.map(|tracer| tracer as Arc<dyn RequestTracer>)
    }
}
