//! For plugin authors: a new project, and from a project to an installable package.
//!
//! Read in this order: [`toolchain`] (which compiler can make WebAssembly here), [`project`] (what is built),
//! [`build`] (the whole way), [`componentize`] (from a core module to a documented component), [`new`] (a project that
//! builds at once), [`sign`] (so that others can tell who made it). What is built and compiled is told on standard error,
//! through [`Progress`], and nothing on standard output.

mod archive;
pub mod build;
mod compile;
pub mod componentize;
mod error;
pub mod new;
pub mod project;
mod signing;
pub mod toolchain;

pub use archive::Archive;
pub use build::{BuildOptions, Built, build};
pub use error::DevkitError;
pub use new::{Created, Files, built_in, new, render, sdk_path};
pub use outrigger_registry::{
    PackageError, SignError, Signed, SigningKey, TemplateError, check_template, pack, read_template,
};
pub use signing::{KeyFiles, make_key, read_key, sign};
pub use toolchain::{Target, Toolchain};

/// Whether steps and the compiler's output are shown while they happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// On standard error, line by line.
    #[default]
    Shown,
    /// Not at all; a failure still carries the compiler's output.
    Silent,
}

impl Progress {
    /// Says one step.
    pub(crate) fn say(self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Writes what another program said. Nobody may be listening, which is no reason to stop.
    pub(crate) fn write(self, bytes: &[u8]) {
        use std::io::Write as _;
        if self == Progress::Shown {
            let _ = std::io::stderr().write_all(bytes);
        }
    }
}
