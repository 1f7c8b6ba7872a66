//! Where a platform can be found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_api::{ApiError, CallRequest, InstallRequest, JsonObject, PackageSource, Platform};
use outrigger_client::Client;
use outrigger_host::{Host, HostOptions};
use outrigger_server::{Running, ServerOptions, serve};
use outrigger_testkit::components;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

/// How a platform is reached.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    InProcess,
    Socket,
    Http,
}

pub const WAYS: [Way; 3] = [Way::InProcess, Way::Socket, Way::Http];

/// Runs each function of the module `behaviour` at each place.
macro_rules! everywhere {
    ($($behaviour:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $behaviour() {
            for way in WAYS {
                let place = Place::new(way).await;
                behaviour::$behaviour(&place, way).await;
                place.close().await;
            }
        }
    )*};
}
pub(crate) use everywhere;

/// A platform over a data directory of its own.
pub struct Place {
    pub platform: Arc<dyn Platform>,
    pub folder: tempfile::TempDir,
    pub address: Option<String>,
    pub key: Option<String>,
    running: Option<Running>,
    stop: Option<DropGuard>,
}

impl Place {
    pub async fn new(way: Way) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
        if matches!(way, Way::InProcess) {
            // As a server does: only then jobs are done.
            let host = Host::open_alone(options).await.expect("the data directory opens");
            let platform = Arc::new(host.session());
            return Self { platform, folder, address: None, key: None, running: None, stop: None };
        }
        let host = Host::open_alone(options).await.expect("the data directory opens");
        let stop = CancellationToken::new();
        let listen = "127.0.0.1:0".parse().expect("an address");
        let server = ServerOptions { socket: Some(host.socket().to_owned()), ..ServerOptions::new(listen) };
        let running = serve(server, Arc::new(host.clone()), stop.clone()).await.expect("it listens");
        let key = host.first_key().await.expect("the store works").expect("there was no key").key;
        let address = format!("http://{}", running.address());
        let client = match way {
            Way::Socket => Client::on_socket(host.socket()),
            _ => Client::new(&address, Some(key.clone())),
        };
        Self {
            platform: Arc::new(client.expect("a client")),
            folder,
            address: Some(address),
            key: Some(key),
            running: Some(running),
            stop: Some(stop.drop_guard()),
        }
    }

    /// A client with another key.
    pub fn client(&self, key: &str) -> Client {
        let address = self.address.as_deref().expect("there is a server");
        Client::new(address, Some(key.to_owned())).expect("a client")
    }

    /// Ends it in order.
    pub async fn close(mut self) {
        self.platform.close().await.expect("all is written");
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            assert_eq!(running.ended().await.cut_off, 0);
        }
    }

    /// The package of a plugin of this name, whose functions misbehave in all ways and in one good one.
    pub fn package(&self, name: &str, version: &str, more: &str) -> PathBuf {
        package(self.folder.path(), name, version, more, &components::hostile())
    }

    /// Installs functions to subscribe to hooks, as the plugin `callbacks`.
    pub async fn install_callbacks(&self) {
        let path = package(self.folder.path(), "callbacks", "1.0.0", "", &components::callbacks());
        self.install(&path).await.expect("it is installed");
    }

    /// Installs functions that tell the host how far they are, as the plugin `telling`.
    pub async fn install_telling(&self) {
        let path = package(self.folder.path(), "telling", "1.0.0", "", &components::telling());
        self.install(&path).await.expect("it is installed");
    }

    pub async fn install(&self, path: &Path) -> Result<(), ApiError> {
        let source = PackageSource::Path(path.to_owned());
        let report = self.platform.package_inspect(&source).await?;
        self.platform
            .plugin_install(InstallRequest { approved: Some(report.digest), ..InstallRequest::new(source) })
            .await
            .map(drop)
    }

    pub async fn call(&self, function: &str, arguments: Value) -> Result<Value, ApiError> {
        call(&*self.platform, function, arguments).await
    }
}

pub async fn call(platform: &dyn Platform, function: &str, arguments: Value) -> Result<Value, ApiError> {
    platform.call(request(function, &arguments)).await.map(|response| response.result.to_value())
}

pub fn request(function: &str, arguments: &Value) -> CallRequest {
    let function = function.parse().expect("a function's name");
    let arguments = JsonObject::parse(arguments.to_string()).expect("an object");
    CallRequest { arguments, ..CallRequest::new(function, serde_json::Map::new()) }
}

pub fn package(folder: &Path, name: &str, version: &str, more: &str, component: &[u8]) -> PathBuf {
    let path = folder.join(format!("{name}-{version}"));
    fs::create_dir_all(&path).expect("a folder");
    let manifest = format!(
        "name = \"{name}\"\nversion = \"{version}\"\ntitle = \"A test plugin\"\ndescription = \"For tests.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n{more}"
    );
    fs::write(path.join("plugin.toml"), manifest).expect("a manifest");
    fs::write(path.join("x.wasm"), component).expect("a component");
    path
}

/// A value of the wire, as JSON has it.
pub fn from_json<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("it has the form of one")
}

/// Waits for something to be so, but not for ever.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

pub fn none() -> Value {
    json!({})
}
