//! The walk over a manifest, part by part, in the order of the file.

use std::num::NonZeroU32;

use indexmap::IndexMap;
use semver::{Version, VersionReq};

use super::reader::{Item, Lines, Table};
use super::runtime::{InstancePolicy, PackagePath, RuntimeKind, RuntimeSection};
use super::{Category, Dependency, FunctionOptions, Limits, Manifest, MigrationStep, Retry};
use super::{configuration, health, hooks, migrations};
use crate::name::{FunctionName, PluginName, shorten};
use crate::permission::{FileAccess, FileGrant, FunctionPattern, HostPattern, PermissionError, Permissions};
use crate::units::{ByteSize, Rate, Span};

/// The keys of each table. The published JSON Schema is held to them by a test.
pub(super) mod keys {
    pub(in crate::manifest) const ROOT: &[&str] = &[
        "name",
        "version",
        "title",
        "description",
        "authors",
        "license",
        "homepage",
        "keywords",
        "categories",
        "runtime",
        "functions",
        "configuration",
        "permissions",
        "dependencies",
        "hooks",
        "subscriptions",
        "migrations",
        "limits",
        "health",
    ];
    pub(in crate::manifest) const RUNTIME: &[&str] = &["kind", "entry", "instances"];
    pub(in crate::manifest) const INSTANCES: &[&str] = &["warm"];
    pub(in crate::manifest) const WARM: &[&str] = &["max-instances", "max-calls"];
    pub(in crate::manifest) const FUNCTION: &[&str] = &[
        "title",
        "description",
        "tags",
        "cache",
        "rate-limit",
        "timeout",
        "concurrency",
        "retry",
        "read-only",
        "destructive",
        "idempotent",
        "requires-auth",
        "requires-admin",
        "estimated-time",
    ];
    pub(in crate::manifest) const RATE: &[&str] = &["calls", "per", "burst"];
    pub(in crate::manifest) const RETRY: &[&str] = &["attempts", "backoff"];
    pub(in crate::manifest) const PERMISSIONS: &[&str] = &crate::permission::Permissions::KINDS;
    pub(in crate::manifest) const FILE: &[&str] = &["path", "access"];
    pub(in crate::manifest) const HOST: &[&str] = &["host", "private"];
    pub(in crate::manifest) const DEPENDENCY: &[&str] = &["version", "optional"];
    pub(in crate::manifest) const HOOK: &[&str] = &["kind", "description", "payload"];
    pub(in crate::manifest) const SUBSCRIPTION: &[&str] =
        &["hook", "function", "priority", "condition", "on-error", "timeout", "description"];
    pub(in crate::manifest) const MIGRATION: &[&str] =
        &["from", "rename", "remove", "set", "rename-state", "remove-state"];
    pub(in crate::manifest) const LIMITS: &[&str] =
        &["memory", "timeout", "cpu", "output", "concurrency", "log-lines", "state"];
    pub(in crate::manifest) const HEALTH: &[&str] =
        &["interval", "timeout", "failures", "successes", "restart", "max-restarts"];
}

const TITLE: usize = 100;
pub(super) const DESCRIPTION: usize = 4_000;
const WORD: usize = 64;
/// Maximum number of keys that all migrations together rename or remove. Each is compared with every key of the state.
const MOST_CHANGES: usize = 1_000;
/// Maximum length of a version, in bytes.
const LONGEST_VERSION: usize = 128;
pub(super) const MILLISECOND: Span = Span::from_millis(1);
const THIRTY_DAYS: Span = Span::from_secs(30 * 24 * 3_600);

/// Reads a whole manifest. `None`, or problems reported, when anything is wrong.
pub(super) fn manifest(root: &Item<'_>) -> Option<Manifest> {
    let table = root.table(keys::ROOT)?;
    // Every part is read before any `?`, so that a problem in one does not hide those in another.
    let name = table.require("name", "name = \"my-plugin\"").and_then(|item| item.parse::<PluginName>());
    let version = table.require("version", "version = \"1.0.0\"").and_then(|item| version(&item));
    let title = table.require("title", "title = \"My plugin\"").and_then(|item| item.prose(TITLE, Lines::One));
    let description = table
        .require("description", "description = \"A description of its purpose.\"")
        .and_then(|item| item.prose(DESCRIPTION, Lines::Many));
    let authors = set(&table, "authors", |item| item.prose(TITLE * 2, Lines::One));
    let license = table.get("license").and_then(|item| license(&item));
    let homepage = table.get("homepage").and_then(|item| homepage(&item));
    let keywords = set(&table, "keywords", |item| item.prose(WORD, Lines::One));
    let categories = set(&table, "categories", category);
    let runtime = table
        .require("runtime", "runtime = { kind = \"wasm\", entry = \"my_plugin.wasm\" }")
        .and_then(|item| runtime(&item));
    let limits = table.get("limits").and_then(|item| limits(&item)).unwrap_or_default();
    let functions = table.get("functions").and_then(|item| functions(&item, &limits)).unwrap_or_default();
    let configuration = table.get("configuration").and_then(|item| configuration::read(&item)).unwrap_or_default();
    let permissions = table.get("permissions").and_then(|item| permissions(&item)).unwrap_or_default();
    let dependencies =
        table.get("dependencies").and_then(|item| dependencies(&item, name.as_ref())).unwrap_or_default();
    let hooks = table.get("hooks").and_then(|item| hooks::declarations(&item)).unwrap_or_default();
    let subscriptions = list(&table, "subscriptions", hooks::subscription);
    let migrations = list(&table, "migrations", migrations::step);
    if migrations.iter().map(MigrationStep::changes).sum::<usize>() > MOST_CHANGES {
        table.get("migrations").and_then(|item| {
            item.fail::<()>(format!("the migrations have more than {MOST_CHANGES} changes in total"), None)
        });
    }
    let health = table.get("health").and_then(|item| health::read(&item)).unwrap_or_default();
    Some(Manifest {
        name: name?,
        version: version?,
        title: title?,
        description: description?,
        authors,
        license,
        homepage,
        keywords,
        categories,
        runtime: runtime?,
        functions,
        configuration,
        permissions,
        dependencies,
        hooks,
        subscriptions,
        migrations,
        limits,
        health,
    })
}

fn set<'n, T: std::fmt::Display>(
    table: &Table<'n>,
    key: &'static str,
    read: impl Fn(&Item<'n>) -> Option<T>,
) -> Vec<T> {
    table.get(key).and_then(|item| item.set(read)).unwrap_or_default()
}

fn list<'n, T>(table: &Table<'n>, key: &'static str, read: impl Fn(&Item<'n>) -> Option<T>) -> Vec<T> {
    table.get(key).and_then(|item| item.list(read)).unwrap_or_default()
}

fn version(item: &Item<'_>) -> Option<Version> {
    short(item, LONGEST_VERSION)?;
    item.parse_with(|error: &semver::Error| {
        let message = format!("this is not a version: {error}");
        (message, Some("write three numbers, as in `1.2.0` or `1.2.0-beta.1` (semver.org)".to_owned()))
    })
}

fn license(item: &Item<'_>) -> Option<String> {
    let text = item.prose(TITLE * 2, Lines::One)?;
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "-.+() ".contains(c)) {
        return Some(text);
    }
    item.fail(
        "this is not an SPDX licence expression",
        Some("write it as in `Apache-2.0` or `MIT OR Apache-2.0`".to_owned()),
    )
}

fn homepage(item: &Item<'_>) -> Option<String> {
    let text = item.prose(TITLE * 20, Lines::One)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)) {
        return Some(text);
    }
    item.fail("this is not a web address", Some("write it with its scheme, as in `https://example.org`".to_owned()))
}

fn category(item: &Item<'_>) -> Option<Category> {
    item.parse_with(|error: &super::UnknownCategory| {
        let hint = match super::reader::did_you_mean(&error.value, Category::NAMES) {
            Some(category) => format!("did you mean `{category}`?"),
            None => format!("the categories are {}", Category::NAMES.join(", ")),
        };
        (error.to_string(), Some(hint))
    })
}

fn runtime(item: &Item<'_>) -> Option<RuntimeSection> {
    let table = item.open_table(keys::RUNTIME)?;
    let kind = table.require("kind", "kind = \"wasm\"")?;
    let name = kind.text()?;
    if RuntimeKind::NOT_YET.contains(&name) {
        // Its other keys are those of that kind; complaining about them too would only confuse.
        return kind.fail(
            format!("this version of Outrigger does not run plugins of the kind `{name}`, only `wasm`"),
            Some("build the plugin as a Wasm component, or use a version that runs this kind".to_owned()),
        );
    }
    table.refuse_unknown(super::reader::NO_SUCH_KEY, "the keys here are");
    let kind = match name {
        "wasm" => Some(RuntimeKind::Wasm),
        _ => kind.fail(format!("`{}` is not a kind of runtime", shorten(name)), Some("write `wasm`".to_owned())),
    };
    let entry: Option<PackagePath> = table.require("entry", "entry = \"my_plugin.wasm\"").and_then(|item| {
        item.parse_with(|error: &super::PackagePathError| {
            let hint = "write the path relative to the manifest, with `/` between its parts, as in `my_plugin.wasm`";
            (error.to_string(), Some(hint.to_owned()))
        })
    });
    let instances = table.get("instances").map_or(Some(InstancePolicy::default()), |item| instances(&item));
    Some(RuntimeSection { kind: kind?, entry: entry?, instances: instances? })
}

fn instances(item: &Item<'_>) -> Option<InstancePolicy> {
    let warm = |max_instances: Option<NonZeroU32>, max_calls: Option<NonZeroU32>| InstancePolicy::Warm {
        max_instances: max_instances.unwrap_or_else(InstancePolicy::default_instances),
        max_calls: max_calls.unwrap_or_else(InstancePolicy::default_calls),
    };
    if !item.is_table() {
        return match item.text()? {
            "fresh" => Some(InstancePolicy::Fresh),
            "warm" => Some(warm(None, None)),
            other => item.fail(
                format!("`{}` is not an instance policy", shorten(other)),
                Some(
                    "write `\"fresh\"`, `\"warm\"` or `{ warm = { max-instances = 4, max-calls = 1000 } }`".to_owned(),
                ),
            ),
        };
    }
    let table = item.table(keys::INSTANCES)?;
    let options = table.require("warm", "warm = { max-instances = 4, max-calls = 1000 }")?.table(keys::WARM)?;
    let max_instances = options.get("max-instances").and_then(|item| item.count(InstancePolicy::MAX_INSTANCES));
    let max_calls = options.get("max-calls").and_then(|item| item.count(InstancePolicy::MAX_CALLS));
    Some(warm(max_instances, max_calls))
}

fn functions(item: &Item<'_>, limits: &Limits) -> Option<IndexMap<FunctionName, FunctionOptions>> {
    let named = item.named::<FunctionName>()?;
    Some(named.into_iter().filter_map(|(name, item)| Some((name, function(&item, limits)?))).collect())
}

fn function(item: &Item<'_>, limits: &Limits) -> Option<FunctionOptions> {
    let table = item.table(keys::FUNCTION)?;
    let flag = |key| table.get(key).and_then(|item| item.boolean());
    let read_only = flag("read-only").unwrap_or(false);
    let idempotent = flag("idempotent").unwrap_or(read_only) || read_only;
    let time = |key, max| table.get(key).and_then(|item| item.amount_in(&(MILLISECOND..=max)));

    let cache = table.get("cache").and_then(|item| {
        if !read_only {
            let hint = "add `read-only = true` if the function changes nothing, or leave `cache` out";
            return item.fail("only the results of a read-only function can be cached", Some(hint.to_owned()));
        }
        item.amount_in(&(MILLISECOND..=THIRTY_DAYS))
    });
    let retry = table.get("retry").and_then(|item| {
        if !idempotent {
            let hint = "add `idempotent = true` if a second call does no harm, or leave `retry` out";
            return item.fail("only an idempotent function can be tried again", Some(hint.to_owned()));
        }
        retry(&item)
    });
    let destructive = table.get("destructive").and_then(|item| {
        let destructive = item.boolean()?;
        if destructive && read_only {
            let hint = "remove the wrong one";
            return item.fail("a function cannot be read-only and destructive", Some(hint.to_owned()));
        }
        Some(destructive)
    });
    let concurrency = table.get("concurrency").and_then(|item| {
        let concurrency = item.count(Limits::MAX_CONCURRENCY)?;
        if concurrency > limits.concurrency {
            let message = format!("a `concurrency` of {concurrency} is above the plugin's {}", limits.concurrency);
            return item.fail(message, Some("raise `concurrency` in `[limits]`".to_owned()));
        }
        Some(concurrency)
    });
    let requires_admin = flag("requires-admin").unwrap_or(false);
    Some(FunctionOptions {
        title: table.get("title").and_then(|item| item.prose(TITLE, Lines::One)),
        description: table.get("description").and_then(|item| item.prose(DESCRIPTION, Lines::Many)),
        tags: set(&table, "tags", |item| item.prose(WORD, Lines::One)),
        cache,
        rate_limit: table.get("rate-limit").and_then(|item| rate(&item)),
        timeout: time("timeout", Limits::MAX_TIMEOUT),
        concurrency,
        retry,
        read_only,
        destructive,
        idempotent,
        requires_auth: flag("requires-auth").unwrap_or(false) || requires_admin,
        requires_admin,
        estimated_time: time("estimated-time", THIRTY_DAYS),
    })
}

fn rate(item: &Item<'_>) -> Option<Rate> {
    if !item.is_table() {
        return item.parse();
    }
    let table = item.table(keys::RATE)?;
    let calls = table.require("calls", "calls = 100").and_then(|item| item.count(u32::MAX));
    let per = table.require("per", "per = \"1m\"").and_then(|item| item.amount_in(&(MILLISECOND..=THIRTY_DAYS)));
    let burst = table.get("burst").and_then(|item| item.count(u32::MAX));
    Rate::new(calls?, per?, burst).map_err(|error| item.fail::<()>(error, None)).ok()
}

fn retry(item: &Item<'_>) -> Option<Retry> {
    let table = item.table(keys::RETRY)?;
    let attempts = table.require("attempts", "attempts = 3").and_then(|item| item.count(Retry::MAX_ATTEMPTS));
    let backoff = table.get("backoff").and_then(|item| item.amount_in(&(Span::ZERO..=Span::from_secs(3_600))));
    Some(Retry { attempts: attempts?, backoff: backoff.unwrap_or(Retry::DEFAULT_BACKOFF) })
}

fn permissions(item: &Item<'_>) -> Option<Permissions> {
    let table = item.open_table(keys::PERMISSIONS)?;
    table.refuse_unknown("this permission is refused because the host could not enforce it", "the permissions are");
    let files = list(&table, "files", file);
    for inner in &files {
        if let Some(outer) = files.iter().find(|outer| inner.is_narrower_within(outer)) {
            let (path, folder) = (inner.path().to_owned(), outer.path().to_owned());
            let error = PermissionError::NarrowerFile { path, folder };
            table.get("files").and_then(|item| item.fail::<()>(&error, error.hint()));
        }
    }
    Some(Permissions {
        files,
        environment: list(&table, "environment", |item| item.parse_with(explain)),
        http: list(&table, "http", host),
        tcp: list(&table, "tcp", host),
        plugins: list(&table, "plugins", |item| item.parse_with::<FunctionPattern>(explain)),
    })
}

fn explain(error: &PermissionError) -> (String, Option<String>) {
    (error.to_string(), error.hint())
}

fn file(item: &Item<'_>) -> Option<FileGrant> {
    if item.is_text() {
        let hint = "write `{ path = \"/etc/os-release\", access = \"read\" }`";
        return item.fail("a file needs `path` and `access`", Some(hint.to_owned()));
    }
    let table = item.table(keys::FILE)?;
    let path = table.require("path", "path = \"/etc/os-release\"");
    let access = table.get("access").map_or(Some(FileAccess::Read), |item| match item.text()? {
        "read" => Some(FileAccess::Read),
        "write" => Some(FileAccess::Write),
        other => item
            .fail(format!("`{}` is not a kind of access", shorten(other)), Some("write `read` or `write`".to_owned())),
    });
    let path = path?;
    match FileGrant::new(path.text()?, access?) {
        Ok(grant) => Some(grant),
        Err(error) => path.fail(&error, error.hint()),
    }
}

fn host(item: &Item<'_>) -> Option<HostPattern> {
    if !item.is_table() {
        return item.parse_with(explain);
    }
    let table = item.table(keys::HOST)?;
    let pattern =
        table.require("host", "host = \"localhost:8080\"").and_then(|item| item.parse_with::<HostPattern>(explain));
    let private = table.get("private").map_or(Some(false), |item| item.boolean());
    Some(pattern?.with_private(private?))
}

fn dependencies(item: &Item<'_>, own: Option<&PluginName>) -> Option<IndexMap<PluginName, Dependency>> {
    let named = item.named::<PluginName>()?;
    let read = named.into_iter().filter_map(|(name, item)| {
        if Some(&name) == own {
            return item.fail("a plugin cannot depend on itself", Some("leave this dependency out".to_owned()));
        }
        Some((name, dependency(&item)?))
    });
    Some(read.collect())
}

fn dependency(item: &Item<'_>) -> Option<Dependency> {
    if !item.is_table() {
        return Some(Dependency { version: requirement(item)?, optional: false });
    }
    let table = item.table(keys::DEPENDENCY)?;
    let version = table.require("version", "version = \"^1\"").and_then(|item| requirement(&item));
    let optional = table.get("optional").map_or(Some(false), |item| item.boolean());
    Some(Dependency { version: version?, optional: optional? })
}

/// Checks that a text is short enough to be parsed.
fn short(item: &Item<'_>, longest: usize) -> Option<()> {
    match item.text()?.len() {
        length if length > longest => {
            item.fail(format!("the text is {length} bytes long; the limit is {longest}"), None)
        }
        _ => Some(()),
    }
}

pub(super) fn requirement(item: &Item<'_>) -> Option<VersionReq> {
    short(item, super::LONGEST_REQUIREMENT)?;
    item.parse_with(|error: &semver::Error| {
        let message = format!("this is not a version requirement: {error}");
        (message, Some("write it as in `^1.2`, `>=1.2, <3` or `*`".to_owned()))
    })
}

fn limits(item: &Item<'_>) -> Option<Limits> {
    let table = item.table(keys::LIMITS)?;
    let default = Limits::default();
    let time = |key| table.get(key).and_then(|item| item.amount_in(&(MILLISECOND..=Limits::MAX_TIMEOUT)));
    let size = |key, least, most| table.get(key).and_then(|item| item.amount_in::<ByteSize>(&(least..=most)));
    Some(Limits {
        memory: size("memory", Limits::MIN_MEMORY, Limits::MAX_MEMORY).unwrap_or(default.memory),
        timeout: time("timeout").unwrap_or(default.timeout),
        cpu: time("cpu"),
        output: size("output", ByteSize::bytes(1), Limits::MAX_OUTPUT).unwrap_or(default.output),
        concurrency: table
            .get("concurrency")
            .and_then(|item| item.count(Limits::MAX_CONCURRENCY))
            .unwrap_or(default.concurrency),
        log_lines: table
            .get("log-lines")
            .and_then(|item| item.integer(0..=Limits::MAX_LOG_LINES))
            .unwrap_or(default.log_lines),
        state: size("state", ByteSize::bytes(0), Limits::MAX_STATE).unwrap_or(default.state),
    })
}
