//! `outrigger backup`: made, checked, restored.

use std::path::PathBuf;
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
            context.refuse_server("backup verify")?;
            let report = backup::verify(&file, shown(context.output.bytes_bar("checking"))).await?;
            context.output.print(&report, || text("is whole", &report))
        }
        BackupCommand::Restore { file } => {
            context.refuse_server("backup restore")?;
            let data = context.host_options()?.data;
            if context.names_server() {
                let shown = data.display();
                context.output.remark(&format!("OUTRIGGER_SERVER is ignored: the backup is restored into {shown}."));
            }
            let report = backup::restore(&file, &data, shown(context.output.bytes_bar("restoring"))).await?;
            context.output.print(&report, || text(&format!("was restored to {}", data.display()), &report))
        }
    }
}

async fn create(context: &Context, arguments: BackupCreateArguments) -> CliResult {
    let BackupCreateArguments { file, include_secret_key } = arguments;
    let path = path_to_send(file, context.names_server());
    let platform = context.platform().await?;
    let report = {
        let _progress = context.output.spinner("making the backup");
        platform.backup_create(BackupRequest { path, include_secret_key }).await?
    };
    if include_secret_key && !report.has_secret_key {
        context.output.remark("No secret is encrypted yet: there is no key to put into it.");
    }
    context.output.print(&report, || text("was made", &report))
}

/// The path in a request. A server somewhere else puts a plain file name into its backup folder; every other path is of
/// this machine.
fn path_to_send(file: PathBuf, to_server: bool) -> PathBuf {
    let is_name = file.file_name() == Some(file.as_os_str());
    match to_server && is_name {
        true => file,
        false => std::path::absolute(&file).unwrap_or(file),
    }
}

/// The bar goes when the work is done, which holds the only hand on it.
fn shown(bar: Progress) -> backup::Progress {
    Arc::new(move |done, total| bar.reach(done, total))
}

fn text(what: &str, report: &BackupReport) -> String {
    let BackupReport {
        path,
        size,
        created_at,
        version,
        schema,
        files,
        unpacked,
        has_secret_key,
        configuration_files,
        audit,
    } = report;
    let counted = |number: &u64, what| count(usize::try_from(*number).unwrap_or(usize::MAX), what);
    let configuration = match configuration_files {
        0 => String::new(),
        _ => format!(
            "contains {}, including any plain-text secrets in them\n",
            counted(configuration_files, "configuration file")
        ),
    };
    let key = if *has_secret_key { "the key of the secrets is in it\n" } else { "" };
    format!(
        "{} {what}\nmade {} by outrigger {version}, schema {schema}\n{}, {} packed to {}\n{configuration}{key}audit log up to \
         {}:{}",
        path.display(),
        moment(*created_at),
        counted(files, "file"),
        bytes(*unpacked),
        bytes(*size),
        audit.sequence,
        audit.hash
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_reaches_a_server_as_it_is() {
        let here = std::env::current_dir().expect("there is one");
        let check = |file: &str, to_server, expected: PathBuf| {
            assert_eq!(path_to_send(file.into(), to_server), expected, "{file}");
        };
        check("one.tar.gz", true, "one.tar.gz".into());
        check("one.tar.gz", false, here.join("one.tar.gz"));
        check("./one.tar.gz", true, here.join("one.tar.gz"));
        check("backups/one.tar.gz", true, here.join("backups/one.tar.gz"));
        check("/srv/one.tar.gz", true, "/srv/one.tar.gz".into());
    }
}
