//! Bodies that are no JSON, or not what is described.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use crate::client::{Call, Server};

const EXECUTE: &str = "/api/v1/plugins/pricing/execute";

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_with_the_place() {
    let server = Server::start().await;
    let send = |media: &'static str, body: &'static str| {
        server.send(Call::new(Method::POST, EXECUTE).header("content-type", media).body(body))
    };
    let json = "application/json";
    for media in ["application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""] {
        assert_eq!(send(media, r#"{"function":"echo"}"#).await.status, 200, "{media}");
    }
    for media in
        ["text/plain", "application/json; charset=latin1", "application/jsonp", "application/x-www-form-urlencoded"]
    {
        send(media, "{}").await.problem(415, "unsupported_media_type");
    }
    server.send(Call::new(Method::POST, EXECUTE).body("{}")).await.problem(415, "unsupported_media_type");
    let encoded = Call::new(Method::POST, EXECUTE).header("content-encoding", "gzip").json(&json!({}));
    server.send(encoded).await.problem(415, "unsupported_media_type");
    for text in ["", "{", "{\"function\": \"echo\",}", "{\"function\": \"echo\"} {}", "nonsense"] {
        let problem = send(json, text).await.problem(400, "invalid_usage");
        assert!(problem["detail"].as_str().unwrap().contains("line 1"), "{text}: {problem}");
    }
    assert_eq!(send(json, r#"{"function": "echo", "timeout_ms": 5e1}"#).await.status, 200, "50 is an integer");
    for (text, place) in [
        ("[]", "expected an object"),
        ("\n[\"echo\", {}]", "expected an object"),
        (r#"{"function": 1}"#, "function: "),
        (r#"{"function": "no such name!"}"#, "no such name!"),
        (r#"{"function": "echo", "args": [1]}"#, "args: "),
        (r#"{"function": "echo", "args": null}"#, "args: "),
        (r#"{"function": "echo", "surprise": 1}"#, "surprise"),
        (r#"{"function": "echo", "function": "echo"}"#, "duplicate"),
        (r#"{"function": "echo", "timeout_ms": 0}"#, "timeout_ms: "),
        (r#"{"function": "echo", "timeout_ms": 86400001}"#, "86400000"),
    ] {
        let problem = send(json, text).await.problem(422, "invalid_input");
        assert!(problem["detail"].as_str().unwrap().contains(place), "{text}: {problem}");
    }
    // Not even where every member may be left out.
    server.post("/api/v1/hooks/customer.created/fire", json!([])).await.problem(422, "invalid_input");
}

#[tokio::test]
async fn a_list_is_no_object_within_a_body_either() {
    let server = Server::start().await;
    let template = |variable: Value| {
        json!({
            "name": "ours", "description": "Ours.", "runtime": "wasm", "language": "rust", "variables": [variable],
            "files": {"README.md": "# {{ title }}\n"},
        })
    };
    let bodies = |function: Value, variable: Value, source: Value| {
        let job = function.clone();
        [
            (Method::POST, "/api/v1/batch", json!({"calls": [function]})),
            (Method::PUT, "/api/v1/schedules/nightly", json!({"cron": "0 3 * * *", "job": job})),
            (Method::POST, "/api/v1/plugins/templates", template(variable)),
            (Method::POST, "/api/v1/plugins/install", json!({"source": source})),
        ]
    };
    for (method, path, body) in bodies(json!(["pricing.echo"]), json!(["team"]), json!(["pricing"])) {
        let problem = server.send(Call::new(method, path).json(&body)).await.problem(422, "invalid_input");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("expected an object") || detail.contains("a source is"), "{path}: {problem}");
    }
    let (function, named) = (json!({"function": "pricing.echo"}), json!({"name": "pricing"}));
    for (method, path, body) in bodies(function, json!({"name": "team"}), named) {
        let answer = server.send(Call::new(method, path).json(&body)).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    }
}

/// The response to an invalid large body is small.
#[tokio::test]
async fn s03_what_is_wrong_with_a_large_body_is_said_in_short() {
    let server = Server::start().await;
    let unknown: Vec<_> = (0..400_000).map(|number| format!("\"key{number:06}\":0")).collect();
    let unknown = format!("{{{}}}", unknown.join(","));
    assert!(unknown.len() > 5_000_000);
    let long = "x".repeat(5_000_000);
    let nested = "[".repeat(1_000_000);
    for (path, body) in [
        ("/api/v1/webhooks", unknown),
        ("/api/v1/webhooks", format!("{{\"{long}\":1}}")),
        ("/api/v1/webhooks", format!("{{\"url\":{{\"{long}\":1}}}}")),
        ("/api/v1/webhooks", format!("{{\"events\":\"{long}\"}}")),
        ("/api/v1/webhooks", format!("{{\"url\":{nested}")),
        ("/api/v1/webhooks", "{\"url\":1e1000000000}".to_owned()),
        ("/api/v1/webhooks", format!("{{\"url\":{}}}", "9".repeat(5_000_000))),
        (EXECUTE, format!("{{\"function\":\"echo\",\"args\":{{\"a\":{nested}")),
    ] {
        let call = Call::new(Method::POST, path).header("content-type", "application/json").body(body.clone());
        let answer = server.send(call).await;
        let code = answer.json()["code"].as_str().map(str::to_owned);
        assert!(
            matches!(code.as_deref(), Some("invalid_input" | "invalid_usage" | "too_large")),
            "{path} {}: {code:?}",
            &body[..20]
        );
        assert!(answer.json().to_string().len() < 200_000, "{path} {}", &body[..20]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s03_a_large_body_is_read_in_the_turn_of_its_key() {
    let server = Server::start().await;
    let (begin, begun) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let work = move || {
        _ = begin.send(());
        _ = released.recv();
    };
    let owner = "key administrator-busy from 127.0.0.1";
    let turn = tokio::spawn(async move { outrigger_compute::blocking(owner, work).await });
    begun.await.expect("the turn is taken");
    let send = |key: &str| {
        let call = Call::bare(Method::POST, EXECUTE).header("x-api-key", key);
        server.send(call.json(&json!({"function": "echo", "args": {"text": "x".repeat(100_000)}})))
    };
    assert_eq!(send("administrator-other").await.status, 200, "it has a turn of its own");
    let waits = tokio::time::timeout(std::time::Duration::from_millis(100), send("administrator-busy")).await;
    assert!(waits.is_err(), "the turn is taken");
    drop(release);
    turn.await.expect("no panic").expect("nor in the turn");
    assert_eq!(send("administrator-busy").await.status, 200);
}

#[tokio::test]
async fn s13_values_are_counted_before_they_are_made() {
    const FIRE: &str = "/api/v1/hooks/customer.created/fire";
    let server = Server::with(|options| options.bodies_per_key = 16 << 20).await;
    let post = |path: &str, body: String| {
        Call::new(http::Method::POST, path).header("content-type", "application/json").body(body)
    };
    let nested = |count: usize| format!("{{\"payload\": [{}[]]}}", "[],".repeat(count));
    // Such a body is always refused; a text of the same length is accepted.
    server.send(post(FIRE, nested(2_500_000))).await.problem(413, "too_large");
    let text = format!("{{\"payload\": \"{}\"}}", "[],".repeat(2_500_000));
    assert_eq!(server.send(post(FIRE, text)).await.status, 200);
    // Arguments, which are not parsed at this stage, are accepted, too.
    let echo = "/api/v1/functions/pricing.echo/call";
    assert_eq!(server.send(post(echo, nested(2_500_000))).await.status, 200);

    // Memory held by one request is not available to the next.
    let roles = vec!["viewer"; 50_000];
    let held = post("/api/v1/keys", serde_json::json!({"name": "slow", "roles": roles}).to_string());
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let slow = tokio::spawn(crate::client::exchange(stream, held));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while server.door.arrived.load(Ordering::SeqCst) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "it comes to the gate");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    server.send(post(FIRE, nested(25_000))).await.problem(503, "busy");
    server.door.gate.add_permits(1);
    assert_eq!(slow.await.unwrap().status, 201);
    assert_eq!(server.send(post(FIRE, nested(25_000))).await.status, 200);
}

#[tokio::test]
async fn s13_a_batch_is_read_no_further_than_it_may_be() {
    let server = Server::start().await;
    let calls = |count: usize| {
        let call = serde_json::json!({"function": "pricing.echo"});
        Call::new(http::Method::POST, "/api/v1/batch").json(&serde_json::json!({"calls": vec![call; count]}))
    };
    assert_eq!(server.send(calls(256)).await.status, 200);
    let problem = server.send(calls(100_000)).await.problem(422, "invalid_input");
    assert!(problem["detail"].as_str().unwrap().contains("at most 256"), "{problem}");
}
