//! A server with TLS, and who believes it.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Outcome, Place, Server};

/// An authority of the house's own, in `authority.pem`, and what it issued for this machine: `certificate.pem` and `key.pem`.
/// `other.pem` is the key of nobody.
fn certificates(place: &Place) {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "The house's own authority");
    let signing = rcgen::KeyPair::generate().unwrap();
    place.write("authority.pem", parameters.self_signed(&signing).unwrap().pem());
    let authority = rcgen::Issuer::new(parameters, signing);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    place.write("certificate.pem", certificate.signed_by(&key, &authority).unwrap().pem());
    secret(place, "key.pem", &key.serialize_pem());
    secret(place, "other.pem", &rcgen::KeyPair::generate().unwrap().serialize_pem());
}

/// Writes a file that only its owner can read, as required for private keys.
fn secret(place: &Place, name: &str, content: &str) {
    let path = place.write(name, content);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// A server with that certificate.
fn serve(place: &Place) -> Server {
    certificates(place);
    serve_with(place, "certificate.pem", "key.pem")
}

fn serve_with(place: &Place, certificate: &str, key: &str) -> Server {
    let path = |name: &str| place.path(name).display().to_string();
    Server::start_with(place, &["--tls-certificate", &path(certificate), "--tls-key", &path(key)])
}

/// Lists a server's plugins from a place that has a file with the authority's certificate, or should have.
fn list(here: &Place, server: &Server, options: &[&str], authorities: &str) -> Outcome {
    let mut command = here.command(&[options, &["plugin", "list", "-o", "json"]].concat());
    command.env("OUTRIGGER_KEY", &server.key).env("OUTRIGGER_CA_CERTIFICATE", authorities);
    // The server is on this machine, so the tester's network does not matter.
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name);
    }
    Outcome::of(&mut command)
}

#[test]
fn a_server_is_believed_where_its_authority_is_named() {
    let (there, here) = (Place::new(), Place::new());
    let server = serve(&there);
    assert!(server.address.starts_with("https://127.0.0.1:"), "{}", server.address);
    here.write("ours.pem", std::fs::read(there.path("authority.pem")).unwrap());
    let listed = |outcome: Outcome| {
        let listed: serde_json::Value = serde_json::from_str(&outcome.succeeded().stdout).unwrap();
        assert_eq!(listed, json!([]));
    };
    listed(list(&here, &server, &["--server", &server.address, "--ca-certificate", "ours.pem"], ""));
    listed(list(&here, &server, &["--server", &server.address], "ours.pem"));
    // Options override the environment.
    listed(list(&here, &server, &["--server", &server.address, "--ca-certificate", "ours.pem"], "absent.pem"));
    // Commands on the server's machine need none of it.
    there.run(&["plugin", "list"]).succeeded();
    let idle = there.run(&["plugin", "list", "--ca-certificate", "authority.pem"]);
    idle.failed(2, &["invalid_usage", "`--ca-certificate` requires `--server`"]);

    let unknown = list(&here, &server, &["--server", &server.address], "");
    unknown.failed(9, &["unreachable", "invalid peer certificate: UnknownIssuer", "--ca-certificate FILE"]);
    let named = server.address.replace("127.0.0.1", "localhost");
    let misnamed = list(&here, &server, &["--server", &named, "--ca-certificate", "ours.pem"], "");
    misnamed.failed(9, &["unreachable", "invalid peer certificate", "a name that its certificate is for"]);
    let plain = server.address.replace("https://", "http://");
    // Without TLS nobody looks for that file.
    let unencrypted = list(&here, &server, &["--server", &plain], "absent.pem");
    unencrypted.failed(9, &["unreachable", &plain, "if it uses TLS, its address starts with https://"]);
    let unserved = Server::start(&here);
    let encrypted = unserved.address.replace("http://", "https://");
    list(&here, &unserved, &["--server", &encrypted], "").failed(9, &["unreachable", "begins with http://"]);
}

#[test]
fn a_server_may_have_a_certificate_of_its_own_but_not_an_authoritys() {
    let here = Place::new();
    let list_from = |is_ca: rcgen::IsCa, authorities: &str| {
        let there = Place::new();
        let mut parameters = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        parameters.is_ca = is_ca;
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().pem();
        there.write("own.pem", &certificate);
        secret(&there, "own-key.pem", &key.serialize_pem());
        here.write("own.pem", &certificate);
        let server = serve_with(&there, "own.pem", "own-key.pem");
        list(&here, &server, &["--server", &server.address], authorities)
    };
    list_from(rcgen::IsCa::ExplicitNoCa, "own.pem").succeeded();
    for authorities in ["own.pem", ""] {
        let listed = list_from(rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained), authorities);
        listed.failed(9, &["unreachable", "the certificate of an authority", "`basicConstraints=CA:FALSE`"]);
    }
}

#[test]
fn a_file_without_certificates_is_named() {
    let place = Place::new();
    let server = serve(&place);
    let list = |file: &str| list(&place, &server, &["--server", &server.address, "--ca-certificate", file], "");
    list("absent.pem").failed(9, &["absent.pem cannot be read"]);
    place.write("notes.txt", "nothing of the kind");
    list("notes.txt").failed(2, &["invalid_usage", "notes.txt cannot be used", "-----BEGIN CERTIFICATE-----"]);
    list("key.pem").failed(2, &["key.pem cannot be used", "there is none in PEM"]);
    place.write("text.pem", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
    list("text.pem").failed(2, &["text.pem cannot be used"]);
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let place = Place::new();
    certificates(&place);
    secret(&place, "notes.txt", "nothing of the kind");
    let start = |options: &[&str]| {
        let mut command = place.command(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
        // One that starts after all would never end.
        Outcome::of(command.timeout(Duration::from_mins(1)))
    };
    let start_with = |certificate: &str, key: &str| start(&["--tls-certificate", certificate, "--tls-key", key]);
    start_with("certificate.pem", "other.pem").failed(9, &["error[io]", "certificate.pem", "other.pem", "the key of"]);
    start_with("certificate.pem", "notes.txt").failed(9, &["error[io]", "cannot read notes.txt as PEM", "--tls-key"]);
    place.write("open.pem", std::fs::read(place.path("key.pem")).unwrap());
    std::fs::set_permissions(place.path("open.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();
    start_with("certificate.pem", "open.pem").failed(9, &["error[data_directory]", "open.pem", "chmod o-rwx"]);
    start_with("certificate.pem", "absent.pem").failed(9, &["error[io]", "absent.pem"]);
    start_with("notes.txt", "key.pem").failed(9, &["error[io]", "notes.txt", "--tls-certificate"]);
    start(&["--tls-certificate", "certificate.pem"]).failed(2, &["--tls-key"]);
}
