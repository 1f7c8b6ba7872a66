use proptest::prelude::*;
use serde_json::json;

use super::{FileAccess, FileGrant, FunctionPattern, HostAccess, HostPattern, Permissions, VariableName};

#[track_caller]
fn check_host(pattern: &str, host: &str, port: u16, expected: bool) {
    let read: HostPattern = pattern.parse().unwrap();
    assert_eq!(read.matches(host, port), expected, "{pattern} against {host}:{port}");
}

#[test]
fn hosts_match_by_name_address_and_wildcard() {
    check_host("api.example.org:443", "api.example.org", 443, true);
    check_host("API.Example.ORG:443", "api.EXAMPLE.org.", 443, true);
    check_host("api.example.org:443", "api.example.org", 80, false);
    check_host("api.example.org:443", "xapi.example.org", 443, false);
    check_host("api.example.org:*", "api.example.org", 1, true);
    check_host("*.example.org:443", "a.example.org", 443, true);
    check_host("*.example.org:443", "a.b.Example.org", 443, true);
    check_host("*.example.org:443", "example.org", 443, false);
    check_host("*.example.org:443", "badexample.org", 443, false);
    check_host("*.example.org:443", ".example.org", 443, false);
    check_host("*.example.org:443", "a.example.org.evil.net", 443, false);
    check_host("*.example.org:443", "a/.example.org", 443, false);
    check_host("*:443", "anything.net", 443, true);
    check_host("*:443", "10.0.0.1", 443, true);
    check_host("*:443", "anything.net", 80, false);
    check_host("*:*", "[::1]", 9, true);
    check_host("10.0.0.1:80", "10.0.0.1", 80, true);
    check_host("10.0.0.1:80", "::ffff:10.0.0.1", 80, true);
    check_host("[2001:db8::1]:80", "[2001:DB8:0::1]", 80, true);
    check_host("[::1]:80", "::1", 80, true);
    check_host("*.org:80", "1.2.3.4", 80, false);
}

#[track_caller]
fn check_host_error(pattern: &str, expected: &str) {
    let error = pattern.parse::<HostPattern>().unwrap_err();
    assert_eq!(format!("{error}; {}", error.hint().unwrap()), expected);
}

#[test]
fn what_is_no_host_is_named_with_a_way_out() {
    const HINT: &str = "write a name (`api.example.org`), all names below one (`*.example.org`), an address, or `*`";
    check_host_error("a.org", "`a.org` names no port; write `a.org:443`, or `a.org:*` for every port");
    check_host_error("[::1]", "`[::1]` names no port; write `[::1]:443`, or `[::1]:*` for every port");
    check_host_error(
        "https://a.org",
        "`https://a.org` is a URL; a permission names only a host and a port; write `host:port`, for example `api.example.org:443`",
    );
    for port in ["0", "65536", "http", "+80", ""] {
        check_host_error(
            &format!("a.org:{port}"),
            &format!("`{port}` in `a.org:{port}` is not a port; use a number from 1 to 65535, or `*` for every port"),
        );
    }
    let host = |host: &str, reason: &str| {
        check_host_error(&format!("{host}:1"), &format!("`{host}` is not the name of a host: {reason}; {HINT}"));
    };
    host("", "it must have 1 to 253 characters");
    host("a..b", "each part between dots must have 1 to 63 characters");
    host("a b", "only letters, digits, `-`, `_` and `.` are allowed");
    host("-a", "no part may begin or end with `-`");
    host("ex*.org", "`*` stands alone or in front, as in `*.example.org`");
    host("*.*.org", "only letters, digits, `-`, `_` and `.` are allowed");
    host("*.0.0.1", "it ends in a number but is not an IPv4 address");
    host("0x7f000001", "it ends in a number but is not an IPv4 address");
    host("münchen.de", "there is a letter outside ASCII; write it in its `xn--` form");
    host("::1", "an IPv6 address must stand in brackets, as in `[2001:db8::1]:443`");
    host("[a]", "only an IPv6 address stands in brackets");
}

#[test]
fn files_match_by_whole_parts() {
    let check = |grant: &str, access, path: &str, wanted, expected| {
        let grant = FileGrant::new(grant, access).unwrap();
        assert_eq!(grant.matches(path, wanted), expected, "{grant:?} against {path} {wanted}");
    };
    use FileAccess::{Read, Write};
    check("/etc/os-release", Read, "/etc/os-release", Read, true);
    check("/etc/os-release", Read, "/etc/os-release", Write, false);
    check("/etc/os-release", Read, "/etc/os-release2", Read, false);
    check("/srv/data/", Write, "/srv/data/a/b", Write, true);
    check("/srv/data/", Write, "/srv/data", Read, true);
    check("/srv/data/", Read, "/srv/data/a", Write, false);
    check("/srv/data/", Read, "/srv/database", Read, false);
    check("/srv/data/", Read, "/srv/data/../secret", Read, false);
    check("/srv/data/", Read, "srv/data/a", Read, false);
    check("/", Read, "/anything", Read, true);
    check("/", Read, "//", Read, false);
}

#[test]
fn paths_that_cannot_be_compared_are_refused() {
    let check = |path: &str, access, expected: &str| {
        let error = FileGrant::new(path, access).unwrap_err();
        assert_eq!(format!("{error}; {}", error.hint().unwrap()), expected);
    };
    use FileAccess::{Read, Write};
    const PLAIN: &str = "write the path in its plain form, without `.`, `..`, `//` or control characters";
    check("etc/x", Read, "the path `etc/x` is not absolute; write an absolute path, for example `/etc/os-release`");
    check("/a/../b", Read, &format!("the path `/a/../b` has a `..` in it; {PLAIN}"));
    check("/a/.", Read, &format!("the path `/a/.` has a `.` in it; {PLAIN}"));
    check("/a//b", Read, &format!("the path `/a//b` has a `//` in it; {PLAIN}"));
    check("//", Read, &format!("the path `//` has a `//` in it; {PLAIN}"));
    check("/a\0", Read, &format!("the path `/a\\0` has a `control character` in it; {PLAIN}"));
    check(
        "/srv/log.txt",
        Write,
        "`/srv/log.txt` requests write access to a single file; single files can only be read; write `/srv/log.txt/` \
         if it is a folder; otherwise ask for the folder that the file is in",
    );
}

#[test]
fn variables_and_functions() {
    assert!("LANG".parse::<VariableName>().unwrap().matches("LANG"));
    for wrong in ["", "A=B", "1A", "A*", "Ä"] {
        assert!(wrong.parse::<VariableName>().is_err(), "{wrong}");
    }
    let check = |pattern: &str, plugin: &str, function: &str, expected| {
        let read: FunctionPattern = pattern.parse().unwrap();
        assert_eq!(read.matches(&plugin.parse().unwrap(), &function.parse().unwrap()), expected);
        assert_eq!(read.to_string(), pattern);
    };
    check("pricing.quote", "pricing", "quote", true);
    check("pricing.quote", "pricing", "quotes", false);
    check("pricing.*", "pricing", "anything.at-all", true);
    check("pricing.*", "pricing2", "quote", false);
    for wrong in ["pricing", "*", "*.quote", "pricing.q*", "pricing.", "*.*"] {
        assert!(wrong.parse::<FunctionPattern>().is_err(), "{wrong}");
    }
}

fn permissions(value: serde_json::Value) -> Permissions {
    serde_json::from_value(value).unwrap()
}

fn sample() -> Permissions {
    permissions(json!({
        "files": [{ "path": "/etc/os-release", "access": "read" }, { "path": "/srv/data/", "access": "write" }],
        "environment": ["LANG"],
        "http": ["api.hetzner.cloud:443", "*.example.org:*", { "host": "localhost:8080", "private": true }],
        "tcp": ["db.example.org:5432", "*:53"],
        "plugins": ["pricing.quote", "team-directory.*"],
    }))
}

#[test]
fn permissions_read_as_sentences() {
    insta::assert_snapshot!(sample().describe().join("\n"), @r"
    read the file /etc/os-release
    read and change the folder /srv/data/ and everything in it
    read the environment variable LANG
    send HTTP requests to api.hetzner.cloud on port 443
    send HTTP requests to every host below example.org on every port
    send HTTP requests to localhost on port 8080, private and local addresses included
    open TCP connections to db.example.org on port 5432
    open TCP connections to every host on port 53
    call the function pricing.quote
    call every function of the plugin team-directory
    ");
}

#[test]
fn only_what_goes_beyond_the_grant_is_named() {
    assert_eq!(sample().widens(&sample()), Vec::<String>::new());
    assert_eq!(Permissions::default().widens(&Permissions::default()), Vec::<String>::new());
    assert_eq!(sample().widens(&Permissions::default()).len(), 10);
    let granted = permissions(json!({
        "files": [{ "path": "/etc/", "access": "read" }, { "path": "/srv/data/", "access": "read" }],
        "http": ["*:*"],
        "tcp": ["*.example.org:5432"],
        "plugins": ["pricing.*", "team-directory.find"],
    }));
    insta::assert_snapshot!(sample().widens(&granted).join("\n"), @r"
    read and change the folder /srv/data/ and everything in it
    read the environment variable LANG
    send HTTP requests to localhost on port 8080, private and local addresses included
    open TCP connections to every host on port 53
    call every function of the plugin team-directory
    ");
}

#[test]
fn a_grant_says_which_addresses_may_be_used() {
    let permissions = permissions(json!({
        "http": ["*.example.org:*", { "host": "in.example.org:80", "private": true }],
    }));
    assert_eq!(permissions.allows_http("a.example.org", 80), Some(HostAccess::PublicOnly));
    assert_eq!(permissions.allows_http("in.example.org", 80), Some(HostAccess::AlsoPrivate));
    assert_eq!(permissions.allows_http("in.example.org", 443), Some(HostAccess::PublicOnly));
    assert_eq!(permissions.allows_http("example.org", 80), None);
    assert_eq!(permissions.allows_tcp("a.example.org", 80), None);
}

#[test]
fn json_goes_both_ways_and_refuses_what_is_unknown() {
    let text = serde_json::to_value(sample()).unwrap();
    assert_eq!(permissions(text), sample());
    assert!(serde_json::from_value::<Permissions>(json!({ "udp": [] })).is_err());
    assert!(serde_json::from_value::<Permissions>(json!({ "http": [{ "host": "a:1", "cidr": "" }] })).is_err());
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,60}|[a-z*.\\[\\]:0-9-]{0,40}") {
        let _ = text.parse::<FunctionPattern>();
        let _ = text.parse::<VariableName>();
        let _ = FileGrant::new(&text, FileAccess::Read);
        if let Ok(pattern) = text.parse::<HostPattern>() {
            prop_assert_eq!(pattern.to_string().parse::<HostPattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn a_pattern_matches_only_below_its_suffix(host in "[a-z0-9.-]{1,30}") {
        let pattern: HostPattern = "*.example.org:443".parse().unwrap();
        let outside = !host.trim_end_matches('.').ends_with(".example.org");
        prop_assert!(!(outside && pattern.matches(&host, 443)));
    }
}
