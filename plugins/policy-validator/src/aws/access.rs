//! Rules for security groups, and for the policies of identities and of resources.

use super::rule;
use crate::bindings::exports::outrigger::policy_validator::policies::Severity;
use crate::condition::equals;
use crate::document::Resource;
use crate::iam;
use crate::network::{self, Ports};
use crate::node::Node;
use crate::rule::{Rule, Target, Violation, code};

pub fn rules() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                code("AWS::EC2::SecurityGroup", |group| {
                    let rules = group.body.find("/Properties/SecurityGroupIngress");
                    rules.iter().flat_map(Node::list).flat_map(|rule| cloudformation_ingress(&rule)).collect()
                }),
                code("AWS::EC2::SecurityGroupIngress", |rule| cloudformation_ingress(&rule.body.get("Properties"))),
                code("aws_security_group", |group| {
                    group.body.find("/ingress/*").iter().flat_map(terraform_ingress).collect()
                }),
                code("aws_default_security_group", |group| {
                    group.body.find("/ingress/*").iter().flat_map(terraform_ingress).collect()
                }),
                code("aws_security_group_rule", |rule| terraform_ingress(&rule.body)).when("/type", equals("ingress")),
                code("aws_vpc_security_group_ingress_rule", |rule| terraform_ingress(&rule.body)),
            ],
            ..rule(
                "aws-open-admin-ports",
                Severity::Critical,
                "Security groups open no administrative port to everyone",
                "an administrative port is open",
                "Looks at what security groups let in: ports 22 (SSH) and 3389 (RDP) from 0.0.0.0/0 or ::/0, alone or \
                 within a range.",
                network::REMEDIATION,
            )
        },
        Rule {
            targets: identity_policies(),
            ..rule(
                "aws-iam-wildcard",
                Severity::High,
                "Policies do not allow everything",
                "a policy allows everything",
                "Looks at policies of users, groups and roles for statements that allow every action on every resource. \
                 Whoever gets hold of one such identity has the account.",
                "Name the actions and the resources that are needed.",
            )
        },
        Rule {
            targets: resource_policies(),
            ..rule(
                "aws-public-policy",
                Severity::Critical,
                "Policies of resources do not let everyone in",
                "a policy lets everyone in",
                "Looks at policies of buckets, queues, topics, keys and roles for statements that allow something to \
                 the principal `*` without a condition.",
                "Name the accounts, roles or services that need access, or limit the statement with a condition.",
            )
        },
    ]
}

fn cloudformation_ingress(rule: &Node<'_>) -> Vec<Violation> {
    let sources = [rule.find("/CidrIp"), rule.find("/CidrIpv6")].concat();
    ingress(&rule.get("IpProtocol"), Ports::between(&rule.get("FromPort"), &rule.get("ToPort")), sources)
}

/// The rules of a group, and the two kinds of rule that are resources of their own.
fn terraform_ingress(rule: &Node<'_>) -> Vec<Violation> {
    let paths = ["/cidr_blocks/*", "/ipv6_cidr_blocks/*", "/cidr_ipv4", "/cidr_ipv6"];
    let sources = paths.iter().flat_map(|path| rule.find(path)).collect();
    let protocol = if rule.get("ip_protocol").is_missing() { rule.get("protocol") } else { rule.get("ip_protocol") };
    ingress(&protocol, Ports::between(&rule.get("from_port"), &rule.get("to_port")), sources)
}

fn ingress(protocol: &Node<'_>, ports: Option<Ports>, sources: Vec<Node<'_>>) -> Vec<Violation> {
    // With all protocols the ports are not looked at.
    let all = protocol.integer() == Some(-1) || protocol.text() == Some("all");
    let ports = if all { Some(Ports::ALL) } else { ports.filter(|_| network::carries_tcp(protocol)) };
    ports.map(|ports| network::open_ports(&network::everyone(sources), &[ports])).unwrap_or_default()
}

fn identity_policies() -> Vec<Target> {
    let of_template = |kind| {
        code(kind, |resource: &Resource<'_>| {
            let own = resource.body.find("/Properties/PolicyDocument");
            let inline = resource.body.find("/Properties/Policies/*/PolicyDocument");
            iam::wildcards(&[own, inline].concat())
        })
    };
    let of_plan = |kind| {
        code(kind, |resource: &Resource<'_>| {
            let inline = resource.body.find("/inline_policy/*/policy");
            iam::wildcards(&[resource.body.find("/policy"), inline].concat())
        })
    };
    let template = [
        "AWS::IAM::Policy",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Role",
        "AWS::IAM::User",
        "AWS::IAM::Group",
        "AWS::IAM::RolePolicy",
        "AWS::IAM::UserPolicy",
        "AWS::IAM::GroupPolicy",
    ];
    let plan = ["aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy", "aws_iam_role"];
    template.map(of_template).into_iter().chain(plan.map(of_plan)).collect()
}

fn resource_policies() -> Vec<Target> {
    let of_template = |kind| {
        code(kind, |resource: &Resource<'_>| {
            let paths = ["/Properties/PolicyDocument", "/Properties/KeyPolicy", "/Properties/AssumeRolePolicyDocument"];
            iam::public(&paths.iter().flat_map(|path| resource.body.find(path)).collect::<Vec<_>>())
        })
    };
    let of_plan = |kind| {
        code(kind, |resource: &Resource<'_>| {
            iam::public(&[resource.body.find("/policy"), resource.body.find("/assume_role_policy")].concat())
        })
    };
    let template =
        ["AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::KMS::Key", "AWS::IAM::Role"];
    let plan = [
        "aws_s3_bucket_policy",
        "aws_sqs_queue",
        "aws_sqs_queue_policy",
        "aws_sns_topic_policy",
        "aws_kms_key",
        "aws_kms_key_policy",
        "aws_iam_role",
    ];
    template.map(of_template).into_iter().chain(plan.map(of_plan)).collect()
}
