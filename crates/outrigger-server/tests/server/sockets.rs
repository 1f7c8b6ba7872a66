//! Sockets: TLS, the unix socket, and the end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use hyper_util::rt::{TokioExecutor, TokioIo};
use outrigger_server::{ServeError, ServerOptions, TlsFiles, serve};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::client::{Call, Server, exchange};
use crate::idempotency::until;
use crate::platform::StandIn;

const SLOW: &str = "/api/v1/functions/pricing.slow/call";

fn certificate(folder: &Path) -> (TlsFiles, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (files, roots)
}

#[tokio::test]
async fn tls_is_served_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let (files, roots) = certificate(folder.path());
    let server = Server::with(|options| options.tls = Some(files)).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let answer = exchange(stream, Call::new(Method::GET, "/api/v1/identity")).await;
    assert_eq!(answer.json()["name"], "administrator from 127.0.0.1");
    // A client without TLS gets no response.
    let mut plain = TcpStream::connect(server.address()).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"));
}

#[tokio::test]
async fn s13_who_never_agrees_on_tls_or_sends_its_head_byte_by_byte_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (files, roots) = certificate(folder.path());
    let server = Server::with(|options| {
        options.tls = Some(files);
        options.idle_timeout = Duration::from_millis(200);
    })
    .await;
    // Only the beginning of a handshake.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    assert_eq!(rest(&mut stream).await, b"");

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nx-slow: ").await.unwrap();
    while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it is cut off");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn s20_clients_of_ipv4_keep_their_address_at_a_socket_of_ipv6() {
    let server = Server::with(|options| options.listen = "[::]:0".parse().unwrap()).await;
    let stream = TcpStream::connect(("127.0.0.1", server.address().port())).await.unwrap();
    let answer = exchange(stream, Call::new(Method::GET, "/api/v1/identity")).await;
    assert_eq!(answer.json()["name"], "administrator from 127.0.0.1");
}

#[tokio::test]
async fn files_that_are_no_certificate_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (mut files, _) = certificate(folder.path());
    std::fs::write(&files.certificate, "nonsense").unwrap();
    let start = async |files: &TlsFiles| {
        let mut options = ServerOptions::new("127.0.0.1:0".parse().unwrap());
        options.tls = Some(files.clone());
        serve(options, Arc::new(StandIn::default()), CancellationToken::new()).await.unwrap_err()
    };
    let error = start(&files).await;
    assert!(matches!(error, ServeError::Tls { .. } | ServeError::Pem { .. }), "{error}");
    assert!(error.to_string().contains("certificate.pem"), "{error}");
    files.key = folder.path().join("missing.pem");
    std::fs::write(&files.certificate, rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem())
        .unwrap();
    let error = start(&files).await;
    assert!(error.to_string().contains("missing.pem"), "{error}");
}

#[tokio::test]
async fn whoever_can_open_the_socket_is_the_administrator() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.sock");
    // One that was left behind by a server that died.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut server = Server::with(|options| options.socket = Some(path.clone())).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left but the socket");
    let ask = async |call: Call| exchange(UnixStream::connect(&path).await.unwrap(), call).await;
    assert_eq!(ask(Call::bare(Method::GET, "/api/v1/identity")).await.json()["name"], "local");
    assert_eq!(ask(Call::new(Method::GET, "/api/v1/identity")).await.json()["name"], "administrator");
    let wrong = Call::bare(Method::GET, "/api/v1/identity").header("x-api-key", "wrong");
    ask(wrong).await.problem(401, "unauthenticated");
    server.send(Call::bare(Method::GET, "/api/v1/identity")).await.problem(401, "unauthenticated");
    // A second server does not take it away from the first.
    let mut options = ServerOptions::new("127.0.0.1:0".parse().unwrap());
    options.socket = Some(path.clone());
    let second = serve(options, Arc::new(StandIn::default()), CancellationToken::new()).await;
    assert!(matches!(second, Err(ServeError::Socket { .. })), "{second:?}");
    server.shutdown.cancel();
    assert_eq!(server.running.take().unwrap().ended().await.cut_off, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_is_in_the_place_of_the_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "mine").unwrap();
    let mut options = ServerOptions::new("127.0.0.1:0".parse().unwrap());
    options.socket = Some(path.clone());
    let started = serve(options, Arc::new(StandIn::default()), CancellationToken::new()).await;
    assert!(matches!(started, Err(ServeError::Socket { .. })), "{started:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[tokio::test]
async fn calls_that_run_are_finished_before_the_end() {
    let mut server = Server::start().await;
    let running = server.running.take().unwrap();
    let address = server.address();
    // A connection on which nothing happens holds up nobody.
    let idle = TcpStream::connect(address).await.unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let call = tokio::spawn(exchange(stream, Call::new(Method::POST, SLOW).json(&json!({}))));
    until("the call", || server.door.calls.load(Ordering::SeqCst) == 1).await;
    server.shutdown.cancel();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "no new connections are taken");
    }
    assert!(!call.is_finished());
    server.door.gate.add_permits(1);
    let answer = call.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"));
    let ended = tokio::time::timeout(Duration::from_secs(10), running.ended()).await.unwrap();
    assert_eq!(ended.cut_off, 0);
    drop(idle);
}

#[tokio::test]
async fn calls_that_take_too_long_are_cut_off_at_the_end() {
    let mut server = Server::with(|options| options.drain = Duration::from_millis(50)).await;
    let running = server.running.take().unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "POST {SLOW} HTTP/1.1\r\nhost: x\r\nx-api-key: administrator\r\ncontent-type: application/json\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    until("the call", || server.door.calls.load(Ordering::SeqCst) == 1).await;
    server.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), running.ended()).await.unwrap();
    assert_eq!(ended.cut_off, 1);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
}

/// Sends something, and answers with what came until the server closed the connection.
async fn until_closed(server: &Server, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(sent).await.unwrap();
    rest(&mut stream).await
}

/// The data until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // Cut off, it may end with an error.
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is closed");
    answer
}

#[tokio::test]
async fn a_client_that_is_silent_is_given_up() {
    let server = Server::with(|options| options.idle_timeout = Duration::from_millis(50)).await;
    assert_eq!(until_closed(&server, b"").await, b"");
    assert_eq!(until_closed(&server, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await, b"");
    // Two requests are answered, and nothing comes after them.
    let answers = until_closed(&server, &b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(2)).await;
    assert_eq!(String::from_utf8(answers).unwrap().matches("HTTP/1.1 200").count(), 2);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_given_up() {
    const REQUESTS: usize = 500;
    let server = Server::with(|options| options.idle_timeout = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let requests = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(REQUESTS);
    stream.write_all(&requests).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answers = String::from_utf8_lossy(&rest(&mut stream).await).matches("HTTP/1.1 200").count();
    assert!((1..REQUESTS).contains(&answers), "{answers}");
}

#[tokio::test]
async fn a_client_that_takes_its_answers_slowly_gets_them_all() {
    const REQUESTS: usize = 200;
    let server = Server::with(|options| options.idle_timeout = Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(&request.repeat(REQUESTS)).await.unwrap();
    // More than the system holds for it, in portions over five times as long as nothing may go on.
    let (mut answers, started) = (Vec::new(), tokio::time::Instant::now());
    let mut portion = vec![0; 1 << 20];
    while started.elapsed() < Duration::from_secs(1) {
        let taken = stream.read(&mut portion).await.unwrap();
        answers.extend_from_slice(&portion[..taken]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count() < REQUESTS, "it was too little");
    answers.extend(rest(&mut stream).await);
    assert_eq!(String::from_utf8_lossy(&answers).matches("HTTP/1.1 200").count(), REQUESTS);
}

#[tokio::test]
async fn a_client_that_follows_events_is_not_silent() {
    let server = Server::with(|options| options.idle_timeout = Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = "GET /api/v1/events?name=forever HTTP/1.1\r\nhost: x\r\nx-api-key: administrator\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while String::from_utf8_lossy(&seen).matches(": alive").count() < 10 {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
}

#[tokio::test]
async fn a_client_that_waits_for_its_answer_is_not_silent() {
    let server = Server::with(|options| options.idle_timeout = Duration::from_millis(50)).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let call = tokio::spawn(exchange(stream, Call::new(Method::POST, SLOW).json(&json!({}))));
    until("the call", || server.door.calls.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.door.gate.add_permits(1);
    assert_eq!(call.await.unwrap().status, 200);
}

#[tokio::test]
async fn http_2_is_spoken_too() {
    let server = Server::with(|options| options.idle_timeout = Duration::from_millis(200)).await;
    let io = TokioIo::new(TcpStream::connect(server.address()).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{}/api/v1/identity", server.address());
    let request = http::Request::get(uri).header("x-api-key", "administrator");
    let request = request.body(http_body_util::Empty::<hyper::body::Bytes>::new()).unwrap();
    let answer = sender.send_request(request.clone()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    // Kept by pings for many times as long as nothing may go on otherwise.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}
