//! Rules for S3 buckets.

use super::rule;
use crate::bindings::exports::outrigger::policy_validator::policies::Severity;
use crate::condition::Condition::Exists;
use crate::condition::{equals, none_of};
use crate::rule::{Check, Rule, Target, all, at, target, texts};

const BUCKET: &str = "aws_s3_bucket";

pub fn rules() -> Vec<Rule> {
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
