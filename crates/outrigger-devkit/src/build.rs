//! The whole way from a project to a package folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outrigger_contract::PluginName;

use crate::Progress;
use crate::compile::compile;
use crate::componentize::componentize;
use crate::error::DevkitError;
use crate::project::Project;
use crate::toolchain::{Target, Toolchain};

/// Options of a build.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The project's folder.
    pub project: PathBuf,
    /// The folder that gets a folder named after the plugin.
    pub out: PathBuf,
    /// Where the compiler keeps its files. Without it: `guests` in `CARGO_TARGET_DIR` where that is set, otherwise the
    /// project's `target`.
    pub target_folder: Option<PathBuf>,
    /// Whether the steps are shown.
    pub progress: Progress,
}

impl BuildOptions {
    /// Builds the project in `project` into `out`, and shows the steps.
    pub fn new(project: impl Into<PathBuf>, out: impl Into<PathBuf>) -> BuildOptions {
        BuildOptions { project: project.into(), out: out.into(), target_folder: None, progress: Progress::Shown }
    }
}

/// The result of a build.
#[derive(Clone, Debug)]
pub struct Built {
    /// The plugin's name.
    pub name: PluginName,
    /// The package folder, `OUT/NAME`, with `plugin.toml` and the component.
    pub package: PathBuf,
    /// The component.
    pub component: PathBuf,
    /// The size of the component, in bytes.
    pub size: u64,
    /// The compilation target.
    pub target: Target,
    /// How long it took.
    pub took: Duration,
}

/// Compiles the project, makes a documented component of it, and writes the package folder. An older package in its
/// place is replaced only once the new one is complete.
///
/// # Errors
/// Anything from a missing toolchain to code that does not compile; see [`DevkitError::hint`].
pub fn build(options: &BuildOptions) -> Result<Built, DevkitError> {
    let started = Instant::now();
    let BuildOptions { project, out, target_folder, progress } = options;
    let project = Project::read(project)?;
    let toolchain = Toolchain::find(&project.folder, project.target)?;
    progress.say(&format!("{}: compiling for {}", project.name, toolchain.target));
    let target_folder = target_folder.clone().unwrap_or_else(|| default_target_folder(&project.folder));
    let module_path = compile(&project, &toolchain, &target_folder, *progress)?;
    let module = fs::read(&module_path).map_err(DevkitError::io("read", &module_path))?;
    let component = componentize(&module, project.wit.as_deref())
        .map_err(|error| DevkitError::Componentize { module: module_path, reason: format!("{error:#}") })?;
    let package = write_package(&project, &component, out)?;
    let built = Built {
        component: package.join(&project.entry),
        name: project.name,
        package,
        size: component.len() as u64,
        target: toolchain.target,
        took: started.elapsed(),
    };
    progress.say(&format!(
        "{}: {} ({} KiB) in {:.1} s",
        built.name,
        built.component.display(),
        built.size.div_ceil(1024),
        built.took.as_secs_f64()
    ));
    Ok(built)
}

fn default_target_folder(project: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) if !folder.is_empty() => {
            let folder = PathBuf::from(folder).join("guests");
            std::path::absolute(&folder).unwrap_or(folder)
        }
        _ => project.join("target"),
    }
}

/// The files of the project that go into the package besides the component, where they exist.
const CARRIED: [&str; 3] = ["plugin.toml", "README.md", "LICENSE"];

fn write_package(project: &Project, component: &[u8], out: &Path) -> Result<PathBuf, DevkitError> {
    fs::create_dir_all(out).map_err(DevkitError::io("create", out))?;
    let package = out.join(project.name.as_str());
    let unfinished = out.join(format!(".{}.unfinished-{}", project.name, std::process::id()));
    remove(&unfinished)?;
    let entry = unfinished.join(&project.entry);
    let entry_folder = entry.parent().unwrap_or(&unfinished);
    fs::create_dir_all(entry_folder).map_err(DevkitError::io("create", entry_folder))?;
    fs::write(&entry, component).map_err(DevkitError::io("write", &entry))?;
    for name in CARRIED {
        let from = project.folder.join(name);
        if from.is_file() {
            let to = unfinished.join(name);
            fs::copy(&from, &to).map_err(DevkitError::io("write", &to))?;
        }
    }
    remove(&package)?;
    fs::rename(&unfinished, &package).map_err(DevkitError::io("write", &package))?;
    Ok(package)
}

fn remove(folder: &Path) -> Result<(), DevkitError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DevkitError::io("remove", folder)(error)),
        _ => Ok(()),
    }
}
