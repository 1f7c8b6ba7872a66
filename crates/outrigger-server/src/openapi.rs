//! The OpenAPI 3.1 document: a rendering of the list of routes and of the types that their handlers name.

mod addresses;
mod tags;

use std::collections::BTreeMap;

use http::Method;
use outrigger_api::Code;
use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::endpoint::api::{Api, Operation};
use crate::endpoint::problem::{self, Problem};
use crate::idempotency;
use addresses::Place;

const ABOUT: &str = "Outrigger runs plugins; this is all that can be asked of it over HTTP.\n\n\
    Send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. `x-right` names the right that an operation takes. \
    Over the server's unix socket no key is needed.\n\n\
    Every answer has the header `X-Correlation-Id`, under which logs and records have the request; a ULID that is sent \
    in it is used. Where the server exports traces, it goes on with the one that `traceparent` names. Errors are problem details (RFC 9457) with a stable `code` and a `hint`. Parameters and members that \
    are not known are refused. `HEAD` works wherever `GET` does.";

/// The whole document.
pub fn document(api: &mut Api) -> Value {
    let problem = api.generator.subschema_for::<Problem>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in &api.routes {
        let operation = &route.operation;
        for (number, path) in operation.addresses().enumerate() {
            let id = if number == 0 { operation.id.to_owned() } else { format!("{}_{}", operation.id, number + 1) };
            let method = operation.method.as_str().to_ascii_lowercase();
            let place = Place::of(path, operation, api);
            let definitions = api.generator.definitions();
            paths.entry(path).or_default().insert(method, described(operation, id, &place, definitions, &problem));
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Outrigger",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearerAuth": []}, {"apiKeyAuth": []}],
        "tags": tags::all(api),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearerAuth": {"type": "http", "scheme": "bearer"},
                "apiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "parameters": {
                "ContentDigest": content_digest(),
                "IdempotencyKey": idempotency_key(),
                "IfMatch": if_match(),
                "LastEventId": last_event_id(),
            },
            "headers": headers(),
            "schemas": api.generator.take_definitions(true),
        },
    });
    bound_integers(&mut document);
    document
}

fn described(
    operation: &Operation,
    id: String,
    place: &Place,
    definitions: &Map<String, Value>,
    problem: &Schema,
) -> Value {
    let mut parameters = parameters(&operation.path_schema, "path");
    parameters.iter_mut().for_each(|parameter| place.narrow(parameter, definitions));
    parameters.extend(parameters_of_query(operation));
    let mut described = json!({
        "operationId": id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(operation, place, problem),
    });
    if !operation.description.is_empty() {
        described["description"] = operation.description.into();
    }
    if let Some(schema) = &operation.body {
        let mut content = json!({"schema": schema});
        if let Some(example) = &operation.example {
            content["example"] = example.clone();
        }
        let content: Map<_, _> =
            operation.body_media.iter().map(|media| ((*media).to_owned(), content.clone())).collect();
        described["requestBody"] = json!({"required": true, "content": content});
    }
    if let Some(right) = operation.right {
        described["x-right"] = right.into();
    }
    if !operation.secured {
        described["security"] = json!([]);
    }
    described
}

fn parameters_of_query(operation: &Operation) -> Vec<Value> {
    let mut parameters = parameters(&operation.query_schema, "query");
    if operation.streamed {
        parameters.push(json!({"$ref": "#/components/parameters/ContentDigest"}));
    } else if operation.method == Method::POST {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    }
    if operation.resumes {
        parameters.push(json!({"$ref": "#/components/parameters/LastEventId"}));
    }
    if operation.if_match {
        parameters.push(json!({"$ref": "#/components/parameters/IfMatch"}));
    }
    parameters
}

/// The members of an object, as parameters.
fn parameters(schema: &Schema, place: &str) -> Vec<Value> {
    let members = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let required = schema.get("required").and_then(Value::as_array);
    members
        .map(|(name, schema)| {
            let mut schema = given(schema);
            let required = place == "path" || required.is_some_and(|names| names.iter().any(|known| known == name));
            let mut parameter = json!({"name": name, "in": place, "required": required});
            if let Some(description) = schema.as_object_mut().and_then(|schema| schema.shift_remove("description")) {
                parameter["description"] = description;
            }
            let examples = schema.as_object_mut().and_then(|schema| schema.shift_remove("examples"));
            if let Some(example) = examples.as_ref().and_then(|examples| examples.get(0)) {
                parameter["example"] = example.clone();
            }
            parameter["schema"] = schema;
            parameter
        })
        .collect()
}

/// The schema of a parameter that is there: one that is not there is left out, and never `null`.
fn given(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(object) = schema.as_object_mut() else { return schema };
    object.retain(|key, value| !(key == "default" && value.is_null()));
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [only] = &choices[..]
            && let Some(only) = only.as_object().cloned()
        {
            object.shift_remove("anyOf");
            object.extend(only);
        }
    }
    schema
}

fn responses(operation: &Operation, place: &Place, problem: &Schema) -> Value {
    let success = &operation.success;
    let mut headers = json!({"X-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}});
    if success.tagged {
        headers["ETag"] = json!({"$ref": "#/components/headers/ETag"});
    }
    if success.located {
        headers["Location"] = json!({"$ref": "#/components/headers/Location"});
    }
    let mut response = json!({
        "description": success.status.canonical_reason().unwrap_or("Success"),
        "headers": headers,
    });
    if let Some((media, schema)) = &success.content {
        let media = media.split(';').next().unwrap_or(media);
        response["content"] = json!({media: {"schema": schema}});
    }
    let mut responses = Map::new();
    if let Some(status) = success.otherwise {
        let mut response = response.clone();
        response["description"] = json!("Nothing was kept of it");
        if let Some(headers) = response["headers"].as_object_mut() {
            headers.shift_remove("Location");
        }
        responses.insert(status.as_str().to_owned(), response);
    }
    responses.insert(success.status.as_str().to_owned(), response);
    for (status, codes) in by_status(operation, place) {
        let mut headers = json!({"X-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}});
        for (name, component) in problem::headers(status) {
            headers[*name] = json!({"$ref": format!("#/components/headers/{component}")});
        }
        let named = codes.iter().map(|code| format!("`{code}`: {}", code.info().meaning));
        let response = json!({
            "description": named.collect::<Vec<_>>().join("\n\n"),
            "headers": headers,
            "content": {problem::MEDIA: {"schema": problem}},
        });
        responses.insert(status.to_string(), response);
    }
    Value::Object(responses)
}

fn by_status(operation: &Operation, place: &Place) -> BTreeMap<u16, Vec<Code>> {
    let mut codes = vec![Code::InvalidUsage, Code::Internal];
    if operation.secured {
        // Any request of a caller may find the store broken or on its way out, and any may be too many.
        codes.extend([
            Code::Unauthenticated,
            Code::Forbidden,
            Code::RateLimited,
            Code::Busy,
            Code::ShuttingDown,
            Code::StoreFailed,
            Code::Io,
            Code::DataDirectory,
        ]);
    } else if operation.id == "ready" {
        codes.extend([Code::ShuttingDown, Code::StoreFailed, Code::DataDirectory]);
    }
    if operation.path.contains('{') {
        codes.push(Code::NotFound);
    }
    if place.refused {
        codes.push(Code::MethodNotAllowed);
    }
    if operation.body.is_some() {
        codes.extend([Code::TooLarge, Code::UnsupportedMediaType, Code::InvalidInput, Code::RequestTimeout]);
    }
    if operation.method == Method::POST {
        codes.extend([Code::Conflict, Code::RequestInterrupted]);
    }
    if operation.if_match {
        codes.push(Code::PreconditionFailed);
    }
    codes.extend_from_slice(&operation.codes);
    let mut grouped: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let group = grouped.entry(problem::status(code).as_u16()).or_default();
        if !group.contains(&code) {
            group.push(code);
        }
    }
    grouped
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "Unique for each request, and reused only to repeat it: the request then runs once, and the \
         first response is returned again for 24 hours, with `Idempotency-Replayed: true`. If the server died before \
         it answered, or the first response was not kept, the request is not run again: the response is \
         `request_interrupted`, unless nothing was started.",
        "schema": {"type": "string", "pattern": idempotency::PATTERN, "minLength": 1, "maxLength": 255},
    })
}

fn last_event_id() -> Value {
    json!({
        "name": "Last-Event-ID",
        "in": "header",
        "required": false,
        "description": "The id of the last received event: the stream continues after it.",
        "schema": {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"},
    })
}

fn content_digest() -> Value {
    json!({
        "name": "Content-Digest",
        "in": "header",
        "required": false,
        "description": "The SHA-256 of the body (RFC 9530). If another arrives, the request is refused.",
        "example": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        "schema": {"type": "string"},
    })
}

fn if_match() -> Value {
    json!({
        "name": "If-Match",
        "in": "header",
        "required": false,
        "description": "The ETag of the object as it was read, with its quotes, or `*`. If the object was changed \
         since, the request is refused.",
        "example": "*",
        "schema": {"type": "string"},
    })
}

fn headers() -> Value {
    json!({
        "Allow": {
            "description": "The methods that this address is for.",
            "required": true,
            "schema": {"type": "string"},
        },
        "Challenge": {
            "description": "How to authenticate.",
            "required": true,
            "schema": {"type": "string", "const": "Bearer"},
        },
        "CorrelationId": {
            "description": "The id under which logs and records have the request, a ULID.",
            "required": true,
            "schema": {"type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{26}$"},
        },
        "ETag": {
            "description": "The version of the object, to send as `If-Match`.",
            "required": true,
            "schema": {"type": "string"},
        },
        "Location": {
            "description": "The path of the new object.",
            "required": true,
            "schema": {"type": "string"},
        },
        "RetryAfter": {
            "description": "When to try again, in seconds, where that is known.",
            "required": false,
            "schema": {"type": "integer", "minimum": 0},
        },
    })
}

/// Adds limits to integers, because not all clients know their `format`.
fn bound_integers(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let highest = match object.get("format").and_then(Value::as_str) {
                Some("uint8") => Some(u64::from(u8::MAX)),
                Some("uint16") => Some(u64::from(u16::MAX)),
                Some("uint32") => Some(u64::from(u32::MAX)),
                Some("uint64" | "uint") => Some(u64::MAX),
                _ => None,
            };
            if let Some(highest) = highest
                && !object.contains_key("maximum")
            {
                object.insert("maximum".to_owned(), highest.into());
            }
            object.values_mut().for_each(bound_integers);
        }
        Value::Array(items) => items.iter_mut().for_each(bound_integers),
        _ => {}
    }
}
