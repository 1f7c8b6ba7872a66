//! Signatures of packages, checked against `trust.toml` of the data directory. The file is read again for each package,
//! so a revoked key is refused at once.

use std::path::Path;

use outrigger_api::{ApiError, ApiResult, Code, PluginSignature, SignatureInfo, SignatureWord, name_keys};
use outrigger_compute::Turn;
use outrigger_contract::causes::chain;
use outrigger_contract::{Digest, PluginName};
use outrigger_engine::{Caller, Engine};
use outrigger_registry::{
    Package, PackageContents, PackageError, SignatureState, StagedPackage, Trust, TrustError, check_signature,
};

use crate::convert;
use crate::data_directory::PackagesLock;
use crate::packages::{Packages, in_background, package_error};

/// Verifies the signature of a package against the trusted keys.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    state: SignatureState,
    /// Why a package with it is not installed.
    refusal: Option<ApiError>,
}

impl Standing {
    /// That of a package which was staged. Blocks; call it where that is allowed.
    pub(crate) fn of(staged: &StagedPackage, trust_file: &Path) -> ApiResult<Self> {
        let trust = trust(trust_file)?;
        let state = check_signature(staged.root(), staged.manifest(), staged.files(), &trust);
        Ok(Self::judge(staged.name(), state.map_err(|error| package_error(&error))?, &trust))
    }

    fn judge(plugin: &PluginName, state: SignatureState, trust: &Trust) -> Self {
        let required = trust.is_required_of(plugin);
        let refusal = match &state {
            SignatureState::Valid { .. } => None,
            SignatureState::Invalid { why } => {
                let message = format!("the signature of the package of `{plugin}` is not valid: {why}");
                Some(ApiError::new(Code::SignatureInvalid, message))
            }
            SignatureState::Unsigned if required => {
                let message = format!("the package of `{plugin}` must be signed, and is not");
                Some(ApiError::new(Code::SignatureRequired, message))
            }
            SignatureState::Untrusted { keys } if required => {
                let keys = name_keys(keys);
                let message =
                    format!("the signature of the package of `{plugin}` names {keys}: none is trusted for it");
                Some(ApiError::new(Code::SignatureRequired, message))
            }
            SignatureState::Unsigned | SignatureState::Untrusted { .. } => None,
        };
        Self { state, refusal }
    }

    /// Refuses a package that is not to be installed.
    pub(crate) fn admit(&self) -> ApiResult<()> {
        self.refusal.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn info(&self) -> SignatureInfo {
        let accepted = self.refusal.is_none();
        let blank =
            |state| SignatureInfo { state, accepted, signer: None, key_ids: Vec::new(), signed_at: None, detail: None };
        match self.state.clone() {
            SignatureState::Valid { signer, key, signed_at } => SignatureInfo {
                signer: Some(signer),
                key_ids: vec![key.to_string()],
                signed_at: Some(signed_at),
                ..blank(SignatureWord::Valid)
            },
            SignatureState::Unsigned => blank(SignatureWord::Unsigned),
            SignatureState::Untrusted { keys } => SignatureInfo { key_ids: keys, ..blank(SignatureWord::Untrusted) },
            SignatureState::Invalid { why } => SignatureInfo { detail: Some(why), ..blank(SignatureWord::Invalid) },
        }
    }
}

/// Which keys are trusted now. Blocks.
fn trust(file: &Path) -> ApiResult<Trust> {
    Trust::read(file).map_err(|error| trust_error(&error))
}

pub(crate) fn trust_error(error: &TrustError) -> ApiError {
    ApiError::caused(error.code(), error, Some(error.hint()))
}

/// Verifies the files and the signature of an installed plugin now.
pub(crate) async fn of_installed(
    engine: &Engine,
    packages: &Packages,
    plugin: &PluginName,
    by: &Caller,
) -> ApiResult<PluginSignature> {
    loop {
        let (record, summary) = engine.plugin(plugin).map_err(convert::error)?;
        let digest = record.active;
        let turn = packages.examinations.begin(&by.to_string()).await;
        let signature = examined(packages, plugin, digest, Some(turn)).await?.info;
        // The files of a version that was left meanwhile may be gone, which is no fault of theirs.
        let is_active = engine.plugin(plugin).map_err(convert::error)?.0.active == digest;
        if signature.state != SignatureWord::Modified || is_active {
            let (version, digest) = (summary.version.to_string(), digest.to_string());
            return Ok(PluginSignature { plugin: plugin.clone(), version, digest, signature });
        }
    }
}

/// Verifies the signature of a revision now, after reading its files again.
pub(crate) async fn of_revision(packages: &Packages, plugin: &PluginName, digest: Digest) -> ApiResult<SignatureInfo> {
    Ok(examined(packages, plugin, digest, None).await?.info)
}

/// Refuses a rollback to a version that would not be installed now: because of its signature, with the present keys, or
/// because its files were changed. If there is no previous version, the engine says so.
pub(crate) async fn admit_predecessor(
    engine: &Engine,
    packages: &Packages,
    _lock: &PackagesLock,
    plugin: &PluginName,
) -> ApiResult<()> {
    let predecessor = engine.store().predecessor_fetch(plugin).await.map_err(convert::store_error)?;
    let Some(predecessor) = predecessor else { return Ok(()) };
    match examined(packages, plugin, predecessor.digest, None).await?.refusal {
        Some(refusal) => {
            let message = format!("`{plugin}` cannot be rolled back: {}", refusal.message);
            Err(ApiError { message, ..refusal })
        }
        None => Ok(()),
    }
}

/// Examines a version where blocking is allowed. It counts as a concurrent examination until it is done, even if its
/// future is dropped.
async fn examined(packages: &Packages, plugin: &PluginName, digest: Digest, turn: Option<Turn>) -> ApiResult<Examined> {
    let (folder, trust_file) = (packages.directory().package(&digest), packages.directory().trust());
    let plugin = plugin.clone();
    in_background(move || {
        let _turn = turn;
        examine(&folder, &plugin, &digest, &trust_file)
    })
    .await
}

/// The findings about the files of an installed version.
#[derive(Debug)]
struct Examined {
    info: SignatureInfo,
    /// Why a package with these files is not installed.
    refusal: Option<ApiError>,
}

/// Compares the files of a version with the installed ones, and checks their signature. Blocks.
fn examine(folder: &Path, plugin: &PluginName, digest: &Digest, trust_file: &Path) -> ApiResult<Examined> {
    let trust = trust(trust_file)?;
    let contents = match Package::open(folder).and_then(|package| package.contents()) {
        Ok(contents) => contents,
        Err(error @ PackageError::Io { .. }) => return Err(package_error(&error)),
        Err(error) => return Ok(modified(&chain(&error))),
    };
    let PackageContents { manifest, digest: found, files } = contents;
    let state =
        |trust: &Trust| check_signature(folder, &manifest, &files, trust).map_err(|error| package_error(&error));
    if found == *digest {
        let standing = Standing::judge(plugin, state(&trust)?, &trust);
        return Ok(Examined { info: standing.info(), refusal: standing.refusal });
    }
    // It can say which file it is. Without any key, because that one was revoked is not what happened to the files.
    Ok(match state(&Trust::default())? {
        SignatureState::Invalid { why } => modified(&why),
        _ => modified(&format!("their digest is {found}")),
    })
}

fn modified(why: &str) -> Examined {
    let detail = format!("its files are not those that were installed: {why}");
    let refusal = ApiError::new(Code::SignatureInvalid, detail.clone())
        .with_hint("install the package of that version again; this replaces its files");
    let info = SignatureInfo {
        state: SignatureWord::Modified,
        accepted: false,
        signer: None,
        key_ids: Vec::new(),
        signed_at: None,
        detail: Some(detail),
    };
    Examined { info, refusal: Some(refusal) }
}
