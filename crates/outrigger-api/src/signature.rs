//! The publisher of a package, according to its signature.

use outrigger_contract::PluginName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The result of verifying the signature of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignatureInfo {
    pub state: SignatureWord,
    /// Whether a package with it could be installed now.
    pub accepted: bool,
    /// The name of the trusted key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The id of the trusted key; if it is `untrusted`, the ids of all keys in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_ids: Vec<String>,
    /// The time of signing, by the signer's clock; only for a valid signature.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub signed_at: Option<OffsetDateTime>,
    /// The problem, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The result of a verification, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignatureWord {
    /// A key that is trusted for the plugin signed exactly these files.
    Valid,
    /// There is none.
    Unsigned,
    /// It was made with keys that are not trusted for the plugin.
    Untrusted,
    /// The package does not match its signature, or the signature is damaged or from a revoked key.
    Invalid,
    /// The files differ from the installed package, whether signed or not.
    Modified,
}

impl SignatureWord {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unsigned => "unsigned",
            Self::Untrusted => "untrusted",
            Self::Invalid => "invalid",
            Self::Modified => "modified",
        }
    }
}

/// Keys for a sentence: the first three, and the number of further ones. The package's publisher chooses how many there
/// are.
#[must_use]
pub fn name_keys(ids: &[String]) -> String {
    const NAMED: usize = 3;
    let named = ids.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().checked_sub(NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

/// The result of verifying an installed plugin now, with its files on disk and the currently trusted keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginSignature {
    pub plugin: PluginName,
    pub version: String,
    /// The digest of the installed package.
    pub digest: String,
    pub signature: SignatureInfo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_three_keys_are_named() {
        let check = |count: usize, expected: &str| {
            let ids: Vec<_> = (1..=count).map(|number| format!("k{number}")).collect();
            assert_eq!(name_keys(&ids), expected);
        };
        check(1, "k1");
        check(3, "k1, k2, k3");
        check(64, "k1, k2, k3 and 61 more");
    }
}
