//! Rules for Amazon Web Services.

use crate::bindings::exports::outrigger::policy_validator::policies::{Provider, Severity};
use crate::condition::Condition::{self, Absent, Exists};
use crate::condition::{differs, equals, none_of, one_of};
use crate::document::Resource;
use crate::iam;
use crate::network::{self, Ports};
use crate::node::Node;
use crate::rule::{Check, Rule, Target, Violation, all, at, code, target, texts};

const BUCKET: &str = "aws_s3_bucket";

pub fn rules() -> Vec<Rule> {
    let mut rules = storage();
    rules.extend(data());
    rules.extend(audit());
    rules.extend(access());
    rules.push(tls());
    rules.push(Rule {
        targets: ["AWS::*", "aws_*"].map(|kind| target(kind, Check::Tags)).into(),
        ..rule(
            "aws-required-tags",
            Severity::Medium,
            "Resources have the required tags",
            "a tag is missing",
            "Looks for the tags that the call or the configuration requires, on the resources that take tags. Without \
             them nobody knows whose a resource is and what it costs whom.",
            "Add the tag, or set it once in the provider's `default_tags` or for the whole stack.",
        )
    });
    rules
}

fn rule(
    id: &'static str,
    severity: Severity,
    title: &'static str,
    violation: &'static str,
    description: &'static str,
    remediation: &'static str,
) -> Rule {
    Rule {
        id: id.into(),
        provider: Some(Provider::Aws),
        severity,
        title: title.into(),
        violation: violation.into(),
        description: description.into(),
        remediation: remediation.into(),
        custom: false,
        targets: Vec::new(),
    }
}

fn storage() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                at("AWS::S3::Bucket", "/Properties/BucketEncryption/ServerSideEncryptionConfiguration", Exists),
                target(
                    BUCKET,
                    Check::Attached {
                        inline: Some(("/server_side_encryption_configuration/0/rule/0".into(), Exists)),
                        kind: "aws_s3_bucket_server_side_encryption_configuration",
                        expected: texts(vec![("/rule", Exists)]),
                    },
                ),
            ],
            ..rule(
                "aws-s3-encryption",
                Severity::Medium,
                "Buckets say how they are encrypted",
                "the encryption of the bucket is left to the account's default",
                "Looks for a bucket's own encryption. S3 encrypts in any case, but with which key is then not decided \
                 here, and cannot be reviewed.",
                "Set `BucketEncryption` (Terraform: `aws_s3_bucket_server_side_encryption_configuration`), with a key \
                 of KMS where access to the key is to be controlled.",
            )
        },
        Rule {
            targets: public_access(),
            ..rule(
                "aws-s3-public-access",
                Severity::High,
                "Buckets block public access",
                "public access is not blocked",
                "Looks for all four settings of the public access block. With them no policy and no access control \
                 list, by mistake or not, opens the bucket to the internet.",
                "Set all four of `PublicAccessBlockConfiguration` to true (Terraform: \
                 `aws_s3_bucket_public_access_block`). Serve what is meant for the public through CloudFront.",
            )
        },
        Rule {
            targets: vec![
                at("AWS::S3::Bucket", "/Properties/VersioningConfiguration/Status", equals("Enabled")),
                target(
                    BUCKET,
                    Check::Attached {
                        inline: Some(("/versioning/0/enabled".into(), equals(true))),
                        kind: "aws_s3_bucket_versioning",
                        expected: texts(vec![("/versioning_configuration/0/status", equals("Enabled"))]),
                    },
                ),
            ],
            ..rule(
                "aws-s3-versioning",
                Severity::Medium,
                "Buckets keep versions",
                "what is deleted or replaced cannot be restored",
                "Looks for versioning. It is what brings objects back after a mistake or an attack.",
                "Set `VersioningConfiguration` to `Enabled` (Terraform: `aws_s3_bucket_versioning`), with a lifecycle \
                 rule that deletes old versions.",
            )
        },
        Rule {
            targets: vec![
                at("AWS::S3::Bucket", "/Properties/LoggingConfiguration", Exists),
                target(
                    BUCKET,
                    Check::Attached {
                        inline: Some(("/logging/0/target_bucket".into(), Exists)),
                        kind: "aws_s3_bucket_logging",
                        expected: texts(vec![("/target_bucket", Exists)]),
                    },
                ),
            ],
            ..rule(
                "aws-s3-logging",
                Severity::Low,
                "Access to buckets is logged",
                "access is not logged",
                "Looks for server access logging, which answers who read what after the fact.",
                "Set `LoggingConfiguration` (Terraform: `aws_s3_bucket_logging`), or record data events with CloudTrail \
                 and disable this rule.",
            )
        },
    ]
}

fn public_access() -> Vec<Target> {
    let block = |name: &'static str| (name, equals(true));
    let acl = || none_of(&["PublicRead", "PublicReadWrite", "AuthenticatedRead"]);
    let terraform_acl = || none_of(&["public-read", "public-read-write", "authenticated-read"]);
    vec![
        all(
            "AWS::S3::Bucket",
            vec![
                block("/Properties/PublicAccessBlockConfiguration/BlockPublicAcls"),
                block("/Properties/PublicAccessBlockConfiguration/BlockPublicPolicy"),
                block("/Properties/PublicAccessBlockConfiguration/IgnorePublicAcls"),
                block("/Properties/PublicAccessBlockConfiguration/RestrictPublicBuckets"),
                ("/Properties/AccessControl", acl()),
            ],
        ),
        target(
            BUCKET,
            Check::Attached {
                inline: None,
                kind: "aws_s3_bucket_public_access_block",
                expected: texts(vec![
                    block("/block_public_acls"),
                    block("/block_public_policy"),
                    block("/ignore_public_acls"),
                    block("/restrict_public_buckets"),
                ]),
            },
        ),
        at("aws_s3_bucket_acl", "/acl", terraform_acl()),
    ]
}

fn data() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                at("AWS::RDS::DBInstance", "/Properties/StorageEncrypted", equals(true))
                    .when("/Properties/DBClusterIdentifier", Absent),
                at("AWS::RDS::DBCluster", "/Properties/StorageEncrypted", equals(true)),
                at("AWS::EC2::Volume", "/Properties/Encrypted", equals(true)),
                at("AWS::EFS::FileSystem", "/Properties/Encrypted", equals(true)),
                at("AWS::Redshift::Cluster", "/Properties/Encrypted", equals(true)),
                at("aws_db_instance", "/storage_encrypted", equals(true)),
                at("aws_rds_cluster", "/storage_encrypted", equals(true)),
                at("aws_ebs_volume", "/encrypted", equals(true)),
                at("aws_efs_file_system", "/encrypted", equals(true)),
                at("aws_redshift_cluster", "/encrypted", equals(true)),
            ],
            ..rule(
                "aws-encryption-at-rest",
                Severity::High,
                "Databases, volumes and file systems are encrypted",
                "the data is stored without encryption",
                "Looks at databases of RDS and Redshift, volumes of EBS and file systems of EFS. Encryption cannot be \
                 turned on later: the data has to be copied.",
                "Turn on encryption, with a key of your own where access to the key is to be controlled.",
            )
        },
        Rule {
            targets: vec![
                at("AWS::RDS::DBInstance", "/Properties/PubliclyAccessible", differs(true)),
                at("AWS::Redshift::Cluster", "/Properties/PubliclyAccessible", differs(true)),
                at("AWS::DMS::ReplicationInstance", "/Properties/PubliclyAccessible", differs(true)),
                at("aws_db_instance", "/publicly_accessible", differs(true)),
                at("aws_rds_cluster_instance", "/publicly_accessible", differs(true)),
                at("aws_redshift_cluster", "/publicly_accessible", differs(true)),
            ],
            ..rule(
                "aws-database-public",
                Severity::Critical,
                "Databases have no public address",
                "the database can be reached from the internet",
                "Looks at databases of RDS and Redshift, and at replication instances. One wrong rule of a security \
                 group is then all that stands between the data and everyone.",
                "Set `PubliclyAccessible` to false, and reach the database through its network.",
            )
        },
        Rule {
            targets: vec![
                at("AWS::RDS::DBInstance", "/Properties/DeletionProtection", equals(true))
                    .when("/Properties/DBClusterIdentifier", Absent),
                at("AWS::RDS::DBCluster", "/Properties/DeletionProtection", equals(true)),
                at("AWS::DynamoDB::Table", "/Properties/DeletionProtectionEnabled", equals(true)),
                at("aws_db_instance", "/deletion_protection", equals(true)),
                at("aws_rds_cluster", "/deletion_protection", equals(true)),
                at("aws_dynamodb_table", "/deletion_protection_enabled", equals(true)),
            ],
            ..rule(
                "aws-deletion-protection",
                Severity::Medium,
                "Databases are protected from deletion",
                "the database can be deleted by one call",
                "Looks at databases of RDS and tables of DynamoDB.",
                "Turn on deletion protection, and turn it off in a change of its own before a database is to go.",
            )
        },
    ]
}

fn audit() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                at("AWS::KMS::Key", "/Properties/EnableKeyRotation", equals(true))
                    .when("/Properties/KeySpec", symmetric()),
                at("aws_kms_key", "/enable_key_rotation", equals(true)).when("/customer_master_key_spec", symmetric()),
            ],
            ..rule(
                "aws-key-rotation",
                Severity::Medium,
                "Keys are rotated",
                "the key stays the same for ever",
                "Looks at symmetric keys of KMS, which AWS renews every year where it is told to. What was encrypted \
                 before stays readable.",
                "Set `EnableKeyRotation` to true.",
            )
        },
        Rule {
            targets: vec![
                all(
                    "AWS::CloudTrail::Trail",
                    vec![
                        ("/Properties/IsLogging", equals(true)),
                        ("/Properties/EnableLogFileValidation", equals(true)),
                    ],
                ),
                all(
                    "aws_cloudtrail",
                    vec![("/enable_logging", differs(false)), ("/enable_log_file_validation", equals(true))],
                ),
            ],
            ..rule(
                "aws-cloudtrail-validation",
                Severity::Medium,
                "Trails record, and can be trusted",
                "the record of what was done in the account can fail or be altered",
                "Looks at trails of CloudTrail: that they log, and that a change to a log file can be shown.",
                "Set `IsLogging` and `EnableLogFileValidation` to true.",
            )
        },
    ]
}

/// Only symmetric keys are rotated; a key is symmetric where nothing else is said.
fn symmetric() -> Condition {
    none_of(&[
        "RSA_2048",
        "RSA_3072",
        "RSA_4096",
        "ECC_NIST_P256",
        "ECC_NIST_P384",
        "ECC_NIST_P521",
        "ECC_SECG_P256K1",
        "ECC_NIST_EDWARDS25519",
        "HMAC_224",
        "HMAC_256",
        "HMAC_384",
        "HMAC_512",
        "SM2",
        "ML_DSA_44",
        "ML_DSA_65",
        "ML_DSA_87",
    ])
}

fn access() -> Vec<Rule> {
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

fn tls() -> Rule {
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
