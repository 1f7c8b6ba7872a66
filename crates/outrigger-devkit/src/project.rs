//! A plugin project: a folder with `Cargo.toml`, `plugin.toml` and the plugin's WIT.

use std::fs;
use std::path::{Path, PathBuf};

use outrigger_contract::PluginName;
use outrigger_contract::manifest::{FILE_NAME, Manifest};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::DevkitError;
use crate::toolchain::Target;

/// A plugin project, as far as building it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The folder, absolute.
    pub folder: PathBuf,
    /// The plugin's name, from `plugin.toml`.
    pub name: PluginName,
    /// The path of the component inside the package, from `plugin.toml`.
    pub entry: PathBuf,
    /// The compilation target: `[package.metadata.outrigger] target` in `Cargo.toml`.
    pub target: Target,
    /// The folder of the WIT that documents the functions: `[package.metadata.outrigger] wit`, or `wit`.
    pub wit: Option<PathBuf>,
}

impl Project {
    /// Reads the project in `folder`.
    ///
    /// # Errors
    /// The folder lacks a file, or one of the files has a mistake.
    pub fn read(folder: &Path) -> Result<Project, DevkitError> {
        let lacks = |reason: &str| DevkitError::NotAProject { path: folder.to_path_buf(), reason: reason.to_owned() };
        if !folder.join(FILE_NAME).is_file() {
            return Err(lacks("it has no plugin.toml"));
        }
        if !folder.join("Cargo.toml").is_file() {
            return Err(lacks(
                "it has no Cargo.toml; only plugins in Rust can be built here, others are packaged as they are",
            ));
        }
        let folder = folder.canonicalize().map_err(DevkitError::io("open", folder))?;

        let manifest = read_manifest(&folder.join(FILE_NAME))?;
        let entry = manifest.runtime.entry.as_path().to_owned();

        let cargo_path = folder.join("Cargo.toml");
        let cargo: CargoFile = read_toml(&cargo_path)?;
        let package = cargo.package.ok_or_else(|| DevkitError::ProjectFile {
            path: cargo_path.clone(),
            reason: "it has no [package]; name the folder of one plugin, not of a workspace".to_owned(),
        })?;
        let settings = package.metadata.unwrap_or_default().outrigger.unwrap_or_default();
        let target = match settings.target {
            None => Target::default(),
            Some(triple) => Target::from_triple(&triple).ok_or_else(|| DevkitError::ProjectFile {
                path: cargo_path.clone(),
                reason: format!(
                    "[package.metadata.outrigger] target: `{triple}` is none of wasm32-wasip1, wasm32-wasip2, \
                     wasm32-unknown-unknown"
                ),
            })?,
        };
        let wit = folder.join(settings.wit.unwrap_or_else(|| PathBuf::from("wit")));
        Ok(Project { wit: wit.exists().then_some(wit), folder, name: manifest.name, entry, target })
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, DevkitError> {
    let text = fs::read_to_string(path).map_err(DevkitError::io("read", path))?;
    Manifest::parse(&text)
        .map_err(|error| DevkitError::ProjectFile { path: path.to_path_buf(), reason: error.to_string() })
}

fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, DevkitError> {
    let text = fs::read_to_string(path).map_err(DevkitError::io("read", path))?;
    toml::from_str(&text)
        .map_err(|error| DevkitError::ProjectFile { path: path.to_path_buf(), reason: error.to_string() })
}

#[derive(Deserialize)]
struct CargoFile {
    package: Option<PackageTable>,
}

#[derive(Deserialize)]
struct PackageTable {
    metadata: Option<MetadataTable>,
}

#[derive(Default, Deserialize)]
struct MetadataTable {
    outrigger: Option<Settings>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    target: Option<String>,
    wit: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Project;
    use crate::toolchain::Target;

    const MANIFEST: &str = r#"
        name = "disk-report"
        version = "0.1.0"
        title = "Disk report"
        description = "Says how full the disks are."
        [runtime]
        kind = "wasm"
        entry = "disk_report.wasm"
    "#;

    fn read(cargo: &str, manifest: &str) -> Result<Project, String> {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Cargo.toml"), cargo).expect("written");
        fs::write(folder.path().join("plugin.toml"), manifest).expect("written");
        Project::read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_project_is_read() {
        let project = read("[package]\nname = \"x\"\n", MANIFEST).expect("a project");
        assert_eq!((project.name.as_str(), project.target, project.wit), ("disk-report", Target::Wasip1, None));
        let cargo = "[package]\nname = \"x\"\n[package.metadata.outrigger]\ntarget = \"wasm32-unknown-unknown\"\n";
        assert_eq!(read(cargo, MANIFEST).expect("a project").target, Target::UnknownUnknown);
    }

    #[test]
    fn a_mistake_names_the_file_and_what_would_be_right() {
        let cargo = "[package]\nname = \"x\"\n";
        let cases = [
            ("[workspace]\n", MANIFEST.to_owned(), "it has no [package]"),
            ("[package.metadata.outrigger]\ntarget = \"wasm64\"\n", MANIFEST.to_owned(), "none of wasm32-wasip1"),
            ("[package.metadata.outrigger]\ntargt = \"x\"\n", MANIFEST.to_owned(), "unknown field `targt`"),
            (cargo, MANIFEST.replace("disk_report.wasm", "../x.wasm"), "the path `../x.wasm`"),
            (cargo, MANIFEST.replace("\"wasm\"", "\"process\""), "`process`"),
            (cargo, MANIFEST.replace("disk-report", "Disk"), "`Disk` is not a plugin name"),
        ];
        for (cargo, manifest, expected) in cases {
            let error = read(cargo, &manifest).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
