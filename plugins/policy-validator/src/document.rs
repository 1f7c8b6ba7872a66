//! From a JSON value to the resources in it. Each format has a module of its own; what they have in common is that a
//! resource has a type, a name, a provider and a body, which is the part of the document that rules' paths begin at.

mod arm;
mod plain;
mod terraform;

use std::borrow::Cow;

use serde_json::Value;

use crate::bindings::exports::outrigger::policy_validator::policies::{DocumentFormat, Provider, Unrecognised};
use crate::node::{Dialect, Node};
use terraform::Attachments;

/// A document's resources.
pub struct Document<'a> {
    pub format: DocumentFormat,
    pub resources: Vec<Resource<'a>>,
    attachments: Attachments<'a>,
}

pub struct Resource<'a> {
    pub provider: Option<Provider>,
    /// The type, as the document has it.
    pub kind: Cow<'a, str>,
    pub name: String,
    /// Where paths begin: for CloudFormation and ARM the whole resource, for Terraform its `values`.
    pub body: Node<'a>,
    /// Terraform: the addresses, without indexes, that its `bucket` refers to.
    pub links: Vec<String>,
}

impl<'a> Document<'a> {
    /// Finds the resources.
    pub fn read(root: &'a Value, format: Option<DocumentFormat>) -> Result<Document<'a>, Unrecognised> {
        let detected = detect(root);
        let format = match (format, detected) {
            (None, Some(detected)) => detected,
            (None, None) => return Err(unrecognised(root, unknown_kind(root))),
            // A plain resource can hold anything, so it is tried where it is asked for.
            (Some(DocumentFormat::PlainResource), _) => DocumentFormat::PlainResource,
            (Some(given), Some(detected)) if given == detected => given,
            (Some(given), Some(detected)) => {
                let reason = format!("this is {}, not {}; leave `format` out", a(detected), a(given));
                return Err(unrecognised(root, reason));
            }
            (Some(given), None) => {
                return Err(unrecognised(root, format!("this is not {}; {}", a(given), unknown_kind(root))));
            }
        };
        let resources = match format {
            DocumentFormat::Cloudformation => cloudformation(root),
            DocumentFormat::TerraformPlan => terraform::resources(root),
            DocumentFormat::ArmTemplate => arm::resources(root),
            DocumentFormat::PlainResource => plain::resources(root),
        };
        if resources.is_empty() && format == DocumentFormat::PlainResource && *root != Value::Array(Vec::new()) {
            return Err(unrecognised(root, unknown_kind(root)));
        }
        let attachments = Attachments::of(&resources);
        Ok(Document { format, resources, attachments })
    }
}

impl<'a> Document<'a> {
    /// Terraform: the resources of type `kind` that say a part of a bucket.
    pub fn attached(&self, bucket: &Resource<'a>, kind: &'static str) -> Vec<&Resource<'a>> {
        let found = self.attachments.to(bucket, kind);
        found.into_iter().filter_map(|index| self.resources.get(index)).collect()
    }
}

/// What kind of document it is, by the keys that each kind must have.
fn detect(root: &Value) -> Option<DocumentFormat> {
    let has = |key: &str| root.get(key).is_some();
    let schema = root.get("$schema").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let resources = |key: &str| root.get(key).is_some_and(|value| value.is_array() || value.is_object());
    if has("format_version") || has("planned_values") {
        Some(DocumentFormat::TerraformPlan)
    } else if resources("resources") && (schema.contains("deploymenttemplate.json") || has("contentVersion")) {
        Some(DocumentFormat::ArmTemplate)
    } else if root.get("Resources").is_some_and(Value::is_object) {
        Some(DocumentFormat::Cloudformation)
    } else if !plain::resources(root).is_empty() || *root == Value::Array(Vec::new()) {
        Some(DocumentFormat::PlainResource)
    } else {
        None
    }
}

fn a(format: DocumentFormat) -> &'static str {
    match format {
        DocumentFormat::Cloudformation => "a CloudFormation template",
        DocumentFormat::ArmTemplate => "an ARM template",
        DocumentFormat::TerraformPlan => "a Terraform plan",
        DocumentFormat::PlainResource => "a plain resource",
    }
}

fn unknown_kind(root: &Value) -> String {
    let known = "recognised are a CloudFormation template (with `Resources`), an ARM template (with `$schema` and \
                 `resources`), the output of `terraform show -json`, and resources of Azure (with `type`), Google Cloud \
                 (with `kind`, `selfLink` or `assetType`) and AWS (with `Type` or `TypeName`)";
    match root {
        Value::Object(_) => format!("no kind of document has just these keys; {known}"),
        Value::Array(_) => format!("no element of the list is a resource; {known}"),
        Value::Null => format!("the document is empty; {known}"),
        _ => format!(
            "the document is a single value; {known}. Terraform's own language is checked as a plan: \
             `terraform plan -out=plan && terraform show -json plan`; Bicep is: `bicep build`"
        ),
    }
}

fn unrecognised(root: &Value, reason: String) -> Unrecognised {
    let keys = root.as_object().into_iter().flat_map(|members| members.keys());
    Unrecognised { reason, top_level_keys: keys.take(20).map(|key| key.chars().take(100).collect()).collect() }
}

fn cloudformation(root: &Value) -> Vec<Resource<'_>> {
    let dialect = Dialect::CloudFormation { parameters: root.get("Parameters") };
    let Some(resources) = root.get("Resources").and_then(Value::as_object) else { return Vec::new() };
    let resources = resources.iter().filter_map(|(id, resource)| {
        let kind = resource.get("Type")?.as_str()?;
        Some(Resource {
            provider: provider_of(kind),
            kind: kind.into(),
            name: id.clone(),
            body: Node::new(resource, format!("/Resources/{}", escape(id)), dialect, None),
            links: Vec::new(),
        })
    });
    resources.collect()
}

/// Whose resources a type is of.
pub fn provider_of(kind: &str) -> Option<Provider> {
    let begins = |prefix: &str| kind.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if begins("AWS::") || begins("aws_") {
        Some(Provider::Aws)
    } else if begins("Microsoft.") || begins("azurerm_") {
        Some(Provider::Azure)
    } else if begins("google_") || kind.contains('#') {
        Some(Provider::Gcp)
    } else {
        None
    }
}

/// A key as a segment of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
