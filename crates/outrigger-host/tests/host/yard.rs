//! A data directory for tests of grants, with an administrator and a developer, and the packages of these tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_api::{
    ApiError, Code, Door, InstallOutcome, InstallRequest, PackageReport, PackageSource, Platform, PluginDetails,
    PluginName, Visit,
};
use outrigger_host::{Host, HostOptions, ServerWork};
use outrigger_registry::{SigningKey, sign_package};
use outrigger_testkit::components;
use serde_json::json;
use time::OffsetDateTime;

use crate::bench::Bench;

/// An open data directory, with its administrator and a developer.
pub struct Yard {
    pub bench: Bench,
    pub host: Host,
    pub developer: Arc<dyn Platform>,
}

impl Yard {
    pub async fn new() -> Self {
        Self::over(tempfile::tempdir().expect("a temporary folder"), &[]).await
    }

    pub async fn over(folder: tempfile::TempDir, ceiling: &[&str]) -> Self {
        let options = HostOptions { data: folder.path().join("data"), search_paths: Vec::new() };
        let ceiling = ceiling.iter().map(|text| (*text).to_owned()).collect();
        let work = ServerWork { ceiling, ..ServerWork::default() };
        let host = Host::open_alone_with(options, work).await.expect("the data directory opens");
        let platform: Arc<dyn Platform> = Arc::new(host.session());
        let name = format!("dev-{}", platform.key_list().await.expect("it lists").len());
        // The packages of these tests are on the server's disk.
        let paths = serde_json::from_value(json!({"allow": ["path_use"]})).expect("a request");
        platform.role_put("paths", paths, None).await.expect("it is made");
        let request =
            serde_json::from_value(json!({"name": name, "roles": ["developer", "paths"]})).expect("a request");
        let key = platform.key_create(request).await.expect("it is made").key;
        let developer = host.enter(&key, Visit::default()).await.expect("it is let in");
        Self { bench: Bench { folder, platform }, host, developer }
    }

    /// The same directory, opened again with another ceiling.
    pub async fn reopened(self, ceiling: &[&str]) -> Self {
        let Self { bench: Bench { folder, platform }, host, developer } = self;
        platform.close().await.expect("all is written");
        drop((platform, developer, host));
        Self::over(folder, ceiling).await
    }

    pub fn package(&self, version: &str, manifest: &str) -> PathBuf {
        self.bench.package(&format!("subject-{version}"), "subject", version, manifest, &components::counter())
    }

    pub fn signed(&self, version: &str, manifest: &str, key: &SigningKey) -> PathBuf {
        let folder = self.package(version, manifest);
        sign_package(&folder, key, OffsetDateTime::now_utc()).expect("it is signed");
        folder
    }

    /// Trusts exactly these keys.
    pub fn trust(&self, keys: &[(&SigningKey, &str)]) {
        let entry = |(index, (key, more)): (usize, &(&SigningKey, &str))| {
            format!("[[key]]\nname = \"team-{index}\"\npublic-key = \"\"\"\n{}\"\"\"\n{more}\n", key.public().to_pem())
        };
        let text: String = keys.iter().enumerate().map(entry).collect();
        fs::write(self.bench.path("data/trust.toml"), text).expect("it is written");
    }

    pub async fn granted(&self, package: &Path) -> InstallOutcome {
        self.bench.install(package).await.expect("it is installed")
    }

    /// The outcome of a developer's installation.
    pub async fn developer_installs(&self, package: &Path) -> Result<InstallOutcome, ApiError> {
        install(&*self.developer, package).await
    }

    pub async fn info(&self) -> PluginDetails {
        self.bench.platform.plugin_info(&subject()).await.expect("it is installed")
    }
}

pub async fn install(platform: &dyn Platform, package: &Path) -> Result<InstallOutcome, ApiError> {
    platform.plugin_install(InstallRequest::new(PackageSource::Path(package.to_owned()))).await
}

pub async fn inspect(platform: &dyn Platform, package: &Path) -> PackageReport {
    platform.package_inspect(&PackageSource::Path(package.to_owned())).await.expect("it is read")
}

pub fn subject() -> PluginName {
    "subject".parse().expect("a name")
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, ApiError>, code: Code, part: &str) {
    let error = outcome.expect_err("it is refused");
    assert_eq!(error.code, code, "{}", error.message);
    assert!(error.message.contains(part), "{part:?} is not in: {}", error.message);
}

const SHOP: &str = "[hooks.\"shop.priced\"]\nkind = \"filter\"\ndescription = \"x\"\n\
                    [hooks.\"shop.stored\"]\nkind = \"action\"\ndescription = \"x\"\n\
                    [hooks.\"shop.sold\"]\nkind = \"event\"\ndescription = \"x\"\n";

pub async fn shop(yard: &Yard) {
    let package = yard.bench.package("shop", "shop", "1.0.0", SHOP, &components::telling());
    yard.granted(&package).await;
}

pub const GUARD: &str =
    "[[subscriptions]]\nhook = \"shop.priced\"\nfunction = \"append-a\"\non-error = \"fail-closed\"\n";

pub fn guard(yard: &Yard, version: &str, manifest: &str) -> PathBuf {
    yard.bench.package(&format!("guard-{version}"), "subject", version, manifest, &components::callbacks())
}
