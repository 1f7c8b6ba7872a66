//! `outrigger template`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use outrigger_api::{PackagePath, TemplateName};

/// `outrigger template`.
#[derive(Clone, Debug, Subcommand)]
pub enum TemplateCommand {
    /// List the built-in and the added templates
    #[command(after_help = "Example:
  outrigger template list")]
    List,

    /// Show a template, or one of its files without rendering it
    #[command(after_help = "Examples:
  outrigger template show rust
  outrigger template show rust --file src/lib.rs")]
    Show {
        /// The template
        name: TemplateName,
        /// Print only this file, with its placeholders
        #[arg(long, value_name = "PATH")]
        file: Option<PackagePath>,
    },

    /// Add the template in a folder
    ///
    /// The folder contains the files of a new project, with placeholders, and a `template.toml` with name, description,
    /// runtime, language and variables. A template is refused if it does not render, or if its rendered `plugin.toml`
    /// is not a valid manifest.
    #[command(after_help = "Examples:
  outrigger template add ./our-template
  outrigger template add ./our-template --replace")]
    Add {
        /// The folder
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// Replace the template of the same name
        #[arg(long)]
        replace: bool,
    },

    /// Remove a template that was added
    #[command(after_help = "Example:
  outrigger template remove our-template")]
    Remove {
        /// The template
        name: TemplateName,
    },
}
