//! Packages: finding them, reading them, and refusing invalid ones before anything is installed.
//!
//! Read in this order: [`package`] (one package: a folder, a `.zip` or a `.tar.gz`), then [`discovery`] (all packages
//! in the folders that are searched), then [`signature`] (package signatures), then [`template`] (templates of new
//! plugins). They read through [`file`], which opens regular files only. Nothing here runs a plugin or uses a store.

pub mod discovery;
pub mod disk;
pub mod file;
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
