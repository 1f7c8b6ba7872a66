//! Finds packages in the search paths.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::{ApiError, ApiResult, AvailablePlugin, AvailableReport, Code};
use outrigger_contract::PluginName;
use outrigger_contract::causes::chain;
use outrigger_contract::manifest::LONGEST_REQUIREMENT;
use outrigger_registry::Discovered;
use outrigger_registry::discovery::Duplicate;

use super::{Packages, in_background};

impl Packages {
    /// The packages in the search paths. Every archive there is read, so this happens once at a time; a result that is
    /// younger than `age` is given again.
    pub(crate) async fn available(&self, age: Duration) -> ApiResult<AvailableReport> {
        let discovered = self.discovered.get(age, self.discover()).await?;
        let Discovered { found, duplicates, problems } = &*discovered;
        let installed_version =
            |name: &PluginName| self.engine.plugin(name).ok().map(|(_, summary)| summary.version.to_string());
        let plugins = found
            .iter()
            .map(|candidate| AvailablePlugin {
                installed_version: installed_version(&candidate.name),
                name: candidate.name.clone(),
                version: candidate.version.to_string(),
                title: candidate.title.clone(),
                description: candidate.description.clone(),
                path: candidate.path.display().to_string(),
                origin: candidate.origin.to_string(),
            })
            .collect();
        Ok(AvailableReport {
            plugins,
            duplicates: duplicates.iter().map(describe_duplicate).collect(),
            problems: problems
                .iter()
                .map(|problem| format!("{}: {}", problem.path.display(), chain(&problem.error)))
                .collect(),
        })
    }

    /// The highest version of a package in the search paths.
    pub(super) async fn find(&self, name: &PluginName, version: Option<&str>) -> ApiResult<PathBuf> {
        if let Some(length) = version.map(str::len).filter(|length| *length > LONGEST_REQUIREMENT) {
            let message = format!("the version requirement is {length} bytes long; the limit is {LONGEST_REQUIREMENT}");
            return Err(ApiError::new(Code::InvalidInput, message));
        }
        let requirement = version.map(str::parse::<semver::VersionReq>).transpose().map_err(|error| {
            let shown = version.unwrap_or_default();
            ApiError::new(Code::InvalidInput, format!("`{shown}` is not a version requirement: {error}"))
                .with_hint("write one like `^1.2`, `=1.2.3` or `>=1, <3`")
        })?;
        let discovered = self.discover().await?;
        if let Some(candidate) = discovered.best(name, requirement.as_ref()) {
            return Ok(candidate.path.clone());
        }
        let known: Vec<_> = discovered
            .found
            .iter()
            .filter(|candidate| candidate.name == *name)
            .map(|candidate| candidate.version.to_string())
            .collect();
        Err(match known.is_empty() {
            true => ApiError::new(
                Code::NotFound,
                format!("no package `{name}` in the search paths, and no file with this name"),
            )
            .with_hint(
                "`outrigger plugin list --available` lists packages that can be installed by name; a path works too",
            ),
            false => ApiError::new(
                Code::NotFound,
                format!("no version of `{name}` matches; available: {}", known.join(", ")),
            ),
        })
    }

    /// Reads the packages in the search paths.
    fn discover(&self) -> impl Future<Output = ApiResult<Arc<Discovered>>> + Send + use<> {
        let paths = Arc::clone(&self.search_paths);
        in_background(move || Ok(Arc::new(outrigger_registry::discover(&paths))))
    }
}

fn describe_duplicate(duplicate: &Duplicate) -> String {
    let Duplicate { name, version, kept, ignored, origin } = duplicate;
    format!("{name} {version} at {} ({origin}) is passed over for {}", ignored.display(), kept.display())
}
