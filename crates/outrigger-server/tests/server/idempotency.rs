//! `Idempotency-Key`: what is sent twice is done once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Call, Server};

const EXECUTE: &str = "/api/v1/plugins/pricing/execute";

fn call(path: &str, key: &str, body: &Value) -> Call {
    Call::new(Method::POST, path).header("idempotency-key", key).json(body)
}

fn calls(server: &Server) -> u64 {
    server.door.calls.load(Ordering::SeqCst)
}

/// Waits for what another task is about to do, but not for ever.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_is_sent_again_is_answered_again_and_not_done_again() {
    let server = Server::start().await;
    let body = json!({"name": "ci", "roles": ["viewer"]});
    let first = server.send(call("/api/v1/keys", "a", &body)).await;
    let again = server.send(call("/api/v1/keys", "a", &body)).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    assert_ne!(first.header("x-correlation-id"), again.header("x-correlation-id"));
    assert_eq!(calls(&server), 1);
    let other = json!({"name": "other", "roles": ["viewer"]});
    server.send(call("/api/v1/keys", "a", &other)).await.problem(409, "conflict");
    assert_eq!(server.send(call("/api/v1/keys", "b", &body)).await.status, 201);
    assert_eq!(server.post("/api/v1/keys", body).await.status, 201);
    assert_eq!(calls(&server), 3);
}

#[tokio::test]
async fn a_key_holds_for_one_caller_and_one_address() {
    let server = Server::start().await;
    let body = json!({"function": "echo"});
    assert_eq!(server.send(call(EXECUTE, "a", &body)).await.status, 200);
    assert_eq!(server.send(call("/api/v1/functions/pricing.echo/call", "a", &json!({}))).await.status, 200);
    assert_eq!(calls(&server), 2);
    let nobody = Call::bare(Method::POST, EXECUTE).header("x-api-key", crate::platform::NOBODY);
    server.send(nobody.header("idempotency-key", "a").json(&body)).await.problem(403, "forbidden");
    let wrong = Call::bare(Method::POST, EXECUTE).header("x-api-key", "wrong");
    server.send(wrong.header("idempotency-key", "a").json(&body)).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn s17_nothing_is_stored_for_a_key_without_the_right() {
    let server = Server::start().await;
    let paths = [
        "/api/v1/keys",
        "/api/v1/plugins/pricing/disable",
        "/api/v1/plugins/pricing/reload",
        "/api/v1/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV/retry",
        "/api/v1/webhooks/ops-chat/test",
        "/api/v1/secrets/rotate",
    ];
    for path in paths {
        let refused = Call::bare(Method::POST, path).header("x-api-key", crate::platform::NOBODY);
        server.send(refused.header("idempotency-key", "a").json(&json!({}))).await.problem(403, "forbidden");
    }
    assert!(server.door.bodies.lock().is_empty(), "no request was begun");
}

#[tokio::test]
async fn failures_are_kept_unless_they_ask_to_try_again() {
    let server = Server::start().await;
    for (function, times) in [("fail", 1), ("missing", 1), ("limited", 2), ("cancelled", 2)] {
        let before = calls(&server);
        for _ in 0..2 {
            let answer = server.send(call(EXECUTE, function, &json!({"function": function}))).await;
            assert!(answer.status.is_client_error() || answer.status.is_server_error());
        }
        assert_eq!(calls(&server) - before, times, "{function}");
    }
    // A request that never started is not stored, either.
    server.send(call(EXECUTE, "c", &json!({"function": 1}))).await.problem(422, "invalid_input");
    assert_eq!(server.send(call(EXECUTE, "c", &json!({"function": "echo"}))).await.status, 200);
}

#[tokio::test]
async fn whoever_sends_it_at_the_same_time_waits_for_the_first() {
    let server = Server::start().await;
    let body = json!({"function": "slow"});
    let together = async {
        let sent: Vec<_> = (0..4).map(|_| server.send(call(EXECUTE, "a", &body))).collect();
        futures::future::join_all(sent).await
    };
    let open = async {
        until("the first call", || calls(&server) == 1).await;
        server.door.gate.add_permits(1);
    };
    let (answers, ()): (Vec<Answer>, ()) = futures::future::join(together, open).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed") == "true").count();
    assert_eq!((calls(&server), replayed), (1, 3));
}

#[tokio::test]
async fn what_was_begun_goes_on_when_its_client_has_left() {
    let server = Server::start().await;
    let body = json!({"function": "slow"});
    {
        let first = server.send(call(EXECUTE, "a", &body));
        let begun = until("the first call", || calls(&server) == 1);
        let first = std::pin::pin!(first);
        let begun = std::pin::pin!(begun);
        assert!(matches!(futures::future::select(first, begun).await, futures::future::Either::Right(_)));
    }
    server.door.gate.add_permits(1);
    let again = server.send(call(EXECUTE, "a", &body)).await;
    assert_eq!((again.status.as_u16(), again.json()["result"].clone()), (200, json!("at last")));
    assert_eq!(calls(&server), 1);
}

#[tokio::test]
async fn a_key_is_visible_ascii() {
    let server = Server::start().await;
    for key in ["", "a b", "ä", &"a".repeat(256)] {
        server.send(call(EXECUTE, key, &json!({"function": "echo"}))).await.problem(400, "invalid_usage");
    }
    assert_eq!(calls(&server), 0);
    assert_eq!(server.send(call(EXECUTE, &"a".repeat(255), &json!({"function": "echo"}))).await.status, 200);
}

#[tokio::test]
async fn the_server_that_comes_after_answers_again_and_does_nothing_again() {
    let server = Server::start().await;
    let body = json!({"name": "ci", "roles": ["viewer"]});
    let first = server.send(call("/api/v1/keys", "a", &body)).await;
    let failed = server.send(call(EXECUTE, "b", &json!({"function": "fail"}))).await;
    let limited = server.send(call(EXECUTE, "c", &json!({"function": "limited"}))).await;
    assert_eq!(calls(&server), 3);
    let next = Server::after(&server).await;
    let again = next.send(call("/api/v1/keys", "a", &body)).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = next.send(call(EXECUTE, "b", &json!({"function": "fail"}))).await;
    assert_eq!((again.status, again.header("content-type")), (failed.status, failed.header("content-type")));
    assert_eq!(calls(&server), 3);
    // A client that retries is served.
    assert_eq!(next.send(call(EXECUTE, "c", &json!({"function": "limited"}))).await.status, limited.status);
    assert_eq!(calls(&server), 4);
    let other = json!({"name": "other", "roles": ["viewer"]});
    next.send(call("/api/v1/keys", "a", &other)).await.problem(409, "conflict");
}

#[tokio::test]
async fn s17_an_answer_that_was_not_kept_is_said_to_be_lost() {
    let server = Server::start().await;
    // Above 64 KiB: only kept in memory.
    let large = json!({"function": "echo", "args": {"a": "x".repeat(70_000)}});
    let first = server.send(call(EXECUTE, "a", &large)).await;
    let again = server.send(call(EXECUTE, "a", &large)).await;
    assert_eq!((first.status.as_u16(), again.header("idempotency-replayed")), (200, "true"));
    assert!(first.body.len() > 70_000 && first.body == again.body);
    let next = Server::after(&server).await;
    let problem = next.send(call(EXECUTE, "a", &large)).await.problem(409, "request_interrupted");
    let said = "was completed, but its response was not kept: the server restarted, or had no room for the response";
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains(said)), "{problem}");
    assert_eq!(calls(&server), 1);
}

#[tokio::test]
async fn what_a_server_died_over_is_not_done_again() {
    let server = Server::start().await;
    let body = json!({"function": "slow"});
    {
        let first = server.send(call(EXECUTE, "a", &body));
        let begun = until("the first call", || calls(&server) == 1);
        assert!(matches!(
            futures::future::select(std::pin::pin!(first), std::pin::pin!(begun)).await,
            futures::future::Either::Right(_)
        ));
    }
    let next = Server::after(&server).await;
    for _ in 0..2 {
        next.send(call(EXECUTE, "a", &body)).await.problem(409, "request_interrupted");
    }
    assert_eq!(calls(&server), 1);
    server.door.gate.add_permits(1);
}
