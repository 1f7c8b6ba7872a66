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
use reqwest::Url;

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
        let wrong = |why: &str| {
            ApiError::new(Code::InvalidUsage, format!("`{address}` is not the address of a server: {why}"))
                .with_hint("write one such as `https://ops.example.com` or `http://127.0.0.1:7070`")
        };
        let mut base: Url = address.parse().map_err(|error| wrong(&format!("{error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong("it begins with neither http:// nor https://"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let http = reqwest::Client::builder().connect_timeout(CONNECT).build().map_err(|error| internal(&error))?;
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

fn internal(error: &reqwest::Error) -> ApiError {
    ApiError::new(Code::Internal, format!("no HTTP client can be made: {error}"))
}
