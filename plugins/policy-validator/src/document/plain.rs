//! Resources as the providers' APIs answer them: one, a list of them, or a page of a list.

use serde_json::Value;

use super::{Resource, provider_of};
use crate::node::{Dialect, Node};

/// Where lists of resources stand: Google Cloud's `items`, Azure's `value`, Cloud Control's `ResourceDescriptions`.
const LISTS: [&str; 4] = ["items", "value", "data", "ResourceDescriptions"];

pub fn resources(root: &Value) -> Vec<Resource<'_>> {
    let mut found: Vec<Resource<'_>> = resource(root, String::new()).into_iter().collect();
    if !found.is_empty() {
        return found;
    }
    if let Value::Array(items) = root {
        let items = items.iter().enumerate();
        found.extend(items.filter_map(|(index, item)| resource(item, format!("/{index}"))));
    }
    for key in LISTS {
        if let Some(Value::Array(items)) = root.get(key) {
            for (index, item) in items.iter().enumerate() {
                found.extend(resource(item, format!("/{key}/{index}")));
            }
        }
    }
    found
}

fn resource(value: &Value, pointer: String) -> Option<Resource<'_>> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let (kind, body, pointer, dialect) = if let Some(asset) = text("assetType") {
        // Google's Cloud Asset Inventory.
        let body = value.get("resource")?.get("data")?;
        (asset_kind(asset)?, body, format!("{pointer}/resource/data"), Dialect::Plain)
    } else if let Some(kind) = text("type").filter(|kind| kind.contains('/') && kind.contains('.')) {
        (kind.to_owned(), value, pointer, Dialect::Plain)
    } else if let Some(kind) = text("Type").or_else(|| text("TypeName")).filter(|kind| kind.contains("::")) {
        (kind.to_owned(), value, pointer, Dialect::CloudFormation { parameters: None })
    } else {
        (google_kind(value)?, value, pointer, Dialect::Plain)
    };
    let name = ["name", "id", "Identifier", "selfLink"].iter().find_map(|key| body.get(key)?.as_str());
    let name = name.or_else(|| text("name")).unwrap_or(&kind).to_owned();
    let body = Node::new(body, pointer, dialect, None);
    Some(Resource { provider: provider_of(&kind), kind: kind.into(), name, body, links: Vec::new() })
}

/// `storage.googleapis.com/Bucket` is `storage#bucket`.
fn asset_kind(asset: &str) -> Option<String> {
    let (service, kind) = asset.split_once(".googleapis.com/")?;
    let service = if service == "sqladmin" { "sql" } else { service };
    let mut letters = kind.chars();
    let first = letters.next()?.to_ascii_lowercase();
    Some(format!("{service}#{first}{}", letters.as_str()))
}

/// Most APIs of Google say the kind; Kubernetes Engine only says its address, and a policy says neither.
fn google_kind(value: &Value) -> Option<String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let Some(kind) = text("kind").filter(|kind| kind.contains('#')) {
        // A list is looked into.
        return value.get("items").is_none().then(|| kind.to_owned());
    }
    let link = text("selfLink").unwrap_or_default();
    if link.contains("container.googleapis.com/") && link.contains("/clusters/") {
        return Some("container#cluster".to_owned());
    }
    (value.get("bindings").is_some_and(Value::is_array)).then(|| "iam#policy".to_owned())
}
