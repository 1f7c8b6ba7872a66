//! Error messages about manifests.

use super::{FULL, LEAST};
use crate::manifest::Manifest;
use crate::types::{Function, Outcome, TypeGraph};

fn problems(text: &str) -> String {
    Manifest::parse(text).expect_err("the manifest is wrong").to_string()
}

/// The problems of the least manifest with this after it, counted from its first line.
fn problems_after_least(text: &str) -> String {
    problems(&format!("{}\n{text}", LEAST.trim()))
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = r#"
name = "Hetzner"
version = "1.2"
titel = "Hetzner Cloud"
description = ""
categories = ["clouds", "misc", "cloud", "cloud"]
homepage = "example.org"
license = "Apache-2.0; MIT"

[runtime]
kind = "wasm"
entry = "../hetzner.wasm"
instance = "fresh"

[limits]
memory = "8GiB"
timeout = "soon"
log_lines = 5
"#;
    insta::assert_snapshot!(problems(text), @r#"
    line 1, column 1: the key `title` is missing; add `title = "My plugin"`
    line 2, column 8: `name`: `Hetzner` is not a plugin name because of the character `H`; use lowercase letters, digits, `-` and `_`
    line 3, column 11: `version`: this is not a version: unexpected end of input while parsing minor version number; write three numbers, as in `1.2.0` or `1.2.0-beta.1` (semver.org)
    line 4, column 1: `titel`: there is no such key; did you mean `title`?
    line 5, column 15: `description`: the text is empty
    line 6, column 15: `categories[0]`: `clouds` is not a category; did you mean `cloud`?
    line 6, column 25: `categories[1]`: `misc` is not a category; the categories are cloud, environment, operating-system, communication, billing, networking, authentication, monitoring, integration, utility, custom, template, validator, pipeline, image, deployment
    line 6, column 42: `categories[3]`: `cloud` is listed twice
    line 7, column 12: `homepage`: this is not a web address; write it with its scheme, as in `https://example.org`
    line 8, column 11: `license`: this is not an SPDX licence expression; write it as in `Apache-2.0` or `MIT OR Apache-2.0`
    line 12, column 9: `runtime.entry`: the path `../hetzner.wasm` has a `..` in it; write the path relative to the manifest, with `/` between its parts, as in `my_plugin.wasm`
    line 13, column 1: `runtime.instance`: there is no such key; did you mean `instances`?
    line 16, column 10: `limits.memory`: 8GiB is not between 64KiB and 4GiB
    line 17, column 11: `limits.timeout`: `soon` is not a duration; write numbers with units from large to small (d, h, m, s, ms, us, ns), for example `1h30m` or `250ms`
    line 18, column 1: `limits.log_lines`: there is no such key; did you mean `log-lines`?
    "#);
}

#[test]
fn what_is_missing_is_named_with_what_to_add() {
    insta::assert_snapshot!(problems(""), @r#"
    line 1, column 1: the key `name` is missing; add `name = "my-plugin"`
    line 1, column 1: the key `version` is missing; add `version = "1.0.0"`
    line 1, column 1: the key `title` is missing; add `title = "My plugin"`
    line 1, column 1: the key `description` is missing; add `description = "A description of its purpose."`
    line 1, column 1: the key `runtime` is missing; add `runtime = { kind = "wasm", entry = "my_plugin.wasm" }`
    "#);
    insta::assert_snapshot!(problems("name = 'a'\nversion = '1.0.0'\ntitle = 'A'\ndescription = 'A'\n[runtime]\n"), @r#"line 5, column 1: `runtime`: the key `kind` is missing; add `kind = "wasm"`"#);
}

#[test]
fn what_is_not_toml_is_said_so() {
    insta::assert_snapshot!(problems("name = \n"), @"line 1, column 8: this is not TOML: string values must be quoted, expected literal string");
    insta::assert_snapshot!(problems("name = \"a\"\nname = \"b\"\n"), @"line 2, column 1: this is not TOML: duplicate key");
    insta::assert_snapshot!(problems("äö = 'unclosed\ntitle = 'x'"), @r"
    line 1, column 1: this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
    line 1, column 15: this is not TOML: invalid literal string, expected `'`
    ");
    insta::assert_snapshot!(problems("\0asm"), @r"
    line 1, column 1: this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
    line 1, column 5: this is not TOML: key with no value, expected `=`
    ");
    insta::assert_snapshot!(problems(&" ".repeat(Manifest::MAX_LENGTH + 1)), @"the manifest is longer than 1MiB; move long texts into a README file of the package");
}

#[test]
fn columns_are_counted_in_characters() {
    let text = "name = 'a'\nversion = '1.0.0'\ndescription = 'A'\nruntime = { kind = 'wasm', entry = 'ä.wasm' , x = 1 }\ntitle = 1";
    insta::assert_snapshot!(problems(text), @r"
    line 4, column 47: `runtime.x`: there is no such key; the keys here are kind, entry, instances
    line 5, column 9: `title`: expected a text, found an integer
    ");
}

#[test]
fn a_permission_that_is_not_enforced_is_refused() {
    insta::assert_snapshot!(
        problems_after_least("[permissions]\nudp = ['a:1']\nsystem-calls = ['ptrace']\nfile = []\nenv = ['A']\n"),
        @r"
        line 9, column 1: `permissions.udp`: this permission is refused because the host could not enforce it; the permissions are files, environment, http, tcp, plugins
        line 10, column 1: `permissions.system-calls`: this permission is refused because the host could not enforce it; the permissions are files, environment, http, tcp, plugins
        line 11, column 1: `permissions.file`: this permission is refused because the host could not enforce it; did you mean `files`?
        line 12, column 1: `permissions.env`: this permission is refused because the host could not enforce it; did you mean `environment`?
        "
    );
}

#[test]
fn permissions_say_what_to_write_instead() {
    let text = r#"
[permissions]
files = ["/etc/passwd", { path = "etc" }, { path = "/a/../b", access = "read" }, { path = "/a", access = "write" }, { path = "/b", access = "execute" }]
environment = ["A*", 5]
http = ["https://api.example.org", "api.example.org", "ex*.org:443", { host = "localhost:1", privat = true }]
tcp = "a:1"
plugins = ["pricing", "*.quote"]
"#;
    insta::assert_snapshot!(problems_after_least(text), @r#"
    line 10, column 10: `permissions.files[0]`: a file needs `path` and `access`; write `{ path = "/etc/os-release", access = "read" }`
    line 10, column 34: `permissions.files[1].path`: the path `etc` is not absolute; write an absolute path, for example `/etc/os-release`
    line 10, column 52: `permissions.files[2].path`: the path `/a/../b` has a `..` in it; write the path in its plain form, without `.`, `..`, `//` or control characters
    line 10, column 91: `permissions.files[3].path`: `/a` requests write access to a single file; single files can only be read; write `/a/` if it is a folder; otherwise ask for the folder that the file is in
    line 10, column 141: `permissions.files[4].access`: `execute` is not a kind of access; write `read` or `write`
    line 11, column 16: `permissions.environment[0]`: `A*` is not the name of an environment variable; use letters, digits and `_`, starting with no digit; there are no wildcards
    line 11, column 22: `permissions.environment[1]`: expected a text, found an integer
    line 12, column 9: `permissions.http[0]`: `https://api.example.org` is a URL; a permission names only a host and a port; write `host:port`, for example `api.example.org:443`
    line 12, column 36: `permissions.http[1]`: `api.example.org` names no port; write `api.example.org:443`, or `api.example.org:*` for every port
    line 12, column 55: `permissions.http[2]`: `ex*.org` is not the name of a host: `*` stands alone or in front, as in `*.example.org`; write a name (`api.example.org`), all names below one (`*.example.org`), an address, or `*`
    line 12, column 94: `permissions.http[3].privat`: there is no such key; did you mean `private`?
    line 13, column 7: `permissions.tcp`: expected a list, found a text
    line 14, column 12: `permissions.plugins[0]`: `pricing` does not name functions of a plugin; write `plugin.function`, or `plugin.*` for all of its functions
    line 14, column 23: `permissions.plugins[1]`: `*.quote` does not name functions of a plugin; write `plugin.function`, or `plugin.*` for all of its functions
    "#);
}

#[test]
fn functions_are_held_to_what_they_claim() {
    let text = r#"
[functions.a]
cache = "5m"
retry = { attempts = 3 }
concurrency = 17
[functions.b]
read-only = true
destructive = true
cache = "1y"
retry = { attempts = 11, back-off = "1s" }
rate-limit = "0/1m"
timeout = 0
[functions.c]
rate-limit = { calls = 5 }
tags = ["x", "x", ""]
[functions."d e"]
"#;
    insta::assert_snapshot!(problems_after_least(text), @r#"
    line 10, column 9: `functions.a.cache`: only the results of a read-only function can be cached; add `read-only = true` if the function changes nothing, or leave `cache` out
    line 11, column 9: `functions.a.retry`: only an idempotent function can be tried again; add `idempotent = true` if a second call does no harm, or leave `retry` out
    line 12, column 15: `functions.a.concurrency`: a `concurrency` of 17 is above the plugin's 16; raise `concurrency` in `[limits]`
    line 15, column 15: `functions.b.destructive`: a function cannot be read-only and destructive; remove the wrong one
    line 16, column 9: `functions.b.cache`: `1y` is not a duration; write numbers with units from large to small (d, h, m, s, ms, us, ns), for example `1h30m` or `250ms`
    line 17, column 22: `functions.b.retry.attempts`: 11 is not between 1 and 10
    line 17, column 26: `functions.b.retry.back-off`: there is no such key; did you mean `backoff`?
    line 18, column 14: `functions.b.rate-limit`: the rate `0/1m` must allow at least one call in a time longer than zero
    line 19, column 11: `functions.b.timeout`: 0s is not between 1ms and 1d
    line 21, column 14: `functions.c.rate-limit`: the key `per` is missing; add `per = "1m"`
    line 22, column 14: `functions.c.tags[1]`: `x` is listed twice
    line 22, column 19: `functions.c.tags[2]`: the text is empty
    line 23, column 12: `functions.d e`: `d e` is not a function name because of the character ` `; use letters, digits, `_`, `.` and `-`
    "#);
}

#[test]
fn runtimes_of_later_versions_are_named_as_such() {
    let text = LEAST.replace("kind = \"wasm\"\nentry = \"least.wasm\"", "kind = \"process\"\ncommand = [\"x\"]");
    insta::assert_snapshot!(problems(text.trim()), @"line 6, column 8: `runtime.kind`: this version of Outrigger does not run plugins of the kind `process`, only `wasm`; build the plugin as a Wasm component, or use a version that runs this kind");
    insta::assert_snapshot!(problems(LEAST.replace("\"wasm\"", "\"wsam\"").trim()), @"line 6, column 8: `runtime.kind`: `wsam` is not a kind of runtime; write `wasm`");
    insta::assert_snapshot!(problems_after_least("instances = 'hot'"), @r#"line 8, column 13: `runtime.instances`: `hot` is not an instance policy; write `"fresh"`, `"warm"` or `{ warm = { max-instances = 4, max-calls = 1000 } }`"#);
    insta::assert_snapshot!(problems_after_least("instances = { warm = { max-instances = 0, max-cals = 1 } }"), @r"
    line 8, column 40: `runtime.instances.warm.max-instances`: 0 is not between 1 and 1000
    line 8, column 43: `runtime.instances.warm.max-cals`: there is no such key; did you mean `max-calls`?
    ");
}

#[test]
fn dependencies_must_make_sense() {
    insta::assert_snapshot!(
        problems_after_least("[dependencies]\nleast = '1'\nother = 'one'\nThird = '1'\nfourth = { optional = true }\nfifth = 1"),
        @r#"
        line 9, column 9: `dependencies.least`: a plugin cannot depend on itself; leave this dependency out
        line 10, column 9: `dependencies.other`: this is not a version requirement: unexpected character 'o' while parsing major version number; write it as in `^1.2`, `>=1.2, <3` or `*`
        line 11, column 1: `dependencies.Third`: `Third` is not a plugin name because of the character `T`; use lowercase letters, digits, `-` and `_`
        line 12, column 10: `dependencies.fourth`: the key `version` is missing; add `version = "^1"`
        line 13, column 9: `dependencies.fifth`: expected a text, found an integer
        "#
    );
}

#[test]
fn the_configuration_is_checked_against_itself() {
    let text = r#"
[configuration]
a = { type = "text" }
b = { type = ["string", "null"] }
c = { typ = "string" }
d = { type = "integer", default = "x" }
e = { type = "integer", minimum = 5, maximum = 3 }
f = { type = "string", minimum = 5, min-length = 3, format = "phone" }
g = { type = "string", secret = true, default = "hunter2" }
h = { type = "string", enum = [] }
i = { type = "string", enum = ["a", 1], default = "b" }
j = { type = "object", required = ["x"], properties = { x = { type = "string", secret = true } } }
k = { type = "array", items = { type = "integer", maximum = 9 }, default = [1, 10] }
l = { type = "number", default = nan }
"m n" = { type = "string" }
"#;
    insta::assert_snapshot!(problems_after_least(text), @r#"
    line 10, column 14: `configuration.a.type`: `text` is not a type; the types are string, integer, number, boolean, array, object
    line 11, column 14: `configuration.b.type`: a property has exactly one type, written as a string; write one of string, integer, number, boolean, array, object; optional keys can be left out
    line 12, column 5: `configuration.c`: the key `type` is missing; add `type = "string"`
    line 12, column 7: `configuration.c.typ`: there is no such key; did you mean `type`?
    line 13, column 35: `configuration.d.default`: the value does not match the property: "x" is not of the type `integer`
    line 14, column 35: `configuration.e.minimum`: `minimum` is more than `maximum`, so no value fits
    line 15, column 34: `configuration.f.minimum`: `minimum` does not apply to the type `string`; it is for integer and number
    line 15, column 37: `configuration.f.min-length`: there is no such key; did you mean `minLength`?
    line 15, column 62: `configuration.f.format`: `phone` is not a supported format; the formats are date, date-time, time, duration, email, hostname, ipv4, ipv6, uri, uri-reference, uuid; for another shape use `pattern`
    line 16, column 49: `configuration.g.default`: a secret cannot have a default; remove the default, because anyone with the package can read it
    line 17, column 31: `configuration.h.enum`: the list of values is empty; list the values allowed
    line 18, column 37: `configuration.i.enum[1]`: the value does not match the property: 1 is not of the type `string`
    line 18, column 51: `configuration.i.default`: the value does not match the property: "b" is not one of "a"
    line 19, column 35: `configuration.j.required`: `required` is not a list here; write `required = true` in each property that is required
    line 19, column 89: `configuration.j.properties.x.secret`: `secret` applies only to a top-level configuration key; remove it, or set it on the top-level key
    line 20, column 76: `configuration.k.default`: the value does not match the property: 10 is more than the maximum 9
    line 21, column 34: `configuration.l.default`: JSON cannot represent this number; write a finite number
    line 22, column 1: `configuration.m n`: `m n` is not a key of a configuration: use letters, digits, `_` and `-`, starting with a letter, at most 64
    "#);
}

#[test]
fn problems_carry_their_key_and_place() {
    let text = FULL.replace("cache = \"5m\"", "cache = \"5 minutes\"");
    let error = Manifest::parse(&text).unwrap_err();
    let [problem] = error.problems() else { panic!("{error}") };
    assert_eq!(problem.key, "functions.optimize-network.cache");
    let place = problem.place.as_ref().unwrap();
    assert_eq!((place.line, place.column), (21, 9));
    assert_eq!(&text[place.span.clone()], "\"5 minutes\"");
}

/// A manifest with one configuration key.
fn with_key(key: &str) -> String {
    format!(
        "name = \"demo\"\nversion = \"1.0.0\"\ntitle = \"Demo\"\ndescription = \"A demo.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"demo.wasm\"\n[configuration]\n{key}\n"
    )
}

#[test]
fn s03_what_is_compared_with_each_other_is_little() {
    let numbers = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let check = |key: &str, expected: &str| {
        let error = Manifest::parse(&with_key(key)).expect_err("it is refused").to_string();
        assert!(error.contains(expected) && error.len() < 20_000_000, "{}", &error[..error.len().min(500)]);
    };
    let list = format!(
        "a = {{ type = \"array\", items = {{ type = \"integer\" }}, uniqueItems = true, default = [{}] }}",
        numbers(100_000)
    );
    check(&list, "too many for `uniqueItems`");
    let many = numbers(60_000);
    check(&format!("a = {{ type = \"integer\", enum = [{many}], examples = [{many}] }}"), "60000 values are too many");
    let texts = vec!["\"x\""; 60_000].join(",");
    check(&format!("a = {{ type = \"integer\", examples = [{texts}] }}"), "60000 values are too many");
    let choices = numbers(500);
    Manifest::parse(&with_key(&format!("a = {{ type = \"integer\", enum = [{choices}] }}"))).expect("it is fine");
}

#[test]
fn s03_many_problems_are_counted_and_not_all_told() {
    let keys = (0..40_000).map(|number| format!("k{number} = {{ }}")).collect::<Vec<_>>().join("\n");
    let error = Manifest::parse(&with_key(&keys)).expect_err("it is refused");
    assert_eq!(error.problems().len(), 101);
    assert_eq!(error.problems()[100].message, "39900 more problems are not shown");
}

#[test]
fn s03_what_was_meant_is_only_said_of_what_is_told() {
    // Without a limit, searching similar names for all of them would take minutes.
    let keys: String = (0..30_000).map(|number| format!("subscriptionz{number} = 1\n")).collect();
    let started = std::time::Instant::now();
    let error = Manifest::parse(&format!("{keys}{LEAST}")).expect_err("it is refused");
    assert_eq!(error.problems().len(), 101);
    assert_eq!(error.problems()[0].hint.as_deref(), Some("did you mean `subscriptions`?"));
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn s03_lists_of_a_manifest_are_short() {
    let many = |items: &str, count| vec![items; count].join(",");
    let check = |text: &str, expected: &str| {
        let error = problems_after_least(text);
        assert!(error.contains(expected) && error.len() < 10_000, "{}", &error[..error.len().min(500)]);
    };
    // Each file is compared with each other.
    check(
        &format!("[permissions]\nfiles = [{}]", many("{path=\"/a\"}", 15_000)),
        "15000 items are too many; the limit is 1000",
    );
    let renames: Vec<_> = (0..1_001).map(|number| format!("a{number} = \"b{number}\"")).collect();
    let step =
        |renames: &[String]| format!("[[migrations]]\nfrom = \"<1\"\nrename-state = {{{}}}\n", renames.join(","));
    check(&step(&renames), "1001 keys are too many; the limit is 1000");
    check(&step(&renames[..501]).repeat(2), "more than 1000 changes");
    let items =
        format!("[configuration.a]\ntype = \"array\"\nitems = {{ type = \"integer\", enum = [{}] }}\n", many("1", 500));
    check(&format!("{items}default = [{}]", many("1", 5_001)), "5001 items are too many; the limit is 5000");
}

#[test]
fn s03_versions_are_short() {
    let long = "1".repeat(500_000);
    let check = |text: &str, expected: &str| {
        let error = problems(text);
        assert!(error.contains(expected) && error.len() < 1_000, "{}", &error[..error.len().min(500)]);
    };
    check(&LEAST.replace("0.1.0", &format!("1.0.0-a{long}")), "bytes long; the limit is 128");
    check(&format!("{}\n[dependencies]\nother = \"={long}\"", LEAST.trim()), "500001 bytes long; the limit is 256");
    let comparators = vec![">0"; 33].join(",");
    check(&format!("{}\n[dependencies]\nother = \"{comparators}\"", LEAST.trim()), "not a version requirement");
}

#[test]
fn s03_few_unknown_functions_are_told() {
    let functions: String = (0..10_000).map(|number| format!("[functions.f{number}]\n")).collect();
    let manifest = Manifest::parse(&format!("{}\n{functions}", LEAST.trim())).expect("a manifest");
    let function = |number: usize| Function {
        name: format!("{}-{number}", "x".repeat(100)),
        interface: None,
        export: String::new(),
        docs: String::new(),
        params: Vec::new(),
        outcome: Outcome { ok: None, err: None },
    };
    let graph = TypeGraph { functions: (0..2_000).map(function).collect(), ..TypeGraph::default() };
    let unknown = manifest.unknown_functions(&graph);
    assert_eq!(unknown.len(), 20);
    assert!(unknown.iter().all(|unknown| unknown.hint.len() < 4_000 && unknown.hint.ends_with("and more")));
}

#[test]
fn s03_deep_and_broken_manifests_are_refused() {
    let started = std::time::Instant::now();
    for (what, text) in [
        ("lists", format!("a = {}", "[".repeat(500_000))),
        ("tables", format!("a = {}", "{a=".repeat(300_000))),
        ("dots in a key", format!("{}a = 1", "a.".repeat(500_000))),
        ("dots in a header", format!("[{}a]", "a.".repeat(500_000))),
        ("faults", "=\n".repeat(500_000)),
        ("quotes", "a = \"\n".repeat(150_000)),
        ("digits", format!("version = {}", "9".repeat(1_000_000))),
        ("headers", "[a]\n".repeat(250_000)),
    ] {
        let error = Manifest::parse(&text).expect_err(what);
        assert!(
            error.problems().len() <= 101 && error.to_string().len() < 50_000,
            "{what}: {}",
            error.problems().len()
        );
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
    // Properties are read to any depth that the format allows.
    let deep = format!("[configuration.a]\ntype = \"array\"\n{}type = \"array\"", "items.".repeat(60));
    let _ = Manifest::parse(&format!("{}\n{deep}", LEAST.trim()));
}

/// Each of these would take hundreds of megabytes.
#[test]
fn s02_a_manifest_takes_little_memory_to_parse() {
    let key = format!("{}a = 1", "a.".repeat(79));
    for (what, text) in [
        ("keys", (0..6_000).map(|number| format!("k{number}.{key}\n")).collect::<String>()),
        ("tables with keys", format!("x = [{}]", format!("{{{key}}},").repeat(6_000))),
        ("tables", format!("x = [{}]", "{a={a={a=0}}},".repeat(70_000))),
        ("headers", "[[a]]\na=0\n".repeat(90_000)),
        ("values", format!("x = [{}]", "0,".repeat(500_000))),
        ("lists", format!("x = [{}]", "[0],".repeat(250_000))),
    ] {
        let error = problems(&text);
        assert!(error.contains("the manifest has too many tables and values"), "{what}: {error}");
    }
    let prose = "Long texts, as people write them, are fine. ".repeat(10_000);
    Manifest::parse(&format!("{}\n# {prose}\n", LEAST.trim())).expect("it is a comment");
}

/// Inline tables and the parts of keys are limited by the parser, but not together.
#[test]
fn s03_inline_tables_with_dotted_keys_do_not_use_up_the_stack() {
    let key = format!("{}a", "a.".repeat(79));
    for text in [
        format!("x = {}b = 1{}", format!("{{ {key} = ").repeat(70) + "{ ", " }".repeat(71)),
        format!(
            "[configuration{}]\n{key} = {}1{}",
            ".a".repeat(60),
            format!("[{{ {key} = ").repeat(35),
            " }]".repeat(35)
        ),
    ] {
        let error = problems(&text);
        assert!(error.contains("nested more than 100 deep"), "{}", &error[..error.len().min(500)]);
    }
}
