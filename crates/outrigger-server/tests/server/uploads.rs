//! Bodies that are handed on as they arrive, and bodies that do not arrive.

use std::time::Duration;

use http::Method;
use outrigger_api::{ArchiveKind, Digest};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Call, Server};
use crate::platform::NOBODY;

const UPLOAD: &str = "/api/v1/packages";

fn upload(media: &str, body: &[u8]) -> Call {
    Call::new(Method::POST, UPLOAD).header("content-type", media).body(body)
}

#[tokio::test]
async fn a_package_is_handed_on_with_what_is_said_of_it() {
    let server = Server::with(|options| options.body_limit = 1000).await;
    // The limit of other bodies is not that of packages.
    let body: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let answer = server.send(upload("application/gzip", &body)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["name"]), (200, &json!("pricing")));
    let (kind, digest, bytes) = server.door.sent.lock().take().unwrap();
    assert_eq!((kind, digest, bytes == body), (ArchiveKind::TarGz, None, true));
    let said = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    assert_eq!(server.send(upload("application/zip", b"x").header("content-digest", said)).await.status, 200);
    let (kind, digest, _) = server.door.sent.lock().take().unwrap();
    assert_eq!((kind, digest), (ArchiveKind::Zip, Some(Digest::of(b""))));
}

#[tokio::test]
async fn what_is_no_package_is_refused_before_it_is_read() {
    let server = Server::start().await;
    server.send(upload("application/json", b"{}")).await.problem(415, "unsupported_media_type");
    server
        .send(upload("application/zip", b"x").header("content-encoding", "br"))
        .await
        .problem(415, "unsupported_media_type");
    server.send(upload("application/zip", b"x").header("content-digest", "x")).await.problem(400, "invalid_usage");
    // A client that is refused while sending gets the error, although a few MiB are still in flight.
    let large = vec![7; 6 << 20];
    let call = Call::bare(Method::POST, UPLOAD).header("x-api-key", NOBODY).header("content-type", "application/zip");
    server.send(call.body(large.clone())).await.problem(403, "forbidden");
    server.send(upload("text/plain", &large)).await.problem(415, "unsupported_media_type");
    assert!(server.door.sent.lock().is_none());
}

/// Sends the head of a request and the beginning of its body, then so many bytes one by one, and reads what comes back.
async fn stalled(server: &Server, path: &str, media: &str, beginning: &str, drops: usize) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: administrator\r\ncontent-type: {media}\r\n\
         content-length: 1000000\r\n\r\n{beginning}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let drip = tokio::spawn(async move {
        for _ in 0..drops {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if writing.write_all(b"x").await.is_err() {
                break;
            }
        }
        // The connection stays open: nothing but the time ends the waiting.
        writing
    });
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !String::from_utf8_lossy(&answer).contains("retry_after") && !answer.ends_with(b"}") {
        match tokio::time::timeout_at(deadline, reading.read(&mut buffer)).await.expect("the server answers in time") {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    drip.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let server = Server::with(|options| options.body_timeout = Duration::from_millis(150)).await;
    for (path, media) in [(UPLOAD, "application/zip"), ("/api/v1/keys", "application/json")] {
        // It stops; and it goes on, but too slowly to ever come to an end.
        for drops in [0, 500] {
            let answer = stalled(&server, path, media, "{\"name\":", drops).await;
            assert!(answer.starts_with("HTTP/1.1 408"), "{path} {drops}: {answer}");
            assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
        }
    }
    assert!(server.door.sent.lock().is_none());
    // Others are served meanwhile and afterwards.
    assert_eq!(server.get("/api/v1/plugins").await.status, 200);
}

#[tokio::test]
async fn a_package_that_breaks_off_is_not_taken_for_whole() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nhost: x\r\nx-api-key: administrator\r\ncontent-type: application/zip\r\n\
         content-length: 1000\r\n\r\nPK"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"));
    assert!(server.door.sent.lock().is_none());
}
