//! Configuration, resolved once: from the command line and the environment into plain data.

use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_contract::Ceiling;
use outrigger_contract::units::{ByteSize, Span};
use outrigger_engine::MemoryBounds;
use outrigger_registry::{Origin, SearchPath};
use outrigger_runtime::CompileLimits;

use crate::data_directory::DataDirectory;
use crate::environment::{self, Variable};

/// Options of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// The data directory. It is made when it is not there.
    pub data: PathBuf,
    /// Folders to look for packages in, each with where it stands.
    pub search_paths: Vec<SearchPath>,
}

impl HostOptions {
    /// Options from what was given on the command line, the environment, and the defaults.
    ///
    /// # Errors
    /// No data directory was given, and none can be derived because the user has no home.
    pub fn resolve(data: Option<PathBuf>) -> ApiResult<Self> {
        let home = default_home();
        let data = match (data.or_else(|| environment::path(environment::DATA)), &home) {
            (Some(data), _) => data,
            (None, Some(home)) => home.clone(),
            (None, None) => {
                return Err(ApiError::new(Code::DataDirectory, "there is no default data directory: HOME is not set")
                    .with_hint("name one with `--data DIR` or OUTRIGGER_DATA"));
            }
        };
        let data = std::path::absolute(&data).unwrap_or(data);
        let working_directory = std::env::current_dir().ok();
        Ok(Self { search_paths: search_paths(home.as_deref(), working_directory.as_deref()), data })
    }

    /// Whether no data directory was made there yet: opening it would make one.
    #[must_use]
    pub fn is_without_data(&self) -> bool {
        DataDirectory::is_missing(&self.data)
    }
}

/// The memory limits for plugins, from the environment.
///
/// # Errors
/// A variable is not a valid size.
pub(crate) fn memory() -> ApiResult<MemoryBounds> {
    let default = MemoryBounds::default();
    Ok(MemoryBounds {
        all: memory_size(environment::MEMORY)?.unwrap_or(default.all),
        plugin: memory_size(environment::PLUGIN_MEMORY)?.unwrap_or(default.plugin),
    })
}

/// The smallest memory limit: with less, hardly any plugin could run.
const LEAST_MEMORY: ByteSize = ByteSize::mib(4);

fn memory_size(variable: Variable) -> ApiResult<Option<u64>> {
    let found = size(variable)?;
    found.map(|bytes| enough_memory(variable.name, bytes)).transpose()
}

fn enough_memory(name: &str, bytes: u64) -> ApiResult<u64> {
    match bytes < LEAST_MEMORY.as_u64() {
        true => Err(ApiError::new(Code::InvalidUsage, format!("{name} is {}", ByteSize::bytes(bytes)))
            .with_hint(format!("the minimum is {LEAST_MEMORY}"))),
        false => Ok(bytes),
    }
}

/// The operator's ceiling: that of the environment, overridden by `--ceiling`.
///
/// # Errors
/// One of them is not a valid ceiling.
pub(crate) fn ceiling(given: &[String]) -> ApiResult<Ceiling> {
    let mut ceiling = Ceiling::default();
    let variable = environment::text(environment::CEILING);
    let texts = variable.iter().map(|text| (environment::CEILING.name, text));
    for (place, text) in texts.chain(given.iter().map(|text| ("--ceiling", text))) {
        ceiling.set(text).map_err(|error| ApiError::new(Code::InvalidUsage, format!("{place}: {error}")))?;
    }
    Ok(ceiling)
}

/// The compile limits, from the environment.
pub(crate) fn compile_limits() -> ApiResult<CompileLimits> {
    let mut limits = CompileLimits::default();
    if let Some(text) = environment::text(environment::COMPILE_CPU) {
        let cpu = text.trim().parse::<Span>().map_err(|error| {
            ApiError::new(Code::InvalidUsage, format!("{} is `{text}`: {error}", environment::COMPILE_CPU.name))
                .with_hint("give a time such as `5m`")
        })?;
        limits.cpu = cpu.as_duration();
    }
    limits.memory = size(environment::COMPILE_MEMORY)?.unwrap_or(limits.memory);
    Ok(limits)
}

fn size(variable: Variable) -> ApiResult<Option<u64>> {
    let Some(text) = environment::text(variable) else { return Ok(None) };
    let size = text.trim().parse::<ByteSize>().map_err(|error| {
        ApiError::new(Code::InvalidUsage, format!("{} is `{text}`: {error}", variable.name))
            .with_hint("give a size such as `512MiB`")
    })?;
    Ok(Some(size.as_u64()))
}

/// `$XDG_DATA_HOME/outrigger` or `~/.local/share/outrigger`.
fn default_home() -> Option<PathBuf> {
    let base = environment::path(environment::XDG_DATA_HOME)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(environment::path(environment::HOME)?.join(".local/share")))?;
    Some(base.join("outrigger"))
}

fn search_paths(home: Option<&Path>, working_directory: Option<&Path>) -> Vec<SearchPath> {
    let at = |origin, path| SearchPath { origin, path };
    let mut paths = Vec::new();
    let beside_program = || {
        let program = std::env::current_exe().ok()?;
        Some(program.parent()?.parent()?.join("share/outrigger/plugins"))
    };
    let bundled = environment::path(environment::BUNDLED).or_else(beside_program);
    paths.extend(bundled.map(|path| at(Origin::Bundled, path)));
    for system in ["/usr/share/outrigger/plugins", "/usr/local/share/outrigger/plugins"] {
        paths.push(at(Origin::System, system.into()));
    }
    if let Some(more) = environment::value(environment::PLUGIN_PATH) {
        paths.extend(std::env::split_paths(&more).map(|path| at(Origin::System, path)));
    }
    paths.extend(home.map(|home| at(Origin::User, home.join("plugins"))));
    // The nearest project at or above the working directory.
    let project = working_directory
        .into_iter()
        .flat_map(Path::ancestors)
        .map(|folder| folder.join(".outrigger/plugins"))
        .find(|folder| folder.is_dir());
    paths.extend(project.map(|path| at(Origin::Project, path)));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_limit_below_the_minimum_is_refused() {
        assert_eq!(enough_memory("OUTRIGGER_MEMORY", 4 << 20).expect("it is enough"), 4 << 20);
        let error = enough_memory("OUTRIGGER_MEMORY", 1 << 10).expect_err("it is too little");
        assert_eq!((error.code, &*error.message), (Code::InvalidUsage, "OUTRIGGER_MEMORY is 1KiB"));
        assert_eq!(error.hint, "the minimum is 4MiB");
    }
}
