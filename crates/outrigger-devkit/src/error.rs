//! All that can go wrong between a project and its package. Each error names the place; [`DevkitError::hint`] says what
//! to do next.

use std::io;
use std::path::PathBuf;

use outrigger_registry::{KeyError, SignError, TemplateError};

use crate::toolchain::Target;

/// Why a project could not be made or built.
#[derive(Debug, thiserror::Error)]
pub enum DevkitError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// The failed action, such as `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The folder is not a project of a plugin.
    #[error("{} is not a plugin project: {reason}", path.display())]
    NotAProject {
        /// The folder.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A file of the project has a mistake.
    #[error("{}: {reason}", path.display())]
    ProjectFile {
        /// The file.
        path: PathBuf,
        /// The compiler's errors.
        reason: String,
    },
    /// No compiler here can build for the target.
    #[error("no Rust toolchain on this machine can build for {target}: {reason}")]
    NoToolchain {
        /// The target.
        target: Target,
        /// The missing part.
        reason: String,
        /// The command that provides it.
        hint: String,
    },
    /// A program could not be started.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The compiler refused the project.
    #[error("{} does not compile:\n{output}", project.display())]
    Compile {
        /// The project's folder.
        project: PathBuf,
        /// The last lines of what the compiler said.
        output: String,
    },
    /// The compiler made no WebAssembly module.
    #[error("{} compiles, but produces no WebAssembly module", project.display())]
    NoModule {
        /// The project's folder.
        project: PathBuf,
    },
    /// The module cannot be made into a component.
    #[error("failed to convert {} into a component: {reason}", module.display())]
    Componentize {
        /// The module.
        module: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The folder for a new project holds something already.
    #[error("{} exists and is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder for the SDK of a new project holds something else.
    #[error("{} is not the Rust SDK of Outrigger: {reason}", path.display())]
    NotTheSdk {
        /// The folder.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A file of a key is there already, and may be all that is left of that key.
    #[error("{} already exists", path.display())]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no key that packages can be signed with.
    #[error("the key in {} cannot be used", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: KeyError,
    },
    /// A package could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The template has no such variable, or a value does not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl DevkitError {
    /// A hint, if the message alone is not enough.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            DevkitError::NotAProject { .. } => {
                "name the folder that holds Cargo.toml and plugin.toml, or make one with `outrigger dev new NAME`"
                    .into()
            }
            DevkitError::NoToolchain { hint, .. } => hint.clone(),
            DevkitError::Run { .. } => "install Rust from https://rustup.rs, or put cargo and rustc on PATH".into(),
            DevkitError::Compile { .. } => "fix the errors above; `cargo check` shows them faster".into(),
            DevkitError::NoModule { .. } => "add to Cargo.toml:  [lib]  crate-type = [\"cdylib\", \"rlib\"]".into(),
            DevkitError::Componentize { .. } => {
                "is each function of the world exported with `export!(Plugin with_types_in bindings)`, for the target \
                 wasm32?"
                    .into()
            }
            DevkitError::NotEmpty { .. } => "choose another folder, or remove it".into(),
            DevkitError::NotTheSdk { .. } => {
                "name the folder `plugins/sdk` of Outrigger's sources, or make the project without the SDK".into()
            }
            DevkitError::KeyExists { .. } => "keys are never overwritten; choose another file".into(),
            DevkitError::Key { source, .. } => source.hint().into(),
            DevkitError::Sign(error) => return error.hint(),
            DevkitError::Template(error) => return error.hint(),
            DevkitError::Io { .. } | DevkitError::ProjectFile { .. } => return None,
        };
        Some(hint)
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> DevkitError {
        let path = path.into();
        move |source| DevkitError::Io { action, path, source }
    }
}
