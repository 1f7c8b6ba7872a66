//! Server-sent events: as they stand on the wire, and how they end.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Call, Server};

/// The blocks of a stream that has ended: `(field, value)` of each line.
fn blocks(body: &[u8]) -> Vec<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).unwrap();
    let block = |block: &str| {
        let lines = block.lines().map(|line| line.split_once(": ").unwrap_or((line, "")));
        lines.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
    };
    text.split("\n\n").filter(|text| !text.is_empty()).map(block).collect()
}

fn data(block: &[(String, String)]) -> Value {
    let (_, data) = block.iter().find(|(field, _)| field == "data").unwrap();
    serde_json::from_str(data).unwrap()
}

#[tokio::test]
async fn an_event_has_its_id_and_its_whole_as_json() {
    let server = Server::start().await;
    let answer = server.get("/api/v1/events?name=plugin.*").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/event-stream"));
    assert_eq!((answer.header("cache-control"), answer.header("x-accel-buffering")), ("no-store", "no"));
    let blocks = blocks(&answer.body);
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    assert_eq!(blocks[0][0].1, "hello");
    assert_eq!(blocks[1][0], ("id".to_owned(), "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned()));
    assert_eq!(data(&blocks[1])["name"], "plugin.installed");
}

#[tokio::test]
async fn it_goes_on_behind_the_last_event_that_was_seen() {
    let server = Server::start().await;
    let after = async |call: Call| data(&blocks(&server.send(call).await.body)[1])["payload"]["after"].clone();
    let id = "01ARZ3NDEKTSV4RRFFQ69G5FAA";
    let plain = || Call::new(Method::GET, "/api/v1/events");
    assert_eq!(after(plain()).await, Value::Null);
    assert_eq!(after(plain().header("last-event-id", id)).await, json!(id));
    let given = || Call::new(Method::GET, "/api/v1/events?after=01ARZ3NDEKTSV4RRFFQ69G5FAB");
    assert_eq!(after(given()).await, json!("01ARZ3NDEKTSV4RRFFQ69G5FAB"));
    assert_eq!(after(given().header("last-event-id", id)).await, json!(id));
}

#[tokio::test]
async fn whoever_may_no_longer_look_is_told_so() {
    let server = Server::start().await;
    let answer = server.get("/api/v1/events?name=revoked").await;
    let blocks = blocks(&answer.body);
    assert_eq!(blocks[2][0], ("event".to_owned(), "problem".to_owned()));
    let problem = data(&blocks[2]);
    assert_eq!((&problem["code"], &problem["status"]), (&json!("unauthenticated"), &json!(401)));
    assert_eq!(problem["correlation"], answer.header("x-correlation-id"));
}

#[tokio::test]
async fn a_server_that_stops_waits_for_nobody_who_follows() {
    let mut server = Server::start().await;
    let running = server.running.take().unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = "GET /api/v1/events?name=forever HTTP/1.1\r\nhost: x\r\nx-api-key: administrator\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("plugin.installed") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    server.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), running.ended()).await.unwrap();
    assert_eq!(ended.cut_off, 0);
    stream.read_to_end(&mut seen).await.unwrap();
    // In order: the last chunk is the empty one.
    assert!(seen.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&seen));
}
