//! `aws-s3-template`: CloudFormation templates for S3 buckets. The contract, with every option, stands in
//! `wit/world.wit`.

mod cloudformation;
mod names;
mod options;
mod yaml;

/// The types of the contract. Public for `examples/combinations.rs`, which has every combination checked by `cfn-lint`.
pub mod bindings {
    #![allow(clippy::all, missing_docs, reason = "generated code")]
    wit_bindgen::generate!({ world: "aws-s3-template", additional_derives: [PartialEq] });
}

use bindings::exports::outrigger::aws_s3_template::templates::{
    Deletion, Encryption, Format, Guest, LifecycleRule, LockMode, StorageClass, Tag, Template, TemplateError,
    TemplateResource,
};
pub use options::Options;
use options::Plan;

struct Plugin;

impl Guest for Plugin {
    fn generate(
        bucket_name: String,
        format: Option<Format>,
        description: Option<String>,
        versioning: Option<bool>,
        encryption: Option<Encryption>,
        kms_key: Option<String>,
        bucket_key: Option<bool>,
        archive_after_days: Option<u32>,
        archive_class: Option<StorageClass>,
        expire_after_days: Option<u32>,
        noncurrent_expire_after_days: Option<u32>,
        abort_uploads_after_days: Option<u32>,
        lifecycle_rules: Option<Vec<LifecycleRule>>,
        log_bucket: Option<String>,
        log_prefix: Option<String>,
        replication_bucket: Option<String>,
        replication_role: Option<String>,
        replication_class: Option<StorageClass>,
        replication_kms_key: Option<String>,
        block_public_access: Option<bool>,
        require_tls: Option<bool>,
        object_lock: Option<LockMode>,
        object_lock_days: Option<u32>,
        deletion: Option<Deletion>,
        tags: Option<Vec<Tag>>,
    ) -> Result<Template, TemplateError> {
        generate(Options {
            bucket_name,
            format,
            description,
            versioning,
            encryption,
            kms_key,
            bucket_key,
            archive_after_days,
            archive_class,
            expire_after_days,
            noncurrent_expire_after_days,
            abort_uploads_after_days,
            lifecycle_rules,
            log_bucket,
            log_prefix,
            replication_bucket,
            replication_role,
            replication_class,
            replication_kms_key,
            block_public_access,
            require_tls,
            object_lock,
            object_lock_days,
            deletion,
            tags,
        })
    }

    fn check_bucket_name(name: String) -> Vec<String> {
        names::broken_rules(&name)
    }
}

/// Generates the template.
///
/// # Errors
/// A name or value that cannot be used, or options that do not go together.
pub fn generate(options: Options) -> Result<Template, TemplateError> {
    let plan = Plan::of(options)?;
    let document = cloudformation::document(&plan);
    let (text, extension) = match plan.format {
        Format::Json => (format!("{document:#}\n"), "json"),
        Format::Yaml => (yaml::write(&document), "yaml"),
    };
    let resources = document["Resources"].as_object().into_iter().flatten();
    Ok(Template {
        format: plan.format,
        text,
        file_name: format!("{}.template.{extension}", plan.bucket_name),
        resources: resources
            .map(|(id, resource)| TemplateResource {
                id: id.clone(),
                kind: resource["Type"].as_str().unwrap_or_default().to_owned(),
            })
            .collect(),
        remarks: cloudformation::remarks(&plan),
    })
}

#[cfg(target_arch = "wasm32")]
bindings::export!(Plugin with_types_in bindings);

#[cfg(test)]
mod tests;
