//! TLS with the web's certificate authorities.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The client's side of TLS, set up when it is first needed.
#[derive(Clone, Debug, Default)]
pub struct TlsClient {
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl TlsClient {
    /// A configuration that trusts only these authorities.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn with_roots(roots: RootCertStore) -> io::Result<Self> {
        let client = Self::default();
        let _ = client.config.set(Arc::new(config(roots)?));
        Ok(client)
    }

    fn connector(&self) -> io::Result<TlsConnector> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config).into());
        }
        let config = Arc::new(config(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() })?);
        Ok(Arc::clone(self.config.get_or_init(|| config)).into())
    }

    /// Adds TLS to a connection. The certificate must be for the host, whatever the address.
    ///
    /// # Errors
    /// TLS was not agreed on, or the certificate is not one to believe.
    pub async fn secure(&self, host: &str, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(io::Error::other)?;
        Ok(Box::new(self.connector()?.connect(name, stream).await?))
    }
}

/// The provider is named here and not left to the process, where a second one could be installed.
fn config(roots: RootCertStore) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth())
}
