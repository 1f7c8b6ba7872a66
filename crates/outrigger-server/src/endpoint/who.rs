//! Who asks. A handler says by the type of its first parameter whether a key is needed: [`Caller`] or [`Visitor`].

use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use outrigger_api::{ApiError, ApiResult, Code, Door, Platform, Visit};
use ulid::Ulid;

use super::{App, Peer};

pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who asks, as a handler wants to know it.
pub trait Who: Sized + Send + 'static {
    /// Whether a key is needed.
    const SECURED: bool;

    /// Lets them in, or not.
    fn enter(app: &Arc<App>, parts: &Parts, visit: Visit) -> impl Future<Output = ApiResult<Self>> + Send;
}

/// Somebody with a key, or the administrator. What they may do is for the platform to say.
#[derive(Debug)]
pub struct Caller {
    pub app: Arc<App>,
    pub platform: Arc<dyn Platform>,
    pub correlation: Ulid,
}

impl Who for Caller {
    const SECURED: bool = true;

    async fn enter(app: &Arc<App>, parts: &Parts, visit: Visit) -> ApiResult<Self> {
        let peer = parts.extensions.get::<Peer>();
        let from = match peer {
            Some(Peer::Address(address)) => Some(*address),
            Some(Peer::Socket) | None => None,
        };
        let visit = Visit { from, ..visit };
        let platform = match (key(&parts.headers)?, peer) {
            (Some(key), _) => app.door.enter(key, visit).await?,
            (None, Some(Peer::Socket)) => app.door.local(visit),
            (None, _) => return Err(ApiError::new(Code::Unauthenticated, "the request carries no key")),
        };
        Ok(Self { app: Arc::clone(app), platform, correlation: visit.correlation })
    }
}

/// Anybody.
#[derive(Debug)]
pub struct Visitor {
    pub app: Arc<App>,
}

impl Visitor {
    pub fn door(&self) -> &dyn Door {
        &*self.app.door
    }
}

impl Who for Visitor {
    const SECURED: bool = false;

    async fn enter(app: &Arc<App>, _: &Parts, _: Visit) -> ApiResult<Self> {
        Ok(Self { app: Arc::clone(app) })
    }
}

/// The key that a request carries, in either of the two headers.
pub fn key(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let wrong = || ApiError::new(Code::Unauthenticated, "the request carries no key that could be read");
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
        return if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(key.trim())) } else { Err(wrong()) };
    }
    headers.get(&API_KEY).map(|value| value.to_str().map_err(|_| wrong())).transpose()
}
