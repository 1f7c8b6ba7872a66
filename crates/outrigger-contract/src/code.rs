//! The one table of error codes. Every error that a user, a client or an assistant can see carries one of these;
//! the reference page is generated from it, and no face keeps a list of its own.

use serde::{Deserialize, Serialize};

/// A stable error code, written in lower snake case (`rate_limited`). Codes are added, never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    InvalidUsage,
    InvalidInput,
    InvalidManifest,
    InvalidPackage,
    InvalidComponent,
    InvalidConfiguration,
    PackageTooLarge,
    PluginNotFound,
    FunctionNotFound,
    NotFound,
    PluginNotActive,
    AlreadyExists,
    Conflict,
    GrantRequired,
    Forbidden,
    PermissionDenied,
    RateLimited,
    Busy,
    DeadlineExceeded,
    CpuLimit,
    MemoryLimit,
    OutputLimit,
    StackOverflow,
    LogLimit,
    CallDepth,
    Cancelled,
    Trapped,
    FunctionFailed,
    LifecycleFailed,
    HookRefused,
    HookFailed,
    Unsupported,
    InvalidOutput,
    Io,
    StoreFailed,
    DataDirectory,
    SecretUnreadable,
    ShuttingDown,
    Unreachable,
    Unauthenticated,
    MethodNotAllowed,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    InvalidBackup,
    MigrationFailed,
    InvalidTemplate,
    DigestMismatch,
    RequestTimeout,
    RequestInterrupted,
    DependencyMissing,
    SignatureInvalid,
    SignatureRequired,
    HostMemoryLimit,
    AboveCeiling,
    FileGrantRefused,
    FileGrantChanged,
    CompileLimit,
    DiskFull,
    StoreReadOnly,
    NotReady,
    Internal,
}

/// The meaning of one code for each interface: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CodeInfo {
    /// The code itself.
    pub code: Code,
    /// Its stable text.
    pub name: &'static str,
    /// HTTP status.
    pub http: u16,
    /// JSON-RPC error code for MCP. Errors of a call itself are answered as a tool result with `isError`.
    pub mcp: i32,
    /// Exit code of the command line. See [`exit`].
    pub exit: u8,
    /// The general meaning.
    pub meaning: &'static str,
    /// A general hint.
    pub help: &'static str,
}

/// Exit codes of the command line, each for a kind of failure that a script would treat alike.
pub mod exit {
    /// The function ran and failed, or something else went wrong.
    pub const FAILED: u8 = 1;
    /// The command, its input, a manifest or a package is wrong.
    pub const USAGE: u8 = 2;
    /// No such plugin, function or thing.
    pub const NOT_FOUND: u8 = 3;
    /// Not allowed, or not granted.
    pub const DENIED: u8 = 4;
    /// A limit was hit: rate, concurrency, memory, output.
    pub const LIMIT: u8 = 5;
    /// Out of time.
    pub const TIMEOUT: u8 = 6;
    /// It is already there, not active, or was changed meanwhile.
    pub const CONFLICT: u8 = 7;
    /// Cancelled by the user.
    pub const CANCELLED: u8 = 8;
    /// The disk, the data directory or the database failed.
    pub const SYSTEM: u8 = 9;
    /// A fault of Outrigger's own.
    pub const INTERNAL: u8 = 70;
}

macro_rules! table {
    ($($code:ident $name:literal $http:literal $mcp:literal $exit:ident $meaning:literal $help:literal)*) => {
        /// Every code, in the order of the reference.
        pub const TABLE: &[CodeInfo] = &[$(CodeInfo {
            code: Code::$code,
            name: $name,
            http: $http,
            mcp: $mcp,
            exit: exit::$exit,
            meaning: $meaning,
            help: $help,
        }),*];

        impl Code {
            /// The row of the table for this code.
            #[must_use]
            pub const fn info(self) -> &'static CodeInfo {
                // The table is written in the order of the enum, which the test below holds it to.
                &TABLE[self as usize]
            }
        }
    };
}

table! {
    InvalidUsage "invalid_usage" 400 -32602 USAGE
        "The command or request is malformed."
        "The message names the part that is wrong; `--help` shows the usage."
    InvalidInput "invalid_input" 422 -32602 USAGE
        "The input is invalid."
        "The message gives the path of each invalid value; `outrigger functions PLUGIN.FUNCTION` shows the types."
    InvalidManifest "invalid_manifest" 422 -32602 USAGE
        "The plugin's `plugin.toml` has errors."
        "Correct the lines named; `outrigger plugin validate PATH` checks without installing."
    InvalidPackage "invalid_package" 422 -32602 USAGE
        "The folder or archive is not a plugin package, or is unsafe to unpack."
        "A package is a folder, .zip or .tar.gz with a `plugin.toml` and the entry it names."
    InvalidComponent "invalid_component" 422 -32602 USAGE
        "The entry is not a WebAssembly component that this version can run."
        "Build it with `outrigger dev build`, or with any tool that makes WASI 0.2 components."
    InvalidConfiguration "invalid_configuration" 422 -32602 USAGE
        "The configuration does not fit the schema in the plugin's manifest."
        "Correct the keys named; `outrigger plugin info NAME` shows the schema."
    PackageTooLarge "package_too_large" 413 -32602 USAGE
        "The package is larger than the limit."
        "Make it smaller: strip debug information, and leave out files that the plugin does not need."
    PluginNotFound "plugin_not_found" 404 -32602 NOT_FOUND
        "No plugin of this name is installed."
        "`outrigger plugin list` shows installed plugins; `outrigger plugin list --available` shows packages that can be installed."
    FunctionNotFound "function_not_found" 404 -32602 NOT_FOUND
        "The plugin has no function of this name."
        "`outrigger functions PLUGIN` lists its functions."
    NotFound "not_found" 404 -32602 NOT_FOUND
        "The named object does not exist."
        "Check the name or path in the message."
    PluginNotActive "plugin_not_active" 409 -32000 CONFLICT
        "The plugin is installed but not active."
        "`outrigger plugin info NAME` shows the reason; `outrigger plugin enable NAME` enables it."
    AlreadyExists "already_exists" 409 -32000 CONFLICT
        "The name is already in use."
        "Choose another name, or remove the existing object first."
    Conflict "conflict" 409 -32000 CONFLICT
        "Someone else changed the object in the meantime, or its current state does not allow the change."
        "Check its current state and try again."
    GrantRequired "grant_required" 403 -32001 DENIED
        "The plugin requests permissions that were not granted to this package."
        "Review them, then grant them: `outrigger plugin install PATH` asks on a terminal; `--yes` grants without asking."
    Forbidden "forbidden" 403 -32001 DENIED
        "The caller is not allowed to do this."
        "Ask an administrator for the right named in the message."
    PermissionDenied "permission_denied" 403 -32001 DENIED
        "The plugin tried to use something that was not granted to it."
        "Add the permission to its `plugin.toml`, install it again, and approve the grant."
    RateLimited "rate_limited" 429 -32002 LIMIT
        "A rate limit or quota is exhausted."
        "Try again after the time named, or raise `rate-limit` in the manifest."
    Busy "busy" 503 -32002 LIMIT
        "A limit on concurrent work was reached."
        "Try again later. If calls of one plugin are limited, raise `concurrency` in its manifest."
    DeadlineExceeded "deadline_exceeded" 504 -32003 TIMEOUT
        "The call exceeded its timeout."
        "Allow more with `--timeout`, or raise `timeout` in the manifest."
    CpuLimit "cpu_limit" 504 -32003 LIMIT
        "The call exceeded its CPU time limit."
        "Raise `[limits] cpu` in the manifest, or reduce the work of the function."
    MemoryLimit "memory_limit" 507 -32002 LIMIT
        "The plugin reached its memory limit."
        "Raise `[limits] memory` in the manifest, or reduce the memory that the function needs."
    OutputLimit "output_limit" 507 -32002 LIMIT
        "The result is larger than the limit."
        "Raise `[limits] output` in the manifest, or return the result in parts."
    StackOverflow "stack_overflow" 500 -32000 LIMIT
        "The plugin's call stack overflowed."
        "Look for endless recursion in the function."
    LogLimit "log_limit" 500 -32000 LIMIT
        "The call wrote too many log lines. Further lines were counted and dropped; the call continues."
        "Raise `[limits] log-lines` in the manifest, or reduce logging in the function."
    CallDepth "call_depth" 508 -32000 LIMIT
        "The chain of calls between plugins is too long, probably because of a cycle."
        "The message shows the chain of calls; break the cycle."
    Cancelled "cancelled" 499 -32000 CANCELLED
        "The call was cancelled before it finished."
        "Repeat the operation if you still need it."
    Trapped "trapped" 500 -32000 FAILED
        "The plugin crashed, for example in a panic."
        "`outrigger plugin logs NAME` shows its last log lines."
    FunctionFailed "function_failed" 422 -32000 FAILED
        "The function returned its error value."
        "The detail contains the error value, in the type that the function declares."
    LifecycleFailed "lifecycle_failed" 409 -32000 FAILED
        "A step of the plugin's lifecycle failed and was undone."
        "`outrigger plugin logs NAME` shows the plugin's messages; the last good revision still runs."
    HookRefused "hook_refused" 403 -32001 DENIED
        "A subscriber of a hook refused the operation."
        "The message comes from that subscriber; `outrigger hook list` lists all subscribers."
    HookFailed "hook_failed" 424 -32000 FAILED
        "A fail-closed subscriber of a hook failed or is unavailable."
        "`outrigger hook trace` shows the result of each subscriber. Fix the function, or disable or remove its subscription."
    Unsupported "unsupported" 501 -32000 USAGE
        "This version of Outrigger cannot do this."
        "The message says what it can do instead."
    InvalidOutput "invalid_output" 502 -32000 FAILED
        "The plugin returned a value that does not match its published type."
        "Report it to the plugin's author."
    Io "io" 500 -32603 SYSTEM
        "A file or folder could not be read or written."
        "Check the path in the message, its file permissions, and free disk space."
    StoreFailed "store_failed" 500 -32603 SYSTEM
        "The database could not be read or written."
        "`outrigger doctor` checks the data directory."
    DataDirectory "data_directory" 500 -32603 SYSTEM
        "The data directory cannot be used."
        "`outrigger doctor` shows the problem; `--data DIR` selects another directory."
    SecretUnreadable "secret_unreadable" 500 -32603 SYSTEM
        "A secret in a plugin's configuration cannot be encrypted or decrypted."
        "Restore the key that it was encrypted with (OUTRIGGER_SECRET_KEY, OUTRIGGER_SECRET_KEY_FILE, OUTRIGGER_SECRET_KEYRING or `secret.key`), or set the secret again."
    ShuttingDown "shutting_down" 503 -32000 CONFLICT
        "Outrigger is stopping and accepts no new calls."
        "Try again after it has started."
    Unreachable "unreachable" 502 -32000 SYSTEM
        "The server cannot be reached."
        "Check the address, the network, and whether the server is running; `outrigger serve` starts one."
    Unauthenticated "unauthenticated" 401 -32001 DENIED
        "The request carries no key, or one that is wrong, revoked or expired."
        "Set OUTRIGGER_KEY to a valid key, or send it as `Authorization: Bearer KEY`; `outrigger access key create` creates one."
    MethodNotAllowed "method_not_allowed" 405 -32601 USAGE
        "This path does not support the HTTP method."
        "The header `Allow` lists the supported methods."
    PreconditionFailed "precondition_failed" 412 -32000 CONFLICT
        "The object was changed since it was read: its ETag does not match the header `If-Match`."
        "Read the object again, check the changes, and send the request with the new ETag."
    TooLarge "too_large" 413 -32602 USAGE
        "The request is larger than the limit."
        "Send less data at once; the message names the limit."
    UnsupportedMediaType "unsupported_media_type" 415 -32602 USAGE
        "The media type of the request body is not supported."
        "Send JSON with `Content-Type: application/json`."
    InvalidBackup "invalid_backup" 422 -32602 USAGE
        "The file is not a backup, or it was changed or damaged."
        "Use another copy or an earlier backup; `outrigger backup verify FILE` checks a backup."
    MigrationFailed "migration_failed" 409 -32000 FAILED
        "The data of an older version of the plugin could not be migrated; nothing was changed, and the old version still runs."
        "The message names the step. `outrigger plugin install PATH --dry-run` shows what a migration would change."
    InvalidTemplate "invalid_template" 422 -32602 USAGE
        "The plugin template has an error, or cannot be rendered with these values."
        "The message names the file and the line; `outrigger template show rust` shows a working example."
    DigestMismatch "digest_mismatch" 400 -32602 USAGE
        "The content does not match its digest."
        "Send it again. If that does not help, check whether the file and the digest belong together."
    RequestTimeout "request_timeout" 408 -32003 TIMEOUT
        "The body of the request did not arrive in time."
        "Send it again without pauses, over a faster connection if necessary."
    RequestInterrupted "request_interrupted" 409 -32000 CONFLICT
        "A request with this idempotency key was started, but its response is unknown: the server stopped, or did not keep it."
        "Check whether the change was made; if not, send the request with a new idempotency key."
    DependencyMissing "dependency_missing" 409 -32000 CONFLICT
        "A plugin that this one depends on is not installed, or its version does not match."
        "Install it first; `outrigger plugin list --available` shows packages that can be installed."
    SignatureInvalid "signature_invalid" 422 -32602 USAGE
        "The package does not match its signature: it was changed, or its signature is damaged or from a revoked key."
        "Do not use it; get the package again from its publisher. The message gives the reason."
    SignatureRequired "signature_required" 403 -32001 DENIED
        "The package must be signed with a trusted key, and is not."
        "`trust.toml` in the data directory lists the trusted keys. The owner of the data directory can add a key or an exception for the plugin."
    HostMemoryLimit "host_memory_limit" 507 -32002 LIMIT
        "The call, its plugin, or all plugins together reached the server's memory limit."
        "Send or return less data at once, or try again; the operator can raise OUTRIGGER_PLUGIN_MEMORY and OUTRIGGER_MEMORY."
    AboveCeiling "above_ceiling" 422 -32602 LIMIT
        "The plugin's manifest sets a limit above the operator's ceiling."
        "Lower the limit in the manifest, or raise the ceiling with `outrigger serve --ceiling LIMIT=AMOUNT` or OUTRIGGER_CEILING."
    FileGrantRefused "file_grant_refused" 422 -32001 DENIED
        "A file or folder cannot be granted: it belongs to Outrigger, a plugin could redirect its path, or another permission conflicts with it."
        "Change the path in the plugin's `plugin.toml` as the message says."
    FileGrantChanged "file_grant_changed" 409 -32001 DENIED
        "A granted path was replaced after it was granted, and a plugin may have done it."
        "Check what is there now. To grant it, install the same package again and approve it: `outrigger plugin install PATH`."
    CompileLimit "compile_limit" 422 -32602 LIMIT
        "Compiling the plugin's component exceeds a limit on CPU time, memory or code size."
        "Build it with optimizations and without very large functions, or raise OUTRIGGER_COMPILE_CPU and OUTRIGGER_COMPILE_MEMORY."
    DiskFull "disk_full" 503 -32603 SYSTEM
        "The disk of the data directory is full. Writes are refused until space is free; deletions still work."
        "Free disk space. The server then resumes writing by itself; `outrigger doctor` shows the free space."
    StoreReadOnly "store_read_only" 503 -32603 SYSTEM
        "The database is read-only."
        "Find out from the system log why its file system is read-only, and remount it for writing; the server then resumes by itself."
    NotReady "not_ready" 503 -32000 SYSTEM
        "The server is running but not ready to serve requests."
        "The message gives the reason; `outrigger doctor` shows details."
    Internal "internal" 500 -32603 INTERNAL
        "An error in Outrigger itself."
        "Report it with the correlation id and the logs of that call."
}

impl Code {
    /// The stable text of the code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.info().name
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_says_what_serde_says() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.code as usize, index, "{} stands in the wrong place", row.name);
            assert_eq!(serde_json::to_value(row.code).expect("a unit variant"), row.name);
        }
        assert_eq!(TABLE.len(), Code::Internal as usize + 1, "Internal is the last code");
    }
}
