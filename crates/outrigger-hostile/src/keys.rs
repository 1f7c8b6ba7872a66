//! Keys with few rights, wrong keys, and no keys: request floods, endless bodies, foreign paths and addresses. The
//! server's memory and disk must stay within bounds, and the records of honest keys must be complete.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use futures::future::join_all;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::guests::honest;
use crate::measure::mib;
use crate::server::Server;
use crate::table::Table;
use crate::{Options, say};

pub async fn run(options: &Options, place: &Path, table: &mut Table) -> Result<()> {
    let mut server = Server::start(&options.program, &place.join("server"), &[])?;
    let folder = server.package("honest", "1.0.0", &honest::component(), honest::MANIFEST)?;
    server.install_folder(&folder)?;
    let honest = server.client("honest", &["developer"], None).await?;
    for _ in 0..20 {
        honest.call("honest.nothing", "{}".into(), None).await?;
    }
    let stranger = server.client("stranger", &["viewer"], Some(&["function_view:nothing.*"])).await?;
    let seconds = Duration::from_secs(if options.full { 30 } else { 3 });
    let connections = if options.full { 150 } else { 60 };

    let measure = Measure::begin(&server)?;
    bodies(&server, &stranger.key, "functions/honest.nothing/call", connections).await?;
    measure.end("bodies of a key without rights", 48, 4, table)?;
    let measure = Measure::begin(&server)?;
    bodies(&server, &honest.key, "functions/honest.nothing/call", connections).await?;
    measure.end("bodies of a key with rights", 160, 4, table)?;
    let measure = Measure::begin(&server)?;
    bodies(&server, "outrigger_wrong", "functions/honest.nothing/call", connections).await?;
    measure.end("bodies of a wrong key", 48, 4, table)?;
    server.alive()?;

    let measure = Measure::begin(&server)?;
    let before = sequence(&server).await?;
    let asked = flood(&stranger, seconds).await?;
    let entries = sequence(&server).await? - before;
    table.at_most(format!("keys: audit entries of {asked} refused requests"), entries, 1_000, "entries");
    measure.end("refused requests", 64, 24, table)?;

    let measure = Measure::begin(&server)?;
    let log = server.log().len() as u64;
    let wrong = Client::new(&server.address, "outrigger_this_is_no_key")?;
    let asked = flood(&wrong, seconds).await?;
    let said = server.log();
    let grown = said.len() as u64 - log;
    // The first one of a minute is logged at once.
    table.holds(
        format!("keys: the log says something of {asked} wrong keys"),
        "at most 64 KiB",
        format!("{grown} B"),
        said.contains("refused wrong keys") && grown <= 64 << 10,
    );
    table.holds("keys: no key is in the log", "none", "", !said.contains("this_is_no_key"));
    measure.end("wrong keys", 48, 8, table)?;

    let measure = Measure::begin(&server)?;
    not_read(&server, &honest.key, connections).await?;
    measure.end("answers and events that are not read", 160, 8, table)?;

    let measure = Measure::begin(&server)?;
    jobs(&honest, seconds).await?;
    measure.end("jobs and idempotency keys", 96, 64, table)?;

    paths(&server, &honest, table).await?;
    networks(&server, table).await?;
    malformed(&server, &honest, table).await?;
    templates(&server, table).await?;
    server.alive()?;

    let usage = server.administrator()?.fetch("usage?plugin=honest&function=nothing&caller=key%20honest").await?;
    let outcomes = usage["groups"][0]["calls"].as_u64().unwrap_or_default();
    table.at_least("keys: the honest key's runs are all there", outcomes, 20, "runs");
    Ok(())
}

/// Measures memory and disk from now on.
struct Measure<'a> {
    server: &'a Server,
    resident: u64,
    disk: u64,
}

impl<'a> Measure<'a> {
    fn begin(server: &'a Server) -> Result<Self> {
        server.reset_peak()?;
        Ok(Self { server, resident: server.resident()?, disk: server.disk() })
    }

    fn end(self, what: &str, memory: u64, disk: u64, table: &mut Table) -> Result<()> {
        let grown = self.server.peak()?.saturating_sub(self.resident);
        table.at_most(format!("keys: {what}: memory"), mib(grown), memory, "MiB");
        table.at_most(format!("keys: {what}: disk"), mib(self.server.disk().saturating_sub(self.disk)), disk, "MiB");
        Ok(())
    }
}

/// Sends 8 MiB minus one byte on many connections, and keeps them open.
async fn bodies(server: &Server, key: &str, path: &str, connections: usize) -> Result<()> {
    let address = server.address.trim_start_matches("http://");
    let length = 8 << 20;
    let head = format!(
        "POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{{\"x\":\""
    );
    let sent = (0..connections).map(|_| async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        let body = vec![b'a'; 64 << 10];
        let mut left = length - 7;
        while left > 0 {
            let piece = left.min(body.len());
            // A server that refused it stops reading.
            match tokio::time::timeout(Duration::from_secs(2), stream.write_all(&body[..piece])).await {
                Ok(Ok(())) => left -= piece,
                _ => break,
            }
        }
        anyhow::Ok(stream)
    });
    let held: Vec<_> = join_all(sent).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    say(&format!("{} of {connections} connections were opened", held.iter().flatten().count()));
    Ok(())
}

/// Requests every resource, as fast as the requests are refused.
async fn flood(client: &Client, lasts: Duration) -> Result<u64> {
    let asks: [(&str, &str, Option<Json>); 8] = [
        ("POST", "functions/honest.nothing/call", Some(json!({}))),
        ("GET", "audit", None),
        ("POST", "keys", Some(json!({"name": "mine", "roles": ["admin"]}))),
        ("DELETE", "plugins/honest", None),
        (
            "POST",
            "batch",
            Some(
                json!({"calls": (0..256).map(|_| json!({"function": "honest.nothing", "args": {}})).collect::<Vec<_>>()}),
            ),
        ),
        ("PUT", "roles/admin", Some(json!({"allow": ["*"]}))),
        ("POST", "hooks/honest.counted/fire", Some(json!({}))),
        ("GET", "plugins/honest-of-any-name/config", None),
    ];
    let deadline = Instant::now() + lasts;
    let tasks = (0..8_u64).map(|number| {
        let asks = &asks;
        async move {
            let mut count = 0_u64;
            while Instant::now() < deadline {
                let (method, path, body) = &asks[(number + count) as usize % asks.len()];
                // A different name each time, so that nothing can be grouped by it.
                let path = path.replace("of-any-name", &format!("{number}-{count}"));
                let body = body.as_ref().map(|body| Bytes::from(body.to_string()));
                client.send(method, &path, body).await?;
                count += 1;
            }
            anyhow::Ok(count)
        }
    });
    let mut asked = 0;
    for count in join_all(tasks).await {
        asked += count?;
    }
    Ok(asked)
}

/// The newest audit record.
async fn sequence(server: &Server) -> Result<u64> {
    let page = server.administrator()?.fetch("audit?limit=1").await?;
    Ok(page["items"][0]["sequence"].as_u64().unwrap_or_default())
}

/// Requests long responses and event streams, and reads nothing.
async fn not_read(server: &Server, key: &str, connections: usize) -> Result<()> {
    let address = server.address.trim_start_matches("http://");
    let asks = ["openapi.json", "runs?limit=1000", "events", "functions?all=true&limit=1000"];
    let mut held = Vec::new();
    for number in 0..connections {
        let mut stream = TcpStream::connect(address).await?;
        let path = asks[number % asks.len()];
        // Many pipelined requests on one connection, without reading responses.
        let request =
            format!("GET /api/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n").repeat(50);
        // The server may stop reading at some point.
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.write_all(request.as_bytes())).await;
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(())
}

/// Creates jobs as fast as possible, each with its own idempotency key and 100 KB of arguments.
async fn jobs(client: &Client, lasts: Duration) -> Result<()> {
    let http = reqwest::Client::new();
    let body = json!({"function": "honest.note", "args": {"text": "a".repeat(100_000)}}).to_string();
    let deadline = Instant::now() + lasts;
    let mut codes = std::collections::BTreeMap::new();
    let mut number = 0;
    while Instant::now() < deadline {
        number += 1;
        let request = http.post(format!("{}/api/v1/jobs", client.address)).bearer_auth(&client.key);
        let request =
            request.header("Idempotency-Key", format!("key-{number}")).header("Content-Type", "application/json");
        let answer = request.body(body.clone()).send().await?;
        *codes.entry(answer.status().as_u16()).or_insert(0) += 1;
    }
    say(&format!("jobs: {codes:?}"));
    Ok(())
}

/// Network clients cannot find out whether a path exists on the server.
async fn paths(server: &Server, developer: &Client, table: &mut Table) -> Result<()> {
    let data = server.data().display().to_string();
    for path in ["plugins/inspect", "plugins/install", "plugins"] {
        let mut answers = Vec::new();
        for asked in
            ["/etc/passwd", "/etc/shadow", "/there/is/no/such/folder", "/proc/self/environ", "/", "/dev/zero", &data]
        {
            let answer = developer.post(path, &json!({"source": {"path": asked}})).await?;
            let text = String::from_utf8_lossy(&answer.body).replace(&format!("`{asked}`"), "`PATH`");
            // The correlation id differs each time.
            let mut told: Json = serde_json::from_str(&text).unwrap_or_default();
            for field in ["correlation", "correlation_id", "instance"] {
                if let Some(told) = told.as_object_mut() {
                    told.remove(field);
                }
            }
            answers.push((answer.status, told.to_string()));
        }
        let first = answers[0].clone();
        let same = answers.iter().all(|answer| *answer == first);
        table.holds(
            format!("keys: {path} tells nothing of paths"),
            "the same 403 for all",
            format!("{} {}", first.0, if same { "for all" } else { "for the first, others differ" }),
            same && first.0 == 403,
        );
    }
    Ok(())
}

/// An operator adds webhooks to addresses of private networks.
async fn networks(server: &Server, table: &mut Table) -> Result<()> {
    let operator = server.client("operator", &["operator"], None).await?;
    for (number, url) in [
        "http://127.0.0.1:1/",
        "http://[::1]:1/",
        "http://169.254.169.254/latest",
        "http://10.0.0.1/",
        "http://localhost:1/",
    ]
    .into_iter()
    .enumerate()
    {
        let webhook =
            json!({"name": format!("inside-{number}"), "url": url, "allow_http": true, "allow_private_network": true});
        let made = operator.post("webhooks", &webhook).await?;
        table.holds(format!("keys: an operator's webhook to {url}"), "refused", made.code(), made.status >= 400);
    }
    Ok(())
}

/// Malformed requests: each gets an error code quickly.
async fn malformed(server: &Server, client: &Client, table: &mut Table) -> Result<()> {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let wide = format!("{{{}}}", (0..400_000).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(","));
    let number = format!("{{\"x\":1{}}}", "0".repeat(4 << 20));
    for (name, body) in [("deep", deep), ("wide", wide), ("number", number), ("nul", "\0".repeat(1 << 20))] {
        let measure = Measure::begin(server)?;
        let answers = join_all((0..4).map(|_| client.call("honest.nothing", body.clone().into(), None))).await;
        for answer in answers {
            let answer = answer?;
            let right = ((400..500).contains(&answer.status) || answer.code() == "host_memory_limit")
                && answer.body.len() < 64 << 10
                && answer.code() != "no code";
            table.holds(
                format!("keys: malformed body, {name}"),
                "an error with a code, ≤ 64 KiB, ≤ 5 s",
                format!("{} {} {} B {:.1?}", answer.status, answer.code(), answer.body.len(), answer.took),
                right && answer.took < Duration::from_secs(5),
            );
        }
        measure.end(&format!("malformed body, {name}"), 256, 4, table)?;
    }
    let mut stream = TcpStream::connect(server.address.trim_start_matches("http://")).await?;
    let measure = Measure::begin(server)?;
    let _ = stream.write_all(b"GET / HTTP/1.1\r\n").await;
    for _ in 0..2_000 {
        if stream.write_all(format!("x-header: {}\r\n", "a".repeat(10_000)).as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
    measure.end("headers without end", 32, 2, table)
}

/// Templates that take long to render, checked when they are made and when they are used.
async fn templates(server: &Server, table: &mut Table) -> Result<()> {
    let administrator = server.administrator()?;
    let filters = |count: usize| format!("{{{{ title{} }}}}", "|json".repeat(count));
    let texts = [
        ("filters", filters(30)),
        ("hidden", format!("{{% if author == 'x' %}}{}{{% endif %}}", filters(30))),
        ("many", filters(6).repeat(2_000)),
        ("nested", format!("{}{}", "{% if title %}".repeat(5_000), "{% endif %}".repeat(5_000))),
        ("brackets", format!("{{{{ {}title{} }}}}", "(".repeat(50_000), ")".repeat(50_000))),
        ("sum", format!("{{{{ title{} }}}}", " ~ title".repeat(20_000))),
        ("times", format!("{{{{ title{} }}}}", "|upper|pascal|snake|kebab".repeat(2_000))),
        ("power", format!("{{{{ 9{} }}}}", "**9".repeat(1_000))),
        ("list", format!("{{{{ [{}] }}}}", "title,".repeat(40_000))),
    ];
    for (name, text) in texts {
        let measure = Measure::begin(server)?;
        let template = json!({
            "name": format!("hostile-{name}"), "description": "Hostile", "runtime": "wasm", "language": "rust",
            "files": {"a.txt": text},
        });
        let made = administrator.post("plugins/templates", &template).await?;
        let title = "\\".repeat(2_000);
        let used = administrator
            .post(
                &format!("plugins/templates/hostile-{name}/render"),
                &json!({"name": "x", "title": title, "author": "x"}),
            )
            .await?;
        let took = made.took.max(used.took);
        let coded = [made.code(), used.code()]
            .iter()
            .all(|code| !["no code", "no answer", "internal"].contains(&code.as_str()));
        let right = coded && took < Duration::from_secs(3);
        table.holds(
            format!("keys: template {name}"),
            "≤ 3 s, with codes",
            format!("{} {} {took:.1?}", made.code(), used.code()),
            right,
        );
        measure.end(&format!("template {name}"), 96, 4, table)?;
    }
    Ok(())
}
