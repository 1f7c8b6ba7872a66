//! Packages: where they are found, how they are read, and what is refused before anything is installed.
//!
//! Read in this order: [`package`] (one package: a folder, a `.zip` or a `.tar.gz`), then [`discovery`] (all packages
//! in the folders that are searched), then [`signature`] (who made a package), then [`template`] (what new plugins are made
//! from). Nothing here runs a plugin or knows of a store.

pub mod discovery;
pub mod disk;
pub mod package;
pub mod signature;
pub mod template;

pub use discovery::{Candidate, Discovered, Origin, SearchPath, discover};
pub use package::{
    Package, PackageContents, PackageError, PackageFile, PackageLimits, Shape, StagedPackage, pack, stage,
};
pub use signature::{
    KeyError, PublicKey, SIGNATURE_FILE, SignError, SignatureState, Signed, SigningKey, Trust, TrustError,
    check_signature, sign_package,
};
pub use template::{TemplateError, built_in_templates, check_template, read_template, render_template};
