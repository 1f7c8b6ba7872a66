//! What `generate` promises, besides what `cfn-lint` checks for every combination (`cargo xtask test`).

use serde_json::Value;

use crate::bindings::exports::outrigger::aws_s3_template::templates::{
    Deletion, Encryption, Format, LifecycleRule, LockMode, StorageClass, Tag, TemplateError,
};
use crate::{Options, generate};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const COPY_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn named() -> Options {
    Options { bucket_name: "acme-logs".to_owned(), ..Options::default() }
}

fn json(options: Options) -> Value {
    let template = generate(Options { format: Some(Format::Json), ..options }).expect("a template");
    serde_json::from_str(&template.text).expect("JSON")
}

#[test]
fn the_name_alone_gives_what_aws_recommends() {
    let document = json(named());
    let bucket = &document["Resources"]["Bucket"];
    assert_eq!(bucket["DeletionPolicy"], "Retain");
    assert_eq!(bucket["Properties"]["VersioningConfiguration"]["Status"], "Enabled");
    assert_eq!(bucket["Properties"]["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"], true);
    assert_eq!(bucket["Properties"]["OwnershipControls"]["Rules"][0]["ObjectOwnership"], "BucketOwnerEnforced");
    let statements = &document["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"];
    assert_eq!(statements[0]["Condition"]["Bool"]["aws:SecureTransport"], "false");

    let template = generate(named()).expect("a template");
    assert_eq!((template.format, template.file_name.as_str()), (Format::Yaml, "acme-logs.template.yaml"));
    assert_eq!(template.remarks, ["access is not logged: give `log-bucket`"]);
    assert_eq!(template.resources.iter().map(|resource| &*resource.id).collect::<Vec<_>>(), ["Bucket", "BucketPolicy"]);
}

#[test]
fn json_and_yaml_say_the_same() {
    let options = Options {
        description: Some("Logs: \"yes\", #1\nnext".to_owned()),
        encryption: Some(Encryption::Kms),
        kms_key: Some(KEY.to_owned()),
        replication_bucket: Some("acme-copies".to_owned()),
        replication_kms_key: Some(COPY_KEY.to_owned()),
        replication_class: Some(StorageClass::GlacierIr),
        object_lock: Some(LockMode::Compliance),
        log_bucket: Some("acme-access".to_owned()),
        tags: Some(vec![Tag { key: "on".to_owned(), value: "1.0".to_owned() }]),
        ..named()
    };
    let yaml = generate(Options { format: Some(Format::Yaml), ..options.clone() }).expect("a template").text;
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml).expect("YAML"), json(options));
}

#[test]
fn a_role_is_created_where_none_is_given() {
    let replicated = Options { replication_bucket: Some("acme-copies".to_owned()), ..named() };
    assert_eq!(json(replicated.clone())["Resources"]["ReplicationRole"]["Type"], "AWS::IAM::Role");
    let role = "arn:aws:iam::111122223333:role/copy".to_owned();
    let document = json(Options { replication_role: Some(role.clone()), ..replicated });
    assert!(document["Resources"].get("ReplicationRole").is_none());
    assert_eq!(document["Resources"]["Bucket"]["Properties"]["ReplicationConfiguration"]["Role"], role);
}

#[test]
fn rules_for_the_whole_bucket_and_for_parts() {
    let rule = LifecycleRule {
        id: "drafts".to_owned(),
        prefix: Some("drafts/".to_owned()),
        archive_after_days: None,
        archive_class: None,
        expire_after_days: Some(14),
        noncurrent_expire_after_days: None,
    };
    let document = json(Options {
        archive_after_days: Some(90),
        expire_after_days: Some(365),
        lifecycle_rules: Some(vec![rule]),
        ..named()
    });
    let rules = &document["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"];
    assert_eq!(rules[0]["Transitions"][0]["StorageClass"], "GLACIER");
    assert_eq!(rules[1]["Prefix"], "drafts/");
    assert_eq!(rules[2]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], 7);
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    let text = |value: &str| Some(value.to_owned());
    let copied = || Options { replication_bucket: text("acme-copies"), ..named() };
    let cases: Vec<(Options, &[&str])> = vec![
        (Options { versioning: Some(false), ..copied() }, &["replication-bucket", "versioning"]),
        (Options { replication_role: text("x"), ..named() }, &["replication-bucket", "replication-role"]),
        (Options { replication_bucket: text("acme-logs"), ..named() }, &["bucket-name", "replication-bucket"]),
        (
            Options { encryption: Some(Encryption::Kms), kms_key: text(KEY), ..copied() },
            &["encryption", "kms-key", "replication-kms-key"],
        ),
        (Options { replication_kms_key: text(COPY_KEY), ..copied() }, &["encryption", "replication-kms-key"]),
        (Options { kms_key: text(KEY), ..named() }, &["encryption", "kms-key"]),
        (Options { bucket_key: Some(true), ..named() }, &["encryption", "bucket-key"]),
        (Options { log_bucket: text("acme-logs"), ..named() }, &["bucket-name", "log-bucket"]),
        (Options { log_prefix: text("x"), ..named() }, &["log-bucket", "log-prefix"]),
        (
            Options { object_lock: Some(LockMode::Governance), versioning: Some(false), ..named() },
            &["object-lock", "versioning"],
        ),
        (Options { object_lock_days: Some(1), ..named() }, &["object-lock", "object-lock-days"]),
        (Options { archive_class: Some(StorageClass::Glacier), ..named() }, &["archive-class", "archive-after-days"]),
        (
            Options { archive_after_days: Some(90), expire_after_days: Some(90), ..named() },
            &["archive-after-days", "expire-after-days"],
        ),
        (
            Options { noncurrent_expire_after_days: Some(9), versioning: Some(false), ..named() },
            &["noncurrent-expire-after-days", "versioning"],
        ),
    ];
    for (options, expected) in cases {
        let Err(TemplateError::Conflict(conflict)) = generate(options) else { panic!("{expected:?}") };
        assert_eq!(conflict.options, expected);
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    let text = |value: &str| Some(value.to_owned());
    let tag = |key: &str| Tag { key: key.to_owned(), value: "x".to_owned() };
    let kms = || Options { encryption: Some(Encryption::Kms), ..named() };
    let cases: Vec<(Options, &str, &str)> = vec![
        (Options { kms_key: text("alias/x"), ..kms() }, "kms-key", "an ARN such as arn:aws:kms:"),
        (Options { kms_key: text("arn:aws:kms::1:key/x"), ..kms() }, "kms-key", "an ARN"),
        (Options { expire_after_days: Some(0), ..named() }, "expire-after-days", "1 to 36500"),
        (Options { abort_uploads_after_days: Some(0), ..named() }, "abort-uploads-after-days", "1 to 36500"),
        (
            Options { archive_after_days: Some(29), archive_class: Some(StorageClass::StandardIa), ..named() },
            "archive-after-days",
            "from 30 days",
        ),
        (Options { tags: Some(vec![tag("aws:x")]), ..named() }, "tags", "reserved"),
        (Options { tags: Some(vec![tag("a"), tag("a")]), ..named() }, "tags", "only once"),
        (Options { description: Some("x".repeat(1025)), ..named() }, "description", "1024"),
    ];
    for (options, option, reason) in cases {
        let Err(TemplateError::InvalidValue(invalid)) = generate(options) else { panic!("{option}") };
        assert_eq!(invalid.option, option);
        assert!(invalid.reason.contains(reason), "{}", invalid.reason);
    }
    let Err(TemplateError::InvalidBucketName(invalid)) = generate(Options { bucket_name: "A".to_owned(), ..named() })
    else {
        panic!("an invalid name");
    };
    assert_eq!(invalid.reasons.len(), 2);
}

#[test]
fn a_bucket_may_go_with_its_stack() {
    assert_eq!(
        json(Options { deletion: Some(Deletion::Delete), ..named() })["Resources"]["Bucket"]["DeletionPolicy"],
        "Delete"
    );
}
