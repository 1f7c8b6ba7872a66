//! Rules for KMS keys and CloudTrail trails.

use super::rule;
use crate::bindings::exports::outrigger::policy_validator::policies::Severity;
use crate::condition::{Condition, differs, equals, none_of};
use crate::rule::{Rule, all, at};

pub fn rules() -> Vec<Rule> {
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
