//! Which packages are there: all search paths are looked through one level deep, and of each version of each plugin the
//! nearest copy counts. Reading is all that is done; a package that cannot be read is a problem, not a failure.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use outrigger_contract::PluginName;
use outrigger_contract::manifest::{FILE_NAME, Manifest};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::package::{Package, PackageError, Shape};

/// Where a search path belongs, from far to near.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Comes with Outrigger.
    Bundled,
    /// For everyone on this machine.
    System,
    /// For this user.
    User,
    /// For this project.
    Project,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Bundled => "bundled",
            Self::System => "system",
            Self::User => "user",
            Self::Project => "project",
        })
    }
}

/// A folder in which packages are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPath {
    pub origin: Origin,
    pub path: PathBuf,
}

/// A package that was found and whose manifest could be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    pub name: PluginName,
    pub version: Version,
    pub title: String,
    pub description: String,
    /// The package: a folder or an archive.
    pub path: PathBuf,
    pub origin: Origin,
    pub shape: Shape,
}

/// A package that does not count, because the same version of the same plugin is found nearer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Duplicate {
    pub name: PluginName,
    pub version: Version,
    /// The package that counts.
    pub kept: PathBuf,
    /// The package that does not.
    pub ignored: PathBuf,
    /// Where the ignored one was found.
    pub origin: Origin,
}

/// A package or search path that could not be read.
#[derive(Debug)]
pub struct DiscoveryProblem {
    pub path: PathBuf,
    pub origin: Origin,
    pub error: PackageError,
}

/// All that was found.
#[derive(Debug, Default)]
pub struct Discovered {
    /// One for each version of each plugin, sorted by name, the highest version first.
    pub found: Vec<Candidate>,
    pub duplicates: Vec<Duplicate>,
    pub problems: Vec<DiscoveryProblem>,
}

impl Discovered {
    /// The highest version of a plugin that meets a requirement. A pre-release is only chosen when the requirement
    /// names one, as in `>=2.0.0-beta`.
    #[must_use]
    pub fn best(&self, name: &PluginName, requirement: Option<&VersionReq>) -> Option<&Candidate> {
        // `*` stands for no requirement: it matches every release and no pre-release.
        let any = VersionReq::STAR;
        let requirement = requirement.unwrap_or(&any);
        let matching =
            self.found.iter().filter(|candidate| candidate.name == *name && requirement.matches(&candidate.version));
        matching.max_by(|left, right| left.version.cmp(&right.version))
    }
}

/// Looks through these folders. A folder that does not exist is passed over. Nearer origins win over farther ones, and
/// within one origin the path that stands first.
#[must_use]
pub fn discover(paths: &[SearchPath]) -> Discovered {
    let mut problems = Vec::new();
    let mut candidates = Vec::new();
    for SearchPath { origin, path } in paths {
        let packages = packages_in(path).unwrap_or_else(|error| {
            problems.push(DiscoveryProblem { path: path.clone(), origin: *origin, error });
            Vec::new()
        });
        for package in packages {
            match read(&package, *origin) {
                Ok(candidate) => candidates.push(candidate),
                Err(error) => problems.push(DiscoveryProblem { path: package, origin: *origin, error }),
            }
        }
    }
    // The sort is stable, so what stands first within an origin stays first.
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.origin));
    let (found, duplicates) = nearest(candidates);
    Discovered { found, duplicates, problems }
}

/// Keeps the first candidate of each version.
fn nearest(candidates: Vec<Candidate>) -> (Vec<Candidate>, Vec<Duplicate>) {
    let mut kept: BTreeMap<(PluginName, std::cmp::Reverse<Version>), Candidate> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for candidate in candidates {
        match kept.entry((candidate.name.clone(), std::cmp::Reverse(candidate.version.clone()))) {
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert(candidate);
            }
            btree_map::Entry::Occupied(kept) => duplicates.push(Duplicate {
                name: candidate.name,
                version: candidate.version,
                kept: kept.get().path.clone(),
                ignored: candidate.path,
                origin: candidate.origin,
            }),
        }
    }
    (kept.into_values().collect(), duplicates)
}

/// The packages directly in a folder, sorted by name: archives, and folders with a manifest. Anything else in there is
/// nobody's business.
fn packages_in(folder: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let failed = |source| PackageError::from_io(folder, "read the folder", source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut packages = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && (Shape::of_archive(&path).is_some() || path.join(FILE_NAME).is_file()) {
            packages.push(path);
        }
    }
    packages.sort();
    Ok(packages)
}

fn read(path: &Path, origin: Origin) -> Result<Candidate, PackageError> {
    let package = Package::open(path)?;
    let Manifest { name, version, title, description, .. } = package.manifest()?;
    Ok(Candidate { name, version, title, description, path: path.to_owned(), origin, shape: package.shape() })
}

#[cfg(test)]
mod tests;
