//! Packages made in memory, right ones and wrong ones.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub(super) type Files = Vec<(String, Vec<u8>)>;

pub(super) const MANIFEST: &str = "name = \"demo\"\nversion = \"1.0.0\"\ntitle = \"Demo\"\n\
    description = \"A demonstration.\"\n[runtime]\nkind = \"wasm\"\nentry = \"bin/demo.wasm\"\n";

/// The least that begins as a component does.
pub(super) const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

pub(super) fn plugin_files() -> Files {
    vec![
        ("plugin.toml".to_owned(), MANIFEST.as_bytes().to_vec()),
        ("bin/demo.wasm".to_owned(), COMPONENT.to_vec()),
        ("docs/ä.txt".to_owned(), b"text".to_vec()),
    ]
}

pub(super) fn folder(path: &Path, files: &[(String, Vec<u8>)]) -> PathBuf {
    for (name, bytes) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    path.to_owned()
}

pub(super) fn zip_writer(files: &[(String, Vec<u8>)]) -> ZipWriter<Cursor<Vec<u8>>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        // An empty file is only stored, as packers do: compressing it would make it larger.
        let method = if bytes.is_empty() { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        writer.start_file(name.as_str(), SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer
}

pub(super) fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    zip_writer(files).finish().unwrap().into_inner()
}

pub(super) fn tar_gz(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Tar::default();
    for (name, bytes) in files {
        tar.file(name, bytes);
    }
    tar.gz()
}

/// A tar written header by header, so that it can be as wrong as it likes.
#[derive(Default)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    pub(super) fn entry(&mut self, kind: u8, name: &str, bytes: &[u8]) {
        self.header(kind, name, bytes.len() as u64, "");
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    pub(super) fn header(&mut self, kind: u8, name: &str, size: u64, link: &str) {
        let mut header = tar::Header::new_gnu();
        let raw = header.as_gnu_mut().unwrap();
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) {
        self.entry(b'0', name, bytes);
    }

    pub(super) fn folder(&mut self, name: &str) {
        self.entry(b'5', name, b"");
    }

    pub(super) fn long_file(&mut self, name: &str, bytes: &[u8]) {
        self.entry(b'L', "././@LongLink", format!("{name}\0").as_bytes());
        self.file("cut", bytes);
    }

    pub(super) fn gz(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        gz(&self.0)
    }
}

pub(super) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
