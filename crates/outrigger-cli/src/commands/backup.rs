//! `outrigger backup`: made, checked, restored.

use std::sync::Arc;

use outrigger_api::{BackupReport, BackupRequest};
use outrigger_host::backup;

use crate::cli::{BackupCommand, BackupCreateArguments};
use crate::context::Context;
use crate::error::CliResult;
use crate::output::{Progress, bytes, count, moment};

/// Runs one of the commands.
///
/// # Errors
/// The platform's; or the backup is refused.
pub async fn run(context: &Context, command: BackupCommand) -> CliResult {
    match command {
        BackupCommand::Create(arguments) => create(context, arguments).await,
        BackupCommand::Verify { file } => {
            let report = backup::verify(&file, shown(context.output.bytes_bar("checking"))).await?;
            context.output.print(&report, || text("is whole", &report))
        }
        BackupCommand::Restore { file } => {
            let data = context.host_options()?.data;
            let report = backup::restore(&file, &data, shown(context.output.bytes_bar("restoring"))).await?;
            context.output.print(&report, || text(&format!("was restored to {}", data.display()), &report))
        }
    }
}

async fn create(context: &Context, arguments: BackupCreateArguments) -> CliResult {
    let BackupCreateArguments { file, include_secret_key } = arguments;
    let path = std::path::absolute(&file).unwrap_or(file);
    let platform = context.platform().await?;
    let report = {
        let _progress = context.output.spinner("making the backup");
        platform.backup_create(BackupRequest { path, include_secret_key }).await?
    };
    context.output.print(&report, || text("was made", &report))
}

/// The bar goes when the work is done, which holds the only hand on it.
fn shown(bar: Progress) -> backup::Progress {
    Arc::new(move |done, total| bar.reach(done, total))
}

fn text(what: &str, report: &BackupReport) -> String {
    let BackupReport { path, size, created_at, version, schema, files, unpacked, has_secret_key, audit } = report;
    let files = count(usize::try_from(*files).unwrap_or(usize::MAX), "file");
    let key = if *has_secret_key { "the key of the secrets is in it\n" } else { "" };
    format!(
        "{} {what}\nmade {} by outrigger {version}, schema {schema}\n{files}, {} packed to {}\n{key}audit log up to {}:{}",
        path.display(),
        moment(*created_at),
        bytes(*unpacked),
        bytes(*size),
        audit.sequence,
        audit.hash
    )
}
