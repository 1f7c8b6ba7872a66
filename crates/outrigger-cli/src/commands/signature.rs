//! Signatures of packages, as they are shown; and `outrigger plugin verify`.

use outrigger_api::{Code, PluginName, PluginSignature, SignatureInfo, SignatureWord, name_keys};

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::{clean, green, moment, red, yellow};

/// Says of each plugin what its signature is worth now; without names, of all.
///
/// # Errors
/// The platform's; or one is not as it was installed, or could not be installed any more.
pub async fn verify(context: &Context, names: Vec<PluginName>) -> CliResult {
    let platform = context.platform().await?;
    let names = match names.is_empty() {
        true => platform.plugin_list().await?.into_iter().map(|plugin| plugin.name).collect(),
        false => names,
    };
    let mut found = Vec::new();
    for name in &names {
        let _progress = context.output.spinner(format!("reading {name}"));
        found.push(platform.plugin_signature(name).await?);
    }
    context.output.print(&found, || match found.is_empty() {
        true => "No plugins.".to_owned(),
        false => found.iter().map(line).collect(),
    })?;
    match found.iter().find_map(|one| fault(&one.signature)) {
        Some(code) => Err(CliError::Reported(code)),
        None => Ok(()),
    }
}

/// With what it would be refused.
fn fault(signature: &SignatureInfo) -> Option<Code> {
    match signature.state {
        SignatureWord::Invalid | SignatureWord::Modified => Some(Code::SignatureInvalid),
        _ if !signature.accepted => Some(Code::SignatureRequired),
        _ => None,
    }
}

fn line(one: &PluginSignature) -> String {
    let PluginSignature { plugin, version, digest: _, signature } = one;
    let mark = match (fault(signature), signature.state) {
        (Some(_), _) => red("✗"),
        (None, SignatureWord::Valid) => green("✓"),
        (None, _) => yellow("!"),
    };
    let required = match (signature.accepted, signature.state) {
        (false, SignatureWord::Unsigned) => ", and has to be",
        (false, SignatureWord::Untrusted) => ", and has to be by one that is",
        _ => "",
    };
    let mut text = format!("{mark} {plugin} {version}: {}{required}\n", clean(&sentence(signature)));
    if signature.state == SignatureWord::Modified {
        text.push_str("    install the same package again, and its files take the place of what is there\n");
    }
    text
}

/// What a signature is worth, in half a sentence.
pub(super) fn sentence(signature: &SignatureInfo) -> String {
    let SignatureInfo { state, accepted: _, signer, key_ids, signed_at, detail } = signature;
    let keys = name_keys(key_ids);
    let detail = detail.as_deref().unwrap_or_default();
    match state {
        SignatureWord::Valid => {
            let at = signed_at.map(|at| format!(", {}", moment(at))).unwrap_or_default();
            format!("signed by {}{at}, with {keys}", signer.as_deref().unwrap_or_default())
        }
        SignatureWord::Unsigned => "not signed".to_owned(),
        SignatureWord::Untrusted => format!("signed with {keys}, which is not trusted for it"),
        SignatureWord::Invalid => format!("not valid: {detail}"),
        SignatureWord::Modified => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(signature: &SignatureInfo, expected: &str, code: Option<Code>) {
        let one = PluginSignature {
            plugin: "pricing".parse().unwrap(),
            version: "1.0.0".to_owned(),
            digest: "sha256:0".to_owned(),
            signature: signature.clone(),
        };
        let text = anstream::adapter::strip_str(&line(&one)).to_string();
        assert_eq!((text.as_str(), fault(signature)), (expected, code));
    }

    #[test]
    fn each_is_told_with_what_follows() {
        let blank = |state, accepted| SignatureInfo {
            state,
            accepted,
            signer: None,
            key_ids: Vec::new(),
            signed_at: None,
            detail: None,
        };
        let valid = SignatureInfo {
            signer: Some("team".to_owned()),
            key_ids: vec!["sha256:1".to_owned()],
            ..blank(SignatureWord::Valid, true)
        };
        check(&valid, "✓ pricing 1.0.0: signed by team, with sha256:1\n", None);
        check(&blank(SignatureWord::Unsigned, true), "! pricing 1.0.0: not signed\n", None);
        let required = "✗ pricing 1.0.0: not signed, and has to be\n";
        check(&blank(SignatureWord::Unsigned, false), required, Some(Code::SignatureRequired));
        let invalid = SignatureInfo { detail: Some("it is old".to_owned()), ..blank(SignatureWord::Invalid, false) };
        check(&invalid, "✗ pricing 1.0.0: not valid: it is old\n", Some(Code::SignatureInvalid));
        let modified = SignatureInfo { detail: Some("changed".to_owned()), ..blank(SignatureWord::Modified, false) };
        let expected = "✗ pricing 1.0.0: changed\n    install the same package again, and its files take the place of \
                        what is there\n";
        check(&modified, expected, Some(Code::SignatureInvalid));
    }
}
