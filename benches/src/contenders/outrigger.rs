//! Ours: `Engine::call` with everything behind it, an SQLite store in a temporary folder included.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use outrigger_contract::{Digest, FunctionRef, Manifest, Value};
use outrigger_engine::life::Installation;
use outrigger_engine::store::{CacheOutcome, RevisionRecord};
use outrigger_engine::{Arguments, Call, CallOptions, Caller, Engine, EngineOptions};
use outrigger_runtime::{WasmOptions, WasmRuntime};
use outrigger_store::SqliteStore;
use serde_json::{Map, Value as Json, json};
use time::OffsetDateTime;

use super::{ANSWER, ARGUMENTS, payload};
use crate::measure::{Contender, breathe};

/// The plugins that are installed: one component under three manifests.
const PLUGINS: [(&str, &str, &str); 3] = [
    ("peer-fresh", "\"fresh\"", ""),
    ("peer-warm", "{ warm = { max-instances = 16, max-calls = 1000000000 } }", ""),
    ("peer-cached", "\"fresh\"", "[functions.quote]\nread-only = true\nidempotent = true\ncache = \"1h\"\n"),
];

/// An engine with the plugins in it.
pub struct Outrigger {
    engine: Engine,
    _folder: tempfile::TempDir,
}

impl Outrigger {
    pub async fn start(component: &[u8]) -> Result<Arc<Self>> {
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(folder.path().join("outrigger.db")).await?;
        let runtime = WasmRuntime::new(WasmOptions::new(private(&folder.path().join("compiled"))?))
            .map_err(|fault| anyhow!("{fault:?}"))?;
        let options = EngineOptions::new(folder.path().join("packages"));
        let engine = Engine::start(options, Arc::new(store), Arc::new(runtime)).await?;
        for (name, instances, functions) in PLUGINS {
            install(&engine, component, &manifest(name, instances, functions)?).await.context(name)?;
        }
        let outrigger = Arc::new(Self { engine, _folder: folder });
        outrigger.check().await?;
        Ok(outrigger)
    }

    /// Every way of calling gives the answer that is expected.
    async fn check(self: &Arc<Self>) -> Result<()> {
        for (name, ..) in PLUGINS {
            let answer =
                self.engine.call(call(&format!("{name}.quote"), Arguments::Text(ARGUMENTS.to_owned()))?).await?;
            let text = answer.json_text().await?;
            ensure!(text == ANSWER, "{name} answers {text}");
        }
        let bytes = Bytes::from(payload());
        let answer =
            self.engine.call(call("peer-warm.echo", Arguments::Values(vec![Value::Bytes(bytes.clone())]))?).await?;
        ensure!(*answer.value() == Value::Bytes(bytes), "peer-warm.echo gives other bytes back");
        let answer = self.engine.call(call("peer-cached.quote", Arguments::Text(ARGUMENTS.to_owned()))?).await?;
        ensure!(answer.cache == CacheOutcome::Hit, "the cache does not answer: {:?}", answer.cache);
        Ok(())
    }

    /// A way of calling as a contender.
    pub fn contender(self: &Arc<Self>, name: &'static str, function: &str, way: Way) -> Result<Arc<dyn Contender>> {
        let function = function.parse().map_err(|error| anyhow!("{error}"))?;
        Ok(Arc::new(Calls { name, function, way, outrigger: Arc::clone(self) }))
    }
}

/// What is given, and what is wanted; both are inside the time.
#[derive(Clone)]
pub enum Way {
    /// JSON text in, JSON text out: what a face that speaks HTTP does.
    Text(String),
    /// JSON text in; the answer stays what the engine gives.
    TextToValue(String),
    /// A JSON object in, JSON text out.
    Json(Map<String, Json>),
    /// Values in and out.
    Values(Vec<Value>),
}

impl Way {
    pub fn text() -> Self {
        Self::Text(ARGUMENTS.to_owned())
    }

    pub fn text_to_value() -> Self {
        Self::TextToValue(ARGUMENTS.to_owned())
    }

    pub fn json() -> Result<Self> {
        Ok(Self::Json(serde_json::from_str(ARGUMENTS)?))
    }

    pub fn bytes() -> Self {
        Self::Values(vec![Value::Bytes(Bytes::from(payload()))])
    }

    pub fn base64() -> Self {
        Self::Text(json!({ "data": base64_simd::STANDARD.encode_to_string(payload()) }).to_string())
    }
}

struct Calls {
    name: &'static str,
    function: FunctionRef,
    way: Way,
    outrigger: Arc<Outrigger>,
}

#[async_trait]
impl Contender for Calls {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn calls(&self, calls: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(calls);
        for call in 0..calls {
            times.push(self.once().await?);
            breathe(call).await;
        }
        Ok(times)
    }

    async fn settle(&self) {
        self.outrigger.engine.flush().await;
    }
}

impl Calls {
    async fn once(&self) -> Result<Duration> {
        // A call takes its arguments; what a caller keeps for the next one is copied before the time begins.
        let way = self.way.clone();
        let (function, engine) = (self.function.clone(), &self.outrigger.engine);
        let answer = |arguments| engine.call(with(function, arguments));
        let started = Instant::now();
        match way {
            Way::Text(text) => _ = black_box(answer(Arguments::Text(text)).await?.json_text().await?),
            Way::Json(arguments) => _ = black_box(answer(Arguments::Json(arguments)).await?.json_text().await?),
            Way::TextToValue(text) => _ = black_box(answer(Arguments::Text(text)).await?),
            Way::Values(values) => _ = black_box(answer(Arguments::Values(values)).await?),
        }
        Ok(started.elapsed())
    }
}

fn call(function: &str, arguments: Arguments) -> Result<Call> {
    Ok(with(function.parse().map_err(|error| anyhow!("{error}"))?, arguments))
}

fn with(function: FunctionRef, arguments: Arguments) -> Call {
    Call { caller: Caller::Local, function, arguments, options: CallOptions::default() }
}

/// The manifest of a plugin around the component.
pub fn manifest(name: &str, instances: &str, functions: &str) -> Result<Manifest> {
    let text = manifest_text(name, instances, functions);
    Manifest::parse(&text).map_err(|error| anyhow!("{error}\n{text}"))
}

/// The same as text.
pub fn manifest_text(name: &str, instances: &str, functions: &str) -> String {
    format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\ntitle = \"Orders\"\ndescription = \"Quotes an order.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"peer.wasm\"\ninstances = {instances}\n{functions}"
    )
}

async fn install(engine: &Engine, component: &[u8], manifest: &Manifest) -> Result<()> {
    let digest = Digest::of(manifest.name.as_str().as_bytes());
    let root = engine.options().package(&digest);
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("peer.wasm"), component)?;
    let inspection = engine.runtime().inspect(&root, manifest).await.map_err(|fault| anyhow!("{fault:?}"))?;
    let revision = RevisionRecord {
        digest,
        manifest: manifest.clone(),
        inspection,
        source: "benches".to_owned(),
        installed_at: OffsetDateTime::now_utc(),
    };
    let granted = outrigger_contract::Grant::asked_by(manifest, |_| None);
    Ok(engine
        .install(Installation {
            revision,
            granted,
            granted_by: "benches".to_owned(),
            correlation: outrigger_engine::CorrelationId::new(),
            downgrade: outrigger_engine::life::Downgrade::Refused,
            configuration: outrigger_engine::configuration::Given::default(),
        })
        .await?)
}

/// A folder that only its owner can use, as the folder for compiled code has to be.
fn private(path: &std::path::Path) -> Result<std::path::PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    Ok(path.to_owned())
}
