//! A server that is named, and packages that lie where the command is run.

use serde_json::{Value as Json, json};

use crate::harness::{Outcome, Place, Server};

/// Runs a command against a server, with a data directory that must not be touched.
fn run(here: &Place, server: &Server, arguments: &[&str]) -> Outcome {
    let mut command = here.command(&[&["--server", &server.address], arguments].concat());
    Outcome::of(command.env("OUTRIGGER_KEY", &server.key))
}

fn json_of(outcome: Outcome) -> Json {
    serde_json::from_str(&outcome.succeeded().stdout).expect("JSON")
}

#[test]
fn a_package_here_is_installed_there() {
    let (there, here) = (Place::new(), Place::new());
    let server = Server::start(&there);
    here.package("pricing", "");
    run(&here, &server, &["plugin", "validate", "./pricing"]).succeeded().shows(&["is a valid package"]);
    run(&here, &server, &["plugin", "update", "./pricing"]).failed(3, &["no plugin `pricing` is installed"]);
    let installed = json_of(run(&here, &server, &["plugin", "install", "./pricing", "-o", "json"]));
    assert_eq!((&installed["action"], &installed["version"]), (&json!("installed"), &json!("1.0.0")));
    run(&here, &server, &["call", "pricing.currencies"]).succeeded();
    // The same package, packed, is the same package.
    let archive = here.path("pricing.tar.gz");
    let mut tar = std::process::Command::new("tar");
    let packed =
        tar.arg("-czf").arg(&archive).arg("pricing").current_dir(here.path("")).status().expect("tar is there");
    assert!(packed.success());
    let again = json_of(run(&here, &server, &["plugin", "install", "./pricing.tar.gz", "-o", "json"]));
    assert_eq!((&again["action"], &again["digest"]), (&json!("unchanged"), &installed["digest"]));

    // Approval works as with a local directory: without a terminal, by options.
    here.package("pricing", "[permissions]\nenvironment = [\"LANG\"]\n");
    let refused = run(&here, &server, &["plugin", "update", "./pricing"]);
    refused.failed(4, &["error[grant_required]", "LANG", "--yes"]);
    let updated = json_of(run(&here, &server, &["plugin", "update", "./pricing", "--yes", "-o", "json"]));
    assert_eq!(updated["action"], "updated");
    // Nothing waits there, and nothing was made here.
    assert!(crate::harness::is_empty(&there.path("data/uploads")));
    assert!(crate::harness::is_empty(&here.path("data")));
}

#[test]
fn what_is_no_package_is_not_sent() {
    let (there, here) = (Place::new(), Place::new());
    let server = Server::start(&there);
    run(&here, &server, &["plugin", "install", "./absent"]).failed(3, &["absent does not exist"]);
    here.write("empty/notes.txt", "text");
    run(&here, &server, &["plugin", "install", "./empty"]).failed(2, &["error[invalid_manifest]", "no plugin.toml"]);
    here.write("cut.tar.gz", [0x1f, 0x8b, 8, 0]);
    run(&here, &server, &["plugin", "install", "./cut.tar.gz"]).failed(2, &["error[invalid_package]"]);
    // One that only the server finds wrong.
    here.package("pricing", "");
    std::fs::remove_file(here.path("pricing/pricing.wasm")).unwrap();
    let refused = run(&here, &server, &["plugin", "install", "./pricing"]);
    refused.failed(2, &["error[invalid_package]", "pricing.wasm", "in the package"]);
    assert!(crate::harness::is_empty(&there.path("data/uploads")));
    // A name is still looked up there.
    run(&here, &server, &["plugin", "install", "team-directory", "--yes"]).succeeded();
}

#[test]
fn templates_of_the_server_are_used_here() {
    let (there, here) = (Place::new(), Place::new());
    let server = Server::start(&there);
    let head = "name = \"ours\"\ndescription = \"Ours.\"\nruntime = \"wasm\"\nlanguage = \"rust\"\n";
    here.write("ours/template.toml", head);
    here.write("ours/a.txt", "{{ name }}\n");
    run(&here, &server, &["template", "add", "ours"]).succeeded();
    run(&here, &server, &["dev", "new", "disk-report", "--template", "ours"]).succeeded();
    assert_eq!(std::fs::read_to_string(here.path("disk-report/a.txt")).unwrap(), "disk-report\n");
    // A command on the server's machine sees the same.
    there.run(&["template", "show", "ours"]).succeeded().shows(&["key administrator"]);
}

#[test]
fn a_variable_that_sets_nothing_is_told() {
    let place = Place::new();
    place
        .run(&["plugin", "install", &place.package("pricing", "[configuration.region]\ntype = \"string\"\n")])
        .succeeded();
    let doctor = |name: &str| Outcome::of(place.command(&["doctor"]).env(name, "eu")).succeeded();
    doctor("OUTRIGGER_CONFIG__PRICING__REGION").shows(&["Everything is in order."]);
    doctor("OUTRIGGER_CONFIG__PRICING__REGOIN").shows(&["REGOIN names no key", "OUTRIGGER_CONFIG__PRICING__REGION"]);
    doctor("OUTRIGGER_CONFIG__PRICNG__REGION").shows(&["is for a plugin that is not installed"]);
    // So is a file.
    let file = place.write("data/config/pricing.yml", "region: us\n");
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    doctor("HARMLESS").shows(&["configuration files: 1 there", "Everything is in order."]);
    assert_eq!(place.json(&["plugin", "config", "pricing"])["effective"]["region"], "us");
    place.write("data/config/pricng.yaml", "region: us\n");
    doctor("HARMLESS").shows(&["pricng.yaml is for a plugin that is not installed", "config/PLUGIN.yaml"]);
}

#[test]
fn a_server_takes_bodies_as_long_as_it_is_told_to() {
    let (there, here) = (Place::with("pricing"), Place::new());
    let items = ["--items", "service=compute-small,quantity=2"];
    let call = |server: &Server, times: usize| {
        run(&here, server, &[&["call", "pricing.quote-basket"][..], &items.repeat(times)].concat())
    };
    let server = Server::start_with(&there, &["--body-limit", "1KiB"]);
    call(&server, 3).succeeded();
    call(&server, 100).failed(2, &["error[too_large]", "longer than 1KiB", "--body-limit"]);
    server.kill_dead();
    let wrong = there.run(&["serve", "--listen", "127.0.0.1:0", "--body-limit", "much"]);
    wrong.failed(2, &["`much` is not a size"]);
}

#[test]
fn a_backup_with_a_plain_name_goes_to_the_folder_of_the_server() {
    let (there, here) = (Place::new(), Place::new());
    let server = Server::start_with(&there, &["--backups", &there.path("backups").display().to_string()]);
    run(&here, &server, &["backup", "create", "one.tar.gz"]).succeeded();
    server.kill_dead();
    assert!(there.path("backups/one.tar.gz").is_file() && !here.path("one.tar.gz").exists());
}
