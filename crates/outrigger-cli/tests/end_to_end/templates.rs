//! Templates, from the folder in which they are written to the project that is made from them.

use serde_json::json;

use crate::harness::{Place, is_empty};

const HEAD: &str = "name = \"ours\"\ndescription = \"What our team begins with\"\nruntime = \"wasm\"\n\
    language = \"rust\"\n[[variables]]\nname = \"team\"\ndescription = \"Who looks after it\"\ndefault = \"operations\"\n";

#[test]
fn a_template_is_added_used_and_removed() {
    let place = Place::new();
    place.write("ours/template.toml", HEAD);
    place.write("ours/README.md", "# {{ title }}\n\nLooked after by {{ team }}.\n");
    place.write("ours/src/lib.rs", "//! {{ name }}, by {{ author or \"nobody\" }}\n");
    let added = place.run(&["template", "add", "ours"]).succeeded();
    added.shows(&["template ours added, 2 files", "outrigger dev new NAME --template ours"]);
    place.run(&["template", "list"]).succeeded().shows(&["ours", "rust-service", "built in", "local"]);
    let shown = place.run(&["template", "show", "ours"]).succeeded();
    shown.shows(&["What our team begins with", "team", "operations", "Who looks after it", "src/lib.rs"]);
    let file = place.run(&["template", "show", "ours", "--file", "README.md"]).succeeded();
    assert_eq!(file.stdout, "# {{ title }}\n\nLooked after by {{ team }}.\n");
    place.run(&["template", "show", "ours", "--file", "none"]).failed(3, &["no file `none`"]);

    let project = ["dev", "new", "disk-report", "--template", "ours", "--set", "team=storage", "--title", "Disks"];
    let made = place.json(&project);
    assert_eq!(made["files"], json!(["README.md", "src/lib.rs"]));
    let read = |path: &str| std::fs::read_to_string(place.path(path)).unwrap();
    assert_eq!(read("disk-report/README.md"), "# Disks\n\nLooked after by storage.\n");
    assert_eq!(read("disk-report/src/lib.rs"), "//! disk-report, by nobody\n");

    place.run(&["template", "add", "ours"]).failed(7, &["already_exists"]);
    place.write("ours/README.md", "{{ tean }}");
    place.run(&["template", "add", "ours", "--replace"]).failed(2, &["`README.md`, line 1: `tean` is not known"]);
    place.write("ours/README.md", "{{ team }}");
    assert_eq!(place.json(&["template", "add", "ours", "--replace"])["made"]["revision"], 2);
    place.run(&["template", "remove", "ours"]).succeeded();
    place.run(&["template", "remove", "ours"]).failed(3, &["there is no template `ours`"]);
    place.run(&["template", "remove", "rust"]).failed(7, &["is built in"]);
}

#[test]
fn what_is_no_template_is_refused_with_the_reason() {
    let place = Place::new();
    place.run(&["template", "add", "absent"]).failed(2, &["error[invalid_template]", "there is no template.toml"]);
    place.run(&["dev", "new", "x", "--template", "absent"]).failed(3, &["there is no template `absent`"]);
    place.run(&["dev", "new", "x", "--template", "No"]).failed(2, &["`No` is not a valid template name"]);
    place.run(&["dev", "new", "x", "--set", "colour=red"]).failed(2, &["has no variable `colour`", "it has sdk"]);
    place.run(&["dev", "new", "x", "--set", "sdk"]).failed(2, &["--set sdk has no value"]);
    place.run(&["dev", "new", "x", "--title", "two\nlines"]).failed(2, &["line break"]);
    assert!(!place.path("x").exists());
}

#[test]
fn what_is_built_in_needs_no_data_directory() {
    let place = Place::new();
    place.run(&["dev", "new", "x"]).succeeded();
    place.run(&["dev", "new", "y", "--template", "rust-service"]).succeeded();
    assert!(is_empty(&place.path("data")));
}
