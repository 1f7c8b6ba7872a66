use std::os::unix::fs::PermissionsExt;

use outrigger_contract::PluginName;
use outrigger_testkit::traps;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn ring(folder: &tempfile::TempDir) -> KeyRing {
    KeyRing::of_file(folder.path().join("secret.key"))
}

fn plugin(name: &str) -> PluginName {
    name.parse().expect("a name")
}

#[test]
fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
    let folder = folder();
    let ring = ring(&folder);
    let (pricing, other) = (plugin("pricing"), plugin("other"));
    let place = Place::Configuration { plugin: &pricing, key: "token" };
    let mut secret = Vec::new();
    for length in 0..200_u8 {
        let sealed = ring.seal(place, &secret).expect("it seals");
        assert_eq!(ring.open(place, &sealed).expect("it opens").as_slice(), secret);
        let webhook = "pricing".parse().expect("a name");
        for moved in [
            Place::Configuration { plugin: &other, key: "token" },
            Place::Configuration { plugin: &pricing, key: "password" },
            Place::Webhook(&webhook),
        ] {
            assert_eq!(ring.open(moved, &sealed), Err(VaultError::Refused));
        }
        secret.push(length.wrapping_mul(89));
    }
    let again = (ring.seal(place, b"the same").expect("it seals"), ring.seal(place, b"the same").expect("it seals"));
    assert_ne!(again.0.text, again.1.text, "a nonce is drawn for each");
}

#[test]
fn a_key_file_that_holds_no_key_is_found_before_the_first_secret() {
    let folder = folder();
    let ring = ring(&folder);
    assert_eq!(ring.check().expect("no key is fine"), 0);
    ring.sealing().expect("it is made");
    assert_eq!(ring.check().expect("it reads"), 1);
    std::fs::write(folder.path().join("secret.key"), "11".repeat(31)).expect("written");
    let error = ring.check().expect_err("it is too short");
    assert_eq!(error.code, outrigger_api::Code::SecretUnreadable);
    assert!(error.message.contains("secret.key does not hold keys of 32 bytes"), "{error:?}");
    assert!(error.hint.contains("restore it from a copy") && !error.message.contains("1111"), "{error:?}");
}

#[test]
fn what_was_changed_does_not_open() {
    let folder = folder();
    let ring = ring(&folder);
    let pricing = plugin("pricing");
    let place = Place::Configuration { plugin: &pricing, key: "token" };
    let sealed = ring.seal(place, b"hunter2").expect("it seals");
    let flipped = |text: &str, bit: usize| {
        let mut changed = bytes(text).expect("base64");
        changed[bit / 8] ^= 1 << (bit % 8);
        base64(&changed)
    };
    for bit in 0..NONCE * 8 {
        let changed = Sealed { nonce: flipped(&sealed.nonce, bit), ..sealed.clone() };
        assert_eq!(ring.open(place, &changed), Err(VaultError::Refused));
    }
    for bit in 0..(b"hunter2".len() + 16) * 8 {
        let changed = Sealed { text: flipped(&sealed.text, bit), ..sealed.clone() };
        assert_eq!(ring.open(place, &changed), Err(VaultError::Refused));
    }
    for broken in ["", "!", "AAAA"] {
        assert!(ring.open(place, &Sealed { nonce: broken.to_owned(), ..sealed.clone() }).is_err());
        assert!(ring.open(place, &Sealed { text: broken.to_owned(), ..sealed.clone() }).is_err());
    }
}

#[test]
fn another_key_is_named_and_no_use() {
    let (mine, theirs) = (folder(), folder());
    let pricing = plugin("pricing");
    let place = Place::Configuration { plugin: &pricing, key: "token" };
    let sealed = ring(&mine).seal(place, b"hunter2").expect("it seals");
    ring(&theirs).key().expect("a key is made");
    assert_eq!(ring(&theirs).open(place, &sealed), Err(VaultError::KeyMissing { key: sealed.key.clone() }));
    let claimed = Sealed { key: ring(&theirs).key().expect("a key"), ..sealed };
    assert_eq!(ring(&theirs).open(place, &claimed), Err(VaultError::Refused));
}

#[test]
fn the_file_is_made_once_and_only_its_owner_can_read_it() {
    let folder = folder();
    let (first, second) = (ring(&folder), ring(&folder));
    assert_eq!(std::fs::read_dir(folder.path()).expect("it lists").count(), 0);
    assert_eq!(first.key().expect("a key"), second.key().expect("a key"));
    let mode = std::fs::metadata(folder.path().join("secret.key")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).expect("it lists").count(), 1, "nothing else is left");
    let shown = format!("{first:?}{:?}", first.all());
    let text = std::fs::read_to_string(folder.path().join("secret.key")).expect("it reads");
    assert!(!shown.contains(text.lines().last().expect("a key")), "{shown}");
}

#[test]
fn a_rotation_keeps_what_is_used_and_drops_the_rest_later() {
    let folder = folder();
    let ring = ring(&folder);
    let pricing = plugin("pricing");
    let place = Place::Configuration { plugin: &pricing, key: "token" };
    let sealed = ring.seal(place, b"hunter2").expect("it seals");
    let first = sealed.key.clone();
    let lock = ring.lock().expect("it locks");
    // Interrupted here, before anything is sealed anew, nothing is lost.
    for _ in 0..3 {
        let rotated = ring.rotate(&BTreeSet::from([first.clone()]), &lock).expect("it rotates");
        assert!(!rotated.dropped.contains(&first));
        assert_eq!(ring.key().expect("a key"), rotated.key);
        assert_eq!(ring.open(place, &sealed).expect("it opens").as_slice(), b"hunter2");
    }
    let present = ring.key().expect("a key");
    let rotated = ring.rotate(&BTreeSet::from([present.clone()]), &lock).expect("it rotates");
    assert!(rotated.dropped.contains(&first) && !rotated.dropped.contains(&present), "{rotated:?}");
    assert_eq!(ring.open(place, &sealed), Err(VaultError::KeyMissing { key: first }));
}

#[test]
fn keys_from_outside_go_first_and_are_never_written() {
    let folder = folder();
    let file = folder.path().join("secret.key");
    let pricing = plugin("pricing");
    let place = Place::Configuration { plugin: &pricing, key: "token" };
    let (old, new) = ("11".repeat(32), base64(&[7; 32]));
    let sealed = KeyRing::of(&old, file.clone()).seal(place, b"hunter2").expect("it seals");
    let both = KeyRing::of(&format!("{new}, {old}\n"), file.clone());
    assert_eq!(both.open(place, &sealed).expect("it opens").as_slice(), b"hunter2");
    let lock = both.lock().expect("it locks");
    let rotated = both.rotate(&BTreeSet::new(), &lock).expect("it rotates");
    assert_eq!(rotated.key, KeyRing::of(&new, file.clone()).key().expect("a key"));
    assert!(!file.exists());
}

#[test]
fn keys_are_read_from_the_keyring_of_the_kernel() {
    use linux_keyutils::{KeyRing as Kernel, KeyRingIdentifier};

    let name = format!("outrigger-test-{}", std::process::id());
    let told = |name: &str| ring::in_keyring(name).expect_err("it is refused").to_string();
    assert!(told(&name).contains(&format!("keyctl padd user {name} @u")), "{}", told(&name));
    let user = Kernel::from_special_id(KeyRingIdentifier::User, true).expect("the kernel has keyrings");
    let (old, new) = ("11".repeat(32), base64(&[7; 32]));
    let entry = user.add_key(&name, &format!("{new},{old}\n")).expect("it is added");
    let found = ring::in_keyring(&name).map(|keys| keys.iter().map(SecretKey::id).collect::<Vec<_>>());
    entry.update(b"hunter2").expect("it is changed");
    let refused = told(&name);
    entry.update(&[0xff; 32]).expect("it is changed");
    let no_text = told(&name);
    entry.invalidate().expect("it is removed");
    let ids = [new, old].map(|text| SecretKey::parse(&text).expect("a key").id());
    assert_eq!(found.expect("they are read"), ids);
    assert!(refused.contains("32 bytes") && !refused.contains("hunter2"), "{refused}");
    assert!(no_text.contains("is no text"), "{no_text}");
}

#[test]
fn keys_that_are_not_keys_are_refused_without_being_quoted() {
    let folder = folder();
    let check = |text: &str| {
        let error = KeyRing::of(text, folder.path().join("secret.key")).key().expect_err("no key").to_string();
        assert!(error.contains("32 bytes") && (text.is_empty() || !error.contains(text)), "{error}");
    };
    check("");
    check("# only a comment");
    check("hunter2");
    check(&"1".repeat(63));
    check(&format!("{} hunter2", "11".repeat(32)));
}

#[test]
fn s22_only_a_regular_file_is_read_for_keys() {
    let folder = folder();
    let path = folder.path().join("secret.key");
    let told =
        traps::refusals(&path, |path| KeyRing::of_file(path.to_owned()).key().expect_err("it is refused").to_string());
    let expected = ["a pipe", "a device"]
        .map(|kind| format!("{} cannot be read: it is {kind}, not a regular file", path.display()));
    assert_eq!(told, expected);
    std::fs::write(&path, " ".repeat(2 << 20)).expect("written");
    let told = ring(&folder).key().expect_err("it is refused").to_string();
    assert_eq!(told, format!("{} cannot be read: it is larger than 1MiB", path.display()));
}
