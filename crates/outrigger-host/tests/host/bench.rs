//! A workbench: a data directory, packages, and a platform over them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_api::{ApiError, CallRequest, InstallOutcome, InstallRequest, PackageSource, Platform};
use outrigger_host::{Host, HostOptions};
use outrigger_testkit::components;
use serde_json::{Value as Json, json};

pub struct Bench {
    pub folder: tempfile::TempDir,
    pub platform: Arc<dyn Platform>,
}

impl Bench {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let platform = open(folder.path()).await;
        Self { folder, platform }
    }

    /// Another platform over the same data directory, as another process would have.
    pub async fn another(&self) -> Arc<dyn Platform> {
        open(self.folder.path()).await
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A package in a folder: a manifest with more lines, and a component.
    pub fn package(&self, folder: &str, name: &str, version: &str, manifest: &str, component: &[u8]) -> PathBuf {
        let path = self.path(folder);
        fs::create_dir_all(&path).expect("a folder");
        fs::write(path.join("plugin.toml"), manifest_text(name, version, manifest)).expect("a manifest");
        fs::write(path.join("x.wasm"), component).expect("a component");
        path
    }

    pub fn hostile(&self, version: &str, manifest: &str) -> PathBuf {
        self.package(&format!("hostile-{version}"), "hostile", version, manifest, &components::hostile())
    }

    /// Installs with the administrator's word for whatever it asks.
    pub async fn install(&self, path: &Path) -> Result<InstallOutcome, ApiError> {
        let source = PackageSource::Path(path.to_owned());
        let report = self.platform.package_inspect(&source).await?;
        self.platform
            .plugin_install(InstallRequest { approved: Some(report.digest), ..InstallRequest::new(source) })
            .await
    }

    pub async fn call(&self, function: &str, arguments: Json) -> Result<Json, ApiError> {
        call(&self.platform, function, arguments).await
    }

    /// The code that an installation is refused with. Nothing of it may be left.
    pub async fn refused(&self, path: &Path) -> (String, ApiError) {
        let error = self.install(path).await.expect_err("it is refused");
        assert_eq!(entries(&self.path("data/staging")), 0, "nothing is left in the staging folder");
        assert_eq!(entries(&self.path("data/packages")), 0, "nothing is installed");
        assert!(self.platform.plugin_list().await.expect("it lists").is_empty());
        assert!(!error.hint.is_empty());
        (error.code.to_string(), error)
    }
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name().to_string_lossy().into_owned();
    fs::read_dir(folder).expect("a folder").map(name).collect()
}

pub fn entries(folder: &Path) -> usize {
    names(folder).len()
}

pub async fn call(platform: &Arc<dyn Platform>, function: &str, arguments: Json) -> Result<Json, ApiError> {
    let Json::Object(arguments) = arguments else { panic!("arguments are an object") };
    let request = CallRequest::new(function.parse().expect("a function's name"), arguments);
    Ok(platform.call(request).await?.result.to_value())
}

async fn open(folder: &Path) -> Arc<dyn Platform> {
    let options = HostOptions { data: folder.join("data"), search_paths: Vec::new() };
    Arc::new(Host::open(options).await.expect("the data directory opens").session())
}

pub fn manifest_text(name: &str, version: &str, more: &str) -> String {
    format!(
        "name = \"{name}\"\nversion = \"{version}\"\ntitle = \"A test plugin\"\ndescription = \"For tests.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n{more}"
    )
}

/// Packs a folder as `.zip`.
pub fn zip(folder: &Path, to: &Path) {
    let mut archive = zip::ZipWriter::new(fs::File::create(to).expect("a file"));
    for file in ["plugin.toml", "x.wasm"] {
        archive.start_file(file, zip::write::SimpleFileOptions::default()).expect("an entry");
        archive.write_all(&fs::read(folder.join(file)).expect("a file")).expect("it is written");
    }
    archive.finish().expect("it is finished");
}

/// Packs a folder as `.tar.gz`, below a folder of its own, as released archives are.
pub fn tar_gz(folder: &Path, to: &Path) {
    let compressed = flate2::write::GzEncoder::new(fs::File::create(to).expect("a file"), flate2::Compression::fast());
    let mut archive = tar::Builder::new(compressed);
    archive.append_dir_all("release", folder).expect("it is added");
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("it is finished");
}

pub fn none() -> Json {
    json!({})
}
