//! Admission: rights are checked before bodies are read, and bodies, responses, streams and connections are limited for
//! each key or address and in total.

use std::sync::atomic::Ordering;
use std::time::Duration;

use outrigger_server::openapi;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::client::{Call, Server};
use crate::document::operations;
use crate::idempotency::until;
use crate::platform::NOBODY;

const ECHO: &str = "/api/v1/functions/pricing.echo/call";
const SOON: Duration = Duration::from_secs(10);

/// Sends the head of a request without its body. Returns the connection.
async fn begin(server: &Server, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

/// The beginning of the response.
async fn head(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let read = timeout(SOON, stream.read(&mut answer)).await.expect("it is answered at once");
    String::from_utf8_lossy(&answer[..read.unwrap_or_default()]).into_owned()
}

/// A request whose announced body does not arrive.
async fn announce(server: &Server, key: &str, bytes: usize) -> TcpStream {
    let headers = format!("x-api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n");
    begin(server, "POST", ECHO, &headers, b"{").await
}

/// Repeats a request that announces a body until it is refused, and returns the refusal.
async fn refused(server: &Server, key: &str, bytes: usize) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        let mut stream = announce(server, key, bytes).await;
        let mut answer = vec![0; 4096];
        // An admitted request waits for its body.
        if let Ok(read) = timeout(Duration::from_millis(200), stream.read(&mut answer)).await {
            return String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
        }
        assert!(Instant::now() < deadline, "it is refused in the end");
    }
}

/// Waits until a request is served.
async fn served(server: &Server, call: Call) {
    let deadline = Instant::now() + SOON;
    while server.send(call.clone()).await.status != 200 {
        assert!(Instant::now() < deadline, "it is served in the end");
    }
}

fn call(key: &str) -> Call {
    Call::bare(http::Method::POST, ECHO).header("x-api-key", key).json(&Value::Object(Default::default()))
}

#[tokio::test]
async fn s13_every_operation_refuses_before_the_body_arrives() {
    let server = Server::start().await;
    let document = openapi();
    let ways = [
        "content-length: 8388607\r\n",
        "transfer-encoding: chunked\r\n",
        "expect: 100-continue\r\ncontent-length: 9\r\n",
    ];
    let mut asked = 0;
    for operation in operations(&document).iter().filter(|operation| !operation.public()) {
        let has_body = operation.described["requestBody"].is_object();
        let media = if operation.described["requestBody"]["content"]["application/json"].is_object() {
            "application/json"
        } else {
            "application/zip"
        };
        let ways = if has_body { &ways[..] } else { &ways[..1] };
        for way in ways {
            let about = format!("{} {} {way}", operation.method, operation.path);
            let none = format!("content-type: {media}\r\n{way}");
            for (key, status) in
                [("", "401"), ("x-api-key: wrong\r\n", "401"), (&format!("x-api-key: {NOBODY}\r\n"), "403")]
            {
                if status == "403" && !operation.described["x-right"].is_string() {
                    continue;
                }
                let headers = format!("{key}{none}");
                let mut stream = begin(&server, operation.method.as_str(), &operation.path, &headers, b"").await;
                let answer = head(&mut stream).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{about}: {answer}");
                asked += 1;
            }
        }
    }
    assert!(asked > 300, "{asked} requests cover the table");
}

#[tokio::test]
async fn s13_a_stranger_that_goes_on_sending_is_cut_off() {
    let server = Server::start().await;
    for key in ["x-api-key: wrong\r\n".to_owned(), format!("x-api-key: {NOBODY}\r\n")] {
        let headers = format!("{key}content-type: application/json\r\ncontent-length: 100000000\r\n");
        let mut stream = begin(&server, "POST", "/api/v1/keys", &headers, b"{").await;
        let (mut sent, piece) = (0, vec![b' '; 64 << 10]);
        while sent < 90_000_000 {
            match timeout(SOON, stream.write(&piece)).await {
                Ok(Ok(written)) if written > 0 => sent += written,
                _ => break,
            }
        }
        assert!(sent < 90_000_000, "the connection ends while it is sending");
    }
}

#[tokio::test]
async fn s13_bodies_under_way_are_bounded_for_each_key_and_for_all() {
    const BODY: usize = 1 << 20;
    let server = Server::with(|options| {
        options.body_limit = BODY;
        options.bodies_per_key = 2 * BODY;
        options.bodies_total = 3 * BODY;
    })
    .await;
    let held = [announce(&server, "administrator-a", BODY).await, announce(&server, "administrator-a", BODY).await];
    let answer = refused(&server, "administrator-a", BODY).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"code\":\"busy\""), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("retry-after: 1\r\n") && answer.contains("this key has"), "{answer}");
    // Other keys continue, until the total limit is reached.
    served(&server, call("administrator-b")).await;
    let other = announce(&server, "administrator-b", BODY).await;
    let answer = refused(&server, "administrator-c", BODY).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("the server has"), "{answer}");
    // Released memory is available again.
    drop(held);
    served(&server, call("administrator-a")).await;
    served(&server, call("administrator-c")).await;
    drop(other);
}

#[tokio::test]
async fn s13_a_body_of_unknown_length_is_counted_as_it_arrives() {
    const BODY: usize = 1 << 20;
    let server = Server::with(|options| {
        options.body_limit = BODY;
        options.bodies_per_key = BODY;
    })
    .await;
    let headers =
        |key: &str| format!("x-api-key: {key}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n");
    let chunk = [b"b0000\r\n".as_slice(), &vec![b' '; 0xb0000], b"\r\n"].concat();
    // Only one of two fits. The first one is admitted, the other is refused.
    let mut first = begin(&server, "POST", ECHO, &headers("administrator-a"), &chunk).await;
    let mut second = begin(&server, "POST", ECHO, &headers("administrator-a"), &chunk).await;
    let (answer, held) = tokio::select! {
        answer = head(&mut first) => (answer, second),
        answer = head(&mut second) => (answer, first),
    };
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let answer = refused(&server, "administrator-a", BODY / 2).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // It does not exceed the limit of one body, either.
    let mut long = begin(&server, "POST", ECHO, &headers("administrator-b"), &chunk).await;
    let _ = long.write_all(&chunk).await;
    let answer = head(&mut long).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    drop(held);
    served(&server, call("administrator-a")).await;
}

#[tokio::test]
async fn s13_answers_that_are_not_taken_are_bounded() {
    let server = Server::with(|options| options.answers_per_key = 8 << 20).await;
    // Longer than the system buffers for a client that does not read.
    let body = format!("{{\"text\": \"{}\"}}", "x".repeat(7 << 20));
    let lazy = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 << 10).unwrap();
        let mut stream = socket.connect(server.address()).await.unwrap();
        let head = format!(
            "POST {ECHO} HTTP/1.1\r\nhost: x\r\nx-api-key: administrator-a\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream
    };
    let mut first = lazy().await;
    // It has its response, and reads only the beginning.
    let mut beginning = [0; 12];
    timeout(SOON, first.read_exact(&mut beginning)).await.expect("it is answered").unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 200");
    let large = |key: &str| {
        Call::bare(http::Method::POST, ECHO)
            .header("x-api-key", key)
            .header("content-type", "application/json")
            .body(body.clone())
    };
    let deadline = Instant::now() + SOON;
    loop {
        let answer = server.send(large("administrator-a")).await;
        if answer.status == 503 {
            answer.problem(503, "busy");
            break;
        }
        assert!(Instant::now() < deadline, "it is refused in the end");
    }
    // Short responses are still sent, and other keys are not affected.
    served(&server, call("administrator-a")).await;
    assert_eq!(server.send(large("administrator-b")).await.status, 200);
    drop(first);
    served(&server, large("administrator-a")).await;
}

#[tokio::test]
async fn s13_streams_of_events_are_bounded_for_each_key() {
    let server = Server::with(|options| options.streams_per_key = 2).await;
    let follow = async |key: &str| {
        let headers = format!("x-api-key: {key}\r\n");
        let mut stream = begin(&server, "GET", "/api/v1/events?name=forever", &headers, b"").await;
        let answer = head(&mut stream).await;
        (stream, answer)
    };
    let (first, second) = (follow("administrator-a").await, follow("administrator-a").await);
    assert!([&first.1, &second.1].iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")), "{} {}", first.1, second.1);
    let (_, answer) = follow("administrator-a").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("event streams"), "{answer}");
    assert!(follow("administrator-b").await.1.starts_with("HTTP/1.1 200 "));
    drop(first);
    let deadline = Instant::now() + SOON;
    while !follow("administrator-a").await.1.starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < deadline, "there is room again");
    }
}

#[tokio::test]
async fn s12_a_key_reads_only_a_few_things_at_a_time() {
    const SLOW: &str = "/api/v1/jobs?schedule=slow";
    let server = Server::start().await;
    let begin = async |key: &str| begin(&server, "GET", SLOW, &format!("x-api-key: {key}\r\n"), b"").await;
    let arrived = || server.door.arrived.load(Ordering::SeqCst);
    let mut reading = Vec::new();
    for _ in 0..10 {
        reading.push(begin("administrator-a").await);
    }
    until("the first ones are read", || arrived() == 4).await;
    // They do not hold up other keys, nor calls.
    let other = begin("administrator-b").await;
    until("the other key reads", || arrived() == 5).await;
    served(&server, call("administrator-a")).await;
    assert_eq!(arrived(), 5);
    // A client that leaves is not waited for.
    drop((reading.split_off(5), other));
    server.door.gate.add_permits(10);
    for mut stream in reading {
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

/// Whether the server closes a connection without a response.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 1];
    match timeout(Duration::from_millis(300), stream.read(&mut answer)).await {
        Ok(read) => read.is_err() || read.is_ok_and(|read| read == 0),
        Err(_) => false,
    }
}

#[tokio::test]
async fn s13_connections_are_bounded_for_each_address_and_for_all() {
    for (each, all) in [(3, 100), (100, 3)] {
        let server = Server::with(|options| {
            options.connections_per_address = each;
            options.connections = all;
        })
        .await;
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            assert!(!is_closed(&mut stream).await);
            open.push(stream);
        }
        assert!(is_closed(&mut TcpStream::connect(server.address()).await.unwrap()).await, "{each} {all}");
        open.pop();
        let deadline = Instant::now() + SOON;
        while is_closed(&mut TcpStream::connect(server.address()).await.unwrap()).await {
            assert!(Instant::now() < deadline, "there is room again");
        }
    }
}

#[tokio::test]
async fn s13_a_head_without_end_is_refused() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let mut sent = b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ".to_vec();
    sent.extend(vec![b'x'; 256 << 10]);
    let _ = stream.write_all(&sent).await;
    let answer = head(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(server.send(Call::bare(http::Method::GET, "/healthz")).await.status, 200);
}
