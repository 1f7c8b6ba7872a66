//! Validates the settings of a webhook.

use std::collections::BTreeMap;

use outrigger_contract::{Code, Pattern, address};
use url::{Host, Url};

use super::{SecretText, WebhookSpec};
use crate::error::Failure;

/// Of a webhook, in characters and numbers.
const LONGEST_URL: usize = 2_000;
const LONGEST_DESCRIPTION: usize = 4_000;
const MOST_PATTERNS: usize = 50;
const MOST_HEADERS: usize = 20;
const LONGEST_HEADER: usize = 4_000;

/// Headers that are not a webhook's to set.
const OWN_HEADERS: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
];
/// Prefixes of headers that are refused too: they frame the request, state its origin, or belong to proxies.
const OWN_PREFIXES: [&str; 3] = ["proxy-", "webhook-", "x-forwarded-"];

fn invalid(message: impl Into<String>, hint: &str) -> Failure {
    Failure::new(Code::InvalidInput, message).with_hint(hint)
}

/// Checks all of it, and reads the address.
pub(super) fn spec(spec: &WebhookSpec) -> Result<Url, Failure> {
    let WebhookSpec { url, events, description, headers, allow_http, allow_private_network, .. } = spec;
    if description.chars().count() > LONGEST_DESCRIPTION {
        return Err(invalid("the description is too long", "it has at most 4,000 characters"));
    }
    patterns(events)?;
    if let Some(headers) = headers {
        self::headers(headers)?;
    }
    let url = self::url(url)?;
    match url.scheme() {
        "https" => {}
        "http" if *allow_http => {}
        "http" => {
            let hint = "use https, or set `allow_http` (`--allow-http`)";
            return Err(invalid("plain HTTP is not encrypted", hint));
        }
        other => {
            return Err(invalid(
                format!("the URL scheme `{other}` is not supported"),
                "use a URL that starts with https://",
            ));
        }
    }
    if !allow_private_network && is_private(&url) {
        let hint = "set `allow_private_network` (`--allow-private-network`) to allow this";
        return Err(invalid("the address is private, loopback or link-local", hint));
    }
    Ok(url)
}

fn patterns(events: &[Pattern]) -> Result<(), Failure> {
    match events.len() {
        1..=MOST_PATTERNS => Ok(()),
        0 => Err(invalid("no events are named", "use `*` for all events, or a pattern such as `plugin.*`")),
        count => Err(invalid(format!("{count} event patterns are too many"), "there are at most 50")),
    }
}

fn url(text: &str) -> Result<Url, Failure> {
    const HINT: &str = "write one such as `https://ops.example.com/hooks/outrigger`";
    if text.len() > LONGEST_URL {
        return Err(invalid("the address is too long", "it has at most 2,000 characters"));
    }
    // The URL is not quoted: it can contain a token.
    let url: Url = text.parse().map_err(|error| invalid(format!("not a URL: {error}"), HINT))?;
    if url.host().is_none() {
        return Err(invalid("the URL has no host", HINT));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(
            "the URL contains a user or password",
            "send them in a header; header values are kept secret",
        ));
    }
    if url.fragment().is_some() {
        return Err(invalid("the URL has a fragment, which is never sent", "remove `#` and everything after it"));
    }
    Ok(url)
}

/// Known to be private without asking anybody. What a name resolves to is looked at when something is sent.
fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => !address::is_public(address.into()),
        Some(Host::Ipv6(address)) => !address::is_public(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        None => true,
    }
}

fn headers(headers: &BTreeMap<String, SecretText>) -> Result<(), Failure> {
    if headers.len() > MOST_HEADERS {
        return Err(invalid(format!("{} headers are too many", headers.len()), "there are at most 20"));
    }
    for (name, value) in headers {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || name.len() > 100 || !name.chars().all(token) {
            return Err(invalid(
                "invalid header name",
                "it has 1 to 100 letters, digits, hyphens and the like, and no colon",
            ));
        }
        let lower = name.to_ascii_lowercase();
        if OWN_HEADERS.contains(&lower.as_str()) || OWN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(invalid(format!("the header `{name}` is set by Outrigger itself"), "leave it out"));
        }
        let text = value.reveal();
        if text.len() > LONGEST_HEADER || !text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
            let message = format!("the value of the header `{name}` cannot be sent");
            return Err(invalid(message, "it has at most 4,000 visible ASCII characters"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Owner;

    fn wanted(url: &str) -> WebhookSpec {
        WebhookSpec {
            url: url.to_owned(),
            events: vec!["*".parse().expect("a pattern")],
            plugin: None,
            enabled: true,
            description: String::new(),
            headers: None,
            allow_http: false,
            allow_private_network: false,
            opened_by: None,
            set_by: Owner { name: "local".to_owned(), key: None },
        }
    }

    #[test]
    fn addresses_are_public_and_encrypted_unless_it_is_said_otherwise() {
        let check = |url: &str, change: fn(&mut WebhookSpec), expected: &str| {
            let mut wanted = wanted(url);
            change(&mut wanted);
            let found = spec(&wanted).map_or_else(|failure| failure.message, |url| url.to_string());
            assert!(found.contains(expected), "{url}: {found}");
        };
        check("https://ops.example.com/a?b=c", |_| {}, "https://ops.example.com/a?b=c");
        check("http://ops.example.com", |_| {}, "plain HTTP");
        check("http://ops.example.com", |wanted| wanted.allow_http = true, "http://ops.example.com/");
        for private in [
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "localhost",
            "a.localhost.",
            "169.254.169.254",
        ] {
            check(&format!("https://{private}/"), |_| {}, "private");
            check(&format!("https://{private}/"), |wanted| wanted.allow_private_network = true, "https://");
        }
        check("ftp://ops.example.com", |_| {}, "scheme `ftp` is not supported");
        check("https://", |_| {}, "not a URL");
        check("ops.example.com", |_| {}, "not a URL");
        check("https://user:word@ops.example.com", |_| {}, "a user or password");
        check("https://ops.example.com/#part", |_| {}, "fragment");
        check("https://ops.example.com", |wanted| wanted.events.clear(), "no events");
    }

    #[test]
    fn s03_long_addresses_are_not_read() {
        for path in ["ä.".repeat(1_000_000), "../".repeat(1_000_000), format!("a/{}", "%".repeat(3_000))] {
            let failure = spec(&wanted(&format!("https://{path}"))).expect_err("it is too long");
            assert_eq!((failure.code, failure.message.as_str()), (Code::InvalidInput, "the address is too long"));
        }
    }

    #[test]
    fn s16_headers_are_those_that_are_free() {
        let check = |name: &str, value: &str, expected: Option<&str>| {
            let headers = BTreeMap::from([(name.to_owned(), SecretText::new(value.to_owned()))]);
            let found = super::headers(&headers).err().map(|failure| failure.message);
            match (expected, found) {
                (None, None) => {}
                (Some(expected), Some(found)) => {
                    assert!(found.contains(expected) && !found.contains("hunter2"), "{found}");
                }
                (expected, found) => panic!("{name}: {expected:?} {found:?}"),
            }
        };
        check("Authorization", "Bearer hunter2", None);
        check("Content-Type", "hunter2", Some("Outrigger itself"));
        check("webhook-id", "hunter2", Some("Outrigger itself"));
        for name in
            ["Host", "Transfer-Encoding", "Connection", "Keep-Alive", "UPGRADE", "Expect", "Proxy-Authorization"]
        {
            check(name, "hunter2", Some("Outrigger itself"));
        }
        for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"] {
            check(name, "hunter2", Some("Outrigger itself"));
        }
        check("a b", "hunter2", Some("invalid header name"));
        check("X-Token", "hunter2\r\nX-Other: 1", Some("cannot be sent"));
    }
}
