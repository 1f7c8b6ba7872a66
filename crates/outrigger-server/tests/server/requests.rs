//! Single requests: bodies, problems, queries, what is taken and what is not.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use crate::client::{Call, Server};

const EXECUTE: &str = "/api/v1/plugins/pricing/execute";

#[tokio::test]
async fn a_call_is_made_with_its_arguments_as_they_were_written() {
    let server = Server::start().await;
    let body =
        json!({"function": "echo", "args": {"big": 18_446_744_073_709_551_615_u64, "text": "ö"}, "timeout_ms": 50});
    for (path, body) in [
        (EXECUTE, body.clone()),
        ("/api/v1/functions/pricing.echo/call?timeout_ms=50&no_cache=true", body["args"].clone()),
        ("/api/plugins/pricing.echo/execute", json!({"input_data": body["args"]})),
    ] {
        let answer = server.post(path, body.clone()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let response = answer.json();
        assert_eq!(response["result"], json!({"big": 18_446_744_073_709_551_615_u64, "text": "ö"}), "{path}");
        assert_eq!(response["correlation"], answer.header("x-correlation-id"));
    }
    let several = json!({"calls": [
        {"function": "pricing.echo", "args": {"a": 1}}, {"function": "pricing.fail"}, {"function": "other.x"}
    ]});
    let report = server.post("/api/v1/batch", several).await.json();
    assert_eq!((&report["succeeded"], &report["failed"]), (&json!(1), &json!(2)));
    assert_eq!(report["results"][0]["answer"]["result"], json!({"a": 1}));
    assert_eq!(report["results"][1]["error"]["code"], "function_failed");
    assert_eq!(report["results"][2]["error"]["code"], "plugin_not_found");
}

#[tokio::test]
async fn s12_the_results_of_a_batch_are_bounded_together() {
    let check = async |server: &Server, text: String, reason: &str| {
        let call = |text: &str| json!({"function": "pricing.echo", "args": {"text": text}});
        let calls = [call("short"), call(&text), call("short")];
        let report = server.post("/api/v1/batch", json!({"calls": calls, "parallel": 1})).await.json();
        assert_eq!((&report["succeeded"], &report["failed"]), (&json!(1), &json!(2)));
        assert_eq!(report["results"][0]["answer"]["result"], json!({"text": "short"}));
        for (place, outcome) in [(1, "`pricing.echo` was executed, but"), (2, "`pricing.echo` was not called")] {
            let error = &report["results"][place]["error"];
            assert_eq!(error["code"], "output_limit");
            let detail = error["detail"].as_str().unwrap();
            assert!(detail.starts_with(outcome) && detail.contains(reason), "{detail}");
        }
        assert_eq!(server.door.calls.load(Ordering::SeqCst), 2, "the third call is not made");
    };
    // The limit is for what is sent: each of these characters becomes six.
    check(&Server::start().await, "\u{7f}".repeat(3 << 20), "one batch are limited to 16 MiB").await;
    let limited = Server::with(|options| options.answers_per_key = 1 << 20).await;
    check(&limited, "x".repeat(2 << 20), "bytes of answers in flight").await;
}

#[tokio::test]
async fn s12_a_result_is_counted_before_it_is_rendered() {
    let server = Server::with(|options| options.answers_per_key = 1 << 20).await;
    let call = Call::new(Method::POST, "/api/v1/functions/pricing.echo/call").json(&json!({"a": "x".repeat(2 << 20)}));
    // It can never fit, so the client is not told to try again.
    let problem = server.send(call.clone()).await;
    assert_eq!(problem.header("retry-after"), "");
    problem.problem(507, "output_limit");
    let once = call.header("idempotency-key", "one");
    for _ in 0..2 {
        // A client that is told to try again would repeat the call.
        let problem = server.send(once.clone()).await;
        assert_eq!((problem.status.as_u16(), &problem.json()["code"]), (507, &json!("output_limit")));
    }
    assert_eq!(server.door.calls.load(Ordering::SeqCst), 2, "with and without a key");
}

#[tokio::test]
async fn the_health_of_plugins_is_listed_by_status() {
    let server = Server::start().await;
    let names = async |query: &str| {
        let page = server.get(&format!("/api/v1/health{query}")).await.json();
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["plugin"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["billing", "pricing"]);
    assert_eq!(names("?status=unhealthy").await, ["billing"]);
    assert_eq!(names("?limit=1&offset=1").await, ["pricing"]);
    server.get("/api/v1/health?status=fine").await.problem(400, "invalid_usage");
}

#[tokio::test]
async fn a_callback_is_for_the_kind_of_hook_that_it_names() {
    let server = Server::start().await;
    let subscribe = async |kind: Option<&str>| {
        let mut body = json!({"hook_name": "customer.created", "callback_method": "echo"});
        if let Some(kind) = kind {
            body["hook_type"] = json!(kind);
        }
        server.post("/api/v1/plugins/pricing/hooks", body).await
    };
    // The hook that is there is an action.
    for right in [Some("action"), None] {
        let answer = subscribe(right).await;
        assert_eq!(answer.status, 201, "{right:?}: {answer:?}");
    }
    for wrong in ["filter", "event"] {
        let problem = subscribe(Some(wrong)).await.problem(409, "conflict");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("customer.created") && detail.contains("hook_type"), "{wrong}: {problem}");
    }
    subscribe(Some("nonsense")).await.problem(422, "invalid_input");
}

#[tokio::test]
async fn a_correlation_id_is_taken_if_it_is_one() {
    let server = Server::start().await;
    let ask = |id: &'static str| server.send(Call::new(Method::GET, "/api/v1/identity").header("x-correlation-id", id));
    assert_eq!(ask("01ARZ3NDEKTSV4RRFFQ69G5FAV").await.header("x-correlation-id"), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let other = ask("mine").await;
    assert_eq!(other.header("x-correlation-id").len(), 26);
}

#[tokio::test]
async fn long_bodies_are_refused_whether_announced_or_not() {
    let server = Server::with(|options| options.body_limit = 1000).await;
    let send = |length: usize| {
        let body = format!("{{\"function\": \"echo\", \"args\": {{\"a\": \"{}\"}}}}", "x".repeat(length));
        server.send(Call::new(Method::POST, EXECUTE).header("content-type", "application/json").body(body))
    };
    assert_eq!(send(900).await.status, 200);
    let problem = send(1000).await.problem(413, "too_large");
    assert!(problem["detail"].as_str().unwrap().contains("longer than 1KB"));
    // In chunks, so that nothing says beforehand how long it is; and within the limit, that chunks are put together.
    for (times, status) in [(3, "HTTP/1.1 200"), (30, "HTTP/1.1 413")] {
        let answer = chunked(&server, times).await;
        assert!(answer.starts_with(status), "{answer}");
    }
}

async fn chunked(server: &Server, times: usize) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST {EXECUTE} HTTP/1.1\r\nhost: x\r\nx-api-key: administrator\r\ncontent-type: application/json\r\n\
         connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let pieces = std::iter::once("{\"function\": \"echo\", \"args\": {\"a\": \"".to_owned())
        .chain(std::iter::repeat_n("x".repeat(64), times))
        .chain(["\"}}".to_owned(), String::new()]);
    for piece in pieces {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        // A server that has heard enough hangs up; what it said before is read all the same.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn problems_carry_what_the_error_has() {
    let server = Server::start().await;
    let call = |function: &'static str| server.post(EXECUTE, json!({"function": function}));
    assert_eq!(call("fail").await.problem(422, "function_failed")["detail_value"], json!(["no", "price"]));
    let faulty = call("faulty").await.problem(422, "invalid_input");
    assert_eq!(faulty["faults"], json!([{"path": "a", "message": "no"}]));
    let limited = call("limited").await;
    assert_eq!(limited.problem(429, "rate_limited")["retry_after_ms"], 1500);
    assert_eq!(limited.header("retry-after"), "2");
    call("cancelled").await.problem(503, "cancelled");
    call("panics").await.problem(500, "internal");
    call("missing").await.problem(404, "function_not_found");
    server.get("/api/v1/nothing").await.problem(404, "not_found");
    server.get("/").await.problem(404, "not_found");
    server.get("/api/v1/plugins/NotAName").await.problem(404, "not_found");
    let problem = server.get("/api/v1/functions/nodot").await.problem(404, "not_found");
    assert!(problem["detail"].as_str().unwrap().starts_with("`nodot` does not name a function"), "{problem}");
}

#[tokio::test]
async fn queries_are_read_strictly() {
    let server = Server::start().await;
    for query in
        ["limit=0", "limit=1001", "limit=x", "limit=", "offset=-1", "sort=colour", "sort=", "q=a&q=b", "unknown=1"]
    {
        server.get(&format!("/api/v1/plugins?{query}")).await.problem(400, "invalid_usage");
    }
    for query in ["all=yes", "plugin=No", "plugin="] {
        server.get(&format!("/api/v1/functions?{query}")).await.problem(400, "invalid_usage");
    }
    for query in ["since=yesterday", "limit=1001", "function=a%20b", "plugin=A"] {
        server.get(&format!("/api/v1/runs?{query}")).await.problem(400, "invalid_usage");
    }
    let good =
        "/api/v1/logs?plugin=pricing&level=warn&since=2026-01-02T03:04:05Z&until=2026-01-02T03:04:05%2B02:00&limit=5";
    assert_eq!(server.get(good).await.status, 200);
    server.get("/api/v1/logs?correlation=mine").await.problem(400, "invalid_usage");
    server.get("/api/v1/audit?correlation=8ZZZZZZZZZZZZZZZZZZZZZZZZZ").await.problem(400, "invalid_usage");
    server.get("/api/v1/logs?level=loud").await.problem(400, "invalid_usage");
    let audit = "/api/v1/audit?actor=local&allowed=false&before=18446744073709551615&limit=1000";
    assert_eq!(server.get(audit).await.status, 200);
    server.get("/api/v1/audit?limit=1001").await.problem(400, "invalid_usage");
}

#[tokio::test]
async fn every_list_refuses_a_limit_above_its_maximum() {
    const JOB: &str = "01JD0000000000000000000000";
    let server = Server::start().await;
    let logs = format!("jobs/{JOB}/logs");
    for list in [
        "audit",
        "events/log",
        "functions",
        "health",
        "hooks/traces",
        "jobs",
        logs.as_str(),
        "logs",
        "plugins",
        "plugins/templates",
        "runs",
        "webhooks/orders/deliveries",
    ] {
        let problem = server.get(&format!("/api/v1/{list}?limit=1001")).await.problem(400, "invalid_usage");
        assert!(problem["detail"].as_str().unwrap().contains("1000"), "{list}: {problem}");
    }
}

#[tokio::test]
async fn usage_is_of_a_span_and_told_apart_by_what_is_asked() {
    let server = Server::start().await;
    let span = "since=2026-11-01T00:00:00Z&until=2026-11-02T00:00:00Z";
    let report = server.get(&format!("/api/v1/usage?{span}&by=outcome,day,day&limit=10000")).await.json();
    assert_eq!((&report["by"], &report["since"]), (&json!(["day", "outcome"]), &json!("2026-11-01T00:00:00Z")));
    assert_eq!((&report["groups"][0]["calls"], &report["truncated"]), (&json!(3), &json!(false)));
    assert_eq!(server.get("/api/v1/usage").await.json()["by"], json!(["function"]));
    for wrong in ["by=month", "by=", "by=hour,", "by=hour&by=day", "limit=10001", "since=yesterday", "plugin=A"] {
        server.get(&format!("/api/v1/usage?{wrong}")).await.problem(400, "invalid_usage");
    }
    let problem = server.get("/api/v1/usage?by=month").await.problem(400, "invalid_usage");
    assert!(problem["detail"].as_str().unwrap().contains("`outcome`"), "it says which words there are: {problem}");
    let backwards = "since=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z";
    for wrong in [backwards, "since=2026-01-01T00:00:00Z&until=2026-11-01T00:00:00Z", "since=9999-12-31T00:00:00Z"] {
        server.get(&format!("/api/v1/usage?{wrong}")).await.problem(422, "invalid_input");
    }
}

#[tokio::test]
async fn plugins_are_filtered_sorted_and_listed_in_pages() {
    let server = Server::start().await;
    let names = async |query: &str| {
        let page = server.get(&format!("/api/v1/plugins{query}")).await.json();
        let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
        (Value::from(names), page["total"].clone())
    };
    assert_eq!(names("").await, (json!(["billing", "host-tuning", "pricing"]), json!(3)));
    assert_eq!(names("/?q=IN&sort=-name").await, (json!(["pricing", "host-tuning", "billing"]), json!(3)));
    assert_eq!(names("?q=PRIC").await, (json!(["pricing"]), json!(1)));
    assert_eq!(names("?offset=1&limit=1").await, (json!(["host-tuning"]), json!(3)));
    assert_eq!(names("?sort=-updated_at&limit=1").await, (json!(["host-tuning"]), json!(3)));
    assert_eq!(names("?state=failed").await, (json!([]), json!(0)));
    assert_eq!(names("?category=billing&state=active&offset=9").await, (json!([]), json!(3)));
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let server = Server::start().await;
    let get = server.get("/api/v1/plugins/pricing").await;
    let head = server.send(Call::new(Method::HEAD, "/api/v1/plugins/pricing")).await;
    assert_eq!((head.status, head.body.len()), (get.status, 0));
    assert_eq!(head.header("etag"), get.header("etag"));
    assert_eq!(head.header("content-length"), get.body.len().to_string());
    assert_eq!(server.send(Call::bare(Method::HEAD, "/api/v1/plugins")).await.status, 401);
}

#[tokio::test]
async fn sources_are_a_path_or_a_name() {
    let server = Server::start().await;
    let install = |source: Value| server.post("/api/v1/plugins/install", json!({"source": source}));
    let made = install(json!({"name": "pricing", "version": "^1"})).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, "/api/v1/plugins/pricing"));
    assert_eq!(install(json!({"name": "pricing"})).await.status, 201);
    install(json!({"path": "/nowhere"})).await.problem(404, "not_found");
    let digest = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(install(json!({"package": digest})).await.status, 201);
    for source in [
        json!({}),
        json!({"package": "ab"}),
        json!({"path": "/a", "package": digest}),
        json!({"path": "/a", "name": "b"}),
        json!({"version": "1"}),
        json!(["/a"]),
        json!(["pricing", "^1"]),
        json!("/a"),
        json!(null),
    ] {
        let problem = install(source).await.problem(422, "invalid_input");
        assert!(problem["detail"].as_str().unwrap().contains("a source is"), "{problem}");
    }
}

#[tokio::test]
async fn several_plugins_are_dealt_with_at_once() {
    let server = Server::start().await;
    let body = json!({"action": "disable", "plugins": ["pricing", "missing"]});
    let report = server.post("/api/v1/plugins/bulk", body).await.json();
    assert_eq!((&report["succeeded"], &report["failed"]), (&json!(1), &json!(1)));
    assert_eq!(report["outcomes"][0], json!({"plugin": "pricing", "ok": true}));
    assert_eq!(report["outcomes"][1]["error"]["code"], "plugin_not_found");
    let state = server.get("/api/v1/plugins/pricing").await.json()["state"].clone();
    assert_eq!(state, "disabled");
    let none = server.post("/api/v1/plugins/bulk", json!({"action": "disable", "plugins": []})).await;
    none.problem(422, "invalid_input");
    let many = json!({"action": "warm", "plugins": vec!["pricing"; 101]});
    server.post("/api/v1/plugins/bulk", many).await.problem(422, "invalid_input");
}

#[tokio::test]
async fn the_earlier_names_take_plugins_and_functions() {
    let server = Server::start().await;
    let listed = server.get("/api/plugins/list").await.json();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["function"].clone()).collect();
    assert_eq!(names, ["pricing.currencies", "pricing.echo", "pricing.slow"]);
    assert_eq!(server.get("/api/plugins/pricing").await.json()["version"], "1.2.0");
    assert_eq!(server.get("/api/plugins/pricing.echo").await.json()["function"], "pricing.echo");
    let metrics = server.get("/api/plugins/pricing.slow/metrics").await.json();
    assert_eq!((&metrics["total"]["calls"], metrics["functions"].as_array().unwrap().len()), (&json!(4), 1));
    assert_eq!(server.get("/api/plugins/pricing/metrics").await.json()["total"]["calls"], 7);
    let ambiguous = server.post("/api/plugins/pricing/execute", json!({"input_data": {}})).await;
    let problem = ambiguous.problem(404, "function_not_found");
    assert!(problem["hint"].as_str().unwrap().contains("pricing.FUNCTION"), "{problem}");
}

#[tokio::test]
async fn readiness_is_what_the_door_says() {
    let server = Server::start().await;
    let ask = |path: &'static str| server.send(Call::bare(Method::GET, path));
    assert_eq!(ask("/readyz").await.status, 200);
    let stopping = outrigger_api::ApiError::new(outrigger_api::Code::ShuttingDown, "it is stopping");
    *server.door.ready.lock() = Err(stopping);
    ask("/readyz").await.problem(503, "shutting_down");
    assert_eq!(ask("/healthz").await.json(), json!({"status": "ok"}));
}
