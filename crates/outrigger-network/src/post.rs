//! One POST over a connection of its own. No redirect is followed, no proxy asked, and of the answer only the head is read.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use outrigger_contract::address::{self, Network};
use outrigger_contract::causes::chain;
use outrigger_contract::permission::HostAccess;
use url::Url;

use crate::connect::{ConnectError, connect_where};
use crate::resolve::Resolver;
use crate::tls::{Stream, TlsClient};

/// The largest header section that is read.
const HEADERS_AT_MOST: usize = 64 << 10;

/// The request to send.
#[derive(Debug)]
pub struct Post<'a> {
    pub url: &'a Url,
    pub access: HostAccess,
    /// Additional networks that may be reached.
    pub networks: &'a [Network],
    /// Besides `Host` and `Content-Length`.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The head of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Where the answer says it in seconds.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    #[error("the URL has no host, or is not an HTTP URL")]
    Address,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("TLS handshake with {host} failed")]
    Tls { host: String, source: std::io::Error },
    #[error("{host} did not send a valid HTTP response")]
    Http { host: String, source: hyper::Error },
}

impl PostError {
    /// The whole chain of causes as one text.
    #[must_use]
    pub fn text(&self) -> String {
        chain(self)
    }
}

/// Sends it. Can take forever: the caller sets a deadline.
///
/// # Errors
/// See [`PostError`].
pub async fn post(resolver: &Resolver, tls: &TlsClient, post: Post<'_>) -> Result<Answer, PostError> {
    let Post { url, access, networks, headers, body } = post;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(PostError::Address);
    };
    let is_permitted =
        |address| address::permitted(address, access) || networks.iter().any(|network| network.contains(address));
    let stream = connect_where(resolver, host, port, is_permitted).await?;
    let stream: Box<dyn Stream> = match url.scheme() {
        "http" => Box::new(stream),
        "https" => {
            let secured = tls.secure(host, stream).await;
            secured.map_err(|source| PostError::Tls { host: host.to_owned(), source })?
        }
        _ => return Err(PostError::Address),
    };
    let mut request = Request::post(target(url)).body(Full::new(body)).map_err(|_| PostError::Address)?;
    *request.headers_mut() = headers;
    let authority = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let authority = HeaderValue::from_str(&authority).map_err(|_| PostError::Address)?;
    request.headers_mut().insert(header::HOST, authority);
    let failed = |source| PostError::Http { host: host.to_owned(), source };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADERS_AT_MOST)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let mut connection = std::pin::pin!(connection);
    let mut response = std::pin::pin!(sender.send_request(request));
    // Both on this task: dropped, all of it ends at once.
    let response = tokio::select! {
        response = &mut response => response,
        // The answer may have come before the end, also before one that is out of order.
        ended = &mut connection => match (response.await, ended) {
            (Err(_), Err(error)) => Err(error),
            (response, _) => response,
        },
    };
    let response = response.map_err(failed)?;
    Ok(Answer { status: response.status().as_u16(), retry_after: retry_after(response.headers()) })
}

/// On the wire, a request to a server names the path alone.
fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl Post<'_> {
    /// Headers from texts, none where one of them cannot be a header. Values are not shown when they are debugged.
    #[must_use]
    pub fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
        }
        Some(headers)
    }
}

#[cfg(test)]
mod tests;
