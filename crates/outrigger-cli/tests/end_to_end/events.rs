//! Events that are followed, and webhooks, which are told also when the server dies in the middle.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outrigger_api::WebhookInfo;
use serde_json::{Value as Json, json};

use crate::harness::{Place, bundled};

/// A program that is killed when the test is over, however it ends.
struct Running(Child);

impl Running {
    fn start(place: &Place, arguments: &[&str]) -> (Self, BufReader<std::process::ChildStdout>) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(arguments)
            .env("OUTRIGGER_DATA", place.path("data"))
            .env("OUTRIGGER_BUNDLED", bundled())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary can be started");
        let output = BufReader::new(child.stdout.take().unwrap());
        (Self(child), output)
    }

    fn serve(place: &Place) -> Self {
        let (server, mut output) = Self::start(place, &["serve", "--listen", "127.0.0.1:0"]);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with("Listening on "), "{line}");
        server
    }

    /// As a power cut would: SIGKILL, which nothing can be done about.
    fn kill_dead(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a request whole: its head in lower case, and its body.
fn request(stream: &mut TcpStream) -> (String, Json) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        let mut part = [0; 1_024];
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "it ended too soon");
        bytes.extend_from_slice(&part[..read]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
    let length: usize = header(&head, "content-length").parse().unwrap();
    let mut body = bytes[end..].to_vec();
    while body.len() < length {
        let mut part = [0; 1_024];
        let read = stream.read(&mut part).unwrap();
        body.extend_from_slice(&part[..read]);
    }
    (head, serde_json::from_slice(&body).unwrap())
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_else(|| panic!("{name}: {head}"))
}

fn answer(stream: &mut TcpStream) {
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
}

/// Answers with JSON, and with nothing more over this connection.
fn answer_with(stream: &mut TcpStream, status: &str, body: &Json) {
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
}

#[test]
fn what_was_being_sent_at_kill_9_is_sent_again() {
    let place = Place::new();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let server = Running::serve(&place);
    let private = ["--allow-http", "--allow-private-network", "--event", "plugin.*"];
    let made = place.json(&[&["webhook", "add", "chat", &url], &private[..]].concat());
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"), "{made}");
    place.run(&["plugin", "install", "pricing", "--yes"]).succeeded();
    let (mut stream, _) = receiver.accept().unwrap();
    let (first, body) = request(&mut stream);
    assert_eq!(body["type"], "plugin.installed");
    // It was sent, and nobody has said that it arrived.
    server.kill_dead();
    drop(stream);
    let kept = place.json(&["webhook", "deliveries", "chat"]);
    assert_eq!((&kept[0]["state"], &kept[0]["name"]), (&json!("pending"), &json!("plugin.installed")), "{kept}");
    let events = place.json(&["events"]);
    assert_eq!(events[0]["id"], body["event"], "{events}");

    let server = Running::serve(&place);
    let (mut stream, _) = receiver.accept().unwrap();
    let (second, again) = request(&mut stream);
    assert_eq!(header(&second, "webhook-id"), header(&first, "webhook-id"));
    assert_eq!(again, body);
    answer(&mut stream);
    let deadline = Instant::now() + Duration::from_secs(30);
    while place.json(&["webhook", "deliveries", "chat"])[0]["state"] != "delivered" {
        assert!(Instant::now() < deadline, "{}", place.json(&["webhook", "deliveries", "chat"]));
    }
    server.kill_dead();
}

#[test]
fn a_webhook_is_tried_out_changed_and_removed() {
    let place = Place::new();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    place.run(&["webhook", "add", "chat", &url]).failed(2, &["plain HTTP", "allow_http"]);
    let outcome = place.run(&["webhook", "add", "chat", &url, "--allow-http", "--allow-private-network"]).succeeded();
    assert!(outcome.stdout.starts_with("whsec_") && outcome.stdout.lines().count() == 1, "{outcome:?}");
    assert!(outcome.stderr.contains("outrigger serve"), "{outcome:?}");
    let server = Running::serve(&place);
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = receiver.accept().unwrap();
        let (_, body) = request(&mut stream);
        answer(&mut stream);
        body
    });
    place.run(&["webhook", "test", "chat"]).succeeded().shows(&["the receiver answered 204"]);
    assert_eq!(answering.join().unwrap()["type"], "webhook.test");
    // Nobody is there any more.
    place.run(&["webhook", "test", "chat"]).failed(9, &["no connection to 127.0.0.1", "the next attempt is at"]);
    place.run(&["webhook", "update", "chat", "--event", "job.*", "--header", "X-Token: hunter2"]).succeeded();
    let info = place.run(&["webhook", "info", "chat"]).succeeded().shows(&["job.*", "X-Token", "failing since"]);
    assert!(!info.stdout.contains("hunter2"), "{info:?}");
    place.run(&["webhook", "update", "chat", "--disable"]).succeeded();
    place.run(&["webhook", "test", "chat"]).failed(7, &["is disabled", "--enable"]);
    // Its pending deliveries are abandoned.
    let deadline = Instant::now() + Duration::from_secs(30);
    while place.json(&["webhook", "info", "chat"])["dead"] != 1 {
        assert!(Instant::now() < deadline, "{}", place.json(&["webhook", "info", "chat"]));
    }
    place.run(&["webhook", "retry", "chat", "--all"]).failed(7, &["is disabled", "--enable"]);
    place.run(&["webhook", "remove", "chat"]).succeeded();
    assert_eq!(place.json(&["webhook", "list"]), json!([]));
    place.run(&["webhook", "info", "chat"]).failed(3, &["no webhook `chat`"]);
    server.kill_dead();
}

#[test]
fn a_webhook_that_somebody_else_changed_meanwhile_stays_as_they_made_it() {
    let place = Place::new();
    place.run(&["webhook", "add", "chat", "https://ops.example.com/hook", "--disabled"]).succeeded();
    let present = place.json(&["webhook", "info", "chat"]);
    let seen: WebhookInfo = serde_json::from_value(present.clone()).unwrap();
    // Nobody can be made to be quicker just then, between two requests of one command: this is no real server.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut reading, _) = listener.accept().unwrap();
        assert!(reading.read(&mut [0; 4_096]).unwrap() > 0);
        answer_with(&mut reading, "200 OK", &present);
        let (mut writing, _) = listener.accept().unwrap();
        let (head, _) = request(&mut writing);
        let problem = json!({"code": "precondition_failed", "detail": "it has changed", "hint": "read it again"});
        answer_with(&mut writing, "412 Precondition Failed", &problem);
        header(&head, "if-match").to_owned()
    });
    let late = place.run(&["--server", &address, "webhook", "update", "chat", "--description", "mine"]);
    late.failed(7, &["error[conflict]", "changed by someone else in the meantime"]);
    assert_eq!(answering.join().unwrap(), format!("\"{}\"", seen.fingerprint()));
}

#[test]
fn events_are_followed_a_line_each_also_over_a_new_server() {
    let place = Place::new();
    let server = Running::serve(&place);
    place.run(&["plugin", "install", "pricing", "--yes"]).succeeded();
    let (follower, output) = Running::start(&place, &["events", "--follow", "--name", "plugin.*", "-o", "json"]);
    let (told, events) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let event: Json = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if told.send(event["name"].as_str().unwrap().to_owned()).is_err() {
                return;
            }
        }
    });
    // Until it follows, what happens is before its time.
    let deadline = Instant::now() + Duration::from_secs(30);
    while events.recv_timeout(Duration::from_millis(10)).is_err() {
        assert!(Instant::now() < deadline, "nothing is told");
        place.run(&["plugin", "reload", "pricing"]).succeeded();
    }
    server.kill_dead();
    let server = Running::serve(&place);
    place.run(&["plugin", "disable", "pricing"]).succeeded();
    loop {
        let name = events.recv_timeout(Duration::from_secs(40)).expect("it follows the new server");
        if name == "plugin.disabled" {
            break;
        }
        assert_eq!(name, "plugin.reloaded");
    }
    follower.kill_dead();
    server.kill_dead();
}
