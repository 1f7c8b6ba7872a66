//! Misbehaving HTTP hosts: endless responses, slow responses, endless headers, invalid HTTP. Plugins and webhooks
//! connect to them; neither may exhaust the server's memory or block it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::measure::mib;
use crate::server::Server;
use crate::table::Table;
use crate::{Options, guests};

/// The behavior, chosen by the requested path.
const PATHS: [&str; 9] =
    ["/endless", "/headers", "/header", "/slow", "/silent", "/garbage", "/escapes", "/length", "/redirect"];

/// A misbehaving server on loopback. It ends with the runtime.
#[derive(Debug)]
pub struct BadHost {
    /// `127.0.0.1:port`
    pub address: String,
}

impl BadHost {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let own = address.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                // A client that disconnects is no failure.
                tokio::spawn(async move { drop(answer(stream, &own).await) });
            }
        });
        Ok(Self { address })
    }
}

async fn answer(mut stream: TcpStream, own: &str) -> std::io::Result<()> {
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    match path {
        "/endless" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'a'; 65_536]).await?;
            }
        }
        "/headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            for number in 0..1_000_000 {
                stream.write_all(format!("x-{number}: {}\r\n", "a".repeat(4_000)).as_bytes()).await?;
            }
        }
        "/header" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: ").await?;
            loop {
                stream.write_all(&[b'a'; 65_536]).await?;
            }
        }
        "/slow" => {
            for byte in b"HTTP/1.1 200 OK\r\nx-slow: ".iter().chain(std::iter::repeat(&b'a')) {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        "/silent" => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        "/garbage" => stream.write_all(&[0xff; 100_000]).await?,
        "/escapes" => {
            let text = format!("HTTP/1.1 500 {}\r\nx: 1\r\n\r\n", "\u{1b}[31mowned\u{1b}]0;x\u{7}".repeat(100));
            stream.write_all(text.as_bytes()).await?;
        }
        "/length" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nabc").await?;
        }
        // Redirects to itself, endlessly.
        _ => {
            let text = format!("HTTP/1.1 307 Again\r\nLocation: http://{own}/redirect\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
        }
    }
    Ok(())
}

pub async fn run(options: &Options, place: &Path, table: &mut Table) -> Result<()> {
    crate::alone::scenery(place, 1)?;
    let host = BadHost::start().await?;
    let mut server = Server::start(&options.program, &place.join("server"), &[])?;
    let administrator = server.administrator()?;
    let (resident, disk) = (server.resident()?, server.disk());
    server.reset_peak()?;
    let many = PATHS.iter().filter(|path| path.contains(&options.only)).map(|path| {
        let (administrator, address) = (administrator.clone(), host.address.clone());
        async move {
            let name = path.trim_start_matches('/');
            let webhook = json!({
                "name": name, "url": format!("http://{address}{path}"), "events": ["webhook.*", "plugin.*"],
                "allow_http": true, "allow_private_network": true,
            });
            let made = administrator.post("webhooks", &webhook).await?;
            let tested = administrator.post(&format!("webhooks/{name}/test"), &json!({})).await?;
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            // The list of deliveries shows the result of the first attempt.
            let attempt = loop {
                let list = administrator.get(&format!("webhooks/{name}/deliveries")).await?;
                let first = list.json()["items"][0].clone();
                let tried = first["attempts"].as_u64().is_some_and(|count| count > 0) || first["state"] == "delivered";
                if tried || std::time::Instant::now() > deadline || made.status != 201 {
                    break list;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            anyhow::Ok((name, made, tested, attempt))
        }
    });
    for outcome in join_all(many).await {
        let (name, made, tested, attempt) = outcome?;
        table.holds(
            format!("host {name}: the webhook is made"),
            "201",
            format!("{} {}", made.status, made.code()),
            made.status == 201,
        );
        table.at_most(format!("host {name}: what the test answers"), tested.body.len() as u64 / 1024, 16, "KiB");
        let text = String::from_utf8_lossy(&attempt.body).into_owned();
        let state = attempt.json()["items"][0]["state"].as_str().unwrap_or("none").to_owned();
        table.holds(
            format!("host {name}: the first attempt is made within 60 s"),
            "a state",
            state.clone(),
            state != "none" && !text.contains("\"attempts\":0"),
        );
        table.at_most(format!("host {name}: what is kept of it"), text.len() as u64 / 1024, 16, "KiB");
        let clean = !text.contains("\\u001b") && !text.contains('\u{1b}');
        table.holds(format!("host {name}: no control characters"), "none", if clean { "none" } else { "some" }, clean);
    }
    // The same hosts, requested by a plugin.
    for attack in guests::all(&guests::Scenery {
        crowd: &place.join("crowd"),
        scratch: &place.join("scratch"),
        host: &host.address,
    }) {
        let asks = ["http-endless", "http-headers", "http-slow"].contains(&attack.name.as_str());
        if asks && server.install(&attack)?.is_none() {
            let function = format!("{}.run", attack.name);
            let calls = (0..4).map(|_| administrator.call(&function, "{}".into(), Some(Duration::from_secs(3))));
            for answer in join_all(calls).await {
                let answer = answer?;
                table.holds(
                    format!("host {}: a plugin's call", attack.name),
                    "≤ 4 s, with a code",
                    format!("{:.1?} {}", answer.took, answer.code()),
                    answer.took < Duration::from_secs(4),
                );
            }
        }
    }
    server.alive()?;
    table.at_most("hosts: memory", mib(server.peak()?.saturating_sub(resident)), 160, "MiB");
    table.at_most("hosts: disk", mib(server.disk().saturating_sub(disk)), 16, "MiB");
    let clean = !server.log().contains("\u{1b}]0;");
    table.holds(
        "hosts: the server's log has no escape sequences of theirs",
        "none",
        if clean { "none" } else { "some" },
        clean,
    );
    Ok(())
}
