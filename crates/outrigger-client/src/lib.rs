//! [`Platform`](outrigger_api::Platform) over HTTP, or over the socket in a data directory: what works on a data directory
//! works against a server in the same words.

mod events;
mod functions;
mod hooks;
mod http;
mod jobs;
mod packages;
mod platform;
mod records;
mod templates;
mod webhooks;

use std::path::Path;
use std::time::Duration;

use outrigger_api::{ApiError, ApiResult, Code};
use reqwest::{Certificate, Url};

/// A server, seen from outside.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Ends with `/`.
    base: Url,
    key: Option<String>,
    /// For error messages: the address, or the socket's path.
    shown: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("server", &self.shown).finish_non_exhaustive()
    }
}

/// How long a connection may take to come about. Answers take as long as they take: calls have deadlines of their own.
const CONNECT: Duration = Duration::from_secs(10);

impl Client {
    /// A server at an address such as `https://ops.example.com` or `http://127.0.0.1:7070`. Sends the key with each request.
    ///
    /// # Errors
    /// The address is not one.
    pub fn new(address: &str, key: Option<String>) -> ApiResult<Self> {
        let base = base(address)?;
        let http = reqwest::Client::builder().connect_timeout(CONNECT).build().map_err(|error| internal(&error))?;
        Ok(Self { http, shown: address.to_owned(), base, key })
    }

    /// The same, where the server's certificate may also come from one of the authorities whose certificates are in a file,
    /// in PEM, as those of a company's own are.
    ///
    /// # Errors
    /// The address is not one, or the file holds no certificates that can be used.
    pub fn trusting(address: &str, key: Option<String>, authorities: &Path) -> ApiResult<Self> {
        let base = base(address)?;
        let certificates = certificates(authorities)?;
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).tls_certs_merge(certificates);
        // Only here are they looked into.
        let http = builder.build().map_err(|error| unusable(authorities, &http::chain(&error)))?;
        Ok(Self { http, shown: address.to_owned(), base, key })
    }

    /// The server that holds a data directory, over the socket in it. Needs no key: whoever can open the socket is the
    /// administrator.
    ///
    /// # Errors
    /// A client cannot be made on this system.
    pub fn on_socket(path: &Path) -> ApiResult<Self> {
        let http = reqwest::Client::builder().unix_socket(path).build().map_err(|error| internal(&error))?;
        let base = "http://outrigger/".parse().expect("a constant address");
        Ok(Self { http, base, key: None, shown: path.display().to_string() })
    }
}

/// The address of a server, with a `/` at its end.
fn base(address: &str) -> ApiResult<Url> {
    let wrong = |why: &str| {
        ApiError::new(Code::InvalidUsage, format!("`{address}` is not a server URL: {why}"))
            .with_hint("write one such as `https://ops.example.com` or `http://127.0.0.1:7070`")
    };
    let mut base: Url = address.parse().map_err(|error| wrong(&format!("{error}")))?;
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return Err(wrong("it must start with http:// or https://"));
    }
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    Ok(base)
}

/// The certificates in a file, of which there is one at least.
fn certificates(file: &Path) -> ApiResult<Vec<Certificate>> {
    let text = std::fs::read(file).map_err(|error| {
        ApiError::new(Code::Io, format!("the certificates in {} cannot be read: {error}", file.display()))
    })?;
    match Certificate::from_pem_bundle(&text) {
        Ok(found) if found.is_empty() => Err(unusable(file, "there is none in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(file, &http::chain(&error))),
    }
}

fn unusable(file: &Path, why: &str) -> ApiError {
    ApiError::new(Code::InvalidUsage, format!("the certificates in {} cannot be used: {why}", file.display()))
        .with_hint("give a PEM file with the authority's certificate; it starts with `-----BEGIN CERTIFICATE-----`")
}

fn internal(error: &reqwest::Error) -> ApiError {
    ApiError::new(Code::Internal, format!("failed to create an HTTP client: {error}"))
}
