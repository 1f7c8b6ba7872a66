//! Which tags a resource has, in the form of each provider and format.

use serde_json::Value;

use crate::bindings::exports::outrigger::policy_validator::policies::{DocumentFormat, Provider};
use crate::document::Resource;
use crate::node::Node;
use crate::rule::Violation;

/// CloudFormation does not say which types take tags. These do, and cost money or hold data; any other is looked at
/// where it has some.
const TAGGED_BY_CLOUDFORMATION: [&str; 22] = [
    "AWS::S3::Bucket",
    "AWS::EC2::Instance",
    "AWS::EC2::Volume",
    "AWS::EC2::VPC",
    "AWS::EC2::Subnet",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::NatGateway",
    "AWS::RDS::DBInstance",
    "AWS::RDS::DBCluster",
    "AWS::DynamoDB::Table",
    "AWS::EFS::FileSystem",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::SQS::Queue",
    "AWS::SNS::Topic",
    "AWS::ECS::Cluster",
    "AWS::ECS::Service",
    "AWS::EKS::Cluster",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::CloudFront::Distribution",
    "AWS::ECR::Repository",
    "AWS::IAM::Role",
];

/// One violation for each required tag that is not there.
pub fn missing(resource: &Resource<'_>, format: DocumentFormat, required: &[String]) -> Vec<Violation> {
    let Some(places) = places(resource, format) else { return Vec::new() };
    // What is known only at deployment may hold any tag.
    if places.iter().any(|place| place.is_unknown() || place.list().iter().any(Node::is_unknown)) {
        return Vec::new();
    }
    let present: Vec<String> = places.iter().flat_map(keys).collect();
    let label = if resource.provider == Some(Provider::Gcp) { "label" } else { "tag" };
    let has = |wanted: &str| {
        present.iter().any(|key| match resource.provider {
            // Labels of Google Cloud are in small letters; Azure does not distinguish capitals.
            Some(Provider::Gcp | Provider::Azure) => key.eq_ignore_ascii_case(wanted),
            _ => key == wanted,
        })
    };
    let pointer = places.first().map(|place| place.pointer.clone()).unwrap_or_default();
    let missing = required.iter().filter(|wanted| !has(wanted));
    missing
        .map(|wanted| Violation { pointer: pointer.clone(), message: format!("the {label} `{wanted}` is missing") })
        .collect()
}

/// Where the resource's tags stand; none where it takes no tags.
fn places<'a>(resource: &Resource<'a>, format: DocumentFormat) -> Option<Vec<Node<'a>>> {
    let body = &resource.body;
    let there = |paths: &[&str]| -> Vec<Node<'a>> { paths.iter().flat_map(|path| body.find(path)).collect() };
    let is_key = |key: &str| body.value().is_some_and(|value| value.get(key).is_some());
    match (format, resource.provider?) {
        (DocumentFormat::TerraformPlan, provider) => {
            let (key, all) = match provider {
                Provider::Gcp => ("labels", "effective_labels"),
                Provider::Aws | Provider::Azure => ("tags", "tags_all"),
            };
            // A plan names every attribute of a type, also those that are not set.
            (is_key(key) || !body.get(key).is_missing()).then(|| {
                let known = |place: &Node<'_>| !place.is_missing() && !place.is_unknown();
                // The tags of the provider's configuration are in the second, which may be known only in part.
                let mut places = vec![body.get(key)];
                places.extend(Some(body.get(all)).filter(known));
                places
            })
        }
        (_, Provider::Aws) => {
            let tags = there(&["/Properties/Tags"]);
            let takes = TAGGED_BY_CLOUDFORMATION.iter().any(|kind| resource.kind == *kind);
            (takes || tags.iter().any(|tags| !tags.is_missing())).then_some(tags)
        }
        // What Azure places in a region takes tags.
        (_, Provider::Azure) => (is_key("location") || is_key("tags")).then(|| there(&["/tags"])),
        (_, Provider::Gcp) => {
            let path = match &*resource.kind {
                "storage#bucket" | "compute#instance" | "compute#disk" | "bigquery#dataset" => "/labels",
                "sql#instance" => "/settings/userLabels",
                "container#cluster" => "/resourceLabels",
                _ => return None,
            };
            Some(there(&[path]))
        }
    }
}

/// The keys of an object, or the `Key` of each entry in a list.
fn keys(place: &Node<'_>) -> Vec<String> {
    if let Some(Value::Object(members)) = place.value() {
        return members.keys().cloned().collect();
    }
    place.list().iter().filter_map(|entry| entry.get("Key").text().map(str::to_owned)).collect()
}
