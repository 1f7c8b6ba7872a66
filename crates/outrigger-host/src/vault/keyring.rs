//! Keys in the keyring of the Linux kernel, which holds them in memory and never on a disk.

use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use outrigger_engine::vault::VaultError;
use zeroize::Zeroizing;

/// Reads a key of the type `user` from the session's keyring. That of the user is linked into it, but for a service of
/// systemd only where `KeyringMode=shared` says so.
pub(super) fn read(name: &str) -> Result<Zeroizing<String>, VaultError> {
    let session = KeyRing::from_special_id(KeyRingIdentifier::Session, false);
    let found = session.and_then(|session| session.search(name)).and_then(|key| key.read_to_vec());
    let bytes = found.map(Zeroizing::new).map_err(|error| VaultError::Unusable(refused(name, error)))?;
    match str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(VaultError::Unusable(format!("the key `{name}` in the kernel's keyring is no text"))),
    }
}

fn refused(name: &str, error: KeyError) -> String {
    match error {
        KeyError::KeyDoesNotExist => format!(
            "there is no key `{name}` in the kernel's keyring; `keyctl padd user {name} @u` puts it there, and a service of \
             systemd sees it with `KeyringMode=shared`"
        ),
        error => format!("the key `{name}` in the kernel's keyring cannot be read: {error}"),
    }
}
