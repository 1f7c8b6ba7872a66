//! Changes: values in whole and in parts, revisions, and ETags, with which only what was seen is changed.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Call, Server};

const CONFIG: &str = "/api/v1/plugins/pricing/config";

#[tokio::test]
async fn a_plugin_that_has_changed_is_not_updated_unseen() {
    let server = Server::start().await;
    let path = "/api/v1/plugins/pricing";
    let put =
        |etag: String, body: Value| server.send(Call::new(Method::PUT, path).header("if-match", &etag).json(&body));
    let body = json!({"source": {"path": "/srv/pricing"}});
    let seen = server.get(path).await.header("etag").to_owned();
    assert_eq!(put(seen.clone(), body.clone()).await.status, 200);
    assert_eq!(server.post(&format!("{path}/disable"), json!(null)).await.status, 200);
    put(seen.clone(), body.clone()).await.problem(412, "precondition_failed");
    assert_eq!(put(format!("\"other\", {}", server.get(path).await.header("etag")), body.clone()).await.status, 200);
    assert_eq!(put("*".to_owned(), body.clone()).await.status, 200);
    put("unquoted".to_owned(), body.clone()).await.problem(400, "invalid_usage");
    assert_eq!(server.send(Call::new(Method::PUT, path).json(&body)).await.status, 200);
    // Of a conflict that is none of the ETag's, the ETag is not blamed.
    server.door.busy.store(true, std::sync::atomic::Ordering::SeqCst);
    put(server.get(path).await.header("etag").to_owned(), body.clone()).await.problem(409, "conflict");
    let other = server.send(Call::new(Method::PUT, "/api/v1/plugins/billing").json(&body)).await;
    other.problem(404, "plugin_not_found");
}

#[tokio::test]
async fn a_configuration_is_changed_whole_or_in_parts() {
    let server = Server::start().await;
    let values = async || server.get(CONFIG).await.json()["values"].clone();
    let put = |path: String, etag: &'static str, body: Value| {
        server.send(Call::new(Method::PUT, &path).header("if-match", etag).json(&body))
    };
    let first = server.get(CONFIG).await;
    assert_eq!((first.header("etag"), &first.json()["revision"]), ("\"0\"", &json!(0)));
    let made = server.post(CONFIG, json!({"key": "currency", "value": "EUR"})).await;
    assert_eq!((made.status.as_u16(), made.json()), (201, json!({"plugin": "pricing", "revision": 1})));
    server.post(CONFIG, json!({"key": "currency", "value": "USD"})).await.problem(409, "already_exists");
    put(CONFIG.to_owned(), "\"0\"", json!({"vat": 19})).await.problem(412, "precondition_failed");
    assert_eq!(values().await, json!({"currency": "EUR"}));
    let whole = put(CONFIG.to_owned(), "\"1\"", json!({"vat": 19})).await;
    assert_eq!((whole.status.as_u16(), whole.header("etag")), (200, "\"2\""));
    assert_eq!(values().await, json!({"vat": 19}));
    let one = format!("{CONFIG}/currency");
    put(one.clone(), "\"1\"", json!({"value": null})).await.problem(412, "precondition_failed");
    assert_eq!(put(one.clone(), "\"2\"", json!({"value": null})).await.header("etag"), "\"3\"");
    assert_eq!(values().await, json!({"vat": 19, "currency": null}));
    let delete = |path: &str, etag: &str| server.send(Call::new(Method::DELETE, path).header("if-match", etag));
    delete(&one, "\"2\"").await.problem(412, "precondition_failed");
    assert_eq!(delete(&one, "\"3\"").await.status, 204);
    delete(&one, "*").await.problem(404, "not_found");
    put(one, "\"4\"", json!({})).await.problem(422, "invalid_input");
    assert_eq!(values().await, json!({"vat": 19}));
}

#[tokio::test]
async fn values_set_at_the_same_time_are_all_kept() {
    let server = Server::start().await;
    let names: Vec<String> = (0..4).map(|number| format!("value{number}")).collect();
    let set = names.iter().map(|name| server.post(CONFIG, json!({"key": name, "value": 1})));
    for answer in futures::future::join_all(set).await {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let values = server.get(CONFIG).await.json()["values"].clone();
    assert_eq!(values.as_object().unwrap().len(), names.len());
}

#[tokio::test]
async fn revisions_are_listed_compared_and_gone_back_to() {
    let server = Server::start().await;
    let at = "/api/v1/plugins/pricing/config";
    let listed = server.send(Call::new(Method::GET, &format!("{at}-revisions"))).await.json();
    assert_eq!(listed["items"][0]["revision"], 1);
    assert_eq!(server.send(Call::new(Method::GET, &format!("{at}-revisions/1"))).await.json(), listed["items"][0]);
    assert_eq!(server.send(Call::new(Method::GET, &format!("{at}-revisions/9"))).await.status, 404);
    assert_eq!(server.send(Call::new(Method::GET, &format!("{at}-revisions/x"))).await.status, 404);
    let diff = server.send(Call::new(Method::GET, &format!("{at}-diff?from=1&to=3"))).await.json();
    assert_eq!(diff, json!({"plugin": "pricing", "from": 1, "to": 3, "differences": []}));
    let back = server.post(&format!("{at}-rollback"), json!({"revision": 1})).await;
    assert_eq!(back.json(), json!({"plugin": "pricing", "revision": 1}));
    assert_eq!(back.header("etag"), "\"1\"");
    assert_eq!(server.post(&format!("{at}-rollback"), json!({"revision": 9})).await.status, 404);
    assert_eq!(server.send(Call::new(Method::POST, "/api/v1/secrets/rotate")).await.json()["key"], "key");
}

#[tokio::test]
async fn values_are_changed_together_and_whatever_they_are_called() {
    let server = Server::start().await;
    let patch =
        |etag: &str, body: Value| server.send(Call::new(Method::PATCH, CONFIG).header("if-match", etag).json(&body));
    let answer = patch("*", json!({"set": {"a": 1, "b": 2}, "create": {"c": 3}})).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"1\""));
    patch("*", json!({"create": {"c": 4}})).await.problem(409, "already_exists");
    patch("*", json!({"unset": ["d"]})).await.problem(404, "not_found");
    patch("\"0\"", json!({"set": {"a": 5}})).await.problem(412, "precondition_failed");
    patch("\"7\", \"1\"", json!({"set": {"a": 6}, "unset": ["b"]})).await.json();
    assert_eq!(server.get(CONFIG).await.json()["values"], json!({"a": 6, "c": 3}));
    patch("*", json!({"sett": {}})).await.problem(422, "invalid_input");
    // Each name below `config` is that of a value.
    for name in ["revisions", "diff", "rollback", "a%2Fb", "%C3%A4"] {
        let path = format!("{CONFIG}/{name}");
        assert_eq!(server.send(Call::new(Method::PUT, &path).json(&json!({"value": 1}))).await.status, 200, "{name}");
        assert_eq!(server.send(Call::new(Method::DELETE, &path)).await.status, 204, "{name}");
    }
}

#[tokio::test]
async fn templates_are_filtered_and_changed_only_as_they_were_seen() {
    let server = Server::start().await;
    let names = async |query: &str| {
        let page = server.get(&format!("/api/v1/plugins/templates{query}")).await.json();
        let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
        (Value::from(names), page["total"].clone())
    };
    assert_eq!(names("").await, (json!(["rust", "team"]), json!(2)));
    assert_eq!(names("?language=python").await, (json!(["team"]), json!(1)));
    assert_eq!(names("?built_in=true&runtime=wasm").await, (json!(["rust"]), json!(1)));
    assert_eq!(names("?q=TEA&sort=-updated_at").await, (json!(["team"]), json!(1)));
    assert_eq!(names("?sort=-name&limit=1").await, (json!(["team"]), json!(2)));
    let path = "/api/v1/plugins/templates/rust";
    let template = |name: &str| {
        let files = json!({"plugin.toml": "name = \"{{ name }}\""});
        json!({"name": name, "description": "d", "runtime": "wasm", "language": "rust", "files": files})
    };
    let put = |etag: &'static str, name: &str| {
        server.send(Call::new(Method::PUT, path).header("if-match", etag).json(&template(name)))
    };
    assert_eq!(server.get(path).await.header("etag"), "\"3\"");
    put("\"2\"", "rust").await.problem(412, "precondition_failed");
    assert_eq!(put("\"3\"", "rust").await.header("etag"), "\"4\"");
    put("\"3\"", "rust").await.problem(412, "precondition_failed");
    assert_eq!(put("*", "rust").await.status, 200);
    put("*", "other").await.problem(422, "invalid_input");
    let mut wrong = template("team");
    wrong["files"] = json!({"../x": "y"});
    let problem = server.post("/api/v1/plugins/templates", wrong).await.problem(422, "invalid_input");
    assert!(problem["detail"].as_str().unwrap().contains("`..`"), "{problem}");
    let made = server.post("/api/v1/plugins/templates", template("team")).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (201, "/api/v1/plugins/templates/team"));
    server.get("/api/v1/plugins/templates/none").await.problem(404, "not_found");
    server.get("/api/v1/plugins/templates/NO").await.problem(404, "not_found");
}

#[tokio::test]
async fn roles_webhooks_and_schedules_are_changed_only_as_they_were_seen() {
    let quicker = |server: &Server| server.door.raced.store(true, std::sync::atomic::Ordering::SeqCst);
    let role = |text: &str| json!({"description": text, "allow": ["plugin_view"]});
    let webhook = |text: &str| json!({"url": "https://ops.example.com/", "description": text});
    let schedule = |text: &str| json!({"cron": text, "job": {"function": "pricing.echo"}});
    for (at, name, first, second, makes) in [
        ("/api/v1/roles", "deployer", role("first"), role("second"), true),
        ("/api/v1/webhooks", "ops-chat", webhook("first"), webhook("second"), false),
        ("/api/v1/schedules", "nightly", schedule("0 1 * * *"), schedule("0 2 * * *"), true),
    ] {
        let server = Server::start().await;
        let path = format!("{at}/{name}");
        let put = |path: &str, etag: &str, body: &Value| {
            server.send(Call::new(Method::PUT, path).header("if-match", etag).json(body))
        };
        let seen = server.get(&path).await.header("etag").to_owned();
        put(&path, "\"other\"", &first).await.problem(412, "precondition_failed");
        put(&path, "unquoted", &first).await.problem(400, "invalid_usage");
        assert_eq!(server.get(&path).await.header("etag"), seen, "{path}");
        let changed = put(&path, &format!("\"other\", {seen}"), &first).await;
        assert_eq!(changed.status, 200, "{path}: {changed:?}");
        let present = server.get(&path).await;
        assert_eq!((present.header("etag"), present.json()), (changed.header("etag"), changed.json()), "{path}");
        assert_ne!(changed.header("etag"), seen, "{path}");
        put(&path, &seen, &second).await.problem(412, "precondition_failed");
        assert_eq!(server.get(&path).await.json(), changed.json(), "{path}: nothing is overwritten");
        assert_eq!(put(&path, "*", &second).await.status, 200, "{path}");
        assert_eq!(server.send(Call::new(Method::PUT, &path).json(&first)).await.status, 200, "{path}");
        // A missing object was not seen, and is not created.
        let other = format!("{at}/other");
        for etag in ["*", seen.as_str()] {
            let refused = put(&other, etag, &first).await;
            match makes {
                true => refused.problem(412, "precondition_failed"),
                false => refused.problem(404, "not_found"),
            };
        }
        let missing = server.get(&other).await.problem(404, "not_found");
        // What only this face can ask for is explained in its own words.
        assert!(!makes || missing["hint"].as_str().unwrap().contains(&format!("`GET {at}`")), "{missing}");
        // Another client changes it between the read and the change.
        let seen = server.get(&path).await.header("etag").to_owned();
        quicker(&server);
        put(&path, &seen, &second).await.problem(412, "precondition_failed");
    }
    // Of a conflict that is none of the ETag's, the ETag is not blamed.
    let server = Server::start().await;
    let path = "/api/v1/roles/admin";
    let seen = server.get(path).await.header("etag").to_owned();
    let built_in = Call::new(Method::PUT, path).header("if-match", &seen).json(&role("mine"));
    server.send(built_in).await.problem(409, "conflict");
}
