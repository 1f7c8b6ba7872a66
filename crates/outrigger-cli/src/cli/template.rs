//! `outrigger template`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};
use outrigger_api::{PackagePath, TemplateName};

/// `outrigger template`.
#[derive(Clone, Debug, Subcommand)]
pub enum TemplateCommand {
    /// List the templates, those that are built in and those that were added
    #[command(after_help = "Example:
  outrigger template list")]
    List,

    /// Show a template, or one of its files as it stands there
    #[command(after_help = "Examples:
  outrigger template show rust
  outrigger template show rust --file src/lib.rs")]
    Show {
        /// The template
        name: TemplateName,
        /// Print this file alone, placeholders and all
        #[arg(long, value_name = "PATH")]
        file: Option<PackagePath>,
    },

    /// Add the template in a folder
    ///
    /// The folder has the files as new projects get them, with placeholders, and `template.toml` beside them, which says
    /// name, description, runtime, language and the variables. A template that does not render, or whose
    /// `plugin.toml` becomes no manifest, is refused.
    #[command(after_help = "Examples:
  outrigger template add ./our-template
  outrigger template add ./our-template --replace")]
    Add {
        /// The folder
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// Put it in the place of the one of its name
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
