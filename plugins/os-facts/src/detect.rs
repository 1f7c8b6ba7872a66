//! From the files of a machine to its facts. What reads a file comes in, so that every machine can be tried in tests.

use std::io;

use crate::bindings::exports::outrigger::os_facts::operating_system::{
    DetectError, Facts, InvalidFile, Release, UnreadableFile,
};
use crate::release;

/// Where os-release(5) says that the file is, the first one first. `plugin.toml` asks for each.
pub const RELEASE_FILES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

const KERNEL_RELEASE: &str = "/proc/sys/kernel/osrelease";
const ARCHITECTURE: &str = "/proc/sys/kernel/arch";
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The facts of the machine whose files `read` reads.
pub fn detect(read: impl Fn(&str) -> io::Result<Vec<u8>>) -> Result<Facts, DetectError> {
    let (source, release) = release(&read)?;
    let fact = |path| read(path).ok().and_then(|content| kernel_fact(&content));
    Ok(Facts {
        release,
        source: source.to_owned(),
        kernel_release: fact(KERNEL_RELEASE),
        architecture: fact(ARCHITECTURE),
        hostname: fact(HOSTNAME),
    })
}

/// The release, and the file that it was read from. The second file counts only where the first cannot be read.
pub fn release(read: impl Fn(&str) -> io::Result<Vec<u8>>) -> Result<(&'static str, Release), DetectError> {
    let mut unreadable = None;
    for path in RELEASE_FILES {
        match read(path) {
            Ok(content) => {
                // Bytes that are not UTF-8 become characters that the parser takes out and remarks upon.
                return release::parse(&String::from_utf8_lossy(&content))
                    .map(|release| (path, release))
                    .map_err(|error| DetectError::Invalid(InvalidFile { path: path.to_owned(), error }));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                unreadable.get_or_insert_with(|| UnreadableFile { path: path.to_owned(), reason: reason(&error) });
            }
        }
    }
    Err(match unreadable {
        Some(file) => DetectError::Unreadable(file),
        None => DetectError::NotFound(RELEASE_FILES.map(str::to_owned).to_vec()),
    })
}

/// The error for a person to read.
pub fn describe(error: &DetectError) -> String {
    match error {
        DetectError::NotFound(paths) => format!("there is no {}", paths.join(" and no ")),
        DetectError::Unreadable(UnreadableFile { path, reason }) => format!("{path} cannot be read: {reason}"),
        DetectError::Invalid(InvalidFile { path, error }) => format!("{path}, line {}: {}", error.line, error.message),
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied; grant the plugin this file, and let the host's user read it".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A fact that the kernel tells: one line. `(none)` is how it says that a name was never set.
fn kernel_fact(content: &[u8]) -> Option<String> {
    let text = str::from_utf8(content).ok()?.trim();
    let told = !text.is_empty() && text != "(none)" && !text.contains(char::is_control);
    told.then(|| text.to_owned())
}
