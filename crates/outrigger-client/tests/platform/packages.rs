//! Packages that are sent to the platform.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use outrigger_api::{
    ApiError, ApiResult, ArchiveKind, AuditQuery, Code, Digest, InstallRequest, KeyRequest, PackageSource,
    PackageUpload, PluginStanding, UploadedPackage,
};
use serde_json::json;

use crate::places::{Place, WAYS, Way, everywhere};

everywhere! {
    a_package_is_sent_and_installed_by_its_digest
    a_package_that_is_wrong_is_refused_and_nothing_is_kept
    what_breaks_off_here_is_told_as_what_it_was
    a_package_is_put_only_in_the_place_of_what_was_seen
    a_package_brings_its_configuration
}

/// The package in a folder, packed.
fn packed(place: &Place, folder: &Path) -> Vec<u8> {
    let archive = place.folder.path().join("packed.tar.gz");
    outrigger_registry::pack(folder, &archive).expect("it is packed");
    fs::read(archive).expect("it is there")
}

fn upload(bytes: Vec<u8>) -> PackageUpload {
    let (size, digest) = (Some(bytes.len() as u64), Some(Digest::of(&bytes)));
    let pieces: Vec<ApiResult<_>> = bytes.chunks(10_000).map(|piece| Ok(piece.to_vec().into())).collect();
    PackageUpload { kind: ArchiveKind::TarGz, size, digest, content: Box::pin(futures::stream::iter(pieces)) }
}

async fn send(place: &Place, bytes: Vec<u8>) -> Result<UploadedPackage, ApiError> {
    place.platform.package_upload(upload(bytes)).await
}

fn uploads(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.folder.path().join("data/uploads"));
    entries.map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect()).unwrap_or_default()
}

mod behaviour {
    use super::*;

    pub async fn a_package_is_sent_and_installed_by_its_digest(place: &Place, way: Way) {
        let asks = "[permissions]\nenvironment = [\"LANG\"]\n";
        let folder = place.package("alpha", "1.0.0", asks);
        let sent = send(place, packed(place, &folder)).await.expect("it is sound");
        assert_eq!((sent.name.as_str(), sent.version.as_str(), sent.files), ("alpha", "1.0.0", 2), "{way:?}");
        assert_eq!(uploads(place).len(), 1);
        // Sent again it is the same, and nothing more is kept.
        assert_eq!(send(place, packed(place, &folder)).await.expect("it is sound").package, sent.package);
        assert_eq!(uploads(place).len(), 1);

        let source = PackageSource::Package(sent.package);
        let report = place.platform.package_inspect(&source).await.expect("it is there");
        let on_disk = place.platform.package_inspect(&PackageSource::Path(folder)).await.expect("it is there");
        assert_eq!((report.digest.clone(), &report.widened), (on_disk.digest, &on_disk.widened));
        assert_eq!(report.digest, sent.package.to_string());
        let install = |approved| InstallRequest { approved, ..InstallRequest::new(source.clone()) };
        let refused = place.platform.plugin_install(install(None)).await.expect_err("it asks for something");
        assert_eq!(refused.code, Code::GrantRequired);
        let outcome = place.platform.plugin_install(install(Some(report.digest))).await.expect("it is approved");
        assert_eq!((outcome.name.as_str(), outcome.action.as_str()), ("alpha", "installed"));
        // What was installed need not wait any longer.
        assert_eq!(uploads(place), Vec::<PathBuf>::new());
        let gone = place.platform.package_inspect(&source).await.expect_err("it is gone");
        assert_eq!(gone.code, Code::NotFound);
        let info = place.platform.plugin_info(&"alpha".parse().expect("a name")).await.expect("it is there");
        assert_eq!(info.source, "sent to the server");
        let records = place.platform.audit_list(&AuditQuery::default()).await.expect("it lists");
        let sent =
            records.iter().filter(|record| record.after.as_ref().is_some_and(|after| after.get("sent").is_some()));
        assert!(sent.count() >= 2, "{records:#?}");
    }

    pub async fn a_package_that_is_wrong_is_refused_and_nothing_is_kept(place: &Place, way: Way) {
        let good = packed(place, &place.package("alpha", "1.0.0", ""));
        let refused = async |what: &str, upload: PackageUpload, code: Code| {
            let error = place.platform.package_upload(upload).await.expect_err(what);
            assert_eq!(error.code, code, "{way:?} {what}: {}", error.message);
            assert!(!error.message.contains("uploads"), "{what} tells where it lay: {}", error.message);
            assert_eq!(uploads(place), Vec::<PathBuf>::new(), "{what} left something");
            error
        };
        let cut = good[..good.len() / 2].to_vec();
        refused("a truncated one", upload(cut), Code::InvalidPackage).await;
        refused("nonsense", upload(b"nonsense".to_vec()), Code::InvalidPackage).await;
        refused(
            "another archive",
            PackageUpload { kind: ArchiveKind::Zip, ..upload(good.clone()) },
            Code::InvalidPackage,
        )
        .await;
        refused("nothing", upload(Vec::new()), Code::InvalidPackage).await;
        refused("a bomb", upload(bomb()), Code::PackageTooLarge).await;
        let other = PackageUpload { digest: Some(Digest::of(b"other")), ..upload(good.clone()) };
        let error = refused("one with a wrong digest", other, Code::DigestMismatch).await;
        assert!(error.message.contains(&Digest::of(&good).hex()), "{}", error.message);
        // One says that it is too long, and of the other nobody says how long it is.
        for size in [Some(129 << 20), None] {
            let piece = bytes::Bytes::from(vec![0; 1 << 20]);
            let content = Box::pin(futures::stream::repeat_with(move || Ok(piece.clone())));
            let endless = PackageUpload { kind: ArchiveKind::TarGz, size, digest: None, content };
            refused("an endless one", endless, Code::PackageTooLarge).await;
        }
        let broken = place.package("broken", "1.0.0", "surprise = 1\n");
        refused("one with a wrong manifest", upload(packed(place, &broken)), Code::InvalidManifest).await;
        let unknown = PackageSource::Package(Digest::of(&good));
        assert_eq!(place.platform.package_inspect(&unknown).await.expect_err("nobody sent it").code, Code::NotFound);
        assert!(place.platform.plugin_list().await.expect("it lists").is_empty());
    }

    pub async fn what_breaks_off_here_is_told_as_what_it_was(place: &Place, way: Way) {
        let broken = ApiError::new(Code::Io, "the disk is gone").with_hint("buy another");
        let pieces = [Ok(bytes::Bytes::from_static(b"\x1f\x8b")), Err(broken.clone())];
        let content = Box::pin(futures::stream::iter(pieces));
        let upload = PackageUpload { kind: ArchiveKind::TarGz, size: Some(1_000), digest: None, content };
        let error = place.platform.package_upload(upload).await.expect_err("it broke off");
        assert_eq!(error, broken, "{way:?}");
        // A server notices in its own time.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !uploads(place).is_empty() {
            assert!(std::time::Instant::now() < deadline, "{:?}", uploads(place));
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    pub async fn a_package_is_put_only_in_the_place_of_what_was_seen(place: &Place, way: Way) {
        let alpha = "alpha".parse().expect("a name");
        let put = async |version: &str, name: &str, updated_at| {
            let sent = send(place, packed(place, &place.package("alpha", version, ""))).await.expect("it is sound");
            let standing = PluginStanding { name: name.parse().expect("a name"), updated_at };
            let source = PackageSource::Package(sent.package);
            let request = InstallRequest { replaces: Some(standing), ..InstallRequest::new(source) };
            place.platform.plugin_install(request).await.map(|outcome| outcome.version).map_err(|error| error.code)
        };
        assert_eq!(put("1.0.0", "alpha", None).await, Err(Code::PluginNotFound), "{way:?}");
        place.install(&place.package("alpha", "1.0.0", "")).await.expect("it is installed");
        place.install(&place.package("beta", "1.0.0", "")).await.expect("it is installed");
        assert_eq!(put("1.1.0", "beta", None).await, Err(Code::Conflict));
        assert_eq!(put("1.1.0", "alpha", None).await, Ok("1.1.0".to_owned()));
        let seen = place.platform.plugin_info(&alpha).await.expect("it is there").summary.updated_at;
        assert_eq!(put("1.2.0", "alpha", Some(seen)).await, Ok("1.2.0".to_owned()));
        assert_eq!(put("1.3.0", "alpha", Some(seen)).await, Err(Code::Conflict));
        let info = place.platform.plugin_info(&alpha).await.expect("it is there");
        assert_eq!(info.summary.version, "1.2.0");
    }

    pub async fn a_package_brings_its_configuration(place: &Place, way: Way) {
        let needs = "[configuration.size]\ntype = \"integer\"\nrequired = true\n";
        let source = PackageSource::Path(place.package("alpha", "1.0.0", needs));
        let install = async |dry_run: bool, values: serde_json::Value| {
            let configuration = values.as_object().cloned().expect("an object");
            let request = InstallRequest { dry_run, configuration, ..InstallRequest::new(source.clone()) };
            place.platform.plugin_install(request).await
        };
        for dry_run in [true, false] {
            let error = install(dry_run, json!({})).await.expect_err("it needs a size");
            assert_eq!(error.code, Code::InvalidConfiguration, "{way:?}");
            assert!(error.message.ends_with("lacks required keys: `size`"), "{}", error.message);
            assert!(error.hint.contains("--set size=…"), "{}", error.hint);
        }
        assert!(place.platform.plugin_list().await.expect("it lists").is_empty());
        install(false, json!({"size": 3})).await.expect("it is installed");
        let alpha = "alpha".parse().expect("a name");
        let configuration = place.platform.configuration_fetch(&alpha).await.expect("it is there");
        assert_eq!((configuration.revision, configuration.values["size"].clone()), (1, json!(3)));
    }
}

/// A hundred KiB that unpack to 100 MiB.
fn bomb() -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    let mut header = tar::Header::new_gnu();
    header.set_path("x.wasm").expect("a path");
    header.set_size(100 << 20);
    header.set_mode(0o644);
    header.set_cksum();
    archive.get_mut().write_all(header.as_bytes()).expect("in memory");
    let zeros = vec![0; 1 << 20];
    for _ in 0..100 {
        archive.get_mut().write_all(&zeros).expect("in memory");
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("in memory")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_install_a_plugin_may_send_it() {
    use outrigger_api::Packages as _;
    let place = Place::new(Way::Http).await;
    let key = async |name: &str, scope: &str| {
        let roles = vec!["developer".to_owned()];
        let request =
            KeyRequest { name: name.to_owned(), roles, scope: Some(vec![scope.to_owned()]), expires_in_s: None };
        place.client(&place.platform.key_create(request).await.expect("it is made").key)
    };
    let archive = packed(&place, &place.package("alpha", "1.0.0", ""));
    let viewer = key("viewer", "plugin_view").await;
    let error = viewer.package_upload(upload(archive.clone())).await.expect_err("it may only look");
    assert_eq!(error.code, Code::Forbidden, "{}", error.message);
    let beta = key("beta", "plugin_create:beta").await;
    let error = beta.package_upload(upload(archive.clone())).await.expect_err("it is for another plugin");
    assert!(error.code == Code::Forbidden && error.message.contains("alpha"), "{}", error.message);
    assert_eq!(uploads(&place), Vec::<PathBuf>::new());
    let alpha = key("alpha", "plugin_create:alpha").await;
    alpha.package_upload(upload(archive)).await.expect("it may");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_configure_a_plugin_installs_it_configured() {
    use outrigger_api::Plugins as _;
    let place = Place::new(Way::Http).await;
    let key = async |name: &str, scope: &[&str]| {
        let (roles, scope) = (vec!["admin".to_owned()], scope.iter().map(ToString::to_string).collect());
        let request = KeyRequest { name: name.to_owned(), roles, scope: Some(scope), expires_in_s: None };
        place.client(&place.platform.key_create(request).await.expect("it is made").key)
    };
    let folder = place.package("alpha", "1.0.0", "[configuration.size]\ntype = \"integer\"\n");
    let configuration = json!({"size": 3}).as_object().cloned().expect("an object");
    let request = InstallRequest { configuration, ..InstallRequest::new(PackageSource::Path(folder)) };
    let installer = key("installer", &["plugin_create", "path_use"]).await;
    let error = installer.plugin_install(request.clone()).await.expect_err("it may not configure");
    assert!(error.code == Code::Forbidden && error.message.contains("configuration_modify"), "{}", error.message);
    let both = key("both", &["plugin_create", "path_use", "configuration_modify"]).await;
    both.plugin_install(request).await.expect("it may");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_dropped_when_a_server_starts() {
    let place = Place::new(Way::InProcess).await;
    send(&place, packed(&place, &place.package("alpha", "1.0.0", ""))).await.expect("it is sound");
    place.platform.close().await.expect("all is written");
    let options = outrigger_host::HostOptions { data: place.folder.path().join("data"), search_paths: Vec::new() };
    assert_eq!(uploads(&place).len(), 1);
    let Place { platform, folder, .. } = place;
    drop(platform);
    let _host = outrigger_host::Host::open_alone(options).await.expect("it opens");
    assert_eq!(fs::read_dir(folder.path().join("data/uploads")).expect("a folder").count(), 0);
}
