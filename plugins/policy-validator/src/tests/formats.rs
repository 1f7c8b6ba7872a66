use serde_json::{Value, json};

use super::{ALL, report};
use crate::bindings::exports::outrigger::policy_validator::policies::{DocumentFormat, Report, ValidateError};
use crate::report::validate;
use crate::rule::built_in;

fn read(text: &str, format: Option<DocumentFormat>) -> Result<Report, ValidateError> {
    validate(text, format, &built_in(), ALL, &[])
}

fn paths(report: &Report, rule: &str) -> Vec<String> {
    report.findings.iter().filter(|finding| finding.rule == rule).map(|finding| finding.path.clone()).collect()
}

#[test]
fn a_template_as_people_write_it() {
    let text = r#"
AWSTemplateFormatVersion: 2010-09-09
Description: !Sub "A bucket and a group"
Parameters:
  Status: { Type: String, Default: Suspended }
  Cidr: { Type: String }
Conditions:
  Prod: !Equals [!Ref Stage, prod]
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties:
      BucketName: !Join ["-", [a, !Ref AWS::Region]]
      VersioningConfiguration:
        Status: !Ref Status
      LoggingConfiguration: !If [Prod, {DestinationBucketName: !ImportValue logs}, !Ref AWS::NoValue]
      BucketEncryption:
        Fn::Transform: { Name: Encryption }
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: SSH
      SecurityGroupIngress:
        - { IpProtocol: tcp, FromPort: 22, ToPort: 22, CidrIp: !Ref Cidr }
        - { IpProtocol: tcp, FromPort: "22", ToPort: "22", CidrIp: 0.0.0.0/0 }
  Other:
    Type: Custom::Thing
"#;
    let report = read(text, None).expect("a report");
    assert_eq!(report.format, DocumentFormat::Cloudformation);
    assert_eq!((report.resources_checked, report.resources_not_covered), (2, 1));
    assert_eq!(paths(&report, "aws-s3-versioning"), ["/Resources/Bucket/Properties/VersioningConfiguration/Status"]);
    assert_eq!(paths(&report, "aws-s3-logging"), ["/Resources/Bucket/Properties/LoggingConfiguration/Fn::If/2"]);
    assert_eq!(paths(&report, "aws-s3-encryption"), [""; 0]);
    assert_eq!(paths(&report, "aws-open-admin-ports"), ["/Resources/Group/Properties/SecurityGroupIngress/1/CidrIp"]);
    assert_eq!(report.findings[0].rule, "aws-open-admin-ports");
    assert_eq!((report.findings[0].resource.as_str(), report.counts.critical), ("Group", 1));
}

#[test]
fn a_plan_with_modules_and_values_that_are_not_known_yet() {
    let bucket = |index: u32| json!({ "address": format!("module.store[0].aws_s3_bucket.b[{index}]"), "mode": "managed", "type": "aws_s3_bucket", "values": { "bucket_prefix": "x" } });
    let plan = json!({
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": { "root_module": {
            "resources": [
                { "address": "data.aws_ami.a", "mode": "data", "type": "aws_ami", "values": {} },
                { "address": "aws_ebs_volume.v", "mode": "managed", "type": "aws_ebs_volume", "values": {} },
            ],
            "child_modules": [{ "address": "module.store[0]", "resources": [
                bucket(0),
                { "address": "module.store[0].aws_s3_bucket_versioning.v", "mode": "managed", "type": "aws_s3_bucket_versioning",
                  "values": { "versioning_configuration": [{ "status": "Enabled" }] } },
            ] }],
        } },
        "resource_changes": [
            { "address": "aws_ebs_volume.v", "change": { "after_unknown": { "encrypted": true } } },
            { "address": "module.store[0].aws_s3_bucket.b[0]", "change": { "after_unknown": { "bucket": true, "versioning": true, "logging": true } } },
            { "address": "module.store[0].aws_s3_bucket_versioning.v", "change": { "after_unknown": { "bucket": true } } },
        ],
        "configuration": { "root_module": { "module_calls": { "store": { "module": { "resources": [
            { "address": "aws_s3_bucket_versioning.v", "expressions": { "bucket": { "references": ["aws_s3_bucket.b[0].id", "aws_s3_bucket.b[0]", "aws_s3_bucket.b"] } } },
        ] } } } } },
    });
    let report = report(&plan);
    assert_eq!(report.format, DocumentFormat::TerraformPlan);
    assert_eq!(report.resources_checked + report.resources_not_covered, 3, "data sources are left alone");
    assert_eq!(paths(&report, "aws-encryption-at-rest"), [""; 0], "not known yet");
    assert_eq!(paths(&report, "aws-s3-versioning"), [""; 0], "said by the resource that refers to the bucket");
    assert_eq!(
        paths(&report, "aws-s3-logging"),
        ["/planned_values/root_module/child_modules/0/resources/0/values"],
        "what the provider will fill in is no log"
    );
    let finding = report.findings.iter().find(|finding| finding.rule == "aws-s3-logging").expect("a finding");
    assert_eq!(finding.resource, "module.store[0].aws_s3_bucket.b[0]");

    let state = json!({ "format_version": "1.0", "values": { "root_module": { "resources": [
        { "address": "aws_ebs_volume.v", "mode": "managed", "type": "aws_ebs_volume", "values": { "encrypted": false } },
    ] } } });
    assert_eq!(
        paths(&super::report(&state), "aws-encryption-at-rest"),
        ["/values/root_module/resources/0/values/encrypted"]
    );
    assert!(super::report(&json!({ "format_version": "1.0" })).passed, "an empty state");
}

#[test]
fn an_arm_template_with_children_and_deployments() {
    let inner = json!({ "resources": [{ "type": "Microsoft.KeyVault/vaults", "name": "[parameters('name')]", "properties": {} }] });
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "languageVersion": "2.0",
        "parameters": { "tls": { "type": "string", "defaultValue": "[variables('tls')]" } },
        "variables": { "tls": "TLS1_0" },
        "resources": {
            "account": { "type": "Microsoft.Storage/storageAccounts", "name": "[uniqueString('x')]",
                "properties": { "minimumTlsVersion": "[parameters('tls')]", "allowBlobPublicAccess": "[not(true())]" },
                "resources": [{ "type": "blobServices", "name": "default", "properties": {} }] },
            "old": { "existing": true, "type": "Microsoft.KeyVault/vaults", "name": "old" },
            "nested": { "type": "Microsoft.Resources/deployments", "name": "n",
                "properties": { "expressionEvaluationOptions": { "scope": "inner" }, "template": inner } },
        },
    });
    let report = report(&template);
    assert_eq!(report.format, DocumentFormat::ArmTemplate);
    assert_eq!(paths(&report, "azure-tls-minimum"), ["/resources/account/properties/minimumTlsVersion"]);
    assert_eq!(paths(&report, "azure-storage-public-access"), [""; 0]);
    assert_eq!(
        paths(&report, "azure-storage-versioning"),
        ["/resources/account/resources/0/properties/isVersioningEnabled"]
    );
    assert_eq!(
        paths(&report, "azure-deletion-protection"),
        ["/resources/nested/properties/template/resources/0/properties/enablePurgeProtection"]
    );
    assert!(report.findings.iter().any(|finding| finding.resource == "account"));
}

#[test]
fn plain_resources_and_lists_of_them() {
    let firewall = json!({ "kind": "compute#firewall", "name": "f", "sourceRanges": ["0.0.0.0/0"], "allowed": [{ "IPProtocol": "tcp" }] });
    let asset = json!({ "name": "//compute.googleapis.com/f", "assetType": "compute.googleapis.com/Firewall", "resource": { "data": firewall } });
    let cluster = json!({ "name": "c", "selfLink": "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c", "loggingService": "none" });
    for (document, rule, path) in [
        (firewall.clone(), "gcp-open-admin-ports", "/sourceRanges/0"),
        (json!([firewall]), "gcp-open-admin-ports", "/0/sourceRanges/0"),
        (
            json!({ "kind": "compute#firewallList", "items": [{}, firewall] }),
            "gcp-open-admin-ports",
            "/items/1/sourceRanges/0",
        ),
        (asset, "gcp-open-admin-ports", "/resource/data/sourceRanges/0"),
        (cluster, "gcp-logging", "/loggingService"),
        (
            json!({ "value": [{ "type": "Microsoft.KeyVault/vaults", "name": "v", "properties": {} }] }),
            "azure-deletion-protection",
            "/value/0/properties/enablePurgeProtection",
        ),
        (
            json!({ "TypeName": "AWS::EC2::Volume", "Identifier": "vol-1", "Properties": {} }),
            "aws-encryption-at-rest",
            "/Properties/Encrypted",
        ),
    ] {
        let report = report(&document);
        assert_eq!(report.format, DocumentFormat::PlainResource);
        assert_eq!(paths(&report, rule), [path], "{document}");
    }
    assert!(report(&json!([])).passed);
}

#[test]
fn what_is_no_document_is_told() {
    let cases: [(&str, Option<DocumentFormat>, &str); 8] = [
        ("", None, "the document is empty"),
        ("resource \"aws_s3_bucket\" \"b\" {}", None, "terraform show -json plan"),
        ("{\"a\": 1}", None, "recognised are a CloudFormation template"),
        ("[1, {}]", None, "no element of the list is a resource"),
        ("{\"Resources\": []}", None, "recognised are"),
        ("{\"a\": 1}", Some(DocumentFormat::ArmTemplate), "this is not an ARM template"),
        (
            "{\"Resources\": {}}",
            Some(DocumentFormat::TerraformPlan),
            "this is a CloudFormation template, not a Terraform plan",
        ),
        ("{\"a\": 1}", Some(DocumentFormat::PlainResource), "recognised are"),
    ];
    for (text, format, expected) in cases {
        match read(text, format) {
            Err(ValidateError::UnrecognisedDocument(found)) => {
                assert!(found.reason.contains(expected), "{text}: {found:?}");
            }
            Err(ValidateError::NotParsable(_)) if text.starts_with("resource") => {}
            other => panic!("{text}: {other:?}"),
        }
    }
    let Err(ValidateError::UnrecognisedDocument(found)) = read("{\"a\": 1, \"b\": 2}", None) else { panic!("refused") };
    assert_eq!(found.top_level_keys, ["a", "b"]);
    let Err(ValidateError::NotParsable(error)) = read("Resources:\n  A: [\n", None) else { panic!("refused") };
    assert!(error.line >= 2, "{error:?}");
    let long = Value::from("x".repeat(9 * 1024 * 1024)).to_string();
    assert!(matches!(read(&long, None), Err(ValidateError::TooLarge(large)) if large.maximum == 8_388_608));
}
