//! Reading a backup, from front to back, and believing nothing of it: what is not on its list, or not as the list says, is
//! refused, and so is any kind of entry but plain files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::Compression;
use flate2::bufread::GzDecoder;
use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_registry::file::{self, Links};
use serde::Deserialize;
use tar::{Archive, Entries, EntryType};

use super::{CONTENTS, Contents, DATABASE, FORMAT, Listed, Progress, Stop, Watch, is_expected};

/// The oldest form that can be read.
const OLDEST: u32 = 1;
pub(super) const COMPRESSION: Compression = Compression::new(6);
/// The first bytes of every backup: gzip, without a name, a time or a system.
const BEGINNING: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A list of some hundred thousand files.
const LONGEST_LIST: u64 = 64 << 20;
const LONGEST_NAME: u64 = 4096;

/// Is given each file in turn. What it does not read is read over.
pub(super) type Visit<'a> = dyn FnMut(&Listed, &mut dyn Read) -> ApiResult<()> + 'a;

/// Reads all of a backup, and answers with its list once everything was found to be as it says, with its size.
pub(super) fn read(path: &Path, progress: &Progress, stop: &Stop, visit: &mut Visit<'_>) -> ApiResult<(Contents, u64)> {
    let unreadable = |error: &io::Error| super::io_error(format_args!("{} cannot be read", path.display()), error);
    let file = file::open(path, Links::Follow).map_err(|error| match error.is_not_found() {
        true => ApiError::new(Code::NotFound, format!("there is no file {}", path.display())),
        false => unreadable(&io::Error::from(error)),
    })?;
    let size = file.metadata().map_err(|error| unreadable(&error))?.len();
    let mut compressed = BufReader::new(file);
    if !compressed.fill_buf().map_err(|error| unreadable(&error))?.starts_with(&BEGINNING) {
        return Err(refused(path, "it does not start like a backup"));
    }
    let mut archive = Archive::new(GzDecoder::new(compressed));
    let entries = archive.entries().map_err(|error| damaged(path, &error))?.raw(true);
    let contents = Walk { path, progress, stop, visit, long_name: None }.entries(entries)?;
    end(path, archive.into_inner())?;
    Ok((contents, size))
}

/// Nothing but the end of the archive follows, and its checksum is right.
fn end(path: &Path, mut decoder: GzDecoder<BufReader<File>>) -> ApiResult<()> {
    let mut rest = Vec::new();
    decoder.by_ref().take(2048).read_to_end(&mut rest).map_err(|error| damaged(path, &error))?;
    let zeros = rest.len() <= 1024 && rest.iter().all(|byte| *byte == 0);
    let mut compressed = decoder.into_inner();
    if !zeros || !compressed.fill_buf().map_err(|error| damaged(path, &error))?.is_empty() {
        return Err(refused(path, "there is data after its end"));
    }
    Ok(())
}

struct Walk<'a, 'b> {
    path: &'a Path,
    progress: &'a Progress,
    stop: &'a Stop,
    visit: &'a mut Visit<'b>,
    /// Of the entry that comes next.
    long_name: Option<Vec<u8>>,
}

impl Walk<'_, '_> {
    fn entries<R: Read>(mut self, entries: Entries<'_, R>) -> ApiResult<Contents> {
        let mut contents: Option<Contents> = None;
        let (mut next, mut done, mut total) = (0, 0, 0);
        for entry in entries {
            let mut entry = entry.map_err(|error| damaged(self.path, &error))?;
            let size = entry.size();
            match entry.header().entry_type() {
                EntryType::Regular => {}
                EntryType::GNULongName => {
                    self.long_name = Some(self.name(size, &mut entry)?);
                    continue;
                }
                _ => return Err(refused(self.path, "it contains an entry that is not a file")),
            }
            let name = self.long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            let Some(listed) = &contents else {
                let list = self.list(&name, size, &mut entry)?;
                total = list.unpacked();
                contents = Some(list);
                continue;
            };
            let Some(listed) = listed.files.get(next).filter(|listed| listed.path.as_bytes() == name) else {
                let name = String::from_utf8_lossy(&name).into_owned();
                return Err(refused(
                    self.path,
                    &format!("`{}` is not at the position that the list states", name.escape_debug()),
                ));
            };
            self.file(listed, size, &mut entry, &mut done, total)?;
            next += 1;
        }
        match contents {
            Some(contents) if contents.files.len() == next => Ok(contents),
            Some(contents) => Err(refused(self.path, &format!("`{}` is missing", contents.files[next].path))),
            None => Err(refused(self.path, "it is empty")),
        }
    }

    fn name(&self, size: u64, entry: &mut dyn Read) -> ApiResult<Vec<u8>> {
        if size > LONGEST_NAME || self.long_name.is_some() {
            return Err(refused(self.path, "it contains a name that is too long"));
        }
        let mut name = Vec::new();
        entry.read_to_end(&mut name).map_err(|error| damaged(self.path, &error))?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn list(&self, name: &[u8], size: u64, entry: &mut dyn Read) -> ApiResult<Contents> {
        if name != CONTENTS.as_bytes() || size > LONGEST_LIST {
            return Err(refused(self.path, "it does not begin with a list of its contents"));
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).map_err(|error| damaged(self.path, &error))?;
        parse(&text).map_err(|why| refused(self.path, &why))
    }

    fn file(&mut self, listed: &Listed, size: u64, entry: &mut dyn Read, done: &mut u64, total: u64) -> ApiResult<()> {
        if size != listed.size {
            return Err(refused(self.path, &format!("the size of `{}` differs from the list", listed.path)));
        }
        let so_far = std::cell::Cell::new(*done);
        let advance = |read| {
            so_far.set(so_far.get() + read);
            (self.progress)(so_far.get(), total);
        };
        let mut content = Watch::new(entry, self.stop, &advance);
        let visited = (self.visit)(listed, &mut content);
        if let Some(fault) = content.fault.take() {
            return Err(refused(self.path, &fault));
        }
        visited?;
        let (size, digest) = content.finish().map_err(|error| damaged(self.path, &error))?;
        if (size, digest) != (listed.size, listed.sha256) {
            return Err(refused(self.path, &format!("`{}` does not match its entry in the list", listed.path)));
        }
        *done = so_far.get();
        Ok(())
    }
}

/// Reads the list, and says what is wrong with it.
fn parse(text: &[u8]) -> Result<Contents, String> {
    #[derive(Deserialize)]
    struct Form {
        format: u32,
    }
    let unreadable = |error: serde_json::Error| format!("its list cannot be read: {error}");
    let Form { format } = serde_json::from_slice(text).map_err(unreadable)?;
    if !(OLDEST..=FORMAT).contains(&format) {
        return Err(format!("it is of format {format}, and this version of Outrigger reads {OLDEST} to {FORMAT}"));
    }
    let contents: Contents = serde_json::from_slice(text).map_err(unreadable)?;
    let mut met = BTreeSet::new();
    for Listed { path, .. } in &contents.files {
        if !is_expected(path) || !met.insert(path) {
            return Err(format!("`{}` is on its list, and is not part of a data directory", path.escape_debug()));
        }
    }
    match contents.files.first() {
        Some(first) if first.path == DATABASE => Ok(contents),
        _ => Err("its list does not begin with the database".to_owned()),
    }
}

pub(super) fn refused(path: &Path, why: &str) -> ApiError {
    ApiError::new(Code::InvalidBackup, format!("{} is not an intact backup: {why}", path.display()))
}

fn damaged(path: &Path, error: &io::Error) -> ApiError {
    refused(path, &error.to_string())
}
