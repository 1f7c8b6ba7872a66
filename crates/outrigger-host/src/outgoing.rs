//! The HTTP client of the engine's webhooks.

use async_trait::async_trait;
use outrigger_engine::webhooks::{Posting, Reply, SecretText, Sender};
use outrigger_network::{Answer, Post, ResolverPool, TlsClient, post};

/// Sends over connections that are checked; see `outrigger-network`.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    resolvers: ResolverPool,
    tls: TlsClient,
}

#[async_trait]
impl Sender for Outgoing {
    async fn send(&self, request: Posting) -> Result<Reply, String> {
        let Posting { url, access, networks, account, headers, body } = request;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), SecretText::reveal(value)));
        let headers = Post::headers(pairs).ok_or_else(|| "one of its headers cannot be sent".to_owned())?;
        let request = Post { url: &url, access, networks: &networks, headers, body: body.into() };
        let resolver = self.resolvers.for_owner(&account);
        let answer = post(&resolver, &self.tls, request).await;
        let Answer { status, retry_after } = answer.map_err(|error| error.text())?;
        Ok(Reply { status, retry_after })
    }
}
