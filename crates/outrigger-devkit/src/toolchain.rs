//! Which compiler can make WebAssembly on this machine.
//!
//! Asked in this order: the toolchain of the project (`rustc` on `PATH`, so rustup and its `rust-toolchain.toml` decide)
//! where the target is installed for it; the distribution's `/usr/bin/rustc` where the target is installed for that; and
//! last the distribution's compiler with the standard library built from its source package. Debian ships no compiled
//! standard library for WebAssembly with its newest compiler, yet everything that is needed to build one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::DevkitError;

/// A compilation target of plugins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The default. Files, environment, clocks, printing and panic messages work, as far as the plugin is granted them.
    #[default]
    Wasip1,
    /// As `Wasip1`; the compiler makes the component itself. Taken in its place where only this one is installed.
    Wasip2,
    /// Pure computing: smaller and quicker to instantiate. The standard library's files, clocks and printing do nothing.
    UnknownUnknown,
}

impl Target {
    /// The name that rustc uses.
    pub fn triple(self) -> &'static str {
        match self {
            Target::Wasip1 => "wasm32-wasip1",
            Target::Wasip2 => "wasm32-wasip2",
            Target::UnknownUnknown => "wasm32-unknown-unknown",
        }
    }

    /// The target of that name.
    pub fn from_triple(triple: &str) -> Option<Target> {
        [Target::Wasip1, Target::Wasip2, Target::UnknownUnknown].into_iter().find(|target| target.triple() == triple)
    }

    /// The targets that do as well, best first.
    fn candidates(self) -> &'static [Target] {
        match self {
            Target::Wasip1 => &[Target::Wasip1, Target::Wasip2],
            Target::Wasip2 => &[Target::Wasip2],
            Target::UnknownUnknown => &[Target::UnknownUnknown],
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.triple())
    }
}

/// A compiler that can build for [`Toolchain::target`], and how it has to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The target.
    pub target: Target,
    /// The `cargo` to run.
    pub cargo: PathBuf,
    /// The compiler as it describes itself: with the target, what a cached build depends on.
    pub version: String,
    standard_library: StandardLibrary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum StandardLibrary {
    /// Comes with the toolchain. `rustc` is named where it is not the one that `cargo` finds by itself.
    Installed { rustc: Option<PathBuf> },
    /// Is built from the distribution's source package.
    FromSource { rustc: PathBuf, linker: PathBuf, libc: Option<PathBuf> },
}

const DISTRIBUTION_RUSTC: &str = "/usr/bin/rustc";
const DISTRIBUTION_CARGO: &str = "/usr/bin/cargo";

impl Toolchain {
    /// Finds a toolchain that builds `project` for `target`, or for a target that does as well.
    ///
    /// # Errors
    /// [`DevkitError::NoToolchain`], with the command that would provide one.
    pub fn find(project: &Path, target: Target) -> Result<Toolchain, DevkitError> {
        if let Some(toolchain) = installed(target, project, Path::new("rustc"), Path::new("cargo"), None) {
            return Ok(toolchain);
        }
        let rustc = Path::new(DISTRIBUTION_RUSTC);
        if let Some(toolchain) =
            installed(target, project, rustc, Path::new(DISTRIBUTION_CARGO), Some(rustc.to_path_buf()))
        {
            return Ok(toolchain);
        }
        from_source(target, project).map_err(|missing| DevkitError::NoToolchain {
            target,
            reason: missing.reason(),
            hint: install_hint(target),
        })
    }

    /// The arguments that `cargo build` needs besides the author's own.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--target".to_owned(), self.target.triple().to_owned()];
        if let StandardLibrary::FromSource { .. } = self.standard_library {
            arguments.extend(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features="].map(str::to_owned));
        }
        arguments
    }

    /// Readies `command`. What the calling process was itself started with (by `cargo xtask`, say) must not leak in:
    /// the project decides on its compiler, and flags for the host's target are none for WebAssembly.
    pub fn prepare(&self, command: &mut Command) {
        for leaking in [
            "RUSTC",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "CARGO_MAKEFLAGS",
        ] {
            command.env_remove(leaking);
        }
        match &self.standard_library {
            StandardLibrary::Installed { rustc: Some(rustc) } => _ = command.env("RUSTC", rustc),
            StandardLibrary::Installed { rustc: None } => {}
            StandardLibrary::FromSource { rustc, linker, libc } => {
                let target = self.target.triple().to_uppercase().replace('-', "_");
                let mut flags = vec!["-Clinker-flavor=wasm-ld".to_owned()];
                flags.extend(libc.iter().map(|folder| format!("-Lnative={}", folder.display())));
                command
                    .env("RUSTC", rustc)
                    // The distribution's stable compiler refuses `-Zbuild-std` without it.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env(format!("CARGO_TARGET_{target}_LINKER"), linker)
                    .env(format!("CARGO_TARGET_{target}_RUSTFLAGS"), flags.join(" "));
            }
        }
    }
}

/// The toolchain of `rustc`, where one of the targets is installed for it.
fn installed(target: Target, project: &Path, rustc: &Path, cargo: &Path, named: Option<PathBuf>) -> Option<Toolchain> {
    let sysroot = PathBuf::from(ask(project, rustc, &["--print", "sysroot"])?);
    let target = *target
        .candidates()
        .iter()
        .find(|target| sysroot.join("lib/rustlib").join(target.triple()).join("lib").is_dir())?;
    let version = ask(project, rustc, &["-vV"])?;
    Some(Toolchain {
        target,
        cargo: cargo.to_path_buf(),
        version,
        standard_library: StandardLibrary::Installed { rustc: named },
    })
}

/// The parts that are needed to build the standard library, as Debian packages them.
#[derive(Debug, Default)]
struct Missing {
    packages: Vec<&'static str>,
}

impl Missing {
    fn reason(&self) -> String {
        format!("the target is not installed, and building it from source requires: {}", self.packages.join(", "))
    }
}

fn from_source(target: Target, project: &Path) -> Result<Toolchain, Missing> {
    let packages = missing_packages(target);
    let rustc = PathBuf::from(DISTRIBUTION_RUSTC);
    match (ask(project, &rustc, &["-vV"]), newest_linker()) {
        (Some(version), Some(linker)) if packages.is_empty() => Ok(Toolchain {
            // The compiler's own way to make components is not packaged.
            target: if target == Target::Wasip2 { Target::Wasip1 } else { target },
            cargo: PathBuf::from(DISTRIBUTION_CARGO),
            version,
            standard_library: StandardLibrary::FromSource {
                rustc,
                linker,
                libc: (target != Target::UnknownUnknown).then(wasi_libc).flatten(),
            },
        }),
        _ => Err(Missing { packages }),
    }
}

/// The packages of Debian that are not there and without which [`Toolchain::find`] finds nothing to build `target` with.
/// Empty where all are there.
pub fn missing_packages(target: Target) -> Vec<&'static str> {
    let mut missing = Vec::new();
    let here = Path::new("/");
    match ask(here, Path::new(DISTRIBUTION_RUSTC), &["--print", "sysroot"]) {
        None => missing.extend(["rustc-web", "rust-web-src"]),
        Some(sysroot) if !Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir() => {
            missing.push("rust-web-src");
        }
        Some(_) => {}
    }
    if !Path::new(DISTRIBUTION_CARGO).exists() {
        missing.push("cargo-web");
    }
    if newest_linker().is_none() {
        missing.push("lld-19");
    }
    if target != Target::UnknownUnknown && wasi_libc().is_none() {
        missing.extend(["wasi-libc", "libclang-rt-14-dev-wasm32"]);
    }
    missing
}

/// Whether the machine's packages are Debian's, or those of a distribution that is made from it.
pub fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && Path::new("/usr/bin/apt-get").exists()
}

fn install_hint(target: Target) -> String {
    let rustup = format!("rustup target add {target}");
    if is_debian() {
        format!("run `{rustup}`, or `apt-get install {}`", missing_packages(target).join(" "))
    } else {
        format!("run `{rustup}`")
    }
}

fn newest_linker() -> Option<PathBuf> {
    let plain = PathBuf::from("/usr/bin/wasm-ld");
    let versioned = fs::read_dir("/usr/bin").ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.strip_prefix("wasm-ld-")?.parse::<u32>().ok()
    });
    match versioned.max() {
        Some(version) => Some(PathBuf::from(format!("/usr/bin/wasm-ld-{version}"))),
        None => plain.exists().then_some(plain),
    }
}

fn wasi_libc() -> Option<PathBuf> {
    ["/usr/lib/wasm32-wasip1", "/usr/lib/wasm32-wasi"]
        .map(PathBuf::from)
        .into_iter()
        .find(|folder| folder.join("libc.a").exists())
}

fn ask(folder: &Path, program: &Path, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).current_dir(folder).env_remove("RUSTUP_TOOLCHAIN").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn targets_have_the_names_of_rustc() {
        for target in [Target::Wasip1, Target::Wasip2, Target::UnknownUnknown] {
            assert_eq!(Target::from_triple(target.triple()), Some(target));
        }
        assert_eq!(Target::from_triple("wasm32-wasi"), None);
    }
}
