//! Every environment variable that Outrigger reads, in one place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A variable and what it does; the reference is generated from these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub meaning: &'static str,
}

/// The data directory.
pub const DATA: Variable = Variable { name: "OUTRIGGER_DATA", meaning: "The data directory. `--data` overrides it." };
/// A server to talk to instead of a data directory.
pub const SERVER: Variable = Variable {
    name: "OUTRIGGER_SERVER",
    meaning: "The URL of a server to use instead of a data directory. `--server` overrides it.",
};
/// The key to send to that server.
pub const KEY: Variable = Variable {
    name: "OUTRIGGER_KEY",
    meaning: "The API key that is sent to a server named by `--server` or OUTRIGGER_SERVER.",
};
/// The certificate authorities to trust for that server.
pub const CA_CERTIFICATE: Variable = Variable {
    name: "OUTRIGGER_CA_CERTIFICATE",
    meaning: "A PEM file with certificate authorities to trust for the server, besides the system's. \
    `--ca-certificate` overrides it.",
};
/// Packages that came with the program.
pub const BUNDLED: Variable = Variable {
    name: "OUTRIGGER_BUNDLED",
    meaning: "The folder of bundled plugin packages [default: `share/outrigger/plugins` beside the program].",
};
/// More folders to look in.
pub const PLUGIN_PATH: Variable = Variable {
    name: "OUTRIGGER_PLUGIN_PATH",
    meaning: "Additional search paths for plugin packages, separated like `PATH`; they count as system paths.",
};
/// Where the user's data is, by the XDG base directory specification.
pub const XDG_DATA_HOME: Variable =
    Variable { name: "XDG_DATA_HOME", meaning: "The parent folder of the default data directory `outrigger`." };
/// The user's home.
pub const HOME: Variable =
    Variable { name: "HOME", meaning: "Used if XDG_DATA_HOME is not set: `~/.local/share/outrigger`." };

/// The memory limit for all plugins together.
pub const MEMORY: Variable = Variable {
    name: "OUTRIGGER_MEMORY",
    meaning: "Memory limit for all plugins together, such as `2GiB`: their instances, and the server's memory for \
        their calls \
              [default: 512MiB, minimum: 4MiB]. The first 4 MiB of each plugin are not counted.",
};
/// The memory limit for one plugin.
pub const PLUGIN_MEMORY: Variable = Variable {
    name: "OUTRIGGER_PLUGIN_MEMORY",
    meaning: "Memory limit for one plugin with all of its instances, such as `1GiB`, at least 4MiB [default: 256MiB].",
};

/// The keys of secrets, themselves.
pub const SECRET_KEY: Variable = Variable {
    name: "OUTRIGGER_SECRET_KEY",
    meaning: "The encryption key of secrets: 32 bytes in hexadecimal or base64. Older keys can follow, separated by \
    commas; they are used only to decrypt.",
};
/// The keys of secrets, in a file.
pub const SECRET_KEY_FILE: Variable =
    Variable { name: "OUTRIGGER_SECRET_KEY_FILE", meaning: "A file with the same contents as OUTRIGGER_SECRET_KEY." };
/// The keys of secrets, in the kernel's keyring.
pub const SECRET_KEYRING: Variable = Variable {
    name: "OUTRIGGER_SECRET_KEYRING",
    meaning: "The name of a key of the type `user` in the keyring of the Linux kernel (`keyctl padd user NAME @u`), with what \
              OUTRIGGER_SECRET_KEY holds. Without any of the three, `secret.key` in the data directory is used, and made when \
              the first secret is set.",
};
/// The operator's ceiling for limits.
pub const CEILING: Variable = Variable {
    name: "OUTRIGGER_CEILING",
    meaning: "Highest limits that plugins can be granted, such as `memory=512MiB,concurrency=100`. `outrigger serve \
        --ceiling` \
              overrides them. The limits are `memory`, `timeout`, `cpu`, `output`, `concurrency`, \
              `instances`, `log-lines` and `state` [default: \
              memory=1GiB,timeout=1d,cpu=1h,output=64MiB,concurrency=1000,instances=64,log-lines=100000,state=1GiB].",
};
/// The key that signs packages.
pub const SIGNING_KEY: Variable = Variable {
    name: "OUTRIGGER_SIGNING_KEY",
    meaning: "The private key file for `outrigger dev sign`. `--key` overrides it.",
};
/// Which set of configuration files goes over the general one.
pub const PROFILE: Variable = Variable {
    name: "OUTRIGGER_PROFILE",
    meaning: "The profile: configuration files in `config/PROFILE` of the data directory override those in `config`.",
};
/// One value of one plugin's configuration.
pub const CONFIG: Variable = Variable {
    name: "OUTRIGGER_CONFIG__PLUGIN__KEY",
    meaning: "One configuration value of a plugin; overrides stored values and files. Plugin and key are in upper \
    case, with `_` for `-` and `.`; the value is JSON, or plain text for strings. A variable that matches two plugins \
    is refused for both.",
};
/// The prefix of all variables like [`CONFIG`].
pub const CONFIG_PREFIX: &str = "OUTRIGGER_CONFIG__";

/// The CPU time limit for compiling a component.
pub const COMPILE_CPU: Variable = Variable {
    name: "OUTRIGGER_COMPILE_CPU",
    meaning: "Maximum CPU time for compiling one component, such as `5m` [default: 120s]. Smaller components get less, \
              depending on their code size.",
};
/// The memory limit for compiling a component.
pub const COMPILE_MEMORY: Variable = Variable {
    name: "OUTRIGGER_COMPILE_MEMORY",
    meaning: "Maximum memory for compiling one component, such as `8GiB` [default: 4GiB]. Smaller components get less, \
              depending on their code size.",
};

/// Where traces and metrics are sent to.
pub const OTLP_ENDPOINT: Variable = Variable {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    meaning: "The OTLP endpoint for traces and metrics of a server, such as `http://localhost:4318`; `/v1/traces` and \
    `/v1/metrics` are appended. Without it, and without the two below, nothing is sent.",
};
/// Where traces are sent to.
pub const OTLP_TRACES_ENDPOINT: Variable = Variable {
    name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    meaning: "The complete URL for traces, instead of OTEL_EXPORTER_OTLP_ENDPOINT.",
};
/// Where metrics are sent to.
pub const OTLP_METRICS_ENDPOINT: Variable = Variable {
    name: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    meaning: "The complete URL for metrics, instead of OTEL_EXPORTER_OTLP_ENDPOINT.",
};
/// Headers that go with them.
pub const OTLP_HEADERS: Variable = Variable {
    name: "OTEL_EXPORTER_OTLP_HEADERS",
    meaning: "Additional HTTP headers, such as `authorization=Bearer%20KEY,x-team=ops`.",
};
/// How they are written.
pub const OTLP_PROTOCOL: Variable =
    Variable { name: "OTEL_EXPORTER_OTLP_PROTOCOL", meaning: "The OTLP protocol; only `http/protobuf` is supported." };
/// Whether they are packed.
pub const OTLP_COMPRESSION: Variable =
    Variable { name: "OTEL_EXPORTER_OTLP_COMPRESSION", meaning: "`gzip` or `none` [default: none]." };
/// How long sending may take.
pub const OTLP_TIMEOUT: Variable = Variable {
    name: "OTEL_EXPORTER_OTLP_TIMEOUT",
    meaning: "Timeout for sending one batch of traces or metrics, in milliseconds [default: 10000].",
};
/// The service name.
pub const OTEL_SERVICE: Variable =
    Variable { name: "OTEL_SERVICE_NAME", meaning: "The service name in traces and metrics [default: outrigger]." };
/// Further attributes of the service.
pub const OTEL_RESOURCE: Variable = Variable {
    name: "OTEL_RESOURCE_ATTRIBUTES",
    meaning: "Additional attributes of the server in traces and metrics, such as \
    `deployment.environment.name=production`.",
};
/// Which traces are kept.
pub const OTEL_SAMPLER: Variable = Variable {
    name: "OTEL_TRACES_SAMPLER",
    meaning: "The sampler for traces: `always_on`, `always_off`, `traceidratio`, or one of them with the prefix \
    `parentbased_`, which follows the client's decision [default: parentbased_always_on].",
};
/// How many traces are kept.
pub const OTEL_SAMPLER_ARGUMENT: Variable = Variable {
    name: "OTEL_TRACES_SAMPLER_ARG",
    meaning: "The share of traces that `traceidratio` sends, from 0 to 1 [default: 1].",
};
/// Whether traces are sent.
pub const OTEL_TRACES: Variable =
    Variable { name: "OTEL_TRACES_EXPORTER", meaning: "`otlp`, or `none` to send no traces." };
/// Whether metrics are sent.
pub const OTEL_METRICS: Variable =
    Variable { name: "OTEL_METRICS_EXPORTER", meaning: "`otlp`, or `none` to send no metrics." };
/// How often metrics are sent.
pub const OTEL_METRICS_INTERVAL: Variable = Variable {
    name: "OTEL_METRIC_EXPORT_INTERVAL",
    meaning: "How often metrics are sent, in milliseconds [default: 60000].",
};
/// How often traces are sent.
pub const OTEL_TRACES_DELAY: Variable = Variable {
    name: "OTEL_BSP_SCHEDULE_DELAY",
    meaning: "Maximum delay before a span is sent, in milliseconds [default: 5000].",
};
/// How many spans may wait.
pub const OTEL_TRACES_QUEUE: Variable = Variable {
    name: "OTEL_BSP_MAX_QUEUE_SIZE",
    meaning: "Maximum number of queued spans; further ones are dropped [default: 2048].",
};
/// How many spans are sent at once.
pub const OTEL_TRACES_BATCH: Variable =
    Variable { name: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", meaning: "Maximum number of spans per request [default: 512]." };
/// None of it.
pub const OTEL_DISABLED: Variable = Variable {
    name: "OTEL_SDK_DISABLED",
    meaning: "`true` disables traces and metrics, regardless of other variables.",
};

/// All of them.
pub const VARIABLES: &[Variable] = &[
    DATA,
    SERVER,
    KEY,
    CA_CERTIFICATE,
    BUNDLED,
    PLUGIN_PATH,
    MEMORY,
    PLUGIN_MEMORY,
    SECRET_KEY,
    SECRET_KEY_FILE,
    SECRET_KEYRING,
    CEILING,
    SIGNING_KEY,
    PROFILE,
    CONFIG,
    COMPILE_CPU,
    COMPILE_MEMORY,
    XDG_DATA_HOME,
    HOME,
    OTLP_ENDPOINT,
    OTLP_TRACES_ENDPOINT,
    OTLP_METRICS_ENDPOINT,
    OTLP_HEADERS,
    OTLP_PROTOCOL,
    OTLP_COMPRESSION,
    OTLP_TIMEOUT,
    OTEL_SERVICE,
    OTEL_RESOURCE,
    OTEL_SAMPLER,
    OTEL_SAMPLER_ARGUMENT,
    OTEL_TRACES,
    OTEL_METRICS,
    OTEL_METRICS_INTERVAL,
    OTEL_TRACES_DELAY,
    OTEL_TRACES_QUEUE,
    OTEL_TRACES_BATCH,
    OTEL_DISABLED,
];

/// The value of a variable; an empty one counts as not set.
pub(crate) fn value(variable: Variable) -> Option<OsString> {
    std::env::var_os(variable.name).filter(|value| !value.is_empty())
}

/// The same as a path.
#[must_use]
pub fn path(variable: Variable) -> Option<PathBuf> {
    value(variable).map(PathBuf::from)
}

/// The same as text; one that is not text counts as not set.
#[must_use]
pub fn text(variable: Variable) -> Option<String> {
    value(variable)?.into_string().ok()
}

/// All variables whose names begin with [`CONFIG_PREFIX`], by name. One that is not text counts as not set.
pub(crate) fn configuration() -> BTreeMap<String, String> {
    let texts =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    texts.filter(|(name, _)| name.starts_with(CONFIG_PREFIX)).collect()
}
