//! A file grant covers what was shown at approval, whatever plugins do to the paths.

use std::fs;
use std::os::unix::fs::symlink;

use outrigger_api::{ApiError, Code, InstallOutcome, InstallRequest, PackageSource};
use outrigger_testkit::components;

use crate::bench::{Bench, entries};

fn asks(files: &[(&str, &str)]) -> String {
    let files = files.iter().map(|(path, access)| format!("{{ path = \"{path}\", access = \"{access}\" }}"));
    format!("[permissions]\nfiles = [{}]\n", files.collect::<Vec<_>>().join(", "))
}

impl Bench {
    /// A path beside the data directory, in the form of a manifest.
    fn real(&self, path: &str) -> String {
        self.folder.path().canonicalize().expect("it is there").join(path).display().to_string()
    }

    /// Installs a version of a plugin that uses files, without approval.
    async fn unapproved(&self, name: &str, version: &str, files: &[(&str, &str)]) -> Result<InstallOutcome, ApiError> {
        self.platform.plugin_install(InstallRequest::new(self.source(name, version, files))).await
    }

    fn source(&self, name: &str, version: &str, files: &[(&str, &str)]) -> PackageSource {
        let folder = format!("{name}-{version}");
        PackageSource::Path(self.package(&folder, name, version, &asks(files), &components::files()))
    }

    async fn approved(&self, name: &str, version: &str, files: &[(&str, &str)]) -> Result<InstallOutcome, ApiError> {
        let PackageSource::Path(path) = self.source(name, version, files) else { unreachable!() };
        self.install(&path).await
    }

    fn ground(&self) -> [String; 2] {
        for folder in ["srv", "srv/data", "srv/data/old", "srv/other"] {
            fs::create_dir(self.real(folder)).expect("room on the disk");
        }
        fs::write(self.real("srv/other/file"), "canary").expect("room on the disk");
        ["srv/data/", "srv/data/old/"].map(|path| self.real(path))
    }
}

#[tokio::test]
async fn s01_an_update_is_not_granted_what_the_version_before_linked() {
    let bench = Bench::new().await;
    let [data, _] = bench.ground();
    bench.approved("worker", "1.0.0", &[(&data, "write")]).await.expect("it is installed");
    // As the plugin could.
    symlink("../../..", bench.real("srv/data/x")).expect("a link");
    symlink("../other", bench.real("srv/data/y")).expect("a link");
    fs::create_dir(bench.real("srv/data/z")).expect("room on the disk");
    for (version, path) in
        [("2.0.0", format!("{data}x/")), ("2.0.1", format!("{data}y/")), ("2.0.2", format!("{data}y/file"))]
    {
        let error = bench.unapproved("worker", version, &[(&path, "read")]).await.expect_err("it leads out");
        assert_eq!(error.code, Code::FileGrantRefused, "{path}: {error:?}");
        let error = bench.approved("worker", version, &[(&path, "read")]).await.expect_err("its target is unknown");
        assert_eq!(error.code, Code::FileGrantRefused, "{path}: {error:?}");
    }
    let outcome = bench.unapproved("worker", "3.0.0", &[(&format!("{data}z/"), "write")]).await;
    assert_eq!(outcome.expect("it is a folder of what was granted").action, "updated");
}

#[tokio::test]
async fn s01_an_update_through_a_link_of_the_host_needs_approval_and_shows_where_it_leads() {
    let bench = Bench::new().await;
    let [data, _] = bench.ground();
    let link = bench.real("srv/link");
    symlink(bench.real("srv/data"), &link).expect("a link");
    let folder = format!("{link}/");
    bench.approved("worker", "1.0.0", &[(&folder, "write")]).await.expect("it is installed");
    let info = bench.platform.plugin_info(&"worker".parse().expect("a name")).await.expect("it is there");
    assert!(info.granted[0].contains(&format!("resolves to {data}")), "{:?}", info.granted);
    bench.unapproved("worker", "1.1.0", &[(&folder, "write")]).await.expect("it asks for nothing more");
    fs::remove_file(&link).expect("it was there");
    symlink(bench.real("srv/other"), &link).expect("a link");
    let error = bench.unapproved("worker", "1.2.0", &[(&folder, "write")]).await.expect_err("it leads elsewhere now");
    assert_eq!(error.code, Code::GrantRequired);
    assert!(error.message.contains(&format!("resolves to {}", bench.real("srv/other/"))), "{}", error.message);
}

#[tokio::test]
async fn s01_a_folder_that_was_replaced_is_granted_again_by_hand_only() {
    let bench = Bench::new().await;
    let [data, old] = bench.ground();
    bench.approved("writer", "1.0.0", &[(&data, "write")]).await.expect("it is installed");
    bench.approved("reader", "1.0.0", &[(&old, "read")]).await.expect("it is installed");
    let name = "reader".parse().expect("a name");
    bench.platform.plugin_reload(&name).await.expect("nothing has changed");
    // As the writer could.
    fs::rename(bench.real("srv/data/old"), bench.real("srv/data/gone")).expect("it is renamed");
    fs::create_dir(bench.real("srv/data/old")).expect("room on the disk");
    let error = bench.platform.plugin_reload(&name).await.expect_err("it is another folder");
    assert_eq!(error.code, Code::FileGrantChanged, "{error:?}");
    let another = bench.another().await;
    let error = another.plugin_reload(&name).await.expect_err("nor after a restart");
    assert_eq!(error.code, Code::FileGrantChanged, "{error:?}");

    let error = bench.unapproved("reader", "1.0.0", &[(&old, "read")]).await.expect_err("nobody has seen it");
    assert_eq!(error.code, Code::GrantRequired, "{error:?}");
    let error = bench.unapproved("reader", "1.1.0", &[(&old, "read")]).await.expect_err("nor with an update");
    assert_eq!(error.code, Code::GrantRequired, "{error:?}");
    assert_eq!(bench.approved("reader", "1.0.0", &[(&old, "read")]).await.expect("it is granted").action, "granted");
    bench.platform.plugin_reload(&name).await.expect("it is what was granted");
}

#[tokio::test]
async fn s01_what_a_plugin_left_behind_is_noticed_after_the_plugin_is_gone() {
    let bench = Bench::new().await;
    let [data, old] = bench.ground();
    bench.approved("writer", "1.0.0", &[(&data, "write")]).await.expect("it is installed");
    bench.approved("reader", "1.0.0", &[(&old, "read")]).await.expect("it is installed");
    // As the writer could.
    fs::rename(bench.real("srv/data/old"), bench.real("srv/data/gone")).expect("it is renamed");
    fs::create_dir(bench.real("srv/data/old")).expect("room on the disk");
    symlink("../other", bench.real("srv/data/link")).expect("a link");
    bench.platform.plugin_uninstall(&"writer".parse().expect("a name")).await.expect("it is removed");

    let name = "reader".parse().expect("a name");
    let error = bench.platform.plugin_reload(&name).await.expect_err("it is another folder");
    assert_eq!(error.code, Code::FileGrantChanged, "{error:?}");
    let error = bench.another().await.plugin_reload(&name).await.expect_err("nor after a restart");
    assert_eq!(error.code, Code::FileGrantChanged, "{error:?}");
    let link = format!("{data}link/");
    let error = bench.approved("next", "1.0.0", &[(&link, "read")]).await.expect_err("its target is unknown");
    assert_eq!(error.code, Code::FileGrantRefused, "{error:?}");
    assert_eq!(bench.approved("reader", "1.0.0", &[(&old, "read")]).await.expect("it is granted").action, "granted");
    bench.platform.plugin_reload(&name).await.expect("it is what was granted");
}

#[tokio::test]
async fn s01_the_data_directory_is_never_granted() {
    let bench = Bench::new().await;
    symlink(bench.real("data"), bench.real("link")).expect("a link");
    for (path, access) in [
        (bench.real("data/"), "write"),
        (bench.real("data/packages/"), "read"),
        (bench.real("data/trust.toml"), "read"),
        (bench.real("link/"), "write"),
        (format!("{}/", bench.real("").trim_end_matches('/')), "read"),
        ("/".to_owned(), "read"),
    ] {
        let error = bench.approved("worker", "1.0.0", &[(&path, access)]).await.expect_err("it holds the keys");
        assert_eq!(error.code, Code::FileGrantRefused, "{path}: {error:?}");
        assert!(error.message.contains("data directory"), "{}", error.message);
    }
    assert_eq!(entries(&bench.path("data/packages")), 0, "nothing is installed");
}
