//! Packages: where they are found, how they are read, and what is refused before anything of them is installed.
//!
//! Read in this order: [`package`] (one package: a folder, a `.zip` or a `.tar.gz`), then [`discovery`] (all packages
//! in the folders that are searched). Nothing here runs a plugin or knows of a store.

pub mod discovery;
pub mod package;

pub use discovery::{Candidate, Discovered, Origin, SearchPath, discover};
pub use package::{Package, PackageError, PackageFile, PackageLimits, Shape, StagedPackage, stage};
