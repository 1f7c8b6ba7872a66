//! Signatures of packages, as they are shown; and `outrigger plugin verify`.

use outrigger_api::{ApiError, Code, PluginName, PluginSignature, SignatureInfo, SignatureWord, name_keys};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, CliResult};
use crate::output::{clean, green, moment, red, yellow};

/// The result of verifying one plugin.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Looked {
    Found(PluginSignature),
    /// It could not be read.
    Failed {
        plugin: PluginName,
        error: ApiError,
    },
}

/// Says of each plugin what its signature is worth now; without names, of all.
///
/// # Errors
/// The platform's; or one cannot be read, is not as it was installed, or could not be installed any more.
pub async fn verify(context: &Context, names: Vec<PluginName>) -> CliResult {
    let platform = context.platform().await?;
    let all = names.is_empty();
    let names = match all {
        true => platform.plugin_list().await?.into_iter().map(|plugin| plugin.name).collect(),
        false => names,
    };
    let mut looked = Vec::new();
    for plugin in names {
        let _progress = context.output.spinner(format!("reading {plugin}"));
        match platform.plugin_signature(&plugin).await {
            Ok(found) => looked.push(Looked::Found(found)),
            // It was removed since they were listed.
            Err(error) if all && error.code == Code::PluginNotFound => {}
            // An error for one plugin does not stop the others.
            Err(error) => looked.push(Looked::Failed { plugin, error }),
        }
    }
    if let Some(error) = common(&looked) {
        return Err(error.clone().into());
    }
    context.output.print(&looked, || match looked.is_empty() {
        true => "No plugins.".to_owned(),
        false => looked.iter().map(line).collect(),
    })?;
    match worst(&looked) {
        Some(code) => Err(CliError::Reported(code)),
        None => Ok(()),
    }
}

/// The error that all plugins have in common, if any: it is then the error of the command.
fn common(looked: &[Looked]) -> Option<&ApiError> {
    let mut errors = looked.iter().map(|one| match one {
        Looked::Failed { error, .. } => Some(error),
        Looked::Found(_) => None,
    });
    let first = errors.next()??;
    errors.all(|error| error.is_some_and(|error| error == first)).then_some(first)
}

/// The exit status of the command: a changed plugin comes before an unreadable one, before that a signature is missing.
fn worst(looked: &[Looked]) -> Option<Code> {
    let codes = looked.iter().filter_map(|one| match one {
        Looked::Found(found) => fault(&found.signature),
        Looked::Failed { error, .. } => Some(error.code),
    });
    codes.min_by_key(|code| match code {
        Code::SignatureInvalid => 0,
        Code::SignatureRequired => 2,
        _ => 1,
    })
}

/// With what it would be refused.
fn fault(signature: &SignatureInfo) -> Option<Code> {
    match signature.state {
        SignatureWord::Invalid | SignatureWord::Modified => Some(Code::SignatureInvalid),
        _ if !signature.accepted => Some(Code::SignatureRequired),
        _ => None,
    }
}

fn line(one: &Looked) -> String {
    let PluginSignature { plugin, version, digest: _, signature } = match one {
        Looked::Found(found) => found,
        Looked::Failed { plugin, error } => {
            return format!("{} {plugin}: cannot be verified: {}\n", red("✗"), clean(&error.message));
        }
    };
    let mark = match (fault(signature), signature.state) {
        (Some(_), _) => red("✗"),
        (None, SignatureWord::Valid) => green("✓"),
        (None, _) => yellow("!"),
    };
    let mut text = format!("{mark} {plugin} {version}: {}\n", clean(&sentence(signature)));
    if signature.state == SignatureWord::Modified {
        text.push_str("    install the same package again to replace its files\n");
    }
    text
}

/// The result of a verification, in a few words.
pub(super) fn sentence(signature: &SignatureInfo) -> String {
    let SignatureInfo { state, accepted, signer, key_ids, signed_at, detail } = signature;
    let detail = detail.as_deref().unwrap_or_default();
    match (state, accepted) {
        (SignatureWord::Valid, _) => {
            let at = signed_at.map(|at| format!(", {}", moment(at))).unwrap_or_default();
            format!("signed by {}{at}, with {}", signer.as_deref().unwrap_or_default(), name_keys(key_ids))
        }
        (SignatureWord::Unsigned, true) => "not signed".to_owned(),
        (SignatureWord::Unsigned, false) => "not signed, but a signature is required".to_owned(),
        (SignatureWord::Untrusted, accepted) => {
            let trusted =
                if key_ids.len() == 1 { "which is not trusted for it" } else { "none of them trusted for it" };
            let required = if *accepted { "" } else { ", but a trusted signature is required" };
            format!("{}, {trusted}{required}", named(signature))
        }
        (SignatureWord::Invalid, _) => format!("not valid: {detail}"),
        (SignatureWord::Modified, _) => detail.to_owned(),
    }
}

/// Which keys a signature names. Whether they made it can be told only of those that are trusted.
pub(super) fn named(signature: &SignatureInfo) -> String {
    let keys = if signature.key_ids.len() == 1 { "key" } else { "keys" };
    format!("names the {keys} {}", name_keys(&signature.key_ids))
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
        let text = anstream::adapter::strip_str(&line(&Looked::Found(one))).to_string();
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
        let required = "✗ pricing 1.0.0: not signed, but a signature is required\n";
        check(&blank(SignatureWord::Unsigned, false), required, Some(Code::SignatureRequired));
        let untrusted = |keys: &[&str], accepted| SignatureInfo {
            key_ids: keys.iter().map(|&key| key.to_owned()).collect(),
            ..blank(SignatureWord::Untrusted, accepted)
        };
        let text = "! pricing 1.0.0: names the key a, which is not trusted for it\n";
        check(&untrusted(&["a"], true), text, None);
        let text = "✗ pricing 1.0.0: names the keys a, b, c and 1 more, none of them trusted for it, but a trusted \
                    signature is required\n";
        check(&untrusted(&["a", "b", "c", "d"], false), text, Some(Code::SignatureRequired));
        let invalid = SignatureInfo { detail: Some("it is old".to_owned()), ..blank(SignatureWord::Invalid, false) };
        check(&invalid, "✗ pricing 1.0.0: not valid: it is old\n", Some(Code::SignatureInvalid));
        let modified = SignatureInfo { detail: Some("changed".to_owned()), ..blank(SignatureWord::Modified, false) };
        let expected = "✗ pricing 1.0.0: changed\n    install the same package again to replace its files\n";
        check(&modified, expected, Some(Code::SignatureInvalid));
    }

    #[test]
    fn one_that_cannot_be_read_leaves_the_others_to_be_told() {
        let found = |state, accepted| {
            let signature =
                SignatureInfo { state, accepted, signer: None, key_ids: Vec::new(), signed_at: None, detail: None };
            let (plugin, version) = ("pricing".parse().unwrap(), "1.0.0".to_owned());
            Looked::Found(PluginSignature { plugin, version, digest: "sha256:0".to_owned(), signature })
        };
        let failed = |plugin: &str, message: &str| Looked::Failed {
            plugin: plugin.parse().unwrap(),
            error: ApiError::new(Code::Io, message),
        };
        let unread = failed("other", "it is gone");
        let text = anstream::adapter::strip_str(&line(&unread)).to_string();
        assert_eq!(text, "✗ other: cannot be verified: it is gone\n");
        let mut looked = vec![found(SignatureWord::Unsigned, true)];
        assert_eq!((worst(&looked), common(&looked)), (None, None));
        looked.push(found(SignatureWord::Unsigned, false));
        assert_eq!(worst(&looked), Some(Code::SignatureRequired));
        looked.push(unread);
        assert_eq!((worst(&looked), common(&looked)), (Some(Code::Io), None));
        looked.push(found(SignatureWord::Modified, false));
        assert_eq!(worst(&looked), Some(Code::SignatureInvalid));

        let same = [failed("a", "nobody knows"), failed("b", "nobody knows")];
        assert_eq!(common(&same).map(|error| error.message.as_str()), Some("nobody knows"));
        assert_eq!(common(&[failed("a", "this"), failed("b", "that")]), None);
    }
}
