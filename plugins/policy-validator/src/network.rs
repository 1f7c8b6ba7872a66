//! Who may reach which port: the words for "everyone" and "any port" of all three providers.

use crate::node::Node;
use crate::rule::Violation;

/// Ports that administer a host. Open to everyone they are found by scanners within minutes.
const ADMIN_PORTS: [(u16, &str); 2] = [(22, "SSH"), (3389, "RDP")];

/// What can be done about it, whoever the provider is.
pub const REMEDIATION: &str = "Allow only the addresses that administer the hosts, or use a bastion or the provider's \
                               session service, and open no such port at all.";

/// Whether a source is the whole internet: every address of IPv4 or IPv6, or a provider's word for it.
pub fn is_everyone(source: &str) -> bool {
    let source = source.trim();
    match source.rsplit_once('/') {
        Some((address, "0")) => address.parse::<std::net::IpAddr>().is_ok(),
        Some(_) => false,
        None => {
            ["*", "any", "internet"].iter().any(|word| source.eq_ignore_ascii_case(word))
                || source.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified())
        }
    }
}

/// The places among `sources` that stand for everyone.
pub fn everyone<'a>(sources: Vec<Node<'a>>) -> Vec<Node<'a>> {
    sources.into_iter().filter(|source| source.text().is_some_and(is_everyone)).collect()
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ports {
    from: i64,
    to: i64,
}

impl Ports {
    pub const ALL: Ports = Ports { from: 0, to: 65535 };

    /// `22`, `20-25`, `*`, or a number. None for what is not one.
    pub fn of(node: &Node<'_>) -> Option<Ports> {
        if let Some(port) = node.integer() {
            return Some(Ports { from: port, to: port });
        }
        let text = node.text()?.trim();
        if text == "*" {
            return Some(Ports::ALL);
        }
        let (from, to) = text.split_once('-')?;
        Some(Ports { from: from.trim().parse().ok()?, to: to.trim().parse().ok()? })
    }

    /// From two places. What is left out, or is -1, is open at that end; none where an end is not known yet.
    pub fn between(from: &Node<'_>, to: &Node<'_>) -> Option<Ports> {
        if from.is_unknown() || to.is_unknown() {
            return None;
        }
        let end = |node: &Node<'_>, open: i64| node.integer().filter(|port| *port >= 0).unwrap_or(open);
        Some(Ports { from: end(from, Ports::ALL.from), to: end(to, Ports::ALL.to) })
    }

    fn admin(self) -> Vec<String> {
        let within = |port: u16| (self.from..=self.to).contains(&i64::from(port));
        let open = ADMIN_PORTS.iter().filter(|(port, _)| within(*port));
        open.map(|(port, name)| format!("{port} ({name})")).collect()
    }
}

/// Whether a protocol carries SSH and RDP: TCP, or all of them.
pub fn carries_tcp(protocol: &Node<'_>) -> bool {
    let text = protocol.text().map(str::to_ascii_lowercase);
    match (text.as_deref(), protocol.integer()) {
        (_, Some(number)) => number == -1 || number == 6,
        (Some(text), None) => matches!(text, "tcp" | "all" | "*"),
        (None, None) => protocol.is_missing(),
    }
}

/// One violation for each source that stands for everyone, if the ports are among the administrative ones.
pub fn open_ports(sources: &[Node<'_>], ports: &[Ports]) -> Vec<Violation> {
    let mut open: Vec<String> = ports.iter().flat_map(|ports| ports.admin()).collect();
    open.dedup();
    if open.is_empty() {
        return Vec::new();
    }
    let violation = |source: &Node<'_>| Violation {
        pointer: source.pointer.clone(),
        message: format!("port {} is open to everyone (`{}`)", open.join(" and "), source.text().unwrap_or_default()),
    };
    sources.iter().map(violation).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Ports, carries_tcp, is_everyone};
    use crate::node::{Dialect, Node};

    fn node(value: &Value) -> Node<'_> {
        Node::new(value, String::new(), Dialect::Plain, None)
    }

    #[test]
    fn everyone() {
        for source in ["0.0.0.0/0", "::/0", "0:0:0:0:0:0:0:0/0", "*", "Internet", "any", "0.0.0.0", " 0.0.0.0/0"] {
            assert!(is_everyone(source), "{source}");
        }
        for source in ["10.0.0.0/8", "0.0.0.0/1", "::1/128", "VirtualNetwork", "", "/0", "1.2.3.4"] {
            assert!(!is_everyone(source), "{source}");
        }
    }

    #[test]
    fn ports_and_protocols() {
        for (value, expected) in [
            (json!("22"), vec!["22 (SSH)"]),
            (json!(3389), vec!["3389 (RDP)"]),
            (json!("20-4000"), vec!["22 (SSH)", "3389 (RDP)"]),
            (json!("*"), vec!["22 (SSH)", "3389 (RDP)"]),
            (json!("443"), vec![]),
            (json!("25-20"), vec![]),
            (json!("x"), vec![]),
        ] {
            let open = Ports::of(&node(&value)).map(Ports::admin).unwrap_or_default();
            assert_eq!(open, expected, "{value}");
        }
        for (value, expected) in [
            (json!("tcp"), true),
            (json!("-1"), true),
            (json!(6), true),
            (json!("*"), true),
            (json!("udp"), false),
            (json!(17), false),
            (json!(null), true),
        ] {
            assert_eq!(carries_tcp(&node(&value)), expected, "{value}");
        }
    }
}
