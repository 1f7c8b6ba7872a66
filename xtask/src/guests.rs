//! Builds the plugins in `plugins/` into installable packages. What has not changed is not built again, so tests and
//! the demo call this freely.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use outrigger_devkit::project::Project;
use outrigger_devkit::{BuildOptions, DevkitError, Target, Toolchain, build, toolchain};
use sha2::{Digest as _, Sha256};

use crate::{say, tools};

/// Builds every plugin of the repository into `out/<name>/`, and answers with those folders, by name.
pub fn build_all(repo: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    let plugins = repo.join("plugins");
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let shared = shared_fingerprint(repo)?;
    let mut packages = Vec::new();
    for folder in plugin_folders(&plugins)? {
        let project = Project::read(&folder).map_err(with_hint)?;
        let toolchain = find_toolchain(&project)?;
        let fingerprint = fingerprint(&shared, &folder, &toolchain)?;
        let package = out.join(project.name.as_str());
        let record = out.join(format!(".{}.fingerprint", project.name));
        let unchanged = fs::read_to_string(&record).is_ok_and(|recorded| recorded == fingerprint);
        if unchanged && package.join(&project.entry).is_file() && package.join("plugin.toml").is_file() {
            say(&format!("{}: unchanged since it was built", project.name));
        } else {
            let built = build(&BuildOptions::new(&folder, out)).map_err(with_hint)?;
            ensure!(built.package == package, "the package of {} is not where it is expected", project.name);
            fs::write(&record, fingerprint).with_context(|| format!("cannot write {}", record.display()))?;
        }
        packages.push(package);
    }
    Ok(packages)
}

/// Finds, or installs, what compiles the plugins.
pub fn prepare(repo: &Path) -> Result<()> {
    for folder in plugin_folders(&repo.join("plugins"))? {
        find_toolchain(&Project::read(&folder).map_err(with_hint)?)?;
    }
    Ok(())
}

/// The folders with a `plugin.toml`, in order.
fn plugin_folders(plugins: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(plugins).with_context(|| format!("cannot read {}", plugins.display()))?;
    let mut folders = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        if folder.join("plugin.toml").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The toolchain for a plugin. On a Debian machine, and as root, what is missing is installed.
fn find_toolchain(project: &Project) -> Result<Toolchain> {
    match Toolchain::find(&project.folder, project.target) {
        Err(DevkitError::NoToolchain { .. }) if toolchain::is_debian() && tools::is_root() => {
            install(project.target)?;
            Toolchain::find(&project.folder, project.target).map_err(with_hint)
        }
        found => found.map_err(with_hint),
    }
}

fn install(target: Target) -> Result<()> {
    let packages = toolchain::missing_packages(target);
    say(&format!("installing Debian packages to compile for {target}: {}", packages.join(" ")));
    if tools::apt_install(&packages)? {
        return Ok(());
    }
    bail!(
        "apt-get could not install {}\n  hint: install them another way, or run `rustup target add {target}`",
        packages.join(" ")
    )
}

fn with_hint(error: DevkitError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => anyhow::Error::new(error).context(format!("hint: {hint}")),
        None => anyhow::Error::new(error),
    }
}

/// The dependencies of every plugin: the SDK, the contract, the versions of dependencies, and the tool that builds.
fn shared_fingerprint(repo: &Path) -> Result<Sha256> {
    let mut hasher = Sha256::new();
    for shared in ["wit", "plugins/sdk", "plugins/Cargo.toml", "plugins/Cargo.lock", "crates/outrigger-devkit/src"] {
        let path = repo.join(shared);
        if path.exists() {
            hash_tree(&mut hasher, &path)?;
        }
    }
    Ok(hasher)
}

fn fingerprint(shared: &Sha256, folder: &Path, toolchain: &Toolchain) -> Result<String> {
    let mut hasher = shared.clone();
    hasher.update(toolchain.target.triple());
    hasher.update(&toolchain.version);
    hash_tree(&mut hasher, folder)?;
    Ok(hex::encode(hasher.finalize()))
}

/// Names and contents of everything below `path`, in order. What a build itself makes is left out.
fn hash_tree(hasher: &mut Sha256, path: &Path) -> Result<()> {
    let cannot_read = || format!("cannot read {}", path.display());
    if path.is_dir() {
        let mut below = Vec::new();
        for entry in fs::read_dir(path).with_context(cannot_read)? {
            below.push(entry?.path());
        }
        below.sort();
        return below.iter().filter(|path| !path.ends_with("target")).try_for_each(|path| hash_tree(hasher, path));
    }
    let content = fs::read(path).with_context(cannot_read)?;
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.update((content.len() as u64).to_le_bytes());
    hasher.update(content);
    Ok(())
}
