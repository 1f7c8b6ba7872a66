//! Clients that leave before the change is made that they asked for.

use outrigger_api::{AuditInfo, AuditQuery, JobRequest, JsonObject};
use outrigger_testkit::components::{self, Step};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::places::{Place, Way, package, until};

/// Sends a request, and leaves when what it asks for is under way.
async fn leave(place: &Place, path: &str, body: &Value, under_way: impl AsyncFn() -> bool) {
    let address = place.address.as_deref().and_then(|address| address.strip_prefix("http://")).expect("a server");
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let (key, body) = (place.key.as_deref().expect("a key"), body.to_string());
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    until("it is under way", async || under_way().await.then_some(())).await;
}

/// Where the plugins stand.
async fn states(place: &Place) -> Vec<String> {
    let plugins = place.platform.plugin_list().await.expect("it lists");
    plugins.into_iter().map(|plugin| plugin.state).collect()
}

/// The entry of the one thing of this kind that was done.
async fn audited(place: &Place, action: &str) -> AuditInfo {
    let query = AuditQuery { action: Some(action.to_owned()), ..AuditQuery::default() };
    until("it is audited", async || place.platform.audit_list(&query).await.expect("it lists").pop()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_that_fails_is_undone_and_audited() {
    let place = Place::new(Way::Http).await;
    let component = components::managed(Step::Loops, 1);
    let path = package(place.folder.path(), "managed", "1.0.0", "[limits]\ntimeout = \"2s\"\n", &component);
    let body = json!({"source": {"path": path}});
    leave(&place, "/api/v1/plugins", &body, async || !states(&place).await.is_empty()).await;
    assert_eq!(states(&place).await, ["registered"]);
    let entry = audited(&place, "plugin_create").await;
    assert_eq!((entry.resource.as_str(), entry.actor.as_str()), ("managed", "key administrator"));
    assert!(entry.allowed && entry.code.is_some(), "{entry:?}");
    assert!(states(&place).await.is_empty(), "nothing of it is left");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_is_disabled_and_the_log_says_so() {
    let place = Place::new(Way::Http).await;
    let limits = "[limits]\ntimeout = \"5m\"\n";
    place.install(&place.package("alpha", "1.0.0", limits)).await.expect("it is installed");
    let arguments = JsonObject::parse("{\"nanoseconds\": 200000000000}".to_owned()).expect("an object");
    let request = JobRequest::new("alpha.sleep".parse().expect("a function"), arguments);
    let job = place.platform.job_create(request).await.expect("it is taken").id;
    until("it runs", async || {
        let state = place.platform.job_fetch(&job).await.expect("it is there").state;
        (state == "running").then_some(())
    })
    .await;
    // Calls that run are waited for.
    let disabled = async || states(&place).await == ["disabled"];
    leave(&place, "/api/v1/plugins/alpha/disable", &json!({}), disabled).await;
    let _ = place.platform.job_cancel(&job).await;
    let entry = audited(&place, "plugin_modify").await;
    assert_eq!((entry.resource.as_str(), entry.allowed, entry.code), ("alpha", true, None));
    assert_eq!(entry.after.expect("where it stands")["state"], "disabled");
    place.close().await;
}
