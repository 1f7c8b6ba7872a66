//! The options of a template: defaults filled in, values checked, and those that do not go together refused. What comes
//! out of [`Plan::of`] can be written down without further questions.

use crate::bindings::exports::outrigger::aws_s3_template::templates::{
    Conflict, Deletion, Encryption, Format, InvalidBucketName, InvalidValue, LifecycleRule, LockMode, StorageClass,
    Tag, TemplateError,
};
use crate::names;

/// The parameters of `generate`, as they were given.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub bucket_name: String,
    pub format: Option<Format>,
    pub description: Option<String>,
    pub versioning: Option<bool>,
    pub encryption: Option<Encryption>,
    pub kms_key: Option<String>,
    pub bucket_key: Option<bool>,
    pub archive_after_days: Option<u32>,
    pub archive_class: Option<StorageClass>,
    pub expire_after_days: Option<u32>,
    pub noncurrent_expire_after_days: Option<u32>,
    pub abort_uploads_after_days: Option<u32>,
    pub lifecycle_rules: Option<Vec<LifecycleRule>>,
    pub log_bucket: Option<String>,
    pub log_prefix: Option<String>,
    pub replication_bucket: Option<String>,
    pub replication_role: Option<String>,
    pub replication_class: Option<StorageClass>,
    pub replication_kms_key: Option<String>,
    pub block_public_access: Option<bool>,
    pub require_tls: Option<bool>,
    pub object_lock: Option<LockMode>,
    pub object_lock_days: Option<u32>,
    pub deletion: Option<Deletion>,
    pub tags: Option<Vec<Tag>>,
}

/// Checked options.
#[derive(Debug)]
pub struct Plan {
    pub bucket_name: String,
    pub format: Format,
    pub description: String,
    pub versioning: bool,
    pub encryption: EncryptionPlan,
    pub rules: Vec<LifecycleRule>,
    pub abort_uploads_after_days: u32,
    pub log: Option<LogPlan>,
    pub replication: Option<ReplicationPlan>,
    pub block_public_access: bool,
    pub require_tls: bool,
    pub lock: Option<(LockMode, u32)>,
    pub deletion: Deletion,
    pub tags: Vec<Tag>,
}

#[derive(Debug)]
pub struct EncryptionPlan {
    pub kind: Encryption,
    pub key: Option<String>,
    pub bucket_key: bool,
}

#[derive(Debug)]
pub struct LogPlan {
    pub bucket: String,
    pub prefix: String,
}

#[derive(Debug)]
pub struct ReplicationPlan {
    pub bucket: String,
    pub role: Option<String>,
    pub class: Option<StorageClass>,
    pub key: Option<String>,
}

impl Plan {
    /// Checks the options as a whole.
    pub fn of(options: Options) -> Result<Plan, TemplateError> {
        check_bucket_name("bucket-name", &options.bucket_name)?;
        let versioning = options.versioning.unwrap_or(true);
        let encryption = encryption(&options)?;
        let lock = lock(&options, versioning)?;
        let replication = replication(&options, versioning, &encryption)?;
        let rules = lifecycle(&options, versioning)?;
        let abort_uploads_after_days = days("abort-uploads-after-days", options.abort_uploads_after_days.unwrap_or(7))?;
        let log = log(&options)?;
        let tags = options.tags.unwrap_or_default();
        check_tags(&tags)?;
        let description = options.description.unwrap_or_else(|| format!("S3 bucket {}", options.bucket_name));
        if description.len() > 1024 {
            return Err(invalid("description", &description, "a description has at most 1024 bytes"));
        }
        Ok(Plan {
            bucket_name: options.bucket_name,
            format: options.format.unwrap_or(Format::Yaml),
            description,
            versioning,
            encryption,
            rules,
            abort_uploads_after_days,
            log,
            replication,
            block_public_access: options.block_public_access.unwrap_or(true),
            require_tls: options.require_tls.unwrap_or(true),
            lock,
            deletion: options.deletion.unwrap_or(Deletion::Retain),
            tags,
        })
    }
}

fn encryption(options: &Options) -> Result<EncryptionPlan, TemplateError> {
    let kind = options.encryption.unwrap_or(Encryption::S3);
    if let Some(key) = &options.kms_key {
        if kind == Encryption::S3 {
            return Err(conflict(
                &["encryption", "kms-key"],
                "a key is used with the encryption `kms` or `kms-dsse` only; choose one of them, or leave the key out",
            ));
        }
        check_arn("kms-key", key, "kms", "key/")?;
    }
    if options.bucket_key == Some(true) && kind != Encryption::Kms {
        return Err(conflict(
            &["encryption", "bucket-key"],
            "a bucket key exists for the encryption `kms` only; choose it, or leave the bucket key out",
        ));
    }
    let bucket_key = kind == Encryption::Kms && options.bucket_key.unwrap_or(true);
    Ok(EncryptionPlan { kind, key: options.kms_key.clone(), bucket_key })
}

fn lock(options: &Options, versioning: bool) -> Result<Option<(LockMode, u32)>, TemplateError> {
    match (options.object_lock, options.object_lock_days) {
        (None, Some(_)) => {
            Err(conflict(&["object-lock", "object-lock-days"], "say with `object-lock` how objects are locked"))
        }
        (None, None) => Ok(None),
        (Some(_), _) if !versioning => {
            Err(conflict(&["object-lock", "versioning"], "locked objects need versions; leave versioning on"))
        }
        (Some(mode), given) => {
            let lock_days = days("object-lock-days", given.unwrap_or(30))?;
            Ok(Some((mode, lock_days)))
        }
    }
}

fn replication(
    options: &Options,
    versioning: bool,
    encryption: &EncryptionPlan,
) -> Result<Option<ReplicationPlan>, TemplateError> {
    let Some(bucket) = &options.replication_bucket else {
        let depending = [
            ("replication-role", options.replication_role.is_some()),
            ("replication-class", options.replication_class.is_some()),
            ("replication-kms-key", options.replication_kms_key.is_some()),
        ];
        return match depending.iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                Err(conflict(&["replication-bucket", option], "say with `replication-bucket` where copies go"))
            }
            None => Ok(None),
        };
    };
    check_bucket_name("replication-bucket", bucket)?;
    if *bucket == options.bucket_name {
        return Err(conflict(&["bucket-name", "replication-bucket"], "a bucket cannot be its own copy; name another"));
    }
    if !versioning {
        return Err(conflict(&["replication-bucket", "versioning"], "replication needs versions; leave versioning on"));
    }
    if let Some(role) = &options.replication_role {
        check_arn("replication-role", role, "iam", "role/")?;
    }
    if let Some(key) = &options.replication_kms_key {
        check_arn("replication-kms-key", key, "kms", "key/")?;
    }
    let with_key = encryption.kind != Encryption::S3;
    if with_key && (encryption.key.is_none() || options.replication_kms_key.is_none()) {
        return Err(conflict(
            &["encryption", "kms-key", "replication-kms-key"],
            "objects encrypted with `kms` or `kms-dsse` are copied only with a key of one's own on both sides; give both",
        ));
    }
    if !with_key && options.replication_kms_key.is_some() {
        return Err(conflict(
            &["encryption", "replication-kms-key"],
            "copies have a key where the objects have one; choose the encryption `kms`, or leave the key out",
        ));
    }
    Ok(Some(ReplicationPlan {
        bucket: bucket.clone(),
        role: options.replication_role.clone(),
        class: options.replication_class,
        key: options.replication_kms_key.clone(),
    }))
}

fn lifecycle(options: &Options, versioning: bool) -> Result<Vec<LifecycleRule>, TemplateError> {
    let whole = LifecycleRule {
        id: "whole-bucket".to_owned(),
        prefix: None,
        archive_after_days: options.archive_after_days,
        archive_class: options.archive_class,
        expire_after_days: options.expire_after_days,
        noncurrent_expire_after_days: options.noncurrent_expire_after_days,
    };
    let mut rules = options.lifecycle_rules.clone().unwrap_or_default();
    if has_action(&whole) || whole.archive_class.is_some() {
        rules.insert(0, whole);
    }
    if rules.len() > 999 {
        return Err(invalid("lifecycle-rules", &rules.len().to_string(), "a bucket has at most 1000 rules"));
    }
    for (index, rule) in rules.iter().enumerate() {
        check_rule(rule, versioning)?;
        if rule.id == "abort-unfinished-uploads" || rules[..index].iter().any(|other| other.id == rule.id) {
            return Err(invalid(
                "lifecycle-rules",
                &rule.id,
                "the id of a rule is unique in its bucket; choose another",
            ));
        }
    }
    Ok(rules)
}

fn has_action(rule: &LifecycleRule) -> bool {
    rule.archive_after_days.is_some() || rule.expire_after_days.is_some() || rule.noncurrent_expire_after_days.is_some()
}

fn check_rule(rule: &LifecycleRule, versioning: bool) -> Result<(), TemplateError> {
    if rule.id.is_empty() || rule.id.len() > 255 {
        return Err(invalid("lifecycle-rules", &rule.id, "the id of a rule has 1 to 255 characters"));
    }
    if rule.archive_class.is_some() && rule.archive_after_days.is_none() {
        return Err(conflict(
            &["archive-class", "archive-after-days"],
            "say with `archive-after-days` when objects are moved",
        ));
    }
    if !has_action(rule) {
        return Err(invalid("lifecycle-rules", &rule.id, "a rule does at least one thing: archive or expire objects"));
    }
    if let Some(archive) = rule.archive_after_days {
        days("archive-after-days", archive)?;
        let infrequent = matches!(rule.archive_class, Some(StorageClass::StandardIa | StorageClass::OnezoneIa));
        if infrequent && archive < 30 {
            return Err(invalid(
                "archive-after-days",
                &archive.to_string(),
                "this class takes objects from 30 days of age",
            ));
        }
        if rule.expire_after_days.is_some_and(|expire| expire <= archive) {
            return Err(conflict(
                &["archive-after-days", "expire-after-days"],
                "objects are archived before they are deleted; let them expire later",
            ));
        }
    }
    if let Some(expire) = rule.expire_after_days {
        days("expire-after-days", expire)?;
    }
    if let Some(expire) = rule.noncurrent_expire_after_days {
        days("noncurrent-expire-after-days", expire)?;
        if !versioning {
            return Err(conflict(
                &["noncurrent-expire-after-days", "versioning"],
                "without versions nothing is replaced; leave versioning on, or this option out",
            ));
        }
    }
    Ok(())
}

fn log(options: &Options) -> Result<Option<LogPlan>, TemplateError> {
    let Some(bucket) = &options.log_bucket else {
        return match options.log_prefix {
            Some(_) => Err(conflict(&["log-bucket", "log-prefix"], "say with `log-bucket` where the log goes")),
            None => Ok(None),
        };
    };
    check_bucket_name("log-bucket", bucket)?;
    if *bucket == options.bucket_name {
        return Err(conflict(
            &["bucket-name", "log-bucket"],
            "a bucket that logs into itself logs its own log, without end; name another",
        ));
    }
    let prefix = options.log_prefix.clone().unwrap_or_else(|| format!("{}/", options.bucket_name));
    if prefix.len() > 512 {
        return Err(invalid("log-prefix", &prefix, "at most 512 bytes"));
    }
    Ok(Some(LogPlan { bucket: bucket.clone(), prefix }))
}

fn check_tags(tags: &[Tag]) -> Result<(), TemplateError> {
    if tags.len() > 50 {
        return Err(invalid("tags", &tags.len().to_string(), "a bucket has at most 50 tags"));
    }
    let allowed =
        |text: &str| text.chars().all(|character| character.is_alphanumeric() || " _.:/=+-@".contains(character));
    for (index, Tag { key, value }) in tags.iter().enumerate() {
        let reason = if key.is_empty() || key.chars().count() > 128 {
            "a key has 1 to 128 characters"
        } else if key.to_ascii_lowercase().starts_with("aws:") {
            "keys that begin with `aws:` are reserved"
        } else if value.chars().count() > 256 {
            "a value has at most 256 characters"
        } else if !allowed(key) || !allowed(value) {
            "letters, digits, spaces and _ . : / = + - @ are allowed"
        } else if tags[..index].iter().any(|other| other.key == *key) {
            "a key stands only once"
        } else {
            continue;
        };
        return Err(invalid("tags", &format!("{key}={value}"), reason));
    }
    Ok(())
}

fn check_bucket_name(option: &str, name: &str) -> Result<(), TemplateError> {
    let reasons = names::broken_rules(name);
    if reasons.is_empty() {
        return Ok(());
    }
    let error = InvalidBucketName { option: option.to_owned(), name: name.to_owned(), reasons };
    Err(TemplateError::InvalidBucketName(error))
}

/// `arn:aws:kms:eu-central-1:111122223333:key/…`
fn check_arn(option: &str, value: &str, service: &str, resource: &str) -> Result<(), TemplateError> {
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    let correct = match parts.as_slice() {
        ["arn", partition, found, region, account, name] => {
            let account_is_number = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
            let region_fits = (service == "iam") == region.is_empty();
            let rest = name.strip_prefix(resource).unwrap_or_default();
            let plain = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_/+=,.@".contains(&byte));
            partition.starts_with("aws")
                && *found == service
                && account_is_number
                && region_fits
                && !rest.is_empty()
                && plain
        }
        _ => false,
    };
    if correct {
        return Ok(());
    }
    let place = if service == "iam" { "" } else { "eu-central-1" };
    Err(invalid(
        option,
        value,
        &format!("an ARN such as arn:aws:{service}:{place}:111122223333:{resource}NAME is needed"),
    ))
}

fn days(option: &str, days: u32) -> Result<u32, TemplateError> {
    match days {
        1..=36_500 => Ok(days),
        _ => Err(invalid(option, &days.to_string(), "1 to 36500 days")),
    }
}

fn invalid(option: &str, value: &str, reason: &str) -> TemplateError {
    TemplateError::InvalidValue(InvalidValue {
        option: option.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    })
}

fn conflict(options: &[&str], reason: &str) -> TemplateError {
    TemplateError::Conflict(Conflict {
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        reason: reason.to_owned(),
    })
}
