//! Who made a package, and whether that will do here: its signature, held against `trust.toml` of the data directory. The
//! file is read anew whenever a package is looked at, so that a key that is revoked counts for nothing at once.

use std::path::Path;

use outrigger_api::{ApiError, ApiResult, Code, PluginSignature, SignatureInfo, SignatureWord, name_keys};
use outrigger_contract::{Digest, PluginName};
use outrigger_engine::Engine;
use outrigger_registry::{
    Package, PackageContents, PackageError, SignatureState, StagedPackage, Trust, TrustError, check_signature,
};

use crate::convert;
use crate::data_directory::DataDirectory;
use crate::packages::{chain, in_background, package_error};

/// What the signature of a package is worth here.
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
                let message = format!("the package of `{plugin}` is not signed, and has to be");
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
    ApiError::new(error.code(), chain(error)).with_hint(error.hint())
}

/// What the signature of an installed plugin is worth now, with its files as they lie on the disk.
pub(crate) async fn of_installed(
    engine: &Engine,
    directory: &DataDirectory,
    plugin: &PluginName,
) -> ApiResult<PluginSignature> {
    loop {
        let (record, summary) = engine.plugin(plugin).map_err(convert::error)?;
        let digest = record.active;
        let (folder, trust_file, name) = (directory.package(&digest), directory.trust(), plugin.clone());
        let signature = in_background(move || {
            let trust = trust(&trust_file)?;
            examine(&folder, &name, &digest, &trust)
        })
        .await?;
        // The files of a version that was left meanwhile may be gone, which is no fault of theirs.
        let is_active = engine.plugin(plugin).map_err(convert::error)?.0.active == digest;
        if signature.state != SignatureWord::Modified || is_active {
            let (version, digest) = (summary.version.to_string(), digest.to_string());
            return Ok(PluginSignature { plugin: plugin.clone(), version, digest, signature });
        }
    }
}

fn examine(folder: &Path, plugin: &PluginName, digest: &Digest, trust: &Trust) -> ApiResult<SignatureInfo> {
    let contents = match Package::open(folder).and_then(|package| package.contents()) {
        Ok(contents) => contents,
        Err(error @ PackageError::Io { .. }) => return Err(package_error(&error)),
        Err(error) => return Ok(modified(chain(&error))),
    };
    let PackageContents { manifest, digest: found, files } = contents;
    let state = check_signature(folder, &manifest, &files, trust).map_err(|error| package_error(&error))?;
    Ok(match state {
        state if found == *digest => Standing::judge(plugin, state, trust).info(),
        // It can say which file it is.
        SignatureState::Invalid { why } => modified(why),
        _ => modified(format!("their digest is {found}")),
    })
}

fn modified(why: String) -> SignatureInfo {
    SignatureInfo {
        state: SignatureWord::Modified,
        accepted: false,
        signer: None,
        key_ids: Vec::new(),
        signed_at: None,
        detail: Some(format!("its files are not those that were installed: {why}")),
    }
}
