//! Requests that are done once, however often they are sent.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::StoreError;

/// Remembers requests by a hash of who sent them, where to, and under which key.
#[async_trait]
pub trait RequestStore: Send + Sync {
    /// Notes that a request is begun, unless there is one in its place: answers with that one then.
    async fn request_begin(&self, request: &RequestRecord) -> Result<Option<RequestRecord>, StoreError>;
    /// Notes that it has ended, with its answer where that is to be kept.
    async fn request_end(&self, place: &[u8; 32], answer: Option<&[u8]>) -> Result<(), StoreError>;
    /// Forgets it: it can be sent again.
    async fn request_forget(&self, place: &[u8; 32]) -> Result<(), StoreError>;
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// A hash of who sent it, where to, and under which key.
    pub place: [u8; 32],
    /// A hash of what it says.
    pub body: [u8; 32],
    pub at: OffsetDateTime,
    /// The owner: the id of a key, or `local`.
    pub owner: String,
    pub progress: RequestProgress,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestProgress {
    /// It was begun. If that was in another process, nobody knows what became of it.
    Begun,
    /// It has ended, with this answer where that was kept.
    Ended(Option<Vec<u8>>),
}
