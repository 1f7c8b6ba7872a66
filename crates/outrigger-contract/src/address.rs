//! Which addresses belong to the public internet. A name can resolve to anything, so the checked address is the one
//! that is connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::permission::HostAccess;

/// A network in CIDR notation, such as `10.1.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error(
        "`{}` is not a network; use CIDR notation such as `10.1.0.0/16` or `fd00::/16`",
        crate::name::shorten(.text)
    )]
    Malformed { text: String },
    /// Either the prefix is too short, or one address is meant.
    #[error("`{text}` is an address in the network `{network}`; write `{network}` for the network")]
    HostBits { text: String, network: Network },
}

impl Network {
    /// Whether an address is in the network. IPv4 addresses that are mapped into IPv6 count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shared = |bits: u32| bits - u32::from(self.prefix);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shared(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shared(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }

    /// The network without the bits of a host.
    fn without_host_bits(self) -> Self {
        let prefix = u32::from(self.prefix);
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Self { address, prefix: self.prefix }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let read = || {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
            (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, prefix })
        };
        let given = read().ok_or_else(|| NetworkError::Malformed { text: text.to_owned() })?;
        let network = given.without_host_bits();
        match network == given {
            true => Ok(network),
            false => Err(NetworkError::HostBits { text: text.to_owned(), network }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether an address may be connected to under this access.
#[must_use]
pub fn permitted(address: IpAddr, access: HostAccess) -> bool {
    match access {
        HostAccess::AlsoPrivate => true,
        HostAccess::PublicOnly => is_public(address),
    }
}

/// Whether an address is reachable from the whole internet: not private, loopback, link-local, shared, reserved or
/// multicast, also where it is wrapped in an IPv6 address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        // This network, private, loopback, link-local (cloud metadata among it), multicast and what is above.
        (0 | 10 | 127 | 224.., ..) | (169, 254, _) | (192, 168, _) => true,
        (172, b, _) => (16..32).contains(&b),
        // Shared by carriers.
        (100, b, _) => (64..128).contains(&b),
        // Protocol assignments, documentation, the old 6to4 relay, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) | (198, 18 | 19, _) => true,
        _ => false,
    };
    !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // IPv4 in IPv6: mapped, translated (NAT64) and 6to4. What counts is the address inside.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            embedded(high, low)
        }
        // Teredo, benchmarks, ORCHID and the other assignments to protocols; documentation.
        [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        // Of all other addresses only the global unicast ones have been given out.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s16_a_network_holds_the_addresses_that_share_its_bits() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.contains(address.parse().expect("an address")), expected, "{network} {address}");
        };
        check("10.1.0.0/16", "10.1.255.255", true);
        check("10.1.0.0/16", "10.2.0.0", false);
        check("10.1.0.0/16", "::ffff:10.1.2.3", true);
        check("10.1.2.3/32", "10.1.2.3", true);
        check("10.1.2.3/32", "10.1.2.2", false);
        check("0.0.0.0/0", "127.0.0.1", true);
        check("0.0.0.0/0", "::1", false);
        check("fd00:1::/32", "fd00:1:ffff::1", true);
        check("fd00:1::/32", "fd00:2::1", false);
        check("::/0", "::1", true);
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_with_a_prefix_is_not_a_network() {
        let check = |text: &str, meant: &str| {
            let error = text.parse::<Network>().expect_err("it has the bits of a host").to_string();
            assert!(error.contains(text) && error.contains(&format!("write `{meant}`")), "{error}");
        };
        check("10.1.0.1/16", "10.1.0.0/16");
        check("10.1.2.3/0", "0.0.0.0/0");
        check("fd00:1::5/32", "fd00:1::/32");
    }

    #[test]
    fn only_the_internet_is_public() {
        for address in
            ["1.1.1.1", "8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111"]
        {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b:1::1",
        ] {
            assert!(!is_public(address.parse().expect("an address")), "{address}");
        }
    }
}
