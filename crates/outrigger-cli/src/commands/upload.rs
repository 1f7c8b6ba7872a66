//! Packages that lie here and are to be installed elsewhere: packed, sent, and known there by their digest.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use outrigger_api::{ApiError, ApiResult, ArchiveKind, Code, Digest, PackageSource, PackageUpload, UploadedPackage};
use outrigger_devkit::{Archive, PackageError};

use crate::context::Context;
use crate::error::CliResult;

/// How much is handed to the connection at once.
const PIECE: usize = 64 << 10;

/// The source as the platform can reach it. A path is one here, so where a server was named the package is sent there.
///
/// # Errors
/// It cannot be packed or sent, or is refused there.
pub async fn reachable(context: &Context, source: PackageSource) -> CliResult<PackageSource> {
    match source {
        PackageSource::Path(path) if context.names_server() => {
            Ok(PackageSource::Package(send(context, &path).await?.package))
        }
        source => Ok(source),
    }
}

async fn send(context: &Context, path: &Path) -> CliResult<UploadedPackage> {
    let archive = {
        let _progress = context.output.spinner("packing");
        tokio::task::block_in_place(|| Archive::of(path)).map_err(|error| failure(&error))?
    };
    let unreadable = |error| ApiError::new(Code::Io, format!("{} cannot be read: {error}", archive.path().display()));
    let bytes = Bytes::from(tokio::fs::read(archive.path()).await.map_err(unreadable)?);
    let length = bytes.len() as u64;
    let progress = Arc::new(context.output.bytes_bar(format!("sending {}", path.display())));
    let sent = {
        let (progress, bytes) = (Arc::clone(&progress), bytes.clone());
        futures::stream::unfold((bytes, 0), move |(mut rest, done)| {
            let progress = Arc::clone(&progress);
            async move {
                if rest.is_empty() {
                    return None;
                }
                let piece = rest.split_to(PIECE.min(rest.len()));
                let done = done + piece.len() as u64;
                progress.reach(done, length);
                Some((ApiResult::Ok(piece), (rest, done)))
            }
        })
    };
    let upload = PackageUpload {
        kind: if archive.is_zip() { ArchiveKind::Zip } else { ArchiveKind::TarGz },
        size: Some(length),
        digest: Some(Digest::of(&bytes)),
        content: Box::pin(sent),
    };
    Ok(context.platform().await?.package_upload(upload).await?)
}

/// A failure of packing with its code.
fn failure(error: &PackageError) -> ApiError {
    ApiError::caused(error.code(), error, error.hint())
}
