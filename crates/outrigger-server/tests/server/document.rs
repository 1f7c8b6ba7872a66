//! Tests made from the OpenAPI document: whatever is added to it is tested with the rest.

use std::collections::BTreeSet;

use http::Method;
use outrigger_server::openapi;
use serde_json::{Map, Value, json};

use crate::client::{Call, Server};
use crate::platform::NOBODY;

/// One operation of the document, with an address made of its examples.
pub struct Operation {
    pub method: Method,
    pub path: String,
    template: String,
    pub described: Value,
}

impl Operation {
    pub fn public(&self) -> bool {
        self.described["security"] == json!([])
    }

    fn call(&self) -> Call {
        self.with_body(Call::bare(self.method.clone(), &self.path))
    }

    fn with_body(&self, call: Call) -> Call {
        let content = &self.described["requestBody"]["content"];
        match (&content["application/json"], &content["application/zip"]) {
            (Value::Null, Value::Null) => call,
            (Value::Null, _) => call.header("content-type", "application/zip").body("PK"),
            (content, _) => call.json(&content["example"]),
        }
    }
}

pub fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            let mut path = template.clone();
            for parameter in described["parameters"].as_array().unwrap() {
                if parameter["in"] == "path" {
                    let name = parameter["name"].as_str().unwrap();
                    path = path.replace(&format!("{{{name}}}"), &example(document, name, parameter));
                }
            }
            assert!(!path.contains('{'), "{path} has a parameter that is not described");
            let method = method.to_uppercase().parse().unwrap();
            operations.push(Operation { method, path, template: template.clone(), described: described.clone() });
        }
    }
    operations
}

/// The example of a parameter, or else of its schema, as it stands in an address.
fn example(document: &Value, name: &str, parameter: &Value) -> String {
    let of_schema = &resolved(document, &parameter["schema"])["examples"][0];
    match parameter.get("example").unwrap_or(of_schema) {
        Value::String(text) => text.clone(),
        Value::Null => panic!("{name} has no example"),
        other => other.to_string(),
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// A schema of the document on its own, with all that it refers to.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut whole: Map<String, Value> = schema.as_object().cloned().unwrap_or_default();
    whole.insert("components".to_owned(), document["components"].clone());
    jsonschema::draft202012::options().should_validate_formats(true).build(&Value::Object(whole)).unwrap()
}

#[test]
fn the_document_is_consistent() {
    let document = openapi();
    for tag in document["tags"].as_array().unwrap() {
        assert!(tag["description"].is_string(), "{tag} needs a line in openapi/tags.rs");
    }
    let mut ids = BTreeSet::new();
    for Operation { method, template, described, .. } in operations(&document) {
        let about = format!("{method} {template}");
        let id = described["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} is there twice");
        assert!(!described["summary"].as_str().unwrap().is_empty(), "{about} says not what it is");
        assert!(!described["tags"][0].as_str().unwrap().is_empty(), "{about} has no tag");
        let public = described["security"] == json!([]);
        let any_key = id == "identity";
        assert_eq!(described["x-right"].is_string(), !public && !any_key, "{about}: a right, or none is needed");
        assert_eq!(described["responses"].get("401").is_some(), !public, "{about}");
        for parameter in described["parameters"].as_array().unwrap() {
            assert!(parameter["$ref"].is_string() || parameter["description"].is_string(), "{about}: {parameter}");
        }
        let Some(body) = described["requestBody"]["content"].get("application/json") else { continue };
        let example = body.get("example").unwrap_or_else(|| panic!("{about} has no example"));
        if let Err(error) = validator(&document, &body["schema"]).validate(example) {
            panic!("{about}: {error} in {example}");
        }
        for status in ["400", "413", "415", "422"] {
            assert!(described["responses"].get(status).is_some(), "{about} has a body and no {status}");
        }
    }
}

#[test]
fn the_addresses_that_were_promised_are_there() {
    let document = openapi();
    let promised = "POST /api/v1/plugins/
        GET /api/v1/plugins/
        GET /api/v1/plugins/{plugin_id}
        PUT /api/v1/plugins/{plugin_id}
        DELETE /api/v1/plugins/{plugin_id}
        POST /api/v1/plugins/install
        POST /api/v1/plugins/{plugin_id}/enable
        POST /api/v1/plugins/{plugin_id}/disable
        POST /api/v1/plugins/{plugin_id}/reload
        POST /api/v1/plugins/{plugin_id}/execute
        GET /api/v1/plugins/{plugin_id}/health
        GET /api/v1/plugins/{plugin_id}/config
        POST /api/v1/plugins/{plugin_id}/config
        PUT /api/v1/plugins/{plugin_id}/config/{config_id}
        DELETE /api/v1/plugins/{plugin_id}/config/{config_id}
        GET /api/v1/plugins/{plugin_id}/hooks
        POST /api/v1/plugins/{plugin_id}/hooks
        GET /api/v1/plugins/stats
        GET /api/v1/plugins/logs
        GET /api/v1/plugins/registry
        GET /api/v1/plugins/templates
        POST /api/v1/plugins/templates
        POST /api/v1/plugins/bulk
        GET /api/plugins/list
        GET /api/plugins/{name}
        POST /api/plugins/{name}/execute
        GET /api/plugins/{name}/metrics
        POST /api/plugins/{name}/reload
        GET /api/v1/openapi.json
        GET /api/v1/docs
        GET /healthz
        GET /readyz
        GET /metrics";
    for line in promised.lines() {
        let (method, path) = line.trim().split_once(' ').unwrap();
        assert!(document["paths"][path][method.to_lowercase()].is_object(), "{line}");
    }
}

#[test]
fn bodies_take_no_members_that_are_not_known() {
    let document = openapi();
    // The arguments of a function, and the values of a configuration, are for the plugin to say.
    let free = ["function_call", "configuration_put"];
    for Operation { described, .. } in operations(&document) {
        let id = described["operationId"].as_str().unwrap();
        let Some(body) = described["requestBody"]["content"].get("application/json") else { continue };
        let mut example = body["example"].clone();
        example["surprise"] = json!(1);
        let valid = validator(&document, &body["schema"]).is_valid(&example);
        assert_eq!(valid, free.contains(&id), "{id}");
    }
}

#[test]
fn references_lead_somewhere_and_every_schema_is_named() {
    fn walk(document: &Value, value: &Value, met: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                    met.insert(reference.clone());
                }
                object.values().for_each(|value| walk(document, value, met));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(document, value, met)),
            _ => {}
        }
    }
    let document = openapi();
    let mut met = BTreeSet::new();
    walk(&document, &document, &mut met);
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(met.contains(&format!("#/components/schemas/{name}")), "{name} is used nowhere");
    }
}

#[tokio::test]
async fn no_route_serves_without_a_key_that_is_right() {
    let server = Server::start().await;
    for operation in operations(&openapi()) {
        let about = format!("{} {}", operation.method, operation.path);
        if operation.public() {
            assert_eq!(server.send(operation.call()).await.status, 200, "{about}");
            continue;
        }
        for call in [
            operation.call(),
            operation.call().header("authorization", "Bearer wrong"),
            operation.call().header("authorization", "Basic YWRtaW5pc3RyYXRvcjo="),
            operation.call().header("x-api-key", "wrong"),
            // A body that is wrong tells nobody anything before they are let in.
            Call::bare(operation.method.clone(), &operation.path).body("nonsense"),
        ] {
            let answer = server.send(call).await;
            assert_eq!(answer.status, 401, "{about}: {answer:?}");
            answer.problem(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{about}");
        }
        if operation.described["x-right"].is_string() {
            let answer = server.send(operation.call().header("x-api-key", NOBODY)).await;
            assert_eq!(answer.status, 403, "{about}: {answer:?}");
            answer.problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn whoever_may_is_answered_as_the_document_says() {
    let document = openapi();
    for operation in operations(&document) {
        let about = format!("{} {}", operation.method, operation.path);
        // A server of its own: some operations stand in the way of others.
        let server = Server::start().await;
        if operation.described["operationId"] == "configuration_delete" {
            server.send(Call::new(Method::PUT, &operation.path).json(&json!({"value": 1}))).await;
        }
        let answer = server.send(operation.with_body(Call::new(operation.method.clone(), &operation.path))).await;
        assert!(answer.status.is_success(), "{about}: {answer:?}");
        let response = &operation.described["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{about} answered with {}, of which its document knows nothing", answer.status);
        for name in response["headers"].as_object().unwrap().keys() {
            assert!(answer.headers.contains_key(name.as_str()), "{about} has no {name}");
        }
        match response["content"].as_object().and_then(|content| content.iter().next()) {
            None => assert!(answer.body.is_empty(), "{about}"),
            Some((media, _)) if media.starts_with("text/") => {
                assert!(answer.header("content-type").starts_with(media.as_str()), "{about}");
            }
            Some((media, content)) => {
                assert_eq!(answer.header("content-type"), media, "{about}");
                if let Err(error) = validator(&document, &content["schema"]).validate(&answer.json()) {
                    panic!("{about}: {error} at {} in {}", error.instance_path(), answer.json());
                }
            }
        }
    }
}

#[tokio::test]
async fn methods_that_are_not_described_are_refused() {
    let server = Server::start().await;
    let document = openapi();
    let methods =
        [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE];
    for operation in operations(&document) {
        let known = document["paths"][&operation.template].as_object().unwrap();
        for method in &methods {
            if known.contains_key(&method.as_str().to_lowercase()) {
                continue;
            }
            let answer = server.send(Call::bare(method.clone(), &operation.path)).await;
            answer.problem(405, "method_not_allowed");
            let allowed: BTreeSet<String> = answer.header("allow").split(',').map(str::to_lowercase).collect();
            assert!(known.keys().all(|known| allowed.contains(known)), "{}: {allowed:?}", operation.path);
        }
    }
}

#[tokio::test]
async fn unknown_parameters_are_refused_everywhere() {
    let server = Server::start().await;
    for operation in operations(&openapi()) {
        let path = format!("{}?surprise=1", operation.path);
        let call = operation.with_body(Call::new(operation.method.clone(), &path));
        let problem = server.send(call).await.problem(400, "invalid_usage");
        assert!(problem["detail"].as_str().unwrap().contains("surprise"), "{path}: {problem}");
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = Server::start().await;
    let answer = server.send(Call::bare(Method::GET, "/api/v1/docs")).await;
    let policy = answer.header("content-security-policy").to_owned();
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert_eq!(page.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "one script and one style");
    assert!(!page.contains("{{") && !page.contains("https:") && !page.contains("innerHTML"));
    let again = server.send(Call::bare(Method::GET, "/api/v1/docs")).await;
    assert_ne!(again.header("content-security-policy"), policy);
    let served = server.send(Call::bare(Method::GET, "/api/v1/openapi.json")).await;
    assert_eq!(served.json(), openapi());
}
