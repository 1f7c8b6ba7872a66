use std::fs;
use std::path::{Path, PathBuf};

use outrigger_contract::Code;
use outrigger_contract::causes::chain;
use outrigger_testkit::traps;
use proptest::prelude::*;
use tempfile::TempDir;
use time::macros::datetime;

use super::envelope::{Envelope, Signature};
use super::statement::Statement;
use super::*;
use crate::package::{Package, PackageContents, pack};

const MANIFEST: &str = "name = \"demo\"\nversion = \"1.0.0\"\ntitle = \"Demo\"\ndescription = \"A demonstration.\"\n\
    [runtime]\nkind = \"wasm\"\nentry = \"demo.wasm\"\n";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFg3KMtEZpMkbuQ1bPSs2WLy3ppz8/PeIxiAmEWicO4R
-----END PRIVATE KEY-----
";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAvB8SBfbBlvKDbToMwgs4XtwYrHw8TO89ws3C53ptolM=
-----END PUBLIC KEY-----
";
/// What `openssl pkey -pubout -outform DER | sha256sum` says of it.
const ID: &str = "sha256:e263ae89ae2999639eb3bb1ffe6ebfd5c8b6ee568a4fa633b3dd0df2cf432fe0";

/// A package in a folder.
struct Yard(TempDir);

impl Yard {
    fn new() -> Self {
        let yard = Self(tempfile::tempdir().unwrap());
        yard.write("plugin.toml", MANIFEST.as_bytes());
        yard.write("demo.wasm", COMPONENT);
        yard.write("data/ä.txt", b"text");
        yard
    }

    fn signed_by(key: &SigningKey) -> Self {
        let yard = Self::new();
        yard.sign(key);
        yard
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("demo")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn sign(&self, key: &SigningKey) -> Signed {
        sign_package(&self.folder(), key, datetime!(2026-11-22 10:00:00.5 UTC)).unwrap()
    }

    fn contents(&self) -> PackageContents {
        Package::open(self.folder()).unwrap().contents().unwrap()
    }

    fn state(&self, trust: &Trust) -> SignatureState {
        let PackageContents { manifest, files, .. } = self.contents();
        check_signature(&self.folder(), &manifest, &files, trust).unwrap()
    }

    /// Why the signature is not valid.
    #[track_caller]
    fn fault(&self, trust: &Trust) -> String {
        match self.state(trust) {
            SignatureState::Invalid { why } => why,
            other => panic!("it is {other:?}"),
        }
    }
}

fn fixture() -> SigningKey {
    SigningKey::from_pem(PRIVATE).unwrap()
}

fn trust_in(text: &str) -> Result<Trust, TrustError> {
    Trust::parse(Path::new("trust.toml"), text)
}

/// An entry of `trust.toml`.
fn entry(name: &str, key: &SigningKey, more: &str) -> String {
    format!("[[key]]\nname = \"{name}\"\npublic-key = \"\"\"\n{}\"\"\"\n{more}\n", key.public().to_pem())
}

fn trusting(key: &SigningKey) -> Trust {
    trust_in(&entry("team", key, "")).unwrap()
}

#[test]
fn what_is_signed_is_what_dsse_says() {
    // The example of the specification.
    let bytes = pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    // Lengths are those in bytes.
    assert_eq!(pae("ä", "ö".as_bytes()), "DSSEv1 2 ä 2 ö".as_bytes());
}

#[test]
fn keys_are_those_of_openssl() {
    let key = fixture();
    assert_eq!(key.public(), PublicKey::from_pem(PUBLIC).unwrap());
    assert_eq!(key.public().to_pem(), PUBLIC);
    assert_eq!(key.public().id().to_string(), ID);
    assert_eq!(*key.to_pem().unwrap(), PRIVATE);
    let made = SigningKey::generate().unwrap();
    let read = SigningKey::from_pem(&made.to_pem().unwrap()).unwrap();
    assert_eq!(read.public(), made.public());
    assert_ne!(made.public(), SigningKey::generate().unwrap().public());
    assert_eq!(format!("{key:?}"), format!("SigningKey({ID})"));
}

#[test]
fn what_is_no_key_is_named() {
    let public = |text: &str| PublicKey::from_pem(text).unwrap_err();
    let private = |text: &str| SigningKey::from_pem(text).unwrap_err();
    assert!(public(PRIVATE).hint().contains("-pubout"), "{}", public(PRIVATE).hint());
    assert_eq!(private(PUBLIC).to_string(), "found a `PUBLIC KEY`, expected a `PRIVATE KEY`");
    assert_eq!(public("ssh-ed25519 AAAA"), KeyError::NoPem { wanted: "PUBLIC KEY" });
    assert_eq!(public("-----BEGIN PUBLIC KEY-----\nMCow"), KeyError::NoPem { wanted: "PUBLIC KEY" });
    assert_eq!(public(&PUBLIC.replace("MCow", "M?ow")), KeyError::NotBase64);
    // Another algorithm, and a byte too few.
    assert_eq!(public(&PUBLIC.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu")), KeyError::NotEd25519);
    assert_eq!(public(&PUBLIC.replace("olM=", "ow==")), KeyError::NotEd25519);
    assert_eq!(private(&PRIVATE.replace("K2Vw", "K2Vu")), KeyError::NotEd25519);
    let locked = PRIVATE.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert!(private(&locked).hint().contains("password"), "{}", private(&locked).hint());
}

#[test]
fn a_signed_package_says_who_signed_it() {
    let key = fixture();
    let yard = Yard::new();
    assert_eq!(yard.state(&trusting(&key)), SignatureState::Unsigned);
    let signed = yard.sign(&key);
    assert_eq!((signed.plugin.as_str(), signed.signatures, signed.key_id), ("demo", 1, key.public().id()));
    assert_eq!(signed.digest, yard.contents().digest);
    let valid = SignatureState::Valid {
        signer: "team".to_owned(),
        key: key.public().id(),
        signed_at: datetime!(2026-11-22 10:00:00 UTC),
    };
    assert_eq!(yard.state(&trusting(&key)), valid);
    assert_eq!(yard.state(&Trust::default()), SignatureState::Untrusted { keys: vec![ID.to_owned()] });
    // Signed again it is the same, to the last byte.
    let before = fs::read(yard.folder().join(SIGNATURE_FILE)).unwrap();
    assert_eq!(yard.sign(&key), signed);
    assert_eq!(fs::read(yard.folder().join(SIGNATURE_FILE)).unwrap(), before);
    let left: Vec<_> = fs::read_dir(yard.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn an_archive_is_signed_as_its_folder_is() {
    let key = fixture();
    let yard = Yard::new();
    let archive = yard.0.path().join("demo.tar.gz");
    pack(&yard.folder(), &archive).unwrap();
    let signed = sign_package(&archive, &key, datetime!(2026-11-22 10:00 UTC)).unwrap();
    yard.sign(&key);
    assert_eq!(signed.digest, yard.contents().digest);
    let staged = Package::open(&archive).unwrap().stage(&yard.0.path().join("staging")).unwrap();
    let state = check_signature(staged.root(), staged.manifest(), staged.files(), &trusting(&key)).unwrap();
    assert!(matches!(state, SignatureState::Valid { .. }), "{state:?}");
    drop(staged);
    let mut left: Vec<_> = fs::read_dir(yard.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["demo", "demo.tar.gz", "staging"]);
    let zip = yard.0.path().join("demo.zip");
    fs::write(&zip, "PK").unwrap();
    let refused = sign_package(&zip, &key, datetime!(2026-11-22 10:00 UTC)).unwrap_err();
    assert_eq!(refused.code(), Code::Unsupported);
}

#[test]
fn an_archive_is_signed_where_it_lies() {
    let key = fixture();
    let yard = Yard::new();
    let (archive, link) = (yard.0.path().join("there.tgz"), yard.0.path().join("link.tar.gz"));
    pack(&yard.folder(), &archive).unwrap();
    std::os::unix::fs::symlink("there.tgz", &link).unwrap();
    let signed = sign_package(&link, &key, datetime!(2026-11-22 10:00 UTC)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Package::open(&archive).unwrap().digest().unwrap(), signed.digest);
    let mut left: Vec<_> = fs::read_dir(yard.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["demo", "link.tar.gz", "there.tgz"]);
}

#[test]
fn a_package_that_would_be_too_large_with_a_signature_is_not_signed() {
    let key = fixture();
    let yard = Yard::new();
    // With four files and folders that are there, as many as there may be.
    for number in 0..9_996 {
        fs::write(yard.folder().join(number.to_string()), b"").unwrap();
    }
    assert_eq!(yard.contents().files.len(), 9_999);
    let refused = sign_package(&yard.folder(), &key, datetime!(2026-11-22 10:00 UTC)).unwrap_err();
    assert_eq!(refused.code(), Code::PackageTooLarge);
    fs::remove_file(yard.folder().join("0")).unwrap();
    // And again: the signature that is there gives way to the next.
    for _ in 0..2 {
        yard.sign(&key);
        assert!(matches!(yard.state(&trusting(&key)), SignatureState::Valid { .. }));
    }
}

#[test]
fn a_package_is_signed_as_a_whole() {
    let key = fixture();
    let trust = trusting(&key);
    let yard = Yard::signed_by(&key);
    yard.write("data/ä.txt", b"Text");
    assert_eq!(yard.fault(&trust), "`data/ä.txt` was changed after it was signed");
    yard.write("data/ä.txt", b"text");
    yard.write("more", b"");
    assert_eq!(yard.fault(&trust), "`more` was added after it was signed");
    fs::remove_file(yard.folder().join("more")).unwrap();
    fs::remove_dir_all(yard.folder().join("data")).unwrap();
    assert_eq!(yard.fault(&trust), "`data/ä.txt` was signed, and is missing");
    // It is found out without any trust as well.
    assert_eq!(yard.fault(&Trust::default()), "`data/ä.txt` was signed, and is missing");
    yard.write("data/ä.txt", b"text");
    assert!(matches!(yard.state(&trust), SignatureState::Valid { .. }));

    let another = MANIFEST.replace("1.0.0", "1.0.1");
    yard.write("plugin.toml", another.as_bytes());
    assert_eq!(yard.fault(&trust), "the signature is for demo 1.0.0, not for demo 1.0.1");
    yard.write("plugin.toml", MANIFEST.replace("\"demo\"", "\"pricing\"").as_bytes());
    assert_eq!(yard.fault(&trust), "the signature is for demo 1.0.0, not for pricing 1.0.0");
}

#[test]
fn only_keys_that_are_trusted_for_the_plugin_count() {
    let (key, other) = (fixture(), SigningKey::generate().unwrap());
    let yard = Yard::signed_by(&key);
    let untrusted = SignatureState::Untrusted { keys: vec![ID.to_owned()] };
    assert_eq!(yard.state(&trusting(&other)), untrusted);
    let elsewhere = trust_in(&entry("team", &key, "plugins = [\"acme-*\"]")).unwrap();
    assert_eq!(yard.state(&elsewhere), untrusted);
    let here = trust_in(&entry("team", &key, "plugins = [\"acme-*\", \"d?mo\", \"de*\"]"));
    assert!(here.is_err(), "`?` stands for nothing");
    let here = trust_in(&entry("team", &key, "plugins = [\"acme-*\", \"de*\"]")).unwrap();
    assert!(matches!(yard.state(&here), SignatureState::Valid { .. }));
    let revoked = trust_in(&entry("team", &key, "revoked = true")).unwrap();
    assert_eq!(yard.fault(&revoked), "it is signed with the key `team`, which was revoked");
    // Naming a trusted key is not enough; the signature must be made with it.
    let bytes = fs::read_to_string(yard.folder().join(SIGNATURE_FILE)).unwrap();
    yard.write(SIGNATURE_FILE, bytes.replace(ID, &other.public().id().to_string()).as_bytes());
    assert_eq!(yard.fault(&trusting(&other)), "the key `team` did not make the signature that names it");
}

#[test]
fn one_good_signature_of_several_is_enough() {
    let (key, other, third) = (fixture(), SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let yard = Yard::signed_by(&key);
    assert_eq!(yard.sign(&other).signatures, 2);
    for trusted in [&key, &other] {
        assert!(matches!(yard.state(&trusting(trusted)), SignatureState::Valid { .. }));
    }
    let ids = vec![ID.to_owned(), other.public().id().to_string()];
    assert_eq!(yard.state(&trusting(&third)), SignatureState::Untrusted { keys: ids });
    let handed_over = [entry("old", &key, "revoked = true"), entry("new", &other, "")].concat();
    match yard.state(&trust_in(&handed_over).unwrap()) {
        SignatureState::Valid { signer, .. } => assert_eq!(signer, "new"),
        other => panic!("it is {other:?}"),
    }
    // What was signed before is of something else now.
    yard.write("data/ä.txt", b"other");
    assert_eq!(yard.sign(&third).signatures, 1);
    assert!(matches!(yard.state(&trusting(&third)), SignatureState::Valid { .. }));
}

#[test]
fn an_envelope_that_is_wrong_is_refused() {
    let key = fixture();
    let yard = Yard::signed_by(&key);
    let good = fs::read_to_string(yard.folder().join(SIGNATURE_FILE)).unwrap();
    let check = |text: &str, expected: &str| {
        yard.write(SIGNATURE_FILE, text.as_bytes());
        let fault = yard.fault(&trusting(&key));
        assert!(fault.contains(expected), "{fault}");
    };
    check("", "no DSSE envelope");
    check("{}", "no DSSE envelope");
    check(&good.replace("package.v1", "package.v2"), "does not have the type");
    check(&good.replace(ID, ""), "empty or longer");
    for strange in ["\\n", "\\u001b[2J", "\u{202e}", " ", "\u{e4}", "\\u0000"] {
        check(&good.replace(ID, &format!("{ID}{strange}")), "something else in it than");
    }
    check(&good.replace("\"payload\":\"", "\"payload\":\"!"), "the payload in it is not base64");
    let none = format!("{{\"payloadType\":\"{PAYLOAD_TYPE}\",\"payload\":\"e30=\",\"signatures\":[]}}");
    check(&none, "it has 0 signatures");
    // A good signature of something that is not for us to sign.
    let payload = b"{}".to_vec();
    let mut envelope = Envelope { payload, signatures: Vec::new() };
    let bytes = key.sign(&envelope.signed()).unwrap();
    envelope.signatures.push(Signature { key_id: ID.to_owned(), bytes });
    check(std::str::from_utf8(&envelope.to_bytes()).unwrap(), "not a valid package statement");
    let long = format!("{good}{}", " ".repeat(8 << 20));
    check(&long, "longer than 8 MiB");
    // Members of others are passed over; one in what is signed is not.
    let more = good.replacen('{', "{\"made-by\":\"us\",", 1);
    yard.write(SIGNATURE_FILE, more.as_bytes());
    assert!(matches!(yard.state(&trusting(&key)), SignatureState::Valid { .. }));
    let statement = Statement::of(&yard.contents().manifest, &[], datetime!(2026-11-22 10:00 UTC));
    let strange = String::from_utf8(statement.to_bytes()).unwrap().replacen('{', "{\"expires\":1,", 1);
    assert!(Statement::read(strange.as_bytes()).is_err());
}

#[test]
fn trust_is_read_whole_or_not_at_all() {
    let key = fixture();
    let refused = |text: &str| {
        let error = trust_in(text).unwrap_err();
        assert_eq!(error.code(), Code::DataDirectory);
        assert!(error.hint().ends_with("installed plugins keep running"), "{}", error.hint());
        error.to_string()
    };
    let good = trust_in(&format!("require = true\nunsigned = [\"local-*\"]\n{}", entry("team", &key, ""))).unwrap();
    let required = |name: &str| good.is_required_of(&name.parse().unwrap());
    assert!(good.is_required() && required("demo") && !required("local-demo") && good.keys().len() == 1);
    assert!(!trust_in("").unwrap().is_required());
    assert!(refused("requires = true\n").starts_with("trust.toml, line 1: unknown field `requires`"));
    assert!(refused("\nrequire = \"yes\"\n").contains("line 2"));
    assert!(refused("unsigned = [\"Local\"]\n").contains("`Local` is not a valid name pattern"));
    let wrong = entry("team", &key, "").replace("MCow", "MCox");
    assert_eq!(refused(&wrong), "the `public-key` of `team` in trust.toml cannot be used");
    let twice = [entry("team", &key, ""), entry("team", &SigningKey::generate().unwrap(), "")].concat();
    assert_eq!(refused(&twice), "two keys in trust.toml are named `team`");
    let same = [entry("team", &key, ""), entry("other", &key, "revoked = true")].concat();
    assert_eq!(refused(&same), "`team` and `other` in trust.toml are the same key");
    assert!(refused(&entry("", &key, "")).contains("no name"));
    assert!(refused(&entry("team", &key, "plugin = \"*\"")).contains("unknown field `plugin`"));
}

#[test]
fn s22_trust_is_read_from_a_regular_file_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust.toml");
    let told = traps::refusals(&path, |path| chain(&Trust::read(path).unwrap_err()));
    let expected = ["a pipe", "a device"]
        .map(|kind| format!("{} cannot be read: it is {kind}, not a regular file", path.display()));
    assert_eq!(told, expected);
    fs::write(folder.path().join("mounted.toml"), "require = true\n").unwrap();
    std::os::unix::fs::symlink("mounted.toml", &path).unwrap();
    assert!(Trust::read(&path).unwrap().is_required());
    fs::write(folder.path().join("mounted.toml"), "#".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(Trust::read(&path), Err(TrustError::TooLong { .. })));
}

#[test]
fn trust_that_is_not_there_is_none_and_a_link_to_nowhere_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trust.toml");
    assert_eq!(Trust::read(&path).unwrap(), Trust::default());
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
    assert!(matches!(Trust::read(&path), Err(TrustError::Io { .. })));
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"require = true\n# \xff\n").unwrap();
    assert!(matches!(Trust::read(&path), Err(TrustError::Syntax { line: 2, .. })));
    fs::write(&path, "require = true\n").unwrap();
    assert!(Trust::read(&path).unwrap().is_required());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(Trust::read(&path), Err(TrustError::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whichever byte of whichever file becomes another one: it is never what was signed. That holds for the envelope too,
    /// because nothing is written into it that does not matter.
    #[test]
    fn one_byte_that_is_another_shows(
        which in 0_usize..4,
        at in any::<prop::sample::Index>(),
        change in 1_u8..=255,
    ) {
        let key = fixture();
        let trust = trusting(&key);
        let yard = Yard::signed_by(&key);
        let name = ["plugin.toml", "demo.wasm", "data/ä.txt", SIGNATURE_FILE][which];
        let mut bytes = fs::read(yard.folder().join(name)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        yard.write(name, &bytes);
        // A manifest that cannot be read any more is refused before anybody asks who signed it.
        if let Ok(PackageContents { manifest, files, .. }) = Package::open(yard.folder()).unwrap().contents() {
            let state = check_signature(&yard.folder(), &manifest, &files, &trust).unwrap();
            prop_assert!(!matches!(state, SignatureState::Valid { .. }), "{name} at {at}");
        }
    }

    #[test]
    fn whatever_stands_in_an_envelope_is_read_without_a_panic(bytes in any::<Vec<u8>>(), text in "\\PC{0,200}") {
        let _ = Envelope::read(&bytes);
        let _ = Statement::read(&bytes);
        let _ = PublicKey::from_pem(&text);
        let _ = PublicKey::from_pem(&format!("-----BEGIN PUBLIC KEY-----{text}-----END PUBLIC KEY-----"));
        let _ = trust_in(&text);
    }
}
