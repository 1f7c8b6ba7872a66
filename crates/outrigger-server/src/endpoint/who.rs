//! The caller of a request. The type of a handler's first parameter says whether a key is required: [`Caller`] or
//! [`Visitor`].

use std::future::Future;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use outrigger_api::{ApiError, ApiResult, Code, Door, Platform, Visit};
use ulid::Ulid;

use super::budget::Holder;
use super::{App, Peer};

pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The caller, in the form that a handler needs.
pub trait Who: Sized + Send + 'static {
    /// Whether a key is needed.
    const SECURED: bool;

    /// Lets them in, or not.
    fn enter(app: &Arc<App>, parts: &Parts, visit: Visit) -> impl Future<Output = ApiResult<Self>> + Send;

    /// Checks a right before the body is read, over a name or over anything.
    fn admit(&self, right: &str, name: Option<&str>) -> ApiResult<()>;

    /// The holder for whom bodies and responses are counted; none without a limit.
    fn holder(&self) -> Option<Holder>;

    /// The platform as the caller sees it; none without a caller.
    fn platform(&self) -> Option<&Arc<dyn Platform>>;
}

/// A caller with a key, or the administrator. The platform checks their rights.
#[derive(Debug)]
pub struct Caller {
    pub app: Arc<App>,
    pub platform: Arc<dyn Platform>,
    pub correlation: Ulid,
    /// The key; none for the administrator at the socket.
    holder: Option<Holder>,
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
        let key = match key(&parts.headers) {
            Ok(key) => key,
            Err(wrong) => return Err(refuse_unreadable(app, wrong, visit).await),
        };
        let (platform, holder) = match (key, peer) {
            (Some(key), _) => (app.door.enter(key, visit).await?, Some(Holder::of_key(key))),
            (None, Some(Peer::Socket)) => (app.door.local(visit), None),
            (None, _) => return Err(ApiError::new(Code::Unauthenticated, "the request carries no key")),
        };
        Ok(Self { app: Arc::clone(app), platform, correlation: visit.correlation, holder })
    }

    fn admit(&self, right: &str, name: Option<&str>) -> ApiResult<()> {
        self.platform.admit(right, name)
    }

    fn holder(&self) -> Option<Holder> {
        self.holder
    }

    fn platform(&self) -> Option<&Arc<dyn Platform>> {
        Some(&self.platform)
    }
}

/// A malformed key counts as a wrong key.
async fn refuse_unreadable(app: &App, wrong: ApiError, visit: Visit) -> ApiError {
    match app.door.enter("", visit).await {
        Err(limited) if limited.code == Code::RateLimited => limited,
        _ => wrong,
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

    fn admit(&self, _: &str, _: Option<&str>) -> ApiResult<()> {
        Ok(())
    }

    /// Public responses are small, or held in memory only once.
    fn holder(&self) -> Option<Holder> {
        None
    }

    fn platform(&self) -> Option<&Arc<dyn Platform>> {
        None
    }
}

/// The path parameter with the name over which a right is checked, if any: a plugin's name for most rights over
/// plugins, a function's name for rights over functions, and so on.
pub fn named(right: &str, path: &str) -> Option<&'static str> {
    let over = match right.split('_').next()? {
        "plugin" | "configuration" => "plugin_id",
        "function" => "function",
        "hook" => "hook",
        "role" => "role",
        "webhook" => "webhook",
        "template" => "template",
        _ => return None,
    };
    path.contains(&format!("{{{over}}}")).then_some(over)
}

/// The key that a request carries, in either of the two headers.
pub fn key(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    let wrong = || ApiError::new(Code::Unauthenticated, "the request carries a malformed key");
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
        return if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(key.trim())) } else { Err(wrong()) };
    }
    headers.get(&API_KEY).map(|value| value.to_str().map_err(|_| wrong())).transpose()
}
