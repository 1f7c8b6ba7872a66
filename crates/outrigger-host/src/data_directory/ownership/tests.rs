use std::os::unix::fs::{PermissionsExt, chown, symlink};

use tempfile::TempDir;

use super::*;
use crate::data_directory::DataDirectory;

/// A new data directory, with a file in each place.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: TempDir::new().unwrap() };
        DataDirectory::open(&bench.root()).unwrap();
        for (name, mode) in [
            ("outrigger.db", 0o600),
            ("outrigger.db-wal", 0o600),
            ("secret.key", 0o600),
            ("trust.toml", 0o644),
            ("packages/abc/plugin.toml", 0o600),
            ("cache/compiled/abc.cwasm", 0o600),
            ("config/pricing.yaml", 0o640),
            ("config/production/pricing.yaml", 0o600),
        ] {
            let path = bench.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            bench.mode(name, mode);
        }
        for name in ["packages/abc", "config", "config/production"] {
            bench.mode(name, 0o755);
        }
        bench
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("above/data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// It is refused with the path and the command that fixes it.
    #[track_caller]
    fn is_refused(&self, name: &str, remedy: &str) {
        let error = refuse(&everything(&self.root())).expect_err(name);
        assert_eq!(error.code, Code::DataDirectory);
        let path = fs::canonicalize(self.path(name)).unwrap_or(self.path(name));
        let named = [self.path(name), path].iter().any(|path| error.message.contains(&path.display().to_string()));
        assert!(named && error.hint.contains(remedy), "{name}: {error:?}");
    }
}

#[test]
fn s25_a_data_directory_as_it_is_made_is_fine() {
    let bench = Bench::new();
    assert_eq!(everything(&bench.root()), []);
}

#[test]
fn s25_what_others_can_write_to_is_refused() {
    for name in [
        "",
        "..",
        "outrigger.db",
        "outrigger.db-wal",
        "secret.key",
        "trust.toml",
        "packages",
        "packages/abc",
        "packages/abc/plugin.toml",
        "cache",
        "cache/compiled",
        "cache/compiled/abc.cwasm",
        "staging",
        "config",
        "config/pricing.yaml",
    ] {
        for bit in [0o020, 0o002] {
            let bench = Bench::new();
            let before = fs::metadata(bench.path(name)).unwrap().permissions().mode();
            bench.mode(name, before | bit);
            bench.is_refused(name, "chmod go-w ");
            bench.mode(name, before);
            assert_eq!(everything(&bench.root()), [], "{name}");
        }
    }
}

#[test]
fn s25_a_secret_that_others_can_read_is_refused_and_a_database_is_warned_of() {
    for mode in [0o640, 0o604, 0o644] {
        let bench = Bench::new();
        bench.mode("secret.key", mode);
        bench.is_refused("secret.key", "chmod 600 ");
        let opened = DataDirectory::open(&bench.root()).expect_err("it is refused");
        assert_eq!(opened.code, Code::DataDirectory, "{opened:?}");
    }
    let bench = Bench::new();
    bench.mode("outrigger.db", 0o644);
    let findings = everything(&bench.root());
    assert!(matches!(&*findings, [Finding { severity: Severity::Warning, .. }]), "{findings:?}");
    refuse(&findings).expect("it is a warning");
}

#[test]
fn s25_configuration_that_others_can_read_gets_a_warning() {
    for name in ["config/pricing.yaml", "config/production/pricing.yaml"] {
        let bench = Bench::new();
        bench.mode(name, 0o644);
        let findings = everything(&bench.root());
        assert!(matches!(&*findings, [Finding { severity: Severity::Warning, .. }]), "{findings:?}");
        assert!(findings[0].message.ends_with(&format!("{name} can be read by other users")), "{findings:?}");
    }
    let bench = Bench::new();
    symlink(bench.path("config/production"), bench.path("config/link")).unwrap();
    assert_eq!(everything(&bench.root()), [], "a folder holds no secrets itself");
}

#[test]
fn s25_a_link_in_the_place_of_a_file_is_refused() {
    for name in ["outrigger.db", "secret.key", "packages", "cache/compiled", "staging", "packages/abc/plugin.toml"] {
        let bench = Bench::new();
        let elsewhere = bench.folder.path().join("elsewhere");
        fs::rename(bench.path(name), &elsewhere).unwrap();
        symlink(&elsewhere, bench.path(name)).unwrap();
        bench.is_refused(name, "rm ");
    }
}

#[test]
fn s25_a_link_to_what_the_administrator_writes_is_followed_and_its_target_judged() {
    let bench = Bench::new();
    let elsewhere = bench.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(bench.path("trust.toml"), elsewhere.join("trust.toml")).unwrap();
    symlink(elsewhere.join("trust.toml"), bench.path("trust.toml")).unwrap();
    assert_eq!(everything(&bench.root()), []);
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o777)).unwrap();
    let error = refuse(&places(&bench.root())).expect_err("anybody can replace it");
    assert!(error.message.contains("elsewhere"), "{error:?}");
    // If only the owner can replace the contents, it is accepted again.
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(everything(&bench.root()), []);
}

#[test]
fn s25_a_link_on_the_way_is_followed_to_the_folders_that_it_leads_through() {
    let bench = Bench::new();
    let open = bench.folder.path().join("open");
    fs::create_dir(&open).unwrap();
    symlink(bench.root(), open.join("link")).unwrap();
    let root = open.join("link");
    assert_eq!(places(&root), []);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    refuse(&places(&root)).expect_err("anybody can replace the link");
}

#[test]
fn s25_what_belongs_to_another_user_is_refused() {
    if rustix::process::geteuid().as_raw() != 0 {
        // Only root can change the owner of a file; CI runs as root.
        assert!(std::env::var_os("CI").is_none(), "this test has to run as root");
        return;
    }
    for name in ["", "outrigger.db", "secret.key", "packages/abc", "cache/compiled/abc.cwasm", "config", "trust.toml"] {
        let bench = Bench::new();
        chown(bench.path(name), Some(12_345), None).unwrap();
        bench.is_refused(name, "chown ");
    }
    let bench = Bench::new();
    symlink(bench.root(), bench.folder.path().join("link")).unwrap();
    std::os::unix::fs::lchown(bench.folder.path().join("link"), Some(12_345), None).unwrap();
    refuse(&places(&bench.folder.path().join("link"))).expect_err("another user's link leads there");
}

#[test]
fn s25_a_key_that_is_given_from_elsewhere_may_be_shared_with_a_group_and_nobody_else() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tls.pem");
    fs::write(&path, "key").unwrap();
    for (mode, is_fine) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o602, false)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let found = key_file(&path);
        assert_eq!(refuse(&found).is_ok(), is_fine, "{mode:o}: {found:?}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    refuse(&key_file(&path)).expect_err("anybody can replace it");
}
