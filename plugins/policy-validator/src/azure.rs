//! Rules for Microsoft Azure. Resource Manager templates and its API have the same shape, so one target serves both.

use crate::bindings::exports::outrigger::policy_validator::policies::{Provider, Severity};
use crate::condition::Condition::Exists;
use crate::condition::{differs, equals, none_of, one_of};
use crate::network::{self, Ports};
use crate::node::Node;
use crate::rule::{Check, Rule, Violation, any, at, code, target};

pub fn rules() -> Vec<Rule> {
    let mut rules = transport();
    rules.extend(exposure());
    rules.extend(safeguards());
    rules.push(Rule {
        targets: ["Microsoft.*", "azurerm_*"].map(|kind| target(kind, Check::Tags)).into(),
        ..rule(
            "azure-required-tags",
            Severity::Medium,
            "Resources have the required tags",
            "a tag is missing",
            "Looks for the tags that the call or the configuration requires, on the resources that take tags. Without \
             them nobody knows whose a resource is and what it costs whom.",
            "Add the tag, or let Azure Policy inherit it from the resource group.",
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
        provider: Some(Provider::Azure),
        severity,
        title: title.into(),
        violation: violation.into(),
        description: description.into(),
        remediation: remediation.into(),
        custom: false,
        targets: Vec::new(),
    }
}

fn transport() -> Vec<Rule> {
    let modern = || one_of(&["1.2", "1.3"]);
    let modern_storage = || one_of(&["TLS1_2", "TLS1_3"]);
    vec![
        Rule {
            targets: vec![
                // On where it is left out, since the API of April 2019.
                at("Microsoft.Storage/storageAccounts", "/properties/supportsHttpsTrafficOnly", differs(false)),
                at("Microsoft.Web/sites", "/properties/httpsOnly", equals(true)),
                at("azurerm_storage_account", "/https_traffic_only_enabled", differs(false)),
                at("azurerm_storage_account", "/enable_https_traffic_only", differs(false)),
                at("azurerm_linux_web_app", "/https_only", equals(true)),
                at("azurerm_windows_web_app", "/https_only", equals(true)),
                at("azurerm_linux_function_app", "/https_only", equals(true)),
                at("azurerm_windows_function_app", "/https_only", equals(true)),
            ],
            ..rule(
                "azure-https-only",
                Severity::High,
                "Storage accounts and web apps accept only HTTPS",
                "requests that are not encrypted are accepted",
                "Looks at storage accounts, web apps and function apps.",
                "Set `supportsHttpsTrafficOnly` or `httpsOnly` to true.",
            )
        },
        Rule {
            targets: vec![
                at("Microsoft.Storage/storageAccounts", "/properties/minimumTlsVersion", modern_storage()),
                at("Microsoft.Sql/servers", "/properties/minimalTlsVersion", modern()),
                at("Microsoft.Cache/redis", "/properties/minimumTlsVersion", modern()),
                // 1.2 where they are left out.
                at("Microsoft.Web/sites", "/properties/siteConfig/minTlsVersion", none_of(&["1.0", "1.1"])),
                at("azurerm_storage_account", "/min_tls_version", modern_storage()),
                at("azurerm_mssql_server", "/minimum_tls_version", modern()),
                at("azurerm_redis_cache", "/minimum_tls_version", modern()),
                at("azurerm_linux_web_app", "/site_config/0/minimum_tls_version", none_of(&["1.0", "1.1"])),
                at("azurerm_windows_web_app", "/site_config/0/minimum_tls_version", none_of(&["1.0", "1.1"])),
            ],
            ..rule(
                "azure-tls-minimum",
                Severity::High,
                "Connections are encrypted with TLS 1.2 or later",
                "old protocols are accepted",
                "Looks at storage accounts, SQL servers, Redis caches and web apps.",
                "Set the minimum to TLS 1.2.",
            )
        },
    ]
}

fn exposure() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                at("Microsoft.Storage/storageAccounts", "/properties/allowBlobPublicAccess", equals(false)),
                at(
                    "Microsoft.Storage/storageAccounts/blobServices/containers",
                    "/properties/publicAccess",
                    none_of(&["Blob", "Container"]),
                ),
                any(
                    "azurerm_storage_account",
                    vec![
                        ("/allow_nested_items_to_be_public", equals(false)),
                        ("/allow_blob_public_access", equals(false)),
                    ],
                ),
                at("azurerm_storage_container", "/container_access_type", none_of(&["blob", "container"])),
            ],
            ..rule(
                "azure-storage-public-access",
                Severity::High,
                "Storage accounts allow no anonymous access",
                "containers can be opened to everyone",
                "Looks at storage accounts and their containers. With the account's switch off, no container is open, \
                 whatever its own setting.",
                "Set `allowBlobPublicAccess` to false (Terraform: `allow_nested_items_to_be_public`).",
            )
        },
        Rule {
            targets: vec![
                code("Microsoft.Network/networkSecurityGroups", |group| {
                    group
                        .body
                        .find("/properties/securityRules/*")
                        .iter()
                        .flat_map(|rule| inbound(&rule.get("properties"), &ARM))
                        .collect()
                }),
                code("Microsoft.Network/networkSecurityGroups/securityRules", |rule| {
                    inbound(&rule.body.get("properties"), &ARM)
                }),
                code("azurerm_network_security_group", |group| {
                    group.body.find("/security_rule/*").iter().flat_map(|rule| inbound(rule, &TERRAFORM)).collect()
                }),
                code("azurerm_network_security_rule", |rule| inbound(&rule.body, &TERRAFORM)),
            ],
            ..rule(
                "azure-open-admin-ports",
                Severity::Critical,
                "Network security groups open no administrative port to everyone",
                "an administrative port is open",
                "Looks at inbound rules that allow ports 22 (SSH) and 3389 (RDP) from `*`, `Internet`, 0.0.0.0/0 or \
                 ::/0, alone or within a range.",
                network::REMEDIATION,
            )
        },
        Rule {
            targets: vec![
                at(
                    "Microsoft.Sql/servers",
                    "/properties/publicNetworkAccess",
                    one_of(&["Disabled", "SecuredByPerimeter"]),
                ),
                at(
                    "Microsoft.DocumentDB/databaseAccounts",
                    "/properties/publicNetworkAccess",
                    one_of(&["Disabled", "SecuredByPerimeter"]),
                ),
                at("azurerm_mssql_server", "/public_network_access_enabled", equals(false)),
                at("azurerm_cosmosdb_account", "/public_network_access_enabled", equals(false)),
                at("azurerm_postgresql_flexible_server", "/public_network_access_enabled", equals(false)),
            ],
            ..rule(
                "azure-database-public",
                Severity::High,
                "Databases have no public address",
                "the database can be reached from the internet",
                "Looks at servers of SQL and PostgreSQL and at accounts of Cosmos DB. Their firewall is then all that \
                 stands between the data and everyone.",
                "Set `publicNetworkAccess` to `Disabled`, and reach the database by a private endpoint.",
            )
        },
        Rule {
            targets: vec![
                code("Microsoft.Sql/servers/firewallRules", |rule| {
                    let rule = rule.body.get("properties");
                    open_firewall(&rule.get("startIpAddress"), &rule.get("endIpAddress"))
                }),
                code("Microsoft.DBforPostgreSQL/flexibleServers/firewallRules", |rule| {
                    let rule = rule.body.get("properties");
                    open_firewall(&rule.get("startIpAddress"), &rule.get("endIpAddress"))
                }),
                code("azurerm_mssql_firewall_rule", |rule| {
                    open_firewall(&rule.body.get("start_ip_address"), &rule.body.get("end_ip_address"))
                }),
                code("azurerm_postgresql_flexible_server_firewall_rule", |rule| {
                    open_firewall(&rule.body.get("start_ip_address"), &rule.body.get("end_ip_address"))
                }),
            ],
            ..rule(
                "azure-database-firewall",
                Severity::Critical,
                "Firewalls of databases do not let everyone in",
                "the firewall lets everyone in",
                "Looks at firewall rules of SQL and PostgreSQL servers for ranges that begin at 0.0.0.0. The range of \
                 the one address 0.0.0.0, which stands for Azure's own services, is left alone.",
                "Name the addresses that need access, or use a private endpoint.",
            )
        },
        Rule {
            targets: vec![
                code("Microsoft.Authorization/roleDefinitions", |role| {
                    wildcards(role.body.find("/properties/permissions/*/actions/*"))
                }),
                code("azurerm_role_definition", |role| wildcards(role.body.find("/permissions/*/actions/*"))),
            ],
            ..rule(
                "azure-role-wildcard",
                Severity::High,
                "Roles do not allow everything",
                "a role allows everything",
                "Looks at custom roles for the action `*`, which makes an owner of whoever has the role.",
                "Name the actions that are needed.",
            )
        },
    ]
}

fn safeguards() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                at("Microsoft.Compute/virtualMachines", "/properties/securityProfile/encryptionAtHost", equals(true)),
                at("Microsoft.Sql/servers/databases/transparentDataEncryption", "/properties/state", equals("Enabled")),
                at("azurerm_linux_virtual_machine", "/encryption_at_host_enabled", equals(true)),
                at("azurerm_windows_virtual_machine", "/encryption_at_host_enabled", equals(true)),
                at("azurerm_mssql_database", "/transparent_data_encryption_enabled", differs(false)),
            ],
            ..rule(
                "azure-encryption-at-rest",
                Severity::Medium,
                "Virtual machines and databases are encrypted as a whole",
                "data is stored without encryption",
                "Looks at virtual machines, whose temporary disks and caches are encrypted only where the host does it, \
                 and at the encryption of SQL databases.",
                "Set `encryptionAtHost` to true, and transparent data encryption to `Enabled`.",
            )
        },
        Rule {
            targets: vec![
                at("Microsoft.KeyVault/vaults", "/properties/enablePurgeProtection", equals(true)),
                at("azurerm_key_vault", "/purge_protection_enabled", equals(true)),
            ],
            ..rule(
                "azure-deletion-protection",
                Severity::Medium,
                "Key vaults are protected from deletion",
                "keys and secrets can be deleted for good",
                "Looks at key vaults. What a deleted key encrypted is lost.",
                "Set `enablePurgeProtection` to true. It cannot be turned off again.",
            )
        },
        Rule {
            targets: vec![
                at("Microsoft.Storage/storageAccounts/blobServices", "/properties/isVersioningEnabled", equals(true)),
                at("azurerm_storage_account", "/blob_properties/0/versioning_enabled", equals(true)),
            ],
            ..rule(
                "azure-storage-versioning",
                Severity::Medium,
                "Blobs keep versions",
                "what is deleted or replaced cannot be restored",
                "Looks for versioning of blobs. It is what brings them back after a mistake or an attack.",
                "Set `isVersioningEnabled` to true, with a rule that deletes old versions.",
            )
        },
        Rule {
            targets: vec![
                at("Microsoft.Sql/servers/auditingSettings", "/properties/state", equals("Enabled")),
                at("Microsoft.Network/networkWatchers/flowLogs", "/properties/enabled", equals(true)),
                any(
                    "Microsoft.ContainerService/managedClusters",
                    vec![
                        ("/properties/addonProfiles/omsagent/enabled", equals(true)),
                        ("/properties/azureMonitorProfile/containerInsights/enabled", equals(true)),
                    ],
                ),
                at("azurerm_network_watcher_flow_log", "/enabled", equals(true)),
                at("azurerm_mssql_server_extended_auditing_policy", "/enabled", differs(false)),
                at("azurerm_kubernetes_cluster", "/oms_agent/0/log_analytics_workspace_id", Exists),
            ],
            ..rule(
                "azure-logging",
                Severity::Low,
                "What happens is logged",
                "nothing is logged",
                "Looks at the auditing of SQL servers, at flow logs and at Kubernetes clusters.",
                "Turn the log on, and keep it in a workspace of Log Analytics.",
            )
        },
    ]
}

/// What the parts of a security rule are called.
struct Names {
    protocol: &'static str,
    sources: [&'static str; 2],
    ports: [&'static str; 2],
}

const ARM: Names = Names {
    protocol: "protocol",
    sources: ["/sourceAddressPrefix", "/sourceAddressPrefixes/*"],
    ports: ["/destinationPortRange", "/destinationPortRanges/*"],
};

const TERRAFORM: Names = Names {
    protocol: "protocol",
    sources: ["/source_address_prefix", "/source_address_prefixes/*"],
    ports: ["/destination_port_range", "/destination_port_ranges/*"],
};

fn inbound(rule: &Node<'_>, names: &Names) -> Vec<Violation> {
    let is = |key: &str, word: &str| rule.get(key).text().is_some_and(|text| text.eq_ignore_ascii_case(word));
    if !is("direction", "Inbound") || !is("access", "Allow") || !network::carries_tcp(&rule.get(names.protocol)) {
        return Vec::new();
    }
    let sources = network::everyone(names.sources.iter().flat_map(|path| rule.find(path)).collect());
    let ports: Vec<Ports> =
        names.ports.iter().flat_map(|path| rule.find(path)).filter_map(|node| Ports::of(&node)).collect();
    network::open_ports(&sources, &ports)
}

fn open_firewall(start: &Node<'_>, end: &Node<'_>) -> Vec<Violation> {
    match (start.text(), end.text()) {
        (Some("0.0.0.0"), Some(end)) if end != "0.0.0.0" => {
            let message = format!("the firewall lets in every address from 0.0.0.0 to {end}");
            vec![Violation { pointer: start.pointer.clone(), message }]
        }
        _ => Vec::new(),
    }
}

fn wildcards(actions: Vec<Node<'_>>) -> Vec<Violation> {
    let all = actions.into_iter().filter(|action| action.text() == Some("*"));
    all.map(|action| Violation { pointer: action.pointer, message: "the role allows every action".to_owned() })
        .collect()
}
