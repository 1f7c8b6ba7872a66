//! The rule for encrypted connections: load balancer listeners, CloudFront and API Gateway.

use super::rule;
use crate::bindings::exports::outrigger::policy_validator::policies::Severity;
use crate::condition::Condition::{self, Exists};
use crate::condition::{none_of, one_of};
use crate::node::Node;
use crate::rule::{Rule, Violation, at, code};

pub fn minimum() -> Rule {
    Rule {
        targets: vec![
            code("AWS::ElasticLoadBalancingV2::Listener", |listener| {
                let properties = listener.body.get("Properties");
                listener_tls(
                    &properties.get("Protocol"),
                    &properties.get("SslPolicy"),
                    forwards(&properties, "DefaultActions", "Type"),
                )
            }),
            code("aws_lb_listener", |listener| {
                let body = &listener.body;
                listener_tls(&body.get("protocol"), &body.get("ssl_policy"), forwards(body, "default_action", "type"))
            }),
            at(
                "AWS::CloudFront::Distribution",
                "/Properties/DistributionConfig/DefaultCacheBehavior/ViewerProtocolPolicy",
                one_of(&["https-only", "redirect-to-https"]),
            ),
            at(
                "AWS::CloudFront::Distribution",
                "/Properties/DistributionConfig/ViewerCertificate/MinimumProtocolVersion",
                one_of(&CLOUDFRONT_TLS),
            )
            .when(CLOUDFRONT_CERTIFICATE, Exists),
            at(
                "aws_cloudfront_distribution",
                "/default_cache_behavior/0/viewer_protocol_policy",
                one_of(&["https-only", "redirect-to-https"]),
            ),
            at(
                "aws_cloudfront_distribution",
                "/viewer_certificate/0/minimum_protocol_version",
                one_of(&CLOUDFRONT_TLS),
            )
            .when("/viewer_certificate/0/acm_certificate_arn", Exists),
            at("AWS::ApiGateway::DomainName", "/Properties/SecurityPolicy", api_gateway_tls()),
            at("aws_api_gateway_domain_name", "/security_policy", api_gateway_tls()),
        ],
        ..rule(
            "aws-tls-minimum",
            Severity::High,
            "Connections are encrypted with TLS 1.2 or later",
            "connections can be read on their way, or use an old protocol",
            "Looks at listeners of load balancers, at distributions of CloudFront and at domains of API Gateway.",
            "Redirect HTTP to HTTPS, and choose a policy from TLS 1.2 on, such as \
                 `ELBSecurityPolicy-TLS13-1-2-2021-06` or `TLSv1.2_2021`.",
        )
    }
}

/// Only with a certificate of one's own is there a choice.
const CLOUDFRONT_CERTIFICATE: &str = "/Properties/DistributionConfig/ViewerCertificate/AcmCertificateArn";
const CLOUDFRONT_TLS: [&str; 5] = ["TLSv1.2_2018", "TLSv1.2_2019", "TLSv1.2_2021", "TLSv1.2_2025", "TLSv1.3_2025"];

/// The two names of old, and everything newer, which AWS names by the version it starts at.
fn api_gateway_tls() -> Condition {
    none_of(&["TLS_1_0", "TLS_1_1"])
}

/// Whether a listener hands requests on, rather than sending them elsewhere. Only that needs encryption.
fn forwards(listener: &Node<'_>, actions: &str, kind: &str) -> bool {
    listener.get(actions).list().iter().any(|action| action.get(kind).text() == Some("forward"))
}

fn listener_tls(protocol: &Node<'_>, policy: &Node<'_>, forwards: bool) -> Vec<Violation> {
    let violation = |node: &Node<'_>, message: String| vec![Violation { pointer: node.pointer.clone(), message }];
    match protocol.text() {
        Some("HTTP") if forwards => {
            violation(protocol, "the listener hands on requests that are not encrypted".to_owned())
        }
        Some("HTTPS" | "TLS") => match policy.text() {
            None if policy.is_unknown() => Vec::new(),
            None => violation(policy, "the listener has no `SslPolicy`, and the default accepts TLS 1.0".to_owned()),
            Some(name) if is_modern(name) => Vec::new(),
            Some(name) => violation(policy, format!("the listener's policy `{name}` accepts less than TLS 1.2")),
        },
        _ => Vec::new(),
    }
}

/// Whether a security policy of load balancers starts at TLS 1.2, by the way AWS names them.
fn is_modern(policy: &str) -> bool {
    let Some(name) = policy.strip_prefix("ELBSecurityPolicy-") else { return false };
    ["TLS13-1-2-", "TLS13-1-3-", "TLS-1-2-", "FS-1-2-"].iter().any(|start| name.starts_with(start))
}
