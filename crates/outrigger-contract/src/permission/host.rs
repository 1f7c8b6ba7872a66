//! Hosts on the network. A pattern is compared with the name that the plugin asked for; which of the addresses
//! behind that name may then be used is said by [`HostAccess`], and the runtime checks it on the resolved address.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::PermissionError;
use crate::name::shorten;

/// Hosts and ports: a name, an address, all names below one (`*.example.org`) or every host (`*`), with a port or
/// every port (`*`), and whether private, loopback and link-local addresses are meant too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    host: Host,
    /// `None` is every port.
    port: Option<u16>,
    private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Any,
    /// All names below this one, which is in lower case and has no dot in front.
    Below(String),
    Name(String),
    Address(IpAddr),
}

/// Which addresses of a permitted host may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostAccess {
    /// Only addresses that are reachable from the whole internet.
    PublicOnly,
    /// Private, loopback and link-local addresses too.
    AlsoPrivate,
}

impl HostPattern {
    /// The port, or `None` for every port.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Private, loopback and link-local addresses are meant too.
    #[must_use]
    pub fn private(&self) -> bool {
        self.private
    }

    /// The same hosts, with or without their private addresses.
    #[must_use]
    pub fn with_private(self, private: bool) -> Self {
        Self { private, ..self }
    }

    /// Whether this host (a name, or an address with or without brackets) and port are meant.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
            && match asked_host(host) {
                Some(asked) => self.host.holds(&asked),
                None => false,
            }
    }

    /// The widest access that any of these patterns gives to a host and port.
    #[must_use]
    pub fn best(patterns: &[Self], host: &str, port: u16) -> Option<HostAccess> {
        let matching = patterns.iter().filter(|pattern| pattern.matches(host, port));
        matching.map(|pattern| if pattern.private { HostAccess::AlsoPrivate } else { HostAccess::PublicOnly }).max()
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        let port = self.port.is_none() || self.port == other.port;
        port && (self.private || !other.private) && self.host.holds(&other.host)
    }

    pub(super) fn describe(&self) -> String {
        let host = match &self.host {
            Host::Any => "every host".to_owned(),
            Host::Below(suffix) => format!("every host below {suffix}"),
            Host::Name(name) => name.clone(),
            Host::Address(address) => address.to_string(),
        };
        let port = match self.port {
            Some(port) => format!("on port {port}"),
            None => "on every port".to_owned(),
        };
        let private = if self.private { ", private and local addresses included" } else { "" };
        format!("{host} {port}{private}")
    }
}

impl Host {
    /// Whether all that `other` means is meant by `self`.
    fn holds(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Below(suffix), Self::Name(name) | Self::Below(name)) => {
                let below = name.strip_suffix(suffix.as_str()).is_some_and(|head| head.ends_with('.'));
                below || (*other == *self)
            }
            _ => self == other,
        }
    }
}

/// A host as a plugin asks for it. `None` when it is neither a name nor an address, and so can match nothing.
fn asked_host(text: &str) -> Option<Host> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Host::Address(plain_address(address)));
    }
    read_name(bare).ok().map(Host::Name)
}

/// An IPv4 address that is wrapped in an IPv6 one is the same peer, so it is the same address here.
fn plain_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Reads a DNS name into lower case, without the dot at its end.
fn read_name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if !name.is_ascii() {
        return Err("there is a letter outside ASCII; write it in its `xn--` form");
    }
    if name.is_empty() || name.len() > 253 {
        return Err("it must have 1 to 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err("each part between dots must have 1 to 63 characters");
        }
        if !label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err("only letters, digits, `-`, `_` and `.` are allowed");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("no part may begin or end with `-`");
        }
    }
    // Resolvers read `127.1` or `0x7f000001` as an address; as a name it would slip past `*.1`.
    let last = name.rsplit('.').next().unwrap_or(&name);
    let numeric = last.chars().all(|c| c.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
    if numeric {
        return Err("it ends in a number but is not an IPv4 address");
    }
    Ok(name)
}

fn read_host(text: &str) -> Result<Host, PermissionError> {
    let wrong = |reason| PermissionError::Host { host: shorten(text), reason };
    if text == "*" {
        return Ok(Host::Any);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(|| wrong("the bracket is not closed"))?;
        let address: Ipv6Addr = inner.parse().map_err(|_| wrong("only an IPv6 address stands in brackets"))?;
        return Ok(Host::Address(plain_address(address.into())));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return read_name(suffix).map(Host::Below).map_err(wrong);
    }
    if text.contains('*') {
        return Err(wrong("`*` stands alone or in front, as in `*.example.org`"));
    }
    if text.contains(':') {
        return Err(wrong("an IPv6 address must stand in brackets, as in `[2001:db8::1]:443`"));
    }
    read_name(text).map(Host::Name).map_err(wrong)
}

impl FromStr for HostPattern {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        if text.contains('/') {
            return Err(PermissionError::Url { value: shorten(text) });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => return Err(PermissionError::NoPort { value: shorten(text) }),
        };
        let port = match port {
            "*" => None,
            _ => Some(
                read_port(port).ok_or_else(|| PermissionError::Port { value: shorten(text), port: shorten(port) })?,
            ),
        };
        Ok(Self { host: read_host(host)?, port, private: false })
    }
}

fn read_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Hosts and port as `host:port`. Whether private addresses are meant is not part of it.
impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => formatter.write_str("*")?,
            Host::Below(suffix) => write!(formatter, "*.{suffix}")?,
            Host::Name(name) => formatter.write_str(name)?,
            Host::Address(IpAddr::V4(address)) => write!(formatter, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]")?,
        }
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => formatter.write_str(":*"),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.private {
            return serializer.collect_str(self);
        }
        let mut table = serializer.serialize_struct("HostPattern", 2)?;
        table.serialize_field("host", &self.to_string())?;
        table.serialize_field("private", &true)?;
        table.end()
    }
}

struct PatternVisitor;

impl<'de> Visitor<'de> for PatternVisitor {
    type Value = HostPattern;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`host:port`, or a table with `host` and `private`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<HostPattern, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<HostPattern, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            host: String,
            #[serde(default)]
            private: bool,
        }
        let Table { host, private } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
        let pattern: HostPattern = host.parse().map_err(de::Error::custom)?;
        Ok(pattern.with_private(private))
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternVisitor)
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> Cow<'static, str> {
        "HostPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = json_schema!({
            "type": "string",
            "pattern": r"^[^/]+:(\*|[0-9]{1,5})$",
            "description": "`host:port`. The host is a name, an address, `*.name` for all names below one, or `*`; the port a number or `*`.",
        });
        json_schema!({
            "description": "Hosts and ports that may be reached.",
            "examples": [
                "api.example.org:443", "*.example.org:443", { "host": "localhost:8080", "private": true },
            ],
            "anyOf": [
                text,
                {
                    "type": "object",
                    "properties": {
                        "host": text,
                        "private": {
                            "type": "boolean",
                            "default": false,
                            "description": "Private, loopback and link-local addresses too.",
                        },
                    },
                    "required": ["host"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
