//! Where the server keeps its files is only for keys that may use paths.

use std::os::unix::fs::PermissionsExt as _;

use outrigger_api::{ArchiveKind, CheckOutcome, Code, InstallRequest, PackageUpload, PluginName};
use outrigger_testkit::components;
use serde::Serialize;

use super::{Server, named, package};
use crate::bench::manifest_text;

fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("JSON")
}

/// A server with the plugin `subject`, which has a configuration file.
async fn configured() -> (Server, PluginName) {
    let server = Server::new(&[]).await;
    let folder = server.path("search/subject");
    package(&folder, "subject");
    std::fs::write(folder.join("x.wasm"), components::hostile()).expect("a component");
    let manifest = "[configuration.region]\ntype = \"string\"\ndefault = \"us\"\n";
    std::fs::write(folder.join("plugin.toml"), manifest_text("subject", "1.0.0", manifest)).expect("a manifest");
    server.local.plugin_install(InstallRequest::new(named("subject"))).await.expect("it needs no grant");
    std::fs::create_dir(server.path("data/config")).expect("a folder");
    std::fs::write(server.path("data/config/subject.yaml"), "region: eu\n").expect("a file");
    (server, "subject".parse().expect("a name"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_no_answer_names_the_data_directory_to_a_key_without_paths() {
    let (server, subject) = configured().await;
    let root = server.folder.path().display().to_string();
    let (developer, _) = server.key("developer", "developer").await;
    let (viewer, _) = server.key("viewer", "viewer").await;

    let seen = text(&developer.configuration_fetch(&subject).await.expect("it may"));
    assert!(seen.contains("\"config/subject.yaml\"") && !seen.contains(&root), "{seen}");
    assert!(text(&server.local.configuration_fetch(&subject).await.expect("it may")).contains(&root));

    std::fs::write(server.path("data/config/subject.yaml"), "region: [\n").expect("a file");
    let seen = text(&developer.configuration_fetch(&subject).await.expect("it may"));
    assert!(seen.contains("the file config/subject.yaml") && !seen.contains(&root), "{seen}");
    let error = developer.plugin_reload(&subject).await.expect_err("the file is not YAML");
    assert_eq!(error.code, Code::InvalidConfiguration, "{error:?}");
    assert!(error.message.contains("config/subject.yaml"), "{error:?}");
    assert!(!text(&error).contains(&root), "{error:?}");
    for platform in [&viewer, &developer] {
        let answers = [
            text(&platform.plugin_list().await.expect("it may")),
            text(&platform.plugin_info(&subject).await.expect("it may")),
            text(&platform.plugin_health_list().await.expect("it may")),
            text(&platform.plugin_available().await.expect("it may")),
        ];
        for answer in answers {
            assert!(!answer.contains(&root), "{answer}");
        }
    }

    // A file is where uploads go.
    let _ = std::fs::remove_dir_all(server.path("data/uploads"));
    std::fs::write(server.path("data/uploads"), "").expect("a file");
    let content = Box::pin(futures::stream::empty());
    let upload = PackageUpload { kind: ArchiveKind::Zip, size: None, digest: None, content };
    let error = developer.package_upload(upload).await.expect_err("it has no place");
    assert!(error.message.contains("uploads") && !text(&error).contains(&root), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s24_the_doctor_names_files_only_to_keys_that_may_use_paths() {
    let (server, _) = configured().await;
    let root = server.folder.path().display().to_string();
    let (viewer, _) = server.key("viewer", "viewer").await;
    let (admin, _) = server.key("admin", "admin").await;
    for folder in ["data/packages", "data/staging"] {
        let open = std::fs::Permissions::from_mode(0o733);
        std::fs::set_permissions(server.path(folder), open).expect("it is changed");
    }
    std::fs::write(server.path("data/config/nobody.yaml"), "region: eu\n").expect("a file");
    std::fs::create_dir(server.path("search/broken")).expect("a folder");
    std::fs::write(server.path("search/broken/plugin.toml"), "nonsense").expect("a file");

    for platform in [&server.local, &admin] {
        let report = platform.doctor().await.expect("it may");
        let found = report.checks.iter().filter(|check| check.name == "permissions").count();
        assert!(found >= 2 && text(&report).contains(&root), "{report:?}");
    }
    let report = viewer.doctor().await.expect("it may");
    assert!(!text(&report).contains(&root), "{report:?}");
    let check = |name: &str| {
        let found: Vec<_> = report.checks.iter().filter(|check| check.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {report:?}");
        (found[0].outcome, found[0].message.clone())
    };
    let message = "other users can change or read files of the server".to_owned();
    assert_eq!(check("permissions"), (CheckOutcome::Failed, message));
    assert_eq!(check("data directory").1, "the data directory can be written to");
    assert!(check("database").1.starts_with("outrigger.db: intact"), "{report:?}");
    assert!(check("configuration files").1.starts_with("config/nobody.yaml is for a plugin"), "{report:?}");
    assert_eq!(check("search paths").1, "packages in the search paths cannot be read");
}
