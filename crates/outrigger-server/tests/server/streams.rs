//! HTTP/2 clients with small windows, and clients that are slow or numerous: their resources are limited and released.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Method, Request};
use outrigger_server::ServerOptions;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Call, Server};
use crate::idempotency::until;

const ECHO: &str = "/api/v1/functions/pricing.echo/call";
const SLOW: &str = "/api/v1/functions/pricing.slow/call";
const FOLLOW: &str = "/api/v1/events?name=forever";
const SOON: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(200);

/// An HTTP/2 client that answers pings, with this initial window for each response.
struct Client {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    address: SocketAddr,
}

impl Client {
    async fn connect(server: &Server, window: u32) -> Self {
        let address = server.address();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut settings = h2::client::Builder::new();
        settings.initial_window_size(window);
        let (sender, connection) = settings.handshake(stream).await.unwrap();
        let connection = tokio::spawn(connection);
        Self { sender, connection, address }
    }

    /// Sends a request, with or without a body.
    async fn send(&self, method: Method, path: &str, body: &[u8]) -> ResponseFuture {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = request.header("x-api-key", "administrator-a").header("content-type", "application/json");
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (answer, mut sending) = sender.send_request(request.body(()).unwrap(), body.is_empty()).unwrap();
        if !body.is_empty() {
            sending.send_data(Bytes::copy_from_slice(body), true).unwrap();
        }
        answer
    }

    /// The status of a response; the rest is ignored.
    async fn status(&self, method: Method, path: &str) -> u16 {
        let answer = self.send(method, path, b"").await;
        timeout(SOON, answer).await.expect("it is answered").unwrap().status().as_u16()
    }
}

fn impatient(options: &mut ServerOptions) {
    options.idle_timeout = PATIENCE;
}

/// Waits until it is so.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn s13_an_answer_that_a_window_keeps_back_gives_up_its_share() {
    let server = Server::with(|options| {
        impatient(options);
        options.answers_per_key = 8 << 20;
    })
    .await;
    let body = format!("{{\"text\": \"{}\"}}", "x".repeat(7 << 20));
    let large = || {
        let call = Call::bare(Method::POST, ECHO).header("x-api-key", "administrator-a");
        call.header("content-type", "application/json").body(body.clone())
    };
    let client = Client::connect(&server, 0).await;
    let answer = timeout(SOON, client.send(Method::POST, ECHO, body.as_bytes()).await).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    // Other requests keep the connection alive; their responses fit into the window.
    eventually("it is counted no more", async || {
        assert_eq!(client.status(Method::HEAD, "/healthz").await, 200);
        server.send(large()).await.status == 200
    })
    .await;
    assert_eq!(client.status(Method::HEAD, "/healthz").await, 200);
    drop(answer);
}

#[tokio::test]
async fn s13_events_that_nobody_reads_are_followed_no_more() {
    let server = Server::with(|options| {
        impatient(options);
        options.streams_per_key = 1;
    })
    .await;
    let client = Client::connect(&server, 0).await;
    let followed = timeout(SOON, client.send(Method::GET, FOLLOW, b"").await).await.unwrap().unwrap();
    assert_eq!(followed.status(), 200);
    let other = Client::connect(&server, 1 << 20).await;
    eventually("there is room for another", async || {
        assert_eq!(client.status(Method::HEAD, "/healthz").await, 200);
        other.status(Method::GET, FOLLOW).await == 200
    })
    .await;
    // A client that reads is not disconnected.
    let mut read = timeout(SOON, other.send(Method::GET, FOLLOW, b"").await).await.unwrap().unwrap().into_body();
    let begun = Instant::now();
    while begun.elapsed() < 5 * PATIENCE {
        let piece = timeout(SOON, read.data()).await.expect("it goes on").expect("it does not end").unwrap();
        read.flow_control().release_capacity(piece.len()).unwrap();
    }
    drop(followed);
}

#[tokio::test]
async fn s13_pings_do_not_keep_a_connection_that_takes_no_answer() {
    let server = Server::with(impatient).await;
    for path in ["/healthz", FOLLOW, "/api/v1/openapi.json"] {
        let client = Client::connect(&server, 0).await;
        let answer = timeout(SOON, client.send(Method::GET, path, b"").await).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        timeout(SOON, client.connection).await.expect(path).unwrap().ok();
        drop(answer);
    }
}

#[tokio::test]
async fn s13_an_answer_is_sent_whole_when_its_window_is_opened_slowly() {
    const WINDOW: u32 = 32 << 10;
    let server = Server::with(|options| options.idle_timeout = Duration::from_secs(1)).await;
    let body = format!("{{\"text\": \"{}\"}}", "x".repeat(1 << 20));
    let client = Client::connect(&server, WINDOW).await;
    let answer = timeout(SOON, client.send(Method::POST, ECHO, body.as_bytes()).await).await.unwrap().unwrap();
    let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let (mut answer, mut taken, begun) = (answer.into_body(), 0, Instant::now());
    while taken < length {
        let piece = timeout(SOON, answer.data()).await.expect("it goes on").expect("it is whole").unwrap();
        taken += piece.len();
        // For longer than the idle timeout, in total.
        sleep(Duration::from_millis(30)).await;
        answer.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert!(begun.elapsed() > Duration::from_millis(1_500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn s13_streams_take_places_of_connections() {
    let server = Server::with(|options| options.connections_per_address = 10).await;
    let client = Client::connect(&server, 0).await;
    let mut served = Vec::new();
    for _ in 0..10 {
        served.push(client.send(Method::POST, SLOW, b"{}").await);
    }
    until("the calls", || server.door.calls.load(Ordering::SeqCst) == 10).await;
    assert_eq!(client.status(Method::HEAD, "/healthz").await, 503);
    let mut refused = TcpStream::connect(server.address()).await.unwrap();
    assert_eq!(timeout(SOON, refused.read(&mut [0])).await.unwrap().unwrap_or(0), 0, "it is closed");
    // An unread response keeps its place, a reset one does not.
    server.door.gate.add_permits(10);
    let mut answers = Vec::new();
    for answer in served {
        answers.push(timeout(SOON, answer).await.unwrap().unwrap());
    }
    assert_eq!(client.status(Method::HEAD, "/healthz").await, 503);
    answers.clear();
    eventually("there is room again", async || client.status(Method::HEAD, "/healthz").await == 200).await;
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn s13_answers_of_which_a_window_takes_the_first_byte_keep_their_places() {
    let server = Server::with(|options| options.connections_per_address = 10).await;
    let client = Client::connect(&server, 1).await;
    let body = format!("{{\"text\": \"{}\"}}", "x".repeat(8 << 10));
    let mut answers = Vec::new();
    for _ in 0..10 {
        let answer = client.send(Method::POST, ECHO, body.as_bytes()).await;
        let mut answer = timeout(SOON, answer).await.unwrap().unwrap().into_body();
        let first = timeout(SOON, answer.data()).await.expect("it begins").expect("it is long").unwrap();
        assert_eq!(first.len(), 1);
        answers.push(answer);
    }
    assert_eq!(client.status(Method::HEAD, "/healthz").await, 503);
    answers.clear();
    eventually("there is room again", async || client.status(Method::HEAD, "/healthz").await == 200).await;
}

#[tokio::test]
async fn s13_streams_that_are_reset_at_once_leave_nothing_behind() {
    const MOST: u64 = 50;
    let server = Server::with(|options| options.connections_per_address = MOST as usize).await;
    let under_way = || {
        let ended = server.door.dropped.lock().len() as u64;
        server.door.calls.load(Ordering::SeqCst).saturating_sub(ended)
    };
    let deadline = Instant::now() + SOON;
    let tried = || server.door.calls.load(Ordering::SeqCst);
    for round in 0.. {
        if round >= 20 && tried() > MOST {
            break;
        }
        assert!(Instant::now() < deadline, "it is tried");
        // A connection with too many resets is ended.
        let client = Client::connect(&server, 1 << 20).await;
        let mut streams = Vec::new();
        for _ in 0..100 {
            let Ok(mut sender) = client.sender.clone().ready().await else { break };
            let request = Request::post(format!("http://{}{SLOW}", client.address));
            let request = request.header("x-api-key", "administrator-a").header("content-type", "application/json");
            let Ok((answer, mut sending)) = sender.send_request(request.body(()).unwrap(), false) else { break };
            let _ = sending.send_data(Bytes::from_static(b"{}"), true);
            streams.push((answer, sending));
        }
        // Requests are sent, and reset while they are being served.
        sleep(Duration::from_millis(5)).await;
        assert!(under_way() <= MOST, "{}", under_way());
        streams.iter_mut().for_each(|(_, sending)| sending.send_reset(h2::Reason::CANCEL));
    }
    eventually("all of it ends", async || under_way() == 0).await;
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn s13_changes_that_nobody_waits_for_are_bounded() {
    let server = Server::with(|options| {
        options.body_limit = 64 << 10;
        options.bodies_per_key = 128 << 10;
    })
    .await;
    let body = json!({"name": "slow", "roles": ["viewer"]});
    let refused = async || {
        let client = Client::connect(&server, 1 << 20).await;
        let answer = client.send(Method::POST, "/api/v1/keys", body.to_string().as_bytes()).await;
        // A change continues without its client.
        let answer = timeout(Duration::from_millis(100), answer).await;
        answer.is_ok_and(|answer| answer.unwrap().status() == 503)
    };
    let mut begun = 0;
    while !refused().await {
        begun += 1;
        assert!(begun < 20, "they are refused in the end");
    }
    assert!(begun >= 4, "{begun}");
    server.door.gate.add_permits(100);
    eventually("there is room again", async || !refused().await).await;
}

#[tokio::test]
async fn s13_a_head_of_http_2_is_as_long_as_it_may_be_and_no_longer() {
    let server = Server::start().await;
    for (headers, long) in [(2_000, 1), (1, 64 << 10)] {
        let client = Client::connect(&server, 1 << 20).await;
        let mut request = Request::get(format!("http://{}/healthz", client.address));
        for number in 0..headers {
            request = request.header(format!("x{number}"), "x".repeat(long));
        }
        let mut sender = client.sender.clone().ready().await.unwrap();
        let Ok((answer, _)) = sender.send_request(request.body(()).unwrap(), true) else { continue };
        let answer = timeout(SOON, answer).await.expect("it is answered");
        assert!(answer.is_err() || answer.unwrap().status() == 431);
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn s13_a_head_of_many_headers_is_refused() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn s13_requests_that_are_sent_ahead_are_served_one_by_one() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "POST {SLOW} HTTP/1.1\r\nhost: x\r\nx-api-key: administrator-a\r\ncontent-type: application/json\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.repeat(1_000).as_bytes()).await.unwrap();
    for served in 1..=5 {
        until("it is served", || server.door.calls.load(Ordering::SeqCst) == served).await;
        sleep(Duration::from_millis(20)).await;
        assert_eq!(server.door.calls.load(Ordering::SeqCst), served, "the next one waits");
        server.door.gate.add_permits(1);
    }
    drop(stream);
}
