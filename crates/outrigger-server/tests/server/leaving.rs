//! Clients that leave before they are answered.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::Server;
use crate::idempotency::until;
use crate::platform::ADMINISTRATOR;

/// Sends a request, and leaves when it is being served.
async fn leave(server: &Server, path: &str, body: &Value) {
    let before = server.door.calls.load(Ordering::SeqCst);
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {ADMINISTRATOR}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    until("it is served", || server.door.calls.load(Ordering::SeqCst) > before).await;
}

#[tokio::test]
async fn a_change_is_made_to_its_end_and_a_call_is_dropped() {
    let mut server = Server::start().await;
    leave(&server, "/api/v1/keys", &json!({"name": "slow", "roles": ["viewer"]})).await;
    let calls = [
        ("/api/v1/plugins/pricing/execute", json!({"function": "slow"})),
        ("/api/v1/functions/pricing.slow/call", json!({})),
        ("/api/v1/batch", json!({"calls": [{"function": "pricing.slow"}]})),
        ("/api/plugins/pricing.slow/execute", json!({})),
    ];
    for (path, body) in &calls {
        leave(&server, path, body).await;
    }
    let dropped = || server.door.dropped.lock().clone();
    until("the calls are dropped", || dropped().iter().filter(|what| **what == "call").count() == calls.len()).await;
    // By now it is noticed that the first has left, too. A server that stops waits for what it wanted.
    server.shutdown.cancel();
    server.door.gate.add_permits(1);
    let drained = server.running.take().unwrap().ended().await;
    assert_eq!((drained.cut_off, server.door.gate.available_permits()), (0, 0));
    assert_eq!(*server.door.dropped.lock(), ["call"; 4]);
}
