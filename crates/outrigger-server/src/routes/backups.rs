//! Backups.

use outrigger_api::{ApiResult, BackupReport, BackupRequest, Code};
use serde_json::json;

use crate::endpoint::answer::Reply;
use crate::endpoint::api::Api;
use crate::endpoint::input::Input;
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};

const CREATE: &str = "The file is made on the server's disk, for the server's user alone, and is there only once it is \
    whole. It holds everything but compiled code: plugins, configurations, configuration files with whatever secrets stand in \
    them, hashes of keys, records, the audit log. \
    Calls go on meanwhile; packages are neither installed nor removed until it is done.";

pub fn routes(api: &mut Api) {
    api.post("/api/v1/backups", "backup_create", create)
        .tag("Backups")
        .summary("Create a backup of the data directory")
        .describe(CREATE)
        .right("backup_create")
        .example(json!({"path": "/var/backups/outrigger.tar.gz"}))
        .fails(&[Code::AlreadyExists, Code::Conflict, Code::Unsupported]);
}

async fn create(caller: Caller, input: Input<NoPath, NoQuery, BackupRequest>) -> ApiResult<Reply<BackupReport>> {
    caller.platform.backup_create(input.body).await.map(Reply)
}
