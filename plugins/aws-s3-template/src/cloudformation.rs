//! From checked options to the CloudFormation document.

use serde_json::{Map, Value, json};

use crate::bindings::exports::outrigger::aws_s3_template::templates::{
    Deletion, Encryption, LifecycleRule, LockMode, StorageClass,
};
use crate::options::{EncryptionPlan, Plan, ReplicationPlan};

const BUCKET: &str = "Bucket";
const POLICY: &str = "BucketPolicy";
const ROLE: &str = "ReplicationRole";

/// The document, in the order in which people read templates.
pub fn document(plan: &Plan) -> Value {
    let mut resources = Map::new();
    resources.insert(BUCKET.to_owned(), bucket(plan));
    if plan.require_tls {
        resources.insert(POLICY.to_owned(), bucket_policy());
    }
    if let Some(replication) = &plan.replication
        && replication.role.is_none()
    {
        resources.insert(ROLE.to_owned(), replication_role(plan, replication));
    }
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": plan.description,
        "Resources": resources,
        "Outputs": {
            "BucketName": { "Description": "The name of the bucket.", "Value": { "Ref": BUCKET } },
            "BucketArn": { "Description": "The ARN of the bucket.", "Value": { "Fn::GetAtt": [BUCKET, "Arn"] } },
            "BucketDomainName": {
                "Description": "The domain name of the bucket in its region.",
                "Value": { "Fn::GetAtt": [BUCKET, "RegionalDomainName"] },
            },
        },
    })
}

/// Choices that are weaker than what AWS recommends.
pub fn remarks(plan: &Plan) -> Vec<String> {
    let weaker = [
        (!plan.versioning, "versioning is off: what is deleted or replaced cannot be restored"),
        (!plan.block_public_access, "public access is not blocked: a policy or an access point can open the bucket"),
        (!plan.require_tls, "requests without TLS are accepted"),
        (plan.log.is_none(), "access is not logged: give `log-bucket`"),
        (plan.deletion == Deletion::Delete, "the bucket is deleted with the stack, where it is empty"),
        (
            plan.encryption.kind != Encryption::S3 && plan.encryption.key.is_none(),
            "the account's own key for S3 is used: other accounts cannot read the objects, and its policy is fixed",
        ),
    ];
    weaker.into_iter().filter(|(applies, _)| *applies).map(|(_, remark)| remark.to_owned()).collect()
}

fn bucket(plan: &Plan) -> Value {
    let mut properties = Map::new();
    let mut set = |name: &str, value: Value| _ = properties.insert(name.to_owned(), value);
    set("BucketName", json!(plan.bucket_name));
    set("BucketEncryption", encryption(&plan.encryption));
    if plan.versioning {
        set("VersioningConfiguration", json!({ "Status": "Enabled" }));
    }
    let block = plan.block_public_access;
    set(
        "PublicAccessBlockConfiguration",
        json!({
            "BlockPublicAcls": block,
            "BlockPublicPolicy": block,
            "IgnorePublicAcls": block,
            "RestrictPublicBuckets": block,
        }),
    );
    set("OwnershipControls", json!({ "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] }));
    set("LifecycleConfiguration", lifecycle(plan));
    if let Some(log) = &plan.log {
        set("LoggingConfiguration", json!({ "DestinationBucketName": log.bucket, "LogFilePrefix": log.prefix }));
    }
    if let Some(replication) = &plan.replication {
        set("ReplicationConfiguration", replication_configuration(replication));
    }
    if let Some((mode, days)) = plan.lock {
        let mode = match mode {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        };
        set("ObjectLockEnabled", json!(true));
        set(
            "ObjectLockConfiguration",
            json!({ "ObjectLockEnabled": "Enabled", "Rule": { "DefaultRetention": { "Mode": mode, "Days": days } } }),
        );
    }
    if !plan.tags.is_empty() {
        let tags: Vec<Value> = plan.tags.iter().map(|tag| json!({ "Key": tag.key, "Value": tag.value })).collect();
        set("Tags", json!(tags));
    }
    let deletion = match plan.deletion {
        Deletion::Retain => "Retain",
        Deletion::Delete => "Delete",
    };
    json!({
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": deletion,
        "UpdateReplacePolicy": deletion,
        "Properties": properties,
    })
}

fn encryption(plan: &EncryptionPlan) -> Value {
    let algorithm = match plan.kind {
        Encryption::S3 => "AES256",
        Encryption::Kms => "aws:kms",
        Encryption::KmsDsse => "aws:kms:dsse",
    };
    let mut default = Map::new();
    default.insert("SSEAlgorithm".to_owned(), json!(algorithm));
    if let Some(key) = &plan.key {
        default.insert("KMSMasterKeyID".to_owned(), json!(key));
    }
    let mut rule = Map::new();
    rule.insert("ServerSideEncryptionByDefault".to_owned(), Value::Object(default));
    if plan.kind == Encryption::Kms {
        rule.insert("BucketKeyEnabled".to_owned(), json!(plan.bucket_key));
    }
    json!({ "ServerSideEncryptionConfiguration": [rule] })
}

fn lifecycle(plan: &Plan) -> Value {
    let mut rules: Vec<Value> = plan.rules.iter().map(lifecycle_rule).collect();
    rules.push(json!({
        "Id": "abort-unfinished-uploads",
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": plan.abort_uploads_after_days },
    }));
    json!({ "Rules": rules })
}

fn lifecycle_rule(rule: &LifecycleRule) -> Value {
    let LifecycleRule {
        id,
        prefix,
        archive_after_days,
        archive_class,
        expire_after_days,
        noncurrent_expire_after_days,
    } = rule;
    let mut written = Map::new();
    let mut set = |name: &str, value: Value| _ = written.insert(name.to_owned(), value);
    set("Id", json!(id));
    set("Status", json!("Enabled"));
    if let Some(prefix) = prefix {
        set("Prefix", json!(prefix));
    }
    if let Some(days) = archive_after_days {
        let class = storage_class(archive_class.unwrap_or(StorageClass::Glacier));
        set("Transitions", json!([{ "StorageClass": class, "TransitionInDays": days }]));
    }
    if let Some(days) = expire_after_days {
        set("ExpirationInDays", json!(days));
    }
    if let Some(days) = noncurrent_expire_after_days {
        set("NoncurrentVersionExpiration", json!({ "NoncurrentDays": days }));
    }
    Value::Object(written)
}

fn storage_class(class: StorageClass) -> &'static str {
    match class {
        StorageClass::StandardIa => "STANDARD_IA",
        StorageClass::OnezoneIa => "ONEZONE_IA",
        StorageClass::IntelligentTiering => "INTELLIGENT_TIERING",
        StorageClass::GlacierIr => "GLACIER_IR",
        StorageClass::Glacier => "GLACIER",
        StorageClass::DeepArchive => "DEEP_ARCHIVE",
    }
}

fn replication_configuration(replication: &ReplicationPlan) -> Value {
    let mut destination = Map::new();
    destination.insert("Bucket".to_owned(), bucket_arn(&replication.bucket, ""));
    if let Some(class) = replication.class {
        destination.insert("StorageClass".to_owned(), json!(storage_class(class)));
    }
    let mut rule = json!({
        "Id": "whole-bucket",
        "Status": "Enabled",
        "Priority": 1,
        "Filter": { "Prefix": "" },
        "DeleteMarkerReplication": { "Status": "Disabled" },
    });
    if let Some(key) = &replication.key {
        destination.insert("EncryptionConfiguration".to_owned(), json!({ "ReplicaKmsKeyID": key }));
        rule["SourceSelectionCriteria"] = json!({ "SseKmsEncryptedObjects": { "Status": "Enabled" } });
    }
    rule["Destination"] = Value::Object(destination);
    let role = match &replication.role {
        Some(role) => json!(role),
        None => json!({ "Fn::GetAtt": [ROLE, "Arn"] }),
    };
    json!({ "Role": role, "Rules": [rule] })
}

/// The role that S3 takes on to copy. It names the bucket by its ARN as text: the bucket refers to the role, so a
/// reference back would be a circle.
fn replication_role(plan: &Plan, replication: &ReplicationPlan) -> Value {
    let source = bucket_arn(&plan.bucket_name, "");
    let source_objects = bucket_arn(&plan.bucket_name, "/*");
    let copies = bucket_arn(&replication.bucket, "/*");
    let mut statements = vec![
        json!({
            "Effect": "Allow",
            "Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"],
            "Resource": source,
        }),
        json!({
            "Effect": "Allow",
            "Action": [
                "s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging",
                "s3:GetObjectRetention", "s3:GetObjectLegalHold",
            ],
            "Resource": source_objects,
        }),
        json!({
            "Effect": "Allow",
            "Action": ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
            "Resource": copies,
        }),
    ];
    if let (Some(from), Some(to)) = (&plan.encryption.key, &replication.key) {
        statements.push(json!({ "Effect": "Allow", "Action": "kms:Decrypt", "Resource": from }));
        statements.push(json!({ "Effect": "Allow", "Action": "kms:Encrypt", "Resource": to }));
    }
    json!({
        "Type": "AWS::IAM::Role",
        "Properties": {
            "Description": format!("Copies new objects of {} to {}", plan.bucket_name, replication.bucket),
            "AssumeRolePolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": { "Service": "s3.amazonaws.com" },
                    "Action": "sts:AssumeRole",
                    "Condition": { "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } } },
                }],
            },
            "Policies": [{
                "PolicyName": "replicate",
                "PolicyDocument": { "Version": "2012-10-17", "Statement": statements },
            }],
        },
    })
}

fn bucket_policy() -> Value {
    let arn = json!({ "Fn::GetAtt": [BUCKET, "Arn"] });
    let objects = json!({ "Fn::Sub": format!("${{{BUCKET}.Arn}}/*") });
    let deny = |id: &str, condition: Value| {
        json!({
            "Sid": id,
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, objects],
            "Condition": condition,
        })
    };
    json!({
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": { "Ref": BUCKET },
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    deny("DenyInsecureTransport", json!({ "Bool": { "aws:SecureTransport": "false" } })),
                    deny("DenyOldTls", json!({ "NumericLessThan": { "s3:TlsVersion": "1.2" } })),
                ],
            },
        },
    })
}

/// The ARN of a bucket, in whichever partition the stack is.
fn bucket_arn(name: &str, suffix: &str) -> Value {
    json!({ "Fn::Sub": format!("arn:${{AWS::Partition}}:s3:::{name}{suffix}") })
}
