//! A folder made into an archive: always the same bytes for the same files, wherever and whenever it is packed.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use outrigger_contract::manifest::PackagePath;

use super::content::Content;
use super::error::PackageError;
use super::visit::Visit;
use super::{Package, Shape};

/// Packs a folder as a `.tar.gz`. What would be refused in a package is refused here.
///
/// # Errors
/// It is not a folder, something in it is refused, or a file cannot be read or written.
pub fn pack(folder: &Path, archive: &Path) -> Result<(), PackageError> {
    let package = Package::open(folder)?;
    if package.shape() != Shape::Folder {
        return Err(PackageError::UnknownShape { path: folder.to_owned() });
    }
    let failed = |source| PackageError::from_io(archive, "write", source);
    let file = BufWriter::new(File::create(archive).map_err(failed)?);
    // The header of gzip is left without a time and a name.
    let mut packer = Packer { archive: tar::Builder::new(GzEncoder::new(file, Compression::default())), path: archive };
    package.walk(&mut packer)?;
    let finished = packer.archive.into_inner().and_then(GzEncoder::finish).and_then(|mut file| file.flush());
    finished.map_err(failed)
}

struct Packer<'a> {
    archive: tar::Builder<GzEncoder<BufWriter<File>>>,
    path: &'a Path,
}

impl Visit for Packer<'_> {
    fn file(&mut self, path: PackagePath, content: &mut Content<'_>) -> Result<(), PackageError> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.size);
        header.set_mode(0o644);
        header.set_mtime(0);
        let size = content.size;
        // A file that shrinks meanwhile would leave an archive that nobody can read.
        let mut counted = Counted { inner: &mut *content.reader, read: 0 };
        let appended = self.archive.append_data(&mut header, &path, (&mut counted).take(size));
        appended.map_err(|source| PackageError::from_io(self.path, "write", source))?;
        match counted.read == size {
            true => Ok(()),
            false => Err(content.wrong_size()),
        }
    }
}

struct Counted<'a> {
    inner: &'a mut dyn Read,
    read: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}
