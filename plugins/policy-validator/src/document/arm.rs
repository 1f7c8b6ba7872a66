//! Templates of the Azure Resource Manager: resources in a list or (language version 2) by name, children within their
//! parents, templates within deployments.

use serde_json::Value;

use super::{Resource, escape, provider_of};
use crate::node::{Dialect, Node};

const DEPLOYMENT: &str = "Microsoft.Resources/deployments";

pub fn resources(root: &Value) -> Vec<Resource<'_>> {
    let dialect = Dialect::Arm { parameters: root.get("parameters"), variables: root.get("variables") };
    let mut found = Vec::new();
    template(root, "", dialect, &mut found);
    found
}

fn template<'a>(template: &'a Value, pointer: &str, dialect: Dialect<'a>, found: &mut Vec<Resource<'a>>) {
    if let Some(resources) = template.get("resources") {
        collect(resources, &format!("{pointer}/resources"), "", dialect, found);
    }
}

fn collect<'a>(resources: &'a Value, pointer: &str, parent: &str, dialect: Dialect<'a>, found: &mut Vec<Resource<'a>>) {
    match resources {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                resource(item, None, &format!("{pointer}/{index}"), parent, dialect, found);
            }
        }
        Value::Object(members) => {
            for (name, item) in members {
                resource(item, Some(name), &format!("{pointer}/{}", escape(name)), parent, dialect, found);
            }
        }
        _ => {}
    }
}

fn resource<'a>(
    resource: &'a Value,
    symbol: Option<&str>,
    pointer: &str,
    parent: &str,
    dialect: Dialect<'a>,
    found: &mut Vec<Resource<'a>>,
) {
    // What exists already is not deployed.
    if resource.get("existing") == Some(&Value::Bool(true)) {
        return;
    }
    let Some(kind) = resource.get("type").and_then(Value::as_str) else { return };
    // A child within its parent has a type that goes on from the parent's.
    let kind = if parent.is_empty() || kind.contains('.') { kind.to_owned() } else { format!("{parent}/{kind}") };
    let body = Node::new(resource, pointer.to_owned(), dialect, None);
    let name = body.get("name").text().or(symbol).or_else(|| resource.get("name").and_then(Value::as_str));
    found.push(Resource {
        provider: provider_of(&kind),
        name: name.unwrap_or(&kind).to_owned(),
        kind: kind.clone().into(),
        body,
        links: Vec::new(),
    });
    if let Some(children) = resource.get("resources") {
        collect(children, &format!("{pointer}/resources"), &kind, dialect, found);
    }
    if kind.eq_ignore_ascii_case(DEPLOYMENT)
        && let Some(inner) = resource.pointer("/properties/template")
    {
        let scope = resource.pointer("/properties/expressionEvaluationOptions/scope").and_then(Value::as_str);
        let dialect = match scope {
            // What its parameters are is decided by the deployment around it.
            Some(scope) if scope.eq_ignore_ascii_case("inner") => {
                Dialect::Arm { parameters: None, variables: inner.get("variables") }
            }
            _ => dialect,
        };
        template(inner, &format!("{pointer}/properties/template"), dialect, found);
    }
}
