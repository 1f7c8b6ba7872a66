//! Refusal of data directories that other users can change.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{Outcome, Place, bundled};

fn mode_of(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// All files and subfolders of a folder, with their modes.
fn modes(folder: &Path, into: &mut Vec<(String, u32)>) {
    into.push((folder.display().to_string(), mode_of(folder)));
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap().is_dir() {
            true => modes(&path, into),
            false => into.push((path.display().to_string(), mode_of(&path))),
        }
    }
}

#[test]
fn s25_what_is_made_is_for_its_owner_alone_whatever_the_umask() {
    for umask in ["000", "002", "022", "077", "777", "377"] {
        let place = Place::new();
        let binary = env!("CARGO_BIN_EXE_outrigger");
        let script =
            format!("umask {umask}; {binary} plugin install pricing --yes && {binary} call pricing.currencies");
        let mut command = assert_cmd::Command::new("sh");
        command.args(["-c", &script]).env("OUTRIGGER_DATA", place.path("data")).env("OUTRIGGER_BUNDLED", bundled());
        Outcome::of(&mut command).succeeded();
        let mut found = Vec::new();
        modes(&place.path("data"), &mut found);
        assert!(found.len() > 8, "{found:?}");
        let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o022 != 0).collect();
        assert!(open.is_empty(), "umask {umask}: {open:?}");
        assert_eq!(mode_of(&place.path("data")), 0o700, "umask {umask}");
        assert_eq!(mode_of(&place.path("data/outrigger.db")), 0o600, "umask {umask}");
        place.run(&["doctor"]).succeeded().shows(&["no other user can change the data directory"]);
    }
}

#[test]
fn s25_a_data_directory_that_others_can_change_is_refused_and_said_how_to_correct() {
    let place = Place::with("pricing");
    let set = |name: &str, mode: u32| fs::set_permissions(place.path(name), Permissions::from_mode(mode)).unwrap();
    for (name, wrong, right) in [
        ("data", 0o777, 0o700),
        ("data", 0o770, 0o700),
        ("data/outrigger.db", 0o666, 0o600),
        ("data/packages", 0o777, 0o700),
        (".", 0o777, 0o700),
    ] {
        set(name, wrong);
        let path = place.path(name).canonicalize().unwrap().display().to_string();
        let refused = |arguments: &[&str]| {
            place
                .run(arguments)
                .failed(9, &["error[data_directory]", "can be changed by other users", "chmod go-w", &path]);
        };
        refused(&["plugin", "list"]);
        refused(&["serve", "--listen", "127.0.0.1:0"]);
        set(name, right);
        place.run(&["plugin", "list"]).succeeded();
    }
}

#[test]
fn s25_a_doctor_of_a_running_server_finds_what_was_opened_since() {
    let place = Place::with("pricing");
    let server = crate::harness::Server::start(&place);
    fs::write(place.path("data/secret.key"), "").unwrap();
    fs::set_permissions(place.path("data/secret.key"), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(place.path("data/packages"), Permissions::from_mode(0o733)).unwrap();
    let mut command = place.command(&["doctor", "--server", &server.address]);
    let found = Outcome::of(command.env("OUTRIGGER_KEY", &server.key));
    for part in ["secret.key can be read by other users", "chmod 600", "packages can be changed by other users"] {
        assert!(found.stdout.contains(part) || found.stderr.contains(part), "{part}: {found:#?}");
    }
}
