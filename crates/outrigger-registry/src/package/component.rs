//! The first eight bytes of an entry, which tell a component from a core module and from anything else.
//! Whether the rest is sound, the runtime finds out when it compiles it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use outrigger_contract::manifest::PackagePath;

use super::error::PackageError;

const MAGIC: [u8; 4] = *b"\0asm";
const CORE: (u16, u16) = (1, 0);
const COMPONENT: (u16, u16) = (0x0d, 1);

/// Checks that a file begins as a component does. `path` and `entry` are only for the error.
///
/// # Errors
/// When it is something else, or cannot be read.
pub fn check_component(file: &Path, path: &Path, entry: &PackagePath) -> Result<(), PackageError> {
    let mut head = Vec::with_capacity(8);
    let opened = File::open(file).and_then(|file| file.take(8).read_to_end(&mut head));
    opened.map_err(|source| PackageError::from_io(file, "read", source))?;
    let (path, entry) = (path.to_owned(), entry.clone());
    let Ok([m0, m1, m2, m3, v0, v1, l0, l1]) = <[u8; 8]>::try_from(head) else {
        return Err(PackageError::NotWasm { path, entry });
    };
    if [m0, m1, m2, m3] != MAGIC {
        return Err(PackageError::NotWasm { path, entry });
    }
    match (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1])) {
        COMPONENT => Ok(()),
        CORE => Err(PackageError::CoreModule { path, entry }),
        (version, layer) => Err(PackageError::UnknownWasm { path, entry, version, layer }),
    }
}
