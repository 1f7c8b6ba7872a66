//! Endpoints without authentication: liveness, readiness, and the API documentation.

use outrigger_api::ApiResult;
use schemars::JsonSchema;
use serde::Serialize;
use ulid::Ulid;

use crate::endpoint::answer::{Html, Reply, Written};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Visitor;
use crate::endpoint::{NoPath, NoQuery};

const TAG: &str = "Server";
const PAGE: &str = include_str!("documents.html");

pub fn routes(api: &mut Api) {
    api.get("/healthz", "alive", alive).tag(TAG).summary("Check whether the server is running");
    api.get("/readyz", "ready", ready).tag(TAG).summary("Check whether the server can serve requests");
    api.get("/api/v1/openapi.json", "openapi", openapi).tag(TAG).summary("This document");
    api.get("/api/v1/docs", "docs", docs).tag(TAG).summary("This document as a web page");
}

/// How the server is.
#[derive(Debug, Serialize, JsonSchema)]
struct ServerStatus {
    /// `ok`
    status: &'static str,
}

async fn alive(_: Visitor, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<ServerStatus>> {
    Ok(Reply(ServerStatus { status: "ok" }))
}

async fn ready(visitor: Visitor, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<ServerStatus>> {
    visitor.door().ready().await?;
    Ok(Reply(ServerStatus { status: "ok" }))
}

async fn openapi(visitor: Visitor, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Written> {
    Ok(Written(visitor.app.document.clone()))
}

/// The page may run its own script and nothing else: the nonce is new each time.
async fn docs(_: Visitor, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Html> {
    let nonce = Ulid::new();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    Ok(Html { text: PAGE.replace("{{nonce}}", &nonce.to_string()), policy })
}
