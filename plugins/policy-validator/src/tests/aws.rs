use serde_json::{Value, json};

use super::{Case, check, cloudformation, of_rule, terraform};

fn policy(action: Value, resource: &str) -> Value {
    json!({ "Statement": { "Effect": "Allow", "Action": action, "Resource": resource } })
}

fn open_to(principal: Value) -> Value {
    json!({ "Statement": [{ "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "x" }] })
}

fn ingress(protocol: Value, from: u16, to: u16, cidr: &str) -> Value {
    json!({ "SecurityGroupIngress": [{ "IpProtocol": protocol, "FromPort": from, "ToPort": to, "CidrIp": cidr }] })
}

#[test]
fn templates() {
    let bucket = |properties| cloudformation("AWS::S3::Bucket", properties);
    let block = |policy: bool| {
        json!({ "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": true, "BlockPublicPolicy": policy, "IgnorePublicAcls": "true", "RestrictPublicBuckets": true,
        } })
    };
    let group = |properties| cloudformation("AWS::EC2::SecurityGroup", properties);
    let database = |properties| cloudformation("AWS::RDS::DBInstance", properties);
    check(
        vec![
            Case {
                rule: "aws-s3-encryption",
                broken: bucket(json!({})),
                path: "/Resources/R/Properties/BucketEncryption/ServerSideEncryptionConfiguration",
                kept: bucket(json!({ "BucketEncryption": { "ServerSideEncryptionConfiguration": [{}] } })),
            },
            Case {
                rule: "aws-s3-public-access",
                broken: bucket(block(false)),
                path: "/Resources/R/Properties/PublicAccessBlockConfiguration/BlockPublicPolicy",
                kept: bucket(block(true)),
            },
            Case {
                rule: "aws-s3-versioning",
                broken: bucket(json!({ "VersioningConfiguration": { "Status": "Suspended" } })),
                path: "/Resources/R/Properties/VersioningConfiguration/Status",
                kept: bucket(json!({ "VersioningConfiguration": { "Status": "Enabled" } })),
            },
            Case {
                rule: "aws-s3-logging",
                broken: bucket(json!({})),
                path: "/Resources/R/Properties/LoggingConfiguration",
                kept: bucket(json!({ "LoggingConfiguration": {} })),
            },
            Case {
                rule: "aws-encryption-at-rest",
                broken: database(json!({ "StorageEncrypted": "false" })),
                path: "/Resources/R/Properties/StorageEncrypted",
                kept: database(json!({ "DBClusterIdentifier": "c" })),
            },
            Case {
                rule: "aws-database-public",
                broken: database(json!({ "PubliclyAccessible": true })),
                path: "/Resources/R/Properties/PubliclyAccessible",
                kept: database(json!({})),
            },
            Case {
                rule: "aws-deletion-protection",
                broken: cloudformation("AWS::DynamoDB::Table", json!({})),
                path: "/Resources/R/Properties/DeletionProtectionEnabled",
                kept: cloudformation("AWS::DynamoDB::Table", json!({ "DeletionProtectionEnabled": true })),
            },
            Case {
                rule: "aws-key-rotation",
                broken: cloudformation("AWS::KMS::Key", json!({ "KeySpec": "SYMMETRIC_DEFAULT" })),
                path: "/Resources/R/Properties/EnableKeyRotation",
                kept: cloudformation("AWS::KMS::Key", json!({ "KeySpec": "RSA_4096" })),
            },
            Case {
                rule: "aws-cloudtrail-validation",
                broken: cloudformation("AWS::CloudTrail::Trail", json!({ "IsLogging": true })),
                path: "/Resources/R/Properties/EnableLogFileValidation",
                kept: cloudformation(
                    "AWS::CloudTrail::Trail",
                    json!({ "IsLogging": true, "EnableLogFileValidation": true }),
                ),
            },
            Case {
                rule: "aws-open-admin-ports",
                broken: group(ingress(json!("tcp"), 20, 25, "0.0.0.0/0")),
                path: "/Resources/R/Properties/SecurityGroupIngress/0/CidrIp",
                kept: group(ingress(json!("tcp"), 443, 443, "0.0.0.0/0")),
            },
            Case {
                rule: "aws-open-admin-ports",
                broken: cloudformation(
                    "AWS::EC2::SecurityGroupIngress",
                    json!({ "IpProtocol": -1, "CidrIpv6": "::/0" }),
                ),
                path: "/Resources/R/Properties/CidrIpv6",
                kept: cloudformation(
                    "AWS::EC2::SecurityGroupIngress",
                    json!({ "IpProtocol": -1, "CidrIpv6": "fd00::/8" }),
                ),
            },
            Case {
                rule: "aws-iam-wildcard",
                broken: cloudformation(
                    "AWS::IAM::ManagedPolicy",
                    json!({ "PolicyDocument": policy(json!(["a:b", "*"]), "*") }),
                ),
                path: "/Resources/R/Properties/PolicyDocument/Statement",
                kept: cloudformation(
                    "AWS::IAM::ManagedPolicy",
                    json!({ "PolicyDocument": policy(json!("s3:*"), "*") }),
                ),
            },
            Case {
                rule: "aws-iam-wildcard",
                broken: cloudformation(
                    "AWS::IAM::Role",
                    json!({ "Policies": [{ "PolicyDocument": { "Statement": [{ "Effect": "Allow", "NotAction": "iam:*", "Resource": "*" }] } }] }),
                ),
                path: "/Resources/R/Properties/Policies/0/PolicyDocument/Statement/0",
                kept: cloudformation(
                    "AWS::IAM::Role",
                    json!({ "Policies": [{ "PolicyDocument": policy(json!("*"), "arn:x") }] }),
                ),
            },
            Case {
                rule: "aws-public-policy",
                broken: cloudformation(
                    "AWS::S3::BucketPolicy",
                    json!({ "PolicyDocument": open_to(json!({ "AWS": ["*"] })) }),
                ),
                path: "/Resources/R/Properties/PolicyDocument/Statement/0",
                kept: cloudformation(
                    "AWS::S3::BucketPolicy",
                    json!({ "PolicyDocument": open_to(json!({ "Service": "s3.amazonaws.com" })) }),
                ),
            },
            Case {
                rule: "aws-tls-minimum",
                broken: cloudformation(
                    "AWS::ElasticLoadBalancingV2::Listener",
                    json!({ "Protocol": "HTTPS", "SslPolicy": "ELBSecurityPolicy-2016-08" }),
                ),
                path: "/Resources/R/Properties/SslPolicy",
                kept: cloudformation(
                    "AWS::ElasticLoadBalancingV2::Listener",
                    json!({ "Protocol": "HTTPS", "SslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06" }),
                ),
            },
            Case {
                rule: "aws-tls-minimum",
                broken: cloudformation(
                    "AWS::ElasticLoadBalancingV2::Listener",
                    json!({ "Protocol": "HTTP", "DefaultActions": [{ "Type": "forward" }] }),
                ),
                path: "/Resources/R/Properties/Protocol",
                kept: cloudformation(
                    "AWS::ElasticLoadBalancingV2::Listener",
                    json!({ "Protocol": "HTTP", "DefaultActions": [{ "Type": "redirect" }] }),
                ),
            },
            Case {
                rule: "aws-required-tags",
                broken: bucket(json!({ "Tags": [{ "Key": "Owner", "Value": "x" }] })),
                path: "/Resources/R/Properties/Tags",
                kept: bucket(json!({ "Tags": [{ "Key": "owner", "Value": "x" }] })),
            },
        ],
        "aws-",
    );
}

#[test]
fn plans() {
    let bucket = || ("aws_s3_bucket", json!({ "bucket": "b", "tags": null }));
    let block = |name: &str, all: bool| {
        let values = json!({ "bucket": name, "block_public_acls": true, "block_public_policy": all, "ignore_public_acls": true, "restrict_public_buckets": true });
        ("aws_s3_bucket_public_access_block", values)
    };
    let versioning = |status: &str| {
        ("aws_s3_bucket_versioning", json!({ "bucket": "b", "versioning_configuration": [{ "status": status }] }))
    };
    let encryption = ("aws_s3_bucket_server_side_encryption_configuration", json!({ "bucket": "b", "rule": [{}] }));
    let one = |kind: &'static str, values: Value| terraform(&[(kind, values)]);
    let text = |policy: Value| json!({ "policy": policy.to_string() });
    let first = "/planned_values/root_module/resources/0/values";
    let cases: Vec<(&str, Value, &str, Value)> = vec![
        (
            "aws-s3-public-access",
            terraform(&[bucket(), block("other", true)]),
            "",
            terraform(&[bucket(), block("b", true)]),
        ),
        (
            "aws-s3-versioning",
            terraform(&[versioning("Enabled"), ("aws_s3_bucket", json!({ "bucket": "c" }))]),
            "1",
            terraform(&[bucket(), versioning("Enabled")]),
        ),
        (
            "aws-s3-versioning",
            one("aws_s3_bucket", json!({ "versioning": [{ "enabled": false }] })),
            "",
            one("aws_s3_bucket", json!({ "versioning": [{ "enabled": true }] })),
        ),
        ("aws-s3-encryption", terraform(&[bucket()]), "", terraform(&[bucket(), encryption])),
        (
            "aws-encryption-at-rest",
            one("aws_ebs_volume", json!({ "encrypted": null })),
            "/encrypted",
            one("aws_ebs_volume", json!({ "encrypted": true })),
        ),
        (
            "aws-open-admin-ports",
            one(
                "aws_security_group",
                json!({ "ingress": [{ "protocol": "tcp", "from_port": 3389, "to_port": 3389, "cidr_blocks": ["10.0.0.0/8"], "ipv6_cidr_blocks": ["::/0"] }] }),
            ),
            "/ingress/0/ipv6_cidr_blocks/0",
            one(
                "aws_security_group",
                json!({ "ingress": [{ "protocol": "udp", "from_port": 0, "to_port": 65535, "cidr_blocks": ["0.0.0.0/0"] }] }),
            ),
        ),
        (
            "aws-open-admin-ports",
            one(
                "aws_security_group_rule",
                json!({ "type": "ingress", "protocol": "all", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"] }),
            ),
            "/cidr_blocks/0",
            one(
                "aws_security_group_rule",
                json!({ "type": "egress", "protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["0.0.0.0/0"] }),
            ),
        ),
        (
            "aws-open-admin-ports",
            one(
                "aws_vpc_security_group_ingress_rule",
                json!({ "ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_ipv4": "0.0.0.0/0" }),
            ),
            "/cidr_ipv4",
            one(
                "aws_vpc_security_group_ingress_rule",
                json!({ "ip_protocol": "tcp", "from_port": 22, "to_port": 22, "cidr_ipv4": "10.0.0.0/8" }),
            ),
        ),
        (
            "aws-iam-wildcard",
            one("aws_iam_policy", text(policy(json!("*"), "*"))),
            "/policy",
            one("aws_iam_policy", text(policy(json!("s3:Get*"), "*"))),
        ),
        (
            "aws-public-policy",
            one("aws_sqs_queue", text(open_to(json!("*")))),
            "/policy",
            one("aws_sqs_queue", json!({ "policy": "{not json" })),
        ),
        (
            "aws-required-tags",
            one("aws_vpc", json!({ "tags": null })),
            "/tags",
            one("aws_vpc", json!({ "tags": null, "tags_all": { "owner": "x" } })),
        ),
        (
            "aws-tls-minimum",
            one("aws_lb_listener", json!({ "protocol": "TLS" })),
            "/ssl_policy",
            one("aws_lb_listener", json!({ "protocol": "TCP" })),
        ),
    ];
    for (rule, broken, path, kept) in cases {
        let path = if path == "1" { first.replace("/0/", "/1/") } else { format!("{first}{path}") };
        let findings = of_rule(&broken, rule);
        assert_eq!(findings.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(), [path], "{rule} {broken}");
        let findings = of_rule(&kept, rule);
        assert!(findings.is_empty(), "{rule} {kept}: {findings:?}");
    }
}

#[test]
fn both_outcomes_of_a_choice_are_judged() {
    let versioning = json!({ "Status": { "Fn::If": ["Prod", "Enabled", "Suspended"] } });
    let found = of_rule(
        &cloudformation("AWS::S3::Bucket", json!({ "VersioningConfiguration": versioning })),
        "aws-s3-versioning",
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].path, "/Resources/R/Properties/VersioningConfiguration/Status/Fn::If/2");
    assert_eq!(
        found[0].message,
        "what is deleted or replaced cannot be restored: `Status` is `Suspended`, and is to be `Enabled`"
    );
}
