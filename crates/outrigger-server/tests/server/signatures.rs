//! Signatures, as they stand in answers.

use serde_json::json;

use crate::client::Server;

#[tokio::test]
async fn the_signature_of_a_plugin_is_told() {
    let server = Server::start().await;
    let answer = server.get("/api/v1/plugins/pricing/signature").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!((&told["plugin"], &told["version"]), (&json!("pricing"), &json!("1.2.0")));
    let signature = &told["signature"];
    assert_eq!((&signature["state"], &signature["accepted"]), (&json!("valid"), &json!(true)));
    assert_eq!(signature["signer"], "platform-team");
    assert!(signature.get("detail").is_none(), "{signature}");
    server.get("/api/v1/plugins/other/signature").await.problem(404, "plugin_not_found");
    let source = json!({"source": {"name": "pricing"}});
    for path in ["/api/v1/plugins/inspect", "/api/v1/plugins/install"] {
        assert_eq!(server.post(path, source.clone()).await.json()["signature"], *signature, "{path}");
    }
}
