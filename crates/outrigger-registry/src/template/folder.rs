//! A template in a folder: its files as they are, and `template.toml`, which says the rest.

use std::collections::BTreeMap;
use std::path::Path;

use outrigger_contract::units::ByteSize;
use outrigger_contract::{Template, TemplateName, TemplateVariable};
use serde::Deserialize;

use super::error::TemplateError;
use crate::PackageLimits;
use crate::file::{self, FileError, Links};
use crate::package::list_folder;

/// The file that says what the template is. It is no part of the projects made from it.
pub const TEMPLATE_FILE: &str = "template.toml";

/// The maximum size of one file.
const LONGEST: ByteSize = ByteSize::bytes(Template::MAX_FILE as u64);

/// The contents of [`TEMPLATE_FILE`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: TemplateName,
    description: String,
    runtime: String,
    language: String,
    #[serde(default)]
    variables: Vec<TemplateVariable>,
}

/// Reads the template in a folder. Whether it can be kept is for [`check_template`](super::check_template) to say.
///
/// # Errors
/// A file is not there, cannot be read, or is no text; or there is something in the folder that no package has.
pub fn read_template(folder: &Path) -> Result<Template, TemplateError> {
    let head_path = folder.join(TEMPLATE_FILE);
    let text = file::read_text(&head_path, Links::Refuse, LONGEST).map_err(|error| {
        let message = match error.is_not_found() {
            true => format!("there is no {TEMPLATE_FILE} in it"),
            false => format!("its {TEMPLATE_FILE} cannot be read: {error}"),
        };
        TemplateError::Folder { path: folder.to_owned(), message }
    })?;
    let head: Head = toml::from_str(&text).map_err(|error| TemplateError::Folder {
        path: head_path.clone(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    let limits = PackageLimits { entries: Template::MAX_FILES * 2, ..PackageLimits::default() };
    let mut files = BTreeMap::new();
    for (path, size) in list_folder(folder, &limits)? {
        if path.as_str() == TEMPLATE_FILE {
            continue;
        }
        let full = folder.join(&path);
        let unreadable = |message: String| TemplateError::Folder { path: full.clone(), message };
        if size > Template::MAX_FILE as u64 {
            let size = ByteSize::bytes(size).rounded();
            return Err(unreadable(format!("it is {size}; the limit is {LONGEST}")));
        }
        let text = file::read_text(&full, Links::Refuse, LONGEST).map_err(|error| match error {
            FileError::NotText => unreadable(error.to_string()),
            error => unreadable(format!("it cannot be read: {error}")),
        })?;
        files.insert(path, text);
    }
    let Head { name, description, runtime, language, variables } = head;
    Ok(Template { name, description, runtime, language, variables, files })
}
