//! Writes a template for every combination of the options into a folder, for `cfn-lint` to check: `combinations DIR`.
//!
//! Every boolean, every enumeration and every option that may be left out is varied against all others, and so are the
//! parts of lifecycle rules and the storage classes among themselves. Combinations that are refused are counted; that
//! they are refused for the right reason is tested in `src/tests.rs`. Each template is checked here to be the same in
//! JSON and in YAML, so that one of both has to be linted.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use aws_s3_template::bindings::exports::outrigger::aws_s3_template::templates::{
    Deletion, Encryption, Format, LifecycleRule, LockMode, StorageClass, Tag, TemplateError,
};
use aws_s3_template::{Options, generate};
use serde_json::Value;

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const COPY_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ROLE: &str = "arn:aws:iam::111122223333:role/replicate";

const CLASSES: [Option<StorageClass>; 7] = [
    None,
    Some(StorageClass::StandardIa),
    Some(StorageClass::OnezoneIa),
    Some(StorageClass::IntelligentTiering),
    Some(StorageClass::GlacierIr),
    Some(StorageClass::Glacier),
    Some(StorageClass::DeepArchive),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: combinations DIR")?);
    fs::create_dir_all(&folder)?;
    let mut combinations = whole();
    combinations.extend(lifecycles());
    let mut written = BTreeSet::new();
    let mut refused = 0_u32;
    for options in combinations {
        match template(options)? {
            Some(text) => _ = written.insert(text),
            None => refused += 1,
        }
    }
    for (index, text) in written.iter().enumerate() {
        fs::write(path(&folder, index), text)?;
    }
    fs::write(folder.join("count"), written.len().to_string())?;
    let mut output = std::io::stdout().lock();
    std::io::Write::write_fmt(
        &mut output,
        format_args!("{} templates, {refused} combinations refused\n", written.len()),
    )?;
    Ok(())
}

fn path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("{index:05}.template.yaml"))
}

/// The YAML of a combination, once it is known to say what the JSON says; none where it is refused.
fn template(options: Options) -> Result<Option<String>, Box<dyn Error>> {
    let write = |format| generate(Options { format: Some(format), ..options.clone() });
    let yaml = match write(Format::Yaml) {
        Ok(template) => template.text,
        Err(TemplateError::Conflict(_)) => return Ok(None),
        Err(other) => return Err(format!("{options:?}: {other:?}").into()),
    };
    let json = write(Format::Json).map_err(|error| format!("{error:?}"))?.text;
    if serde_saphyr::from_str::<Value>(&yaml)? != serde_json::from_str::<Value>(&json)? {
        return Err(format!("JSON and YAML differ:\n{json}\n{yaml}").into());
    }
    Ok(Some(yaml))
}

/// All options against each other, lifecycle rules being there or not.
fn whole() -> Vec<Options> {
    let base = Options { bucket_name: "acme-data".to_owned(), ..Options::default() };
    let combinations = vec![base];
    let combinations = vary(combinations, &[true, false], |options, on| options.versioning = Some(on));
    let encryptions = [
        (Encryption::S3, false, None),
        (Encryption::Kms, false, None),
        (Encryption::Kms, true, None),
        (Encryption::Kms, true, Some(false)),
        (Encryption::KmsDsse, false, None),
        (Encryption::KmsDsse, true, None),
    ];
    let combinations = vary(combinations, &encryptions, |options, (kind, with_key, bucket_key)| {
        options.encryption = Some(kind);
        options.kms_key = with_key.then(|| KEY.to_owned());
        options.bucket_key = bucket_key;
    });
    let combinations = vary(combinations, &[false, true], |options, on| {
        if on {
            add_rules(options);
        }
    });
    let combinations = vary(combinations, &[false, true], |options, on| {
        options.log_bucket = on.then(|| "acme-access".to_owned());
    });
    let combinations = vary(combinations, &[None, Some(false), Some(true)], |options, replication| {
        if let Some(with_role) = replication {
            options.replication_bucket = Some("acme-copies".to_owned());
            options.replication_role = with_role.then(|| ROLE.to_owned());
            options.replication_kms_key = options.kms_key.as_ref().map(|_| COPY_KEY.to_owned());
        }
    });
    let combinations = vary(combinations, &[true, false], |options, on| options.block_public_access = Some(on));
    let combinations = vary(combinations, &[true, false], |options, on| options.require_tls = Some(on));
    let locks = [None, Some(LockMode::Governance), Some(LockMode::Compliance)];
    let combinations = vary(combinations, &locks, |options, lock| options.object_lock = lock);
    let deletions = [Deletion::Retain, Deletion::Delete];
    let combinations = vary(combinations, &deletions, |options, deletion| options.deletion = Some(deletion));
    vary(combinations, &[false, true], |options, on| {
        options.tags = on.then(|| vec![tag("cost-centre", "4711"), tag("environment", "production")]);
    })
}

/// The parts of lifecycle rules, and the storage classes, against each other.
fn lifecycles() -> Vec<Options> {
    let base = Options { bucket_name: "acme-data".to_owned(), ..Options::default() };
    let combinations = vary(vec![base], &[true, false], |options, on| options.versioning = Some(on));
    let combinations = vary(combinations, &[false, true], |options, on| options.archive_after_days = on.then_some(60));
    let combinations = vary(combinations, &CLASSES, |options, class| options.archive_class = class);
    let combinations = vary(combinations, &[false, true], |options, on| options.expire_after_days = on.then_some(400));
    let combinations = vary(combinations, &[false, true], |options, on| {
        options.noncurrent_expire_after_days = on.then_some(90);
    });
    let combinations = vary(combinations, &[None, Some(1)], |options, days| options.abort_uploads_after_days = days);
    let copies = CLASSES.iter().map(|class| Options {
        bucket_name: "acme-data".to_owned(),
        replication_bucket: Some("acme-copies".to_owned()),
        replication_class: *class,
        ..Options::default()
    });
    combinations.into_iter().chain(copies).collect()
}

fn vary<T: Copy>(combinations: Vec<Options>, values: &[T], set: impl Fn(&mut Options, T)) -> Vec<Options> {
    combinations
        .into_iter()
        .flat_map(|options| {
            values.iter().map({
                let set = &set;
                move |value| {
                    let mut options = options.clone();
                    set(&mut options, *value);
                    options
                }
            })
        })
        .collect()
}

fn add_rules(options: &mut Options) {
    options.archive_after_days = Some(90);
    options.expire_after_days = Some(3650);
    options.noncurrent_expire_after_days = options.versioning.filter(|on| *on).map(|_| 30);
    options.lifecycle_rules = Some(vec![LifecycleRule {
        id: "drafts".to_owned(),
        prefix: Some("drafts/".to_owned()),
        archive_after_days: Some(30),
        archive_class: Some(StorageClass::StandardIa),
        expire_after_days: Some(60),
        noncurrent_expire_after_days: None,
    }]);
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.to_owned(), value: value.to_owned() }
}
