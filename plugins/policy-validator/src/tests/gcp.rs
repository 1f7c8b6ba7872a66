use serde_json::{Value, json};

use super::{Case, check, terraform};

#[test]
fn resources() {
    let one = |kind: &str, key: &str, value: Value| json!({ "kind": kind, "name": "r", key: value });
    let case = |rule, kind: &str, key: &str, broken: Value, path, kept: Value| Case {
        rule,
        broken: one(kind, key, broken),
        path,
        kept: one(kind, key, kept),
    };
    let firewall = |disabled: bool, allowed: Value| json!({ "kind": "compute#firewall", "name": "r", "direction": "INGRESS", "disabled": disabled, "sourceRanges": ["0.0.0.0/0"], "allowed": [allowed] });
    let policy = |role: &str, member: &str| json!({ "version": 1, "etag": "x", "bindings": [{ "role": role, "members": ["user:a@b.c", member] }] });
    let plan = |kind: &'static str, values: Value| terraform(&[(kind, values)]);
    let settings = |configuration: Value| json!([{ "ip_configuration": [configuration] }]);
    check(
        vec![
            case(
                "gcp-storage-public-access",
                "storage#bucket",
                "iamConfiguration",
                json!({ "publicAccessPrevention": "inherited" }),
                "/iamConfiguration/publicAccessPrevention",
                json!({ "publicAccessPrevention": "enforced" }),
            ),
            case(
                "gcp-storage-uniform-access",
                "storage#bucket",
                "iamConfiguration",
                json!({}),
                "/iamConfiguration/uniformBucketLevelAccess/enabled",
                json!({ "uniformBucketLevelAccess": { "enabled": true } }),
            ),
            case(
                "gcp-storage-versioning",
                "storage#bucket",
                "versioning",
                json!(null),
                "/versioning/enabled",
                json!({ "enabled": true }),
            ),
            case(
                "gcp-logging",
                "storage#bucket",
                "logging",
                json!({}),
                "/logging/logBucket",
                json!({ "logBucket": "l" }),
            ),
            case(
                "gcp-logging",
                "compute#subnetwork",
                "logConfig",
                json!({ "enable": false }),
                "/logConfig/enable",
                json!({ "enable": true }),
            ),
            Case {
                rule: "gcp-open-admin-ports",
                broken: firewall(false, json!({ "IPProtocol": "tcp", "ports": ["80", "3000-4000"] })),
                path: "/sourceRanges/0",
                kept: firewall(false, json!({ "IPProtocol": "tcp", "ports": ["443"] })),
            },
            Case {
                rule: "gcp-open-admin-ports",
                broken: firewall(false, json!({ "IPProtocol": "all" })),
                path: "/sourceRanges/0",
                kept: firewall(true, json!({ "IPProtocol": "all" })),
            },
            Case {
                rule: "gcp-open-admin-ports",
                broken: plan(
                    "google_compute_firewall",
                    json!({ "source_ranges": ["::/0"], "allow": [{ "protocol": "tcp", "ports": [] }] }),
                ),
                path: "/planned_values/root_module/resources/0/values/source_ranges/0",
                kept: plan(
                    "google_compute_firewall",
                    json!({ "source_ranges": ["::/0"], "allow": [{ "protocol": "icmp", "ports": [] }] }),
                ),
            },
            Case {
                rule: "gcp-public-iam",
                broken: policy("roles/viewer", "allUsers"),
                path: "/bindings/0/members/1",
                kept: policy("roles/viewer", "group:x@y.z"),
            },
            Case {
                rule: "gcp-public-iam",
                broken: plan("google_storage_bucket_iam_member", json!({ "member": "allAuthenticatedUsers" })),
                path: "/planned_values/root_module/resources/0/values/member",
                kept: plan("google_storage_bucket_iam_member", json!({ "member": "user:a@b.c" })),
            },
            Case {
                rule: "gcp-iam-basic-role",
                broken: policy("roles/owner", "user:x@y.z"),
                path: "/bindings/0/role",
                kept: policy("roles/viewer", "user:x@y.z"),
            },
            case(
                "gcp-database-public",
                "sql#instance",
                "settings",
                json!({ "ipConfiguration": { "authorizedNetworks": [{ "value": "0.0.0.0/0" }] } }),
                "/settings/ipConfiguration/authorizedNetworks/0/value",
                json!({}),
            ),
            Case {
                rule: "gcp-tls-minimum",
                broken: plan(
                    "google_sql_database_instance",
                    json!({ "settings": settings(json!({ "ssl_mode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED" })) }),
                ),
                path: "/planned_values/root_module/resources/0/values/settings/0/ip_configuration/0/ssl_mode",
                kept: plan(
                    "google_sql_database_instance",
                    json!({ "settings": settings(json!({ "require_ssl": true })) }),
                ),
            },
            case(
                "gcp-encryption-key",
                "compute#disk",
                "diskEncryptionKey",
                json!({}),
                "/diskEncryptionKey/kmsKeyName",
                json!({ "kmsKeyName": "k" }),
            ),
            case(
                "gcp-deletion-protection",
                "sql#instance",
                "settings",
                json!({}),
                "/settings/deletionProtectionEnabled",
                json!({ "deletionProtectionEnabled": true }),
            ),
            case(
                "gcp-required-labels",
                "storage#bucket",
                "labels",
                json!({ "cost": "x" }),
                "/labels",
                json!({ "owner": "x" }),
            ),
        ],
        "gcp-",
    );
}
