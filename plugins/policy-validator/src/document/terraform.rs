//! What `terraform show -json` says: the resources as planned (or as they are, for a state), what of them is not known
//! before the plan is applied, and which resource refers to which.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use super::{Resource, provider_of};
use crate::node::{Dialect, Node};

pub fn resources(root: &Value) -> Vec<Resource<'_>> {
    let (key, values) = match root.get("planned_values") {
        Some(values) => ("planned_values", values),
        None => match root.get("values") {
            Some(values) => ("values", values),
            None => return Vec::new(),
        },
    };
    let mut walk = Walk { unknown: unknown(root), references: HashMap::new(), resources: Vec::new() };
    if let Some(module) = root.get("configuration").and_then(|configuration| configuration.get("root_module")) {
        collect_references(module, "", &mut walk.references);
    }
    if let Some(module) = values.get("root_module") {
        walk.module(module, &format!("/{key}/root_module"));
    }
    walk.resources
}

struct Walk<'a> {
    /// By address.
    unknown: HashMap<&'a str, &'a Value>,
    /// By address without indexes.
    references: HashMap<String, Vec<String>>,
    resources: Vec<Resource<'a>>,
}

impl<'a> Walk<'a> {
    fn module(&mut self, module: &'a Value, pointer: &str) {
        for (index, resource) in list(module, "resources").iter().enumerate() {
            self.resource(resource, &format!("{pointer}/resources/{index}"));
        }
        for (index, child) in list(module, "child_modules").iter().enumerate() {
            self.module(child, &format!("{pointer}/child_modules/{index}"));
        }
    }

    fn resource(&mut self, resource: &'a Value, pointer: &str) {
        // What is read and not managed is nobody's plan.
        if text(resource, "mode") == Some("data") {
            return;
        }
        let (Some(kind), Some(values)) = (text(resource, "type"), resource.get("values")) else { return };
        let address = text(resource, "address").unwrap_or(kind);
        let unknown = self.unknown.get(address).copied();
        self.resources.push(Resource {
            provider: provider_of(kind),
            kind: kind.into(),
            name: address.to_owned(),
            body: Node::new(values, format!("{pointer}/values"), Dialect::Plain, unknown),
            links: self.references.get(&without_indexes(address)).cloned().unwrap_or_default(),
        });
    }
}

fn unknown(root: &Value) -> HashMap<&str, &Value> {
    let changes = list(root, "resource_changes").iter();
    changes.filter_map(|change| Some((text(change, "address")?, change.get("change")?.get("after_unknown")?))).collect()
}

/// What the `bucket` of each resource in the configuration refers to, as addresses from the root module.
fn collect_references(module: &Value, prefix: &str, references: &mut HashMap<String, Vec<String>>) {
    for resource in list(module, "resources") {
        let Some(address) = text(resource, "address") else { continue };
        let referred = resource.pointer("/expressions/bucket/references").and_then(Value::as_array);
        let targets = referred.into_iter().flatten().filter_map(Value::as_str);
        let targets = targets.map(|target| {
            // `aws_s3_bucket.logs.id` comes with `aws_s3_bucket.logs`, or does not, by the version of Terraform.
            let target = without_indexes(target);
            let parts: Vec<&str> = target.splitn(3, '.').take(2).collect();
            format!("{prefix}{}", parts.join("."))
        });
        references.insert(format!("{prefix}{address}"), targets.collect());
    }
    let calls = module.get("module_calls").and_then(Value::as_object);
    for (name, call) in calls.into_iter().flatten() {
        if let Some(child) = call.get("module") {
            collect_references(child, &format!("{prefix}module.{name}."), references);
        }
    }
}

/// `module.a["x"].b.c[0]` is `module.a.b.c`.
pub fn without_indexes(address: &str) -> String {
    let mut depth = 0_usize;
    let outside = |character: &char| match character {
        '[' => {
            depth += 1;
            false
        }
        ']' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => depth == 0,
    };
    address.chars().filter(outside).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// The resources that say a part of a bucket, found by what they say about which bucket that is.
#[derive(Default)]
pub struct Attachments<'a> {
    by_name: HashMap<(&'a str, &'a str), Vec<usize>>,
    /// With whether they also say a name.
    by_address: HashMap<(&'a str, String), Vec<(usize, bool)>>,
    /// Those of which it cannot be told, by type.
    undecided: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Attachments<'a> {
    pub fn of(resources: &[Resource<'a>]) -> Attachments<'a> {
        let mut attachments = Attachments::default();
        for (index, resource) in resources.iter().enumerate() {
            let Cow::Borrowed(kind) = resource.kind else { continue };
            if !kind.starts_with("aws_s3_bucket_") {
                continue;
            }
            let bucket = resource.body.get("bucket");
            if let Some(name) = bucket.text() {
                attachments.by_name.entry((kind, name)).or_default().push(index);
            }
            for address in &resource.links {
                let found = attachments.by_address.entry((kind, address.clone())).or_default();
                // Both `a.b` and `a.b.id` are referred to, which is one address.
                if found.last().is_none_or(|(last, _)| *last != index) {
                    found.push((index, bucket.text().is_some()));
                }
            }
            if bucket.is_unknown() && resource.links.is_empty() {
                attachments.undecided.entry(kind).or_default().push(index);
            }
        }
        attachments
    }

    /// The resources of a type that belong to a bucket, as indexes. Where that cannot be told, the first of them does.
    pub fn to(&self, bucket: &Resource<'a>, kind: &'static str) -> Vec<usize> {
        let name = bucket.body.get("bucket").text();
        let named = name.and_then(|name| self.by_name.get(&(kind, name)));
        let address = (kind, without_indexes(&bucket.name));
        // Of the buckets that one address stands for, the name tells which is meant.
        let referring = self.by_address.get(&address).into_iter().flatten();
        let referring = referring.filter(|(_, named)| name.is_none() || !named).map(|(index, _)| index);
        let undecided = self.undecided.get(kind).and_then(|found| found.first());
        named.into_iter().flatten().chain(referring).chain(undecided).copied().collect()
    }
}
