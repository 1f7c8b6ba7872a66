//! Sockets: TCP with or without TLS, and the unix socket of the administrator.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

use crate::options::TlsFiles;
use crate::serve::ServeError;

/// Reads certificate and key.
pub fn tls(files: &TlsFiles) -> Result<TlsAcceptor, ServeError> {
    let TlsFiles { certificate, key } = files;
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let wrong = |source| ServeError::Tls { certificate: certificate.clone(), key: key.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Opens a socket that only its owner can connect to. It gets its name when its mode is set already, so that there is
/// no moment at which somebody else could open it; one that was left behind is replaced.
pub async fn unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is in its place"));
        }
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server is listening there"));
        }
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    // Short, because the path of a socket may have about a hundred bytes.
    let random = ulid::Ulid::new().to_string();
    let private = folder.join(format!(".{}", &random[ulid::ULID_LEN - 8..]));
    std::fs::create_dir(&private)?;
    let bound = bind(&private, path);
    std::fs::remove_dir_all(&private)?;
    bound
}

fn bind(private: &Path, path: &Path) -> io::Result<UnixListener> {
    std::fs::set_permissions(private, std::fs::Permissions::from_mode(0o700))?;
    let first = private.join("s");
    let listener = UnixListener::bind(&first)?;
    std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&first, path)?;
    Ok(listener)
}
