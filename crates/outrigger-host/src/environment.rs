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
pub const DATA: Variable =
    Variable { name: "OUTRIGGER_DATA", meaning: "The data directory, unless `--data` names one." };
/// A server to talk to instead of a data directory.
pub const SERVER: Variable = Variable {
    name: "OUTRIGGER_SERVER",
    meaning: "The address of a server to talk to instead of a data directory, unless `--server` names one.",
};
/// The key to send to that server.
pub const KEY: Variable = Variable {
    name: "OUTRIGGER_KEY",
    meaning: "The API key that is sent to a server named by `--server` or OUTRIGGER_SERVER.",
};
/// Packages that came with the program.
pub const BUNDLED: Variable = Variable {
    name: "OUTRIGGER_BUNDLED",
    meaning: "The folder of bundled plugin packages, instead of `share/outrigger/plugins` beside the program.",
};
/// More folders to look in.
pub const PLUGIN_PATH: Variable = Variable {
    name: "OUTRIGGER_PLUGIN_PATH",
    meaning: "More folders to look for plugin packages in, separated like `PATH`; they count as system paths.",
};
/// Where the user's data is, by the XDG base directory specification.
pub const XDG_DATA_HOME: Variable =
    Variable { name: "XDG_DATA_HOME", meaning: "Where the data directory `outrigger` is by default." };
/// The user's home.
pub const HOME: Variable =
    Variable { name: "HOME", meaning: "Used where XDG_DATA_HOME is not set: `~/.local/share/outrigger`." };

/// The keys of secrets, themselves.
pub const SECRET_KEY: Variable = Variable {
    name: "OUTRIGGER_SECRET_KEY",
    meaning: "The key that secrets are encrypted with: 32 bytes in hexadecimal or base64. Older keys may follow, separated \
              by commas; they only decrypt.",
};
/// The keys of secrets, in a file.
pub const SECRET_KEY_FILE: Variable = Variable {
    name: "OUTRIGGER_SECRET_KEY_FILE",
    meaning: "A file with what OUTRIGGER_SECRET_KEY holds. Without either, `secret.key` in the data directory is used, and \
              made when the first secret is set.",
};
/// Which set of configuration files goes over the general one.
pub const PROFILE: Variable = Variable {
    name: "OUTRIGGER_PROFILE",
    meaning: "The profile: configuration files in `config/PROFILE` of the data directory go over those in `config`.",
};
/// One value of one plugin's configuration.
pub const CONFIG: Variable = Variable {
    name: "OUTRIGGER_CONFIG__PLUGIN__KEY",
    meaning: "One value of the configuration of a plugin, over what is stored and what files say. Plugin and key in upper \
              case, with `_` for `-` and `.`; JSON, unless the value is a text.",
};
/// What the names of all variables like [`CONFIG`] begin with.
pub const CONFIG_PREFIX: &str = "OUTRIGGER_CONFIG__";

/// All of them.
pub const VARIABLES: &[Variable] =
    &[DATA, SERVER, KEY, BUNDLED, PLUGIN_PATH, SECRET_KEY, SECRET_KEY_FILE, PROFILE, CONFIG, XDG_DATA_HOME, HOME];

/// The value of a variable; an empty one counts as not set.
pub(crate) fn value(variable: Variable) -> Option<OsString> {
    std::env::var_os(variable.name).filter(|value| !value.is_empty())
}

/// The same as a path.
pub(crate) fn path(variable: Variable) -> Option<PathBuf> {
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
