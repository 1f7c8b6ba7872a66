//! Pages of `docs/reference` that the code renders. The file is kept in the repository, so that it can be read there and
//! a change of it is seen in review; a test whose name begins with `generated` holds it to the code.

use std::path::{Path, PathBuf};

/// Set to `1`, the tests write the files instead of comparing them. `cargo xtask gen` does.
pub const VARIABLE: &str = "OUTRIGGER_GENERATE";

/// Compares a file of the repository with what the code renders, or writes it where [`VARIABLE`] says so.
///
/// # Panics
/// The file is not what the code renders.
#[track_caller]
pub fn check(path_in_repository: &str, content: &str) {
    let path = repository().join(path_in_repository);
    let content = format!("{}\n", content.trim_end());
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == content {
        return;
    }
    if std::env::var_os(VARIABLE).is_some_and(|value| value == "1") {
        let folder = path.parent().expect("a file in the repository is in a folder");
        std::fs::create_dir_all(folder).expect("the repository can be written to");
        std::fs::write(&path, content).expect("the repository can be written to");
        return;
    }
    let place = found.lines().zip(content.lines()).take_while(|(found, wanted)| found == wanted).count();
    panic!(
        "{path_in_repository} is stale; run `cargo xtask gen`\nfirst difference in line {}:\n  file: {}\n  code: {}",
        place + 1,
        found.lines().nth(place).unwrap_or("(no such line)"),
        content.lines().nth(place).unwrap_or("(no such line)"),
    );
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate is in a folder");
    crates.parent().expect("crates are in the repository").to_owned()
}
