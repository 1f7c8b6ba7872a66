//! Rules for Google Cloud.

use crate::bindings::exports::outrigger::policy_validator::policies::{Provider, Severity};
use crate::condition::Condition::Exists;
use crate::condition::{differs, equals, none_of, one_of};
use crate::network::{self, Ports};
use crate::node::Node;
use crate::rule::{Check, Rule, Target, Violation, any, at, code, target};

pub fn rules() -> Vec<Rule> {
    let mut rules = storage();
    rules.extend(access());
    rules.extend(data());
    rules.push(Rule {
        targets: ["*#*", "google_*"].map(|kind| target(kind, Check::Tags)).into(),
        ..rule(
            "gcp-required-labels",
            Severity::Medium,
            "Resources have the required labels",
            "a label is missing",
            "Looks for the labels that the call or the configuration requires, on the resources that take labels. \
             Without them nobody knows whose a resource is and what it costs whom.",
            "Add the label, or set it once in the provider's `default_labels`.",
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
        provider: Some(Provider::Gcp),
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
                at("storage#bucket", "/iamConfiguration/publicAccessPrevention", equals("enforced")),
                at("google_storage_bucket", "/public_access_prevention", equals("enforced")),
            ],
            ..rule(
                "gcp-storage-public-access",
                Severity::High,
                "Buckets prevent public access",
                "public access is not prevented",
                "Looks for the prevention of public access. With it no policy and no access control list, by mistake \
                 or not, opens the bucket to the internet.",
                "Set `publicAccessPrevention` to `enforced`.",
            )
        },
        Rule {
            targets: vec![
                at("storage#bucket", "/iamConfiguration/uniformBucketLevelAccess/enabled", equals(true)),
                at("google_storage_bucket", "/uniform_bucket_level_access", equals(true)),
            ],
            ..rule(
                "gcp-storage-uniform-access",
                Severity::Medium,
                "Access to buckets is decided in one place",
                "single objects can be opened past the bucket's policy",
                "Looks for uniform access at the level of the bucket, which turns access control lists off.",
                "Set `uniformBucketLevelAccess` to enabled.",
            )
        },
        Rule {
            targets: vec![
                at("storage#bucket", "/versioning/enabled", equals(true)),
                at("google_storage_bucket", "/versioning/0/enabled", equals(true)),
            ],
            ..rule(
                "gcp-storage-versioning",
                Severity::Medium,
                "Buckets keep versions",
                "what is deleted or replaced cannot be restored",
                "Looks for versioning. It is what brings objects back after a mistake or an attack.",
                "Turn versioning on, with a lifecycle rule that deletes old versions.",
            )
        },
        Rule {
            targets: vec![
                at("storage#bucket", "/logging/logBucket", Exists),
                at("compute#subnetwork", "/logConfig/enable", equals(true)).when("/purpose", not_reserved()),
                at("container#cluster", "/loggingService", differs("none")),
                at("google_storage_bucket", "/logging/0/log_bucket", Exists),
                at("google_compute_subnetwork", "/log_config/0", Exists).when("/purpose", not_reserved()),
                at("google_container_cluster", "/logging_service", differs("none")),
            ],
            ..rule(
                "gcp-logging",
                Severity::Low,
                "What happens is logged",
                "nothing is logged",
                "Looks at the usage logs of buckets, the flow logs of subnetworks and the logs of Kubernetes clusters.",
                "Turn the log on. For buckets the audit log of data access does as well: then disable this rule.",
            )
        },
    ]
}

/// Subnetworks that Google's own load balancers use have no flow logs.
fn not_reserved() -> crate::condition::Condition {
    none_of(&["REGIONAL_MANAGED_PROXY", "GLOBAL_MANAGED_PROXY", "INTERNAL_HTTPS_LOAD_BALANCER"])
}

fn access() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                code("compute#firewall", |firewall| open_firewall(&firewall.body, &API)),
                code("google_compute_firewall", |firewall| open_firewall(&firewall.body, &TERRAFORM)),
            ],
            ..rule(
                "gcp-open-admin-ports",
                Severity::Critical,
                "Firewalls open no administrative port to everyone",
                "an administrative port is open",
                "Looks at firewall rules that let in ports 22 (SSH) and 3389 (RDP) from 0.0.0.0/0 or ::/0, alone or \
                 within a range. Rules that are disabled are left alone.",
                network::REMEDIATION,
            )
        },
        Rule {
            targets: bindings(|resource| {
                everyone(
                    &[
                        resource.body.find("/bindings/*/members/*"),
                        resource.body.find("/members/*"),
                        resource.body.find("/member"),
                    ]
                    .concat(),
                )
            }),
            ..rule(
                "gcp-public-iam",
                Severity::Critical,
                "Policies do not let everyone in",
                "a policy lets everyone in",
                "Looks at bindings for the members `allUsers` and `allAuthenticatedUsers`. The latter is whoever has an \
                 account with Google, which is everyone too.",
                "Name the users, groups or service accounts that need access.",
            )
        },
        Rule {
            targets: bindings(|resource| {
                basic_roles(&[resource.body.find("/bindings/*/role"), resource.body.find("/role")].concat())
            }),
            ..rule(
                "gcp-iam-basic-role",
                Severity::High,
                "Policies do not give basic roles",
                "a policy gives nearly every permission",
                "Looks at bindings for the roles Owner and Editor, which allow nearly everything in a project.",
                "Give a predefined role for the task, or a role of your own.",
            )
        },
    ]
}

fn data() -> Vec<Rule> {
    let encrypted = || one_of(&["ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED"]);
    vec![
        Rule {
            targets: vec![
                code("sql#instance", |instance| {
                    open_networks(instance.body.find("/settings/ipConfiguration/authorizedNetworks/*/value"))
                }),
                code("google_sql_database_instance", |instance| {
                    open_networks(instance.body.find("/settings/0/ip_configuration/0/authorized_networks/*/value"))
                }),
            ],
            ..rule(
                "gcp-database-public",
                Severity::Critical,
                "Databases do not let everyone in",
                "the database can be reached from the internet",
                "Looks at the authorized networks of Cloud SQL.",
                "Name the addresses that need access, or use a private address or the Auth Proxy.",
            )
        },
        Rule {
            targets: vec![
                any(
                    "sql#instance",
                    vec![
                        ("/settings/ipConfiguration/sslMode", encrypted()),
                        ("/settings/ipConfiguration/requireSsl", equals(true)),
                    ],
                ),
                at("compute#sslPolicy", "/minTlsVersion", one_of(&["TLS_1_2", "TLS_1_3"])),
                any(
                    "google_sql_database_instance",
                    vec![
                        ("/settings/0/ip_configuration/0/ssl_mode", encrypted()),
                        ("/settings/0/ip_configuration/0/require_ssl", equals(true)),
                    ],
                ),
                at("google_compute_ssl_policy", "/min_tls_version", one_of(&["TLS_1_2", "TLS_1_3"])),
            ],
            ..rule(
                "gcp-tls-minimum",
                Severity::High,
                "Connections are encrypted with TLS 1.2 or later",
                "connections can be read on their way, or use an old protocol",
                "Looks at instances of Cloud SQL and at the TLS policies of load balancers.",
                "Set `sslMode` to `ENCRYPTED_ONLY`, and `minTlsVersion` to `TLS_1_2`.",
            )
        },
        Rule {
            targets: vec![
                at("storage#bucket", "/encryption/defaultKmsKeyName", Exists),
                at("compute#disk", "/diskEncryptionKey/kmsKeyName", Exists),
                at("sql#instance", "/diskEncryptionConfiguration/kmsKeyName", Exists),
                at("google_storage_bucket", "/encryption/0/default_kms_key_name", Exists),
                at("google_compute_disk", "/disk_encryption_key/0/kms_key_self_link", Exists),
                at("google_sql_database_instance", "/encryption_key_name", Exists),
            ],
            ..rule(
                "gcp-encryption-key",
                Severity::Low,
                "Data at rest is encrypted with a key of one's own",
                "the data is encrypted with a key of Google's",
                "Looks at buckets, disks and Cloud SQL. Google encrypts in any case; only with a key of your own can \
                 you withdraw access to the data.",
                "Name a key of Cloud KMS.",
            )
        },
        Rule {
            targets: vec![
                at("sql#instance", "/settings/deletionProtectionEnabled", equals(true)),
                any(
                    "google_sql_database_instance",
                    vec![
                        ("/settings/0/deletion_protection_enabled", equals(true)),
                        ("/deletion_protection", equals(true)),
                    ],
                ),
                at("google_container_cluster", "/deletion_protection", differs(false)),
                at("google_spanner_database", "/deletion_protection", differs(false)),
            ],
            ..rule(
                "gcp-deletion-protection",
                Severity::Medium,
                "Databases and clusters are protected from deletion",
                "it can be deleted by one call",
                "Looks at Cloud SQL, Spanner and Kubernetes clusters.",
                "Turn on deletion protection, and turn it off in a change of its own before a database is to go.",
            )
        },
    ]
}

/// Everything that binds roles to members.
fn bindings(check: fn(&crate::document::Resource<'_>) -> Vec<Violation>) -> Vec<Target> {
    let kinds = [
        "iam#policy",
        "storage#policy",
        "google_project_iam_member",
        "google_project_iam_binding",
        "google_folder_iam_member",
        "google_folder_iam_binding",
        "google_organization_iam_member",
        "google_organization_iam_binding",
        "google_storage_bucket_iam_member",
        "google_storage_bucket_iam_binding",
        "google_cloud_run_service_iam_member",
        "google_cloud_run_v2_service_iam_member",
        "google_cloudfunctions_function_iam_member",
        "google_kms_crypto_key_iam_member",
        "google_pubsub_topic_iam_member",
    ];
    kinds.map(|kind| code(kind, check)).into()
}

fn everyone(members: &[Node<'_>]) -> Vec<Violation> {
    let open = members.iter().filter_map(|member| {
        let name = member.text().filter(|name| matches!(*name, "allUsers" | "allAuthenticatedUsers"))?;
        Some(Violation { pointer: member.pointer.clone(), message: format!("the policy lets everyone in: `{name}`") })
    });
    open.collect()
}

fn basic_roles(roles: &[Node<'_>]) -> Vec<Violation> {
    let basic = roles.iter().filter_map(|role| {
        let name = role.text().filter(|name| matches!(*name, "roles/owner" | "roles/editor"))?;
        let message = format!("the policy gives `{name}`, which allows nearly everything");
        Some(Violation { pointer: role.pointer.clone(), message })
    });
    basic.collect()
}

/// What the parts of a firewall are called.
struct Names {
    sources: &'static str,
    allowed: &'static str,
    protocol: &'static str,
}

const API: Names = Names { sources: "/sourceRanges/*", allowed: "/allowed/*", protocol: "IPProtocol" };
const TERRAFORM: Names = Names { sources: "/source_ranges/*", allowed: "/allow/*", protocol: "protocol" };

fn open_firewall(firewall: &Node<'_>, names: &Names) -> Vec<Violation> {
    if firewall.get("disabled").truth() == Some(true) || firewall.get("direction").text() == Some("EGRESS") {
        return Vec::new();
    }
    let ports =
        firewall.find(names.allowed).iter().flat_map(|allowed| allowed_ports(allowed, names)).collect::<Vec<_>>();
    network::open_ports(&network::everyone(firewall.find(names.sources)), &ports)
}

fn allowed_ports(allowed: &Node<'_>, names: &Names) -> Vec<Ports> {
    if !network::carries_tcp(&allowed.get(names.protocol)) {
        return Vec::new();
    }
    let ports = allowed.get("ports");
    if ports.is_unknown() {
        return Vec::new();
    }
    let items = ports.items();
    // No port is every port.
    if items.is_empty() { vec![Ports::ALL] } else { items.iter().filter_map(Ports::of).collect() }
}

fn open_networks(networks: Vec<Node<'_>>) -> Vec<Violation> {
    let open = network::everyone(networks).into_iter();
    open.map(|network| Violation {
        pointer: network.pointer,
        message: "every address may connect to the database".to_owned(),
    })
    .collect()
}
