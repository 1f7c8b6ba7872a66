//! Authentication with one of two keys, and requests with an idempotency key.

use std::sync::Arc;

use async_trait::async_trait;
use outrigger_api::*;

use super::{ADMINISTRATOR, NOBODY, Seen, StandIn};

#[async_trait]
impl Door for StandIn {
    async fn enter(&self, key: &str, visit: Visit) -> ApiResult<Arc<dyn Platform>> {
        let allowed = match key {
            key if key.starts_with(ADMINISTRATOR) => true,
            NOBODY => false,
            _ => return Err(ApiError::new(Code::Unauthenticated, "the key is wrong")),
        };
        let name = visit.from.map_or_else(|| key.to_owned(), |from| format!("{key} from {from}"));
        let correlation = visit.correlation.to_string();
        Ok(Arc::new(Seen { state: Arc::clone(&self.state), allowed, name, correlation }))
    }

    fn local(&self, visit: Visit) -> Arc<dyn Platform> {
        let correlation = visit.correlation.to_string();
        Arc::new(Seen { state: Arc::clone(&self.state), allowed: true, name: "local".to_owned(), correlation })
    }

    async fn ready(&self) -> ApiResult<()> {
        self.state.ready.lock().clone()
    }

    async fn request_begin(&self, place: [u8; 32], body: [u8; 32], _: &str) -> ApiResult<Begun> {
        let mut requests = self.state.requests.lock();
        if let Some(present) = requests.get(&place) {
            return Ok(present.clone());
        }
        requests.insert(place, Begun::Unfinished);
        self.state.bodies.lock().insert(place, body);
        Ok(Begun::New)
    }

    async fn request_end(&self, place: [u8; 32], _: &str, answer: Option<Vec<u8>>) -> ApiResult<()> {
        let body = self.state.bodies.lock()[&place];
        self.state.requests.lock().insert(place, Begun::Ended { body, answer });
        Ok(())
    }

    async fn request_forget(&self, place: [u8; 32]) -> ApiResult<()> {
        self.state.requests.lock().remove(&place);
        Ok(())
    }
}
