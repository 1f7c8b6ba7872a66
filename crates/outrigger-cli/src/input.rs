//! Input that is given as a text, as `@FILE`, or as `-` for standard input.

use std::io::Read;
use std::path::Path;

use outrigger_api::{ApiError, Code};
use serde_json::{Map, Value as Json};

use crate::error::{CliError, usage};

/// The largest input that is read, so that a slip such as `@/dev/zero` ends in an error.
const LARGEST: u64 = 256 << 20;

/// The bytes of a file; of standard input for `-`.
///
/// # Errors
/// It cannot be read, or is too large.
pub fn read(path: &Path) -> Result<Vec<u8>, ApiError> {
    let standard_input = path == Path::new("-");
    let shown = match standard_input {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            ApiError::new(Code::NotFound, format!("there is no file {shown}")).with_hint("check the path")
        }
        _ => ApiError::new(Code::Io, format!("{shown} cannot be read: {error}")),
    };
    let reader: Box<dyn Read> = match standard_input {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    reader.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(ApiError::new(Code::InvalidUsage, format!("{shown} is larger than {} MiB", LARGEST >> 20))
            .with_hint("give a smaller file"));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String, ApiError> {
    String::from_utf8(read(path)?).map_err(|_| {
        ApiError::new(Code::InvalidUsage, format!("{} is not text in UTF-8", path.display()))
            .with_hint("check that it is the file you mean")
    })
}

/// Where a value stands, if not in the text itself: behind `@`, or on standard input.
pub(crate) fn place(text: &str) -> Option<&Path> {
    match text {
        "-" => Some(Path::new("-")),
        _ => text.strip_prefix('@').map(Path::new),
    }
}

/// A JSON object, given as `option` on the command line.
///
/// # Errors
/// It cannot be read, or is not a JSON object.
pub fn object(option: &str, text: &str) -> Result<Map<String, Json>, CliError> {
    let (text, shown) = match place(text) {
        Some(path) => (read_text(path)?, format!("{option} {text}")),
        None => (text.to_owned(), option.to_owned()),
    };
    let hint = "write an object such as `{\"name\": \"value\"}`, or `@FILE`, or `-` for standard input";
    match serde_json::from_str(&text) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(usage(format!("{shown} is JSON, but not an object"), hint)),
        Err(error) => Err(usage(format!("{shown} is not JSON: {error}"), hint)),
    }
}

/// The object in a file of YAML, TOML or JSON, by its extension, given as `option` on the command line. What cannot be
/// read is not quoted: it may be a secret.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn document(option: &str, path: &Path) -> Result<Map<String, Json>, CliError> {
    let text = read_text(path)?;
    let shown = format!("{option} {}", path.display());
    let (kind, document): (_, Option<Json>) = match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => ("YAML", outrigger_host::yaml::from_str(&text).ok()),
        Some("toml") => ("TOML", toml::from_str(&text).ok()),
        Some("json") => ("JSON", serde_json::from_str(&text).ok()),
        _ => return Err(usage(format!("{shown} has an unknown file type"), "name it .yaml, .toml or .json")),
    };
    match document {
        Some(Json::Object(members)) => Ok(members),
        Some(_) => {
            Err(usage(format!("{shown} is {kind}, but not a table of keys and values"), "write `key: value` pairs"))
        }
        None => Err(usage(format!("{shown} is not valid {kind}"), "check the file's syntax")),
    }
}
