//! Why a template is refused.

use std::path::PathBuf;

use outrigger_contract::Code;
use outrigger_contract::manifest::{ManifestError, PackagePath};
use outrigger_contract::units::ByteSize;

/// Why a template cannot be kept or rendered. Each names the file and the line, where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    #[error("the template {what}")]
    Shape { what: String },

    #[error("the template has no files")]
    Empty,

    #[error("the template has {count} files; the limit is {max}")]
    TooManyFiles { count: usize, max: usize },

    #[error("the file `{path}` has {size}; the limit is {max}")]
    FileTooLong { path: PackagePath, size: ByteSize, max: ByteSize },

    #[error("the files of the template have {size} in total; the limit is {max}")]
    TooLong { size: ByteSize, max: ByteSize },

    #[error("the path `{path}`: {why}")]
    Path { path: String, why: String },

    #[error("`{path}`, line {line}: {message}")]
    Text { path: String, line: usize, message: String },

    #[error("the rendered `{path}` is not a valid manifest")]
    Manifest { path: PackagePath, source: ManifestError },

    #[error("the value of `{name}` {why}")]
    Value { name: String, why: String },

    #[error("the template has no variable `{name}`")]
    UnknownVariable { name: String, known: Vec<String> },

    #[error("the rendered files have more than {max} in total")]
    OutputTooLong { max: ByteSize },

    #[error("`{path}`: the template needs more than {max} steps to render")]
    TooManySteps { path: String, max: u64 },

    #[error("`{path}`: the filters of the template take more than {max} of text")]
    TooMuchFiltered { path: String, max: ByteSize },

    #[error("{}: {message}", path.display())]
    Folder { path: PathBuf, message: String },

    #[error(transparent)]
    Package(#[from] crate::PackageError),
}

impl TemplateError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Value { .. } | Self::UnknownVariable { .. } => Code::InvalidInput,
            Self::Package(error) => error.code(),
            _ => Code::InvalidTemplate,
        }
    }

    /// A hint for the next step.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownVariable { known, .. } if known.is_empty() => {
                "it has none besides name, title, description and author".to_owned()
            }
            Self::UnknownVariable { known, .. } => format!("it has {}", known.join(", ")),
            Self::Text { .. } => "put literal text between `{% raw %}` and `{% endraw %}`".to_owned(),
            Self::Manifest { .. } => {
                "lines are those of the file as it comes out, with the defaults of all variables; docs/reference/manifest.md \
                 has all keys"
                    .to_owned()
            }
            Self::TooManySteps { .. } => "use fewer placeholders and conditions, or split the template".to_owned(),
            Self::TooMuchFiltered { .. } => "use fewer filters, or split the template".to_owned(),
            Self::Package(error) => return error.hint(),
            Self::Folder { .. } => {
                "beside its files, the folder has a `template.toml` with name, description, runtime and language"
                    .to_owned()
            }
            _ => return None,
        })
    }
}
