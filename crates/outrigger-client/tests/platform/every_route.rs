//! Every route of the OpenAPI document, held to the right that the document says it takes. Whatever is added to it is
//! tested with the rest.

use std::collections::{BTreeMap, BTreeSet};

use outrigger_api::{AuditQuery, Code, KeyRequest, RoleRequest};
use serde_json::{Value, json};

use crate::places::{Place, Way, from_json};

/// One operation of the document.
struct Operation {
    method: reqwest::Method,
    id: String,
    /// An address made of the examples.
    path: String,
    right: String,
    body: Value,
}

/// The operations that take a right.
fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (template, methods) in document["paths"].as_object().expect("paths") {
        for (method, described) in methods.as_object().expect("methods") {
            let Some(right) = described["x-right"].as_str() else { continue };
            let mut path = template.clone();
            for parameter in described["parameters"].as_array().expect("parameters") {
                if parameter["in"] == "path" {
                    let name = parameter["name"].as_str().expect("a name");
                    path = path.replace(&format!("{{{name}}}"), &example(document, parameter));
                }
            }
            let id = described["operationId"].as_str().expect("an id").to_owned();
            if id == "earlier_info" {
                // Of a function it takes another right, as its description says.
                path = "/api/plugins/pricing".to_owned();
            }
            let method = method.to_uppercase().parse().expect("a method");
            let body = described["requestBody"]["content"].clone();
            operations.push(Operation { method, id, path, right: right.to_owned(), body });
        }
    }
    operations
}

/// The example of a parameter, or else of its schema, as it stands in an address.
fn example(document: &Value, parameter: &Value) -> String {
    let schema = match parameter["schema"]["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("it leads somewhere"),
        None => &parameter["schema"],
    };
    match parameter.get("example").unwrap_or(&schema["examples"][0]) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// For each right that is named, a key with every right but that one.
async fn keys(place: &Place, rights: BTreeSet<String>) -> BTreeMap<String, String> {
    let matrix = place.platform.access_matrix().await.expect("it shows");
    let all: Vec<String> = matrix.rows.into_iter().map(|row| row.right).collect();
    let mut keys = BTreeMap::new();
    for right in rights {
        assert!(all.contains(&right), "there is no right `{right}`");
        let name = format!("without-{}", right.replace('_', "-"));
        let allow = all.iter().filter(|of| **of != right).cloned().collect();
        let role = RoleRequest { description: String::new(), allow, deny: Vec::new() };
        place.platform.role_put(&name, role, None).await.expect("it is made");
        let request = KeyRequest { name: name.clone(), roles: vec![name], scope: None, expires_in_s: None };
        keys.insert(right, place.platform.key_create(request).await.expect("it is made").key);
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_who_lacks_its_right_and_writes_it_down() {
    let place = Place::new(Way::Http).await;
    let address = place.address.as_deref().expect("there is a server");
    // What some routes look at before they know what right is wanted.
    place.install(&place.package("pricing", "1.0.0", "")).await.expect("it is installed");
    let hook = json!({"name": "customer.created", "kind": "action", "description": ""});
    place.platform.hook_create(from_json(hook)).await.expect("it is added");
    let operations = operations(&outrigger_server::openapi());
    let keys = keys(&place, operations.iter().map(|operation| operation.right.clone()).collect()).await;
    let client = reqwest::Client::new();
    let mut wrong = Vec::new();
    for Operation { method, id, path, right, body } in &operations {
        let request = client.request(method.clone(), format!("{address}{path}"));
        let request = request.header("x-api-key", &keys[right]);
        let request = match (&body["application/json"], &body["application/zip"]) {
            (Value::Null, Value::Null) => request,
            (Value::Null, _) => request.header("content-type", "application/zip").body("PK"),
            (content, _) => request.header("content-type", "application/json").body(content["example"].to_string()),
        };
        let answer = request.send().await.expect("it answers");
        let correlation = answer.headers()["x-correlation-id"].to_str().expect("an id").to_owned();
        let (status, text) = (answer.status().as_u16(), answer.text().await.expect("it answers to its end"));
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        if (status, problem["code"].as_str()) != (403, Some(Code::Forbidden.as_str())) {
            wrong.push(format!("{id}, {method} {path}: {status} {text}"));
            continue;
        }
        let query = AuditQuery { correlation: Some(correlation), allowed: Some(false), ..AuditQuery::default() };
        let denied = place.platform.audit_list(&query).await.expect("it lists");
        let actions: Vec<_> = denied.iter().map(|entry| entry.action.as_str()).collect();
        if actions.is_empty() || actions.iter().any(|action| action != right) {
            wrong.push(format!("{id}, {method} {path}: the audit log has {actions:?} instead of {right}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), operations.len(), wrong.join("\n"));
    place.close().await;
}
