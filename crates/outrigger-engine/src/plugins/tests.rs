use outrigger_contract::permission::FileGrant;

use super::*;

#[test]
fn what_a_call_can_do_is_what_its_manifest_says_unless_its_plugin_can_do_nothing() {
    let check = |read_only: bool, destructive: Option<bool>, harmless: bool, expected: Influence| {
        let options = FunctionOptions { read_only, destructive, ..FunctionOptions::default() };
        let found = Influence::of(&options, harmless);
        assert_eq!(found, expected, "read-only: {read_only}, destructive: {destructive:?}, harmless: {harmless}");
    };
    // Where nothing is said, the worst is expected.
    check(false, None, false, Influence::MayDestroy);
    check(false, Some(true), false, Influence::MayDestroy);
    check(false, Some(false), false, Influence::Changes);
    check(true, None, false, Influence::Reads);
    check(true, Some(false), false, Influence::Reads);
    // Whatever is said of one that can do nothing.
    check(false, None, true, Influence::Reads);
    check(false, Some(true), true, Influence::Reads);
    check(false, Some(false), true, Influence::Reads);
    check(true, None, true, Influence::Reads);
}

#[test]
fn a_plugin_is_harmless_when_it_reaches_nothing_that_it_could_change() {
    let check = |imports: &[&str], granted: &Permissions, expected: bool| {
        let imports: Vec<String> = imports.iter().map(|import| (*import).to_owned()).collect();
        assert_eq!(is_harmless(&imports, granted), expected, "{imports:?} {granted:?}");
    };
    let nothing = Permissions::default();
    let file = |path: &str, access: FileAccess| FileGrant::new(path, access).unwrap();

    check(&[], &nothing, true);
    check(&["wasi:cli/stdout@0.2.0", "outrigger:plugin/logging@1.0.0"], &nothing, true);
    check(&["outrigger:plugin/configuration@1.0.0"], &nothing, true);
    // Of whatever version.
    for import in ["state@1.0.0", "calls@1.0.0", "hooks@1.0.0", "state@2.0.0", "state"] {
        let import = format!("outrigger:plugin/{import}");
        check(&["wasi:cli/stdout@0.2.0", &import], &nothing, false);
    }
    // That it can speak HTTP is one thing, and that it may another.
    check(&["wasi:http/outgoing-handler@0.2.0", "wasi:sockets/tcp@0.2.0"], &nothing, true);

    let environment = Permissions { environment: vec!["LANG".parse().unwrap()], ..nothing.clone() };
    check(&[], &environment, true);
    let read = vec![file("/etc/os-release", FileAccess::Read), file("/srv/", FileAccess::Read)];
    check(&[], &Permissions { files: read.clone(), ..nothing.clone() }, true);
    let written = [read, vec![file("/srv/data/", FileAccess::Write)]].concat();
    check(&[], &Permissions { files: written, ..nothing.clone() }, false);
    let http = Permissions { http: vec!["api.example.org:443".parse().unwrap()], ..nothing.clone() };
    check(&[], &http, false);
    let tcp = Permissions { tcp: vec!["db.example.org:5432".parse().unwrap()], ..nothing.clone() };
    check(&[], &tcp, false);
    let plugins = Permissions { plugins: vec!["pricing.*".parse().unwrap()], ..nothing };
    check(&[], &plugins, false);
}

#[test]
fn s02_functions_of_former_versions_are_forgotten() {
    let name = |text: &str| text.parse::<FunctionName>().unwrap();
    let lasting = || Lasting { statistics: Arc::default(), rate: None };
    let mut functions: HashMap<_, _> =
        ["present", "running", "former"].into_iter().map(|text| (name(text), lasting())).collect();
    let running = Arc::clone(&functions[&name("running")].statistics);
    let all: Vec<_> = functions.values().map(|lasting| Arc::clone(&lasting.statistics)).collect();
    forget_former(&mut functions, |function| *function == name("present"));
    assert!(functions.len() == 2 && !functions.contains_key(&name("former")), "{functions:?}");
    drop((all, running));
    let all: Vec<_> = functions.values().map(|lasting| Arc::clone(&lasting.statistics)).collect();
    forget_former(&mut functions, |function| *function == name("present"));
    assert!(functions.len() == 1 && all.len() == 2, "its last call has ended");
}
