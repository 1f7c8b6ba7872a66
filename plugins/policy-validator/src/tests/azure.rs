use serde_json::{Value, json};

use super::{Case, arm, check, terraform};

fn rule(changes: Value) -> Value {
    let mut rule = json!({
        "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
        "destinationPortRanges": ["80", "20-30"],
    });
    for (key, value) in changes.as_object().expect("an object") {
        rule[key] = value.clone();
    }
    rule
}

#[test]
fn templates() {
    const STORAGE: &str = "Microsoft.Storage/storageAccounts";
    const NSG: &str = "Microsoft.Network/networkSecurityGroups";
    let one = |kind: &'static str, key: &str, value: Value| arm(kind, json!({ key: value }));
    let case = |rule, kind: &'static str, key: &str, broken: Value, path, kept: Value| Case {
        rule,
        broken: one(kind, key, broken),
        path,
        kept: one(kind, key, kept),
    };
    let tagged = |tags: Value| json!({ "id": "/subscriptions/x", "name": "a", "type": "microsoft.storage/storageaccounts", "location": "westeurope", "tags": tags, "properties": {} });
    let firewall = |end: &str| {
        arm("Microsoft.Sql/servers/firewallRules", json!({ "startIpAddress": "0.0.0.0", "endIpAddress": end }))
    };
    check(
        vec![
            case(
                "azure-https-only",
                STORAGE,
                "supportsHttpsTrafficOnly",
                json!(false),
                "/resources/0/properties/supportsHttpsTrafficOnly",
                json!(null),
            ),
            case(
                "azure-https-only",
                "Microsoft.Web/sites",
                "httpsOnly",
                json!(null),
                "/resources/0/properties/httpsOnly",
                json!(true),
            ),
            case(
                "azure-tls-minimum",
                STORAGE,
                "minimumTlsVersion",
                json!("TLS1_0"),
                "/resources/0/properties/minimumTlsVersion",
                json!("TLS1_2"),
            ),
            case(
                "azure-tls-minimum",
                "microsoft.sql/servers",
                "minimalTlsVersion",
                json!("1.1"),
                "/resources/0/properties/minimalTlsVersion",
                json!("[parameters('tls')]"),
            ),
            case(
                "azure-storage-public-access",
                STORAGE,
                "allowBlobPublicAccess",
                json!(true),
                "/resources/0/properties/allowBlobPublicAccess",
                json!(false),
            ),
            Case {
                rule: "azure-open-admin-ports",
                broken: arm(NSG, json!({ "securityRules": [{ "properties": rule(json!({})) }] })),
                path: "/resources/0/properties/securityRules/0/properties/sourceAddressPrefix",
                kept: arm(
                    NSG,
                    json!({ "securityRules": [
                    { "properties": rule(json!({ "access": "Deny" })) },
                    { "properties": rule(json!({ "direction": "Outbound" })) },
                    { "properties": rule(json!({ "protocol": "Udp" })) },
                    { "properties": rule(json!({ "sourceAddressPrefix": "VirtualNetwork" })) },
                    { "properties": rule(json!({ "destinationPortRanges": ["443"] })) },
                ] }),
                ),
            },
            Case {
                rule: "azure-open-admin-ports",
                broken: terraform(&[(
                    "azurerm_network_security_rule",
                    json!({
                        "direction": "Inbound", "access": "Allow", "protocol": "*", "source_address_prefixes": ["10.0.0.0/8", "0.0.0.0/0"], "destination_port_range": "*",
                    }),
                )]),
                path: "/planned_values/root_module/resources/0/values/source_address_prefixes/1",
                kept: terraform(&[(
                    "azurerm_network_security_rule",
                    json!({ "direction": "Inbound", "access": "Allow" }),
                )]),
            },
            case(
                "azure-database-public",
                "Microsoft.Sql/servers",
                "publicNetworkAccess",
                json!("Enabled"),
                "/resources/0/properties/publicNetworkAccess",
                json!("Disabled"),
            ),
            Case {
                rule: "azure-database-firewall",
                broken: firewall("255.255.255.255"),
                path: "/resources/0/properties/startIpAddress",
                kept: firewall("0.0.0.0"),
            },
            case(
                "azure-role-wildcard",
                "Microsoft.Authorization/roleDefinitions",
                "permissions",
                json!([{ "actions": ["a/read", "*"] }]),
                "/resources/0/properties/permissions/0/actions/1",
                json!([{ "actions": ["*/read"] }]),
            ),
            case(
                "azure-encryption-at-rest",
                "Microsoft.Compute/virtualMachines",
                "securityProfile",
                json!({}),
                "/resources/0/properties/securityProfile/encryptionAtHost",
                json!({ "encryptionAtHost": true }),
            ),
            case(
                "azure-deletion-protection",
                "Microsoft.KeyVault/vaults",
                "enablePurgeProtection",
                json!(null),
                "/resources/0/properties/enablePurgeProtection",
                json!(true),
            ),
            case(
                "azure-storage-versioning",
                "Microsoft.Storage/storageAccounts/blobServices",
                "isVersioningEnabled",
                json!(false),
                "/resources/0/properties/isVersioningEnabled",
                json!(true),
            ),
            case(
                "azure-logging",
                "Microsoft.ContainerService/managedClusters",
                "addonProfiles",
                json!({}),
                "/resources/0/properties/addonProfiles/omsagent/enabled",
                json!({ "omsagent": { "enabled": true } }),
            ),
            Case {
                rule: "azure-required-tags",
                broken: tagged(json!({ "cost": "x" })),
                path: "/tags",
                kept: tagged(json!({ "Owner": "x" })),
            },
        ],
        "azure-",
    );
}
