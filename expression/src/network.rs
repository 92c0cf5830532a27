//! Networks in which `inCidr` searches for addresses. An IPv4 address of an IPv6 socket (`::ffff:10.1.2.3`) counts as the IPv4
//! address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A network of IPv4 or IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network(IpNet);

/// Number of bits before the IPv4 address in an IPv4-mapped IPv6 address.
const MAPPED: u8 = 96;

impl Network {
    /// Reads a network such as `10.0.0.0/8`; an address alone is a network of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
        Some(Self(match network {
            IpNet::V6(network) => of_ipv4(network).map_or(IpNet::V6(network), IpNet::V4),
            IpNet::V4(network) => IpNet::V4(network),
        }))
    }

    /// Returns whether a text is an address in the network.
    pub(super) fn has(self, text: &str) -> bool {
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        self.0.contains(&address) || self.0.contains(&address.to_canonical())
    }
}

/// Returns the network of IPv4 addresses that these are mapped from.
fn of_ipv4(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(MAPPED)?;
    Ipv4Net::new(network.addr().to_ipv4_mapped()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_networks_of_either_form() {
        let table = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "::ffff:10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("::ffff:10.0.0.0/104", "10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "::ffff:11.0.0.1", false),
            ("0.0.0.0/0", "::ffff:1.2.3.4", true),
            ("0.0.0.0/0", "fe80::1", false),
            ("::/0", "::ffff:1.2.3.4", true),
            ("fe80::/10", "fe80::1", true),
            ("2001:db8::1", "2001:db8::1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "", false),
            ("0.0.0.0/0", "/run/socket", false),
        ];
        for (network, address, expected) in table {
            assert_eq!(Network::parse(network).unwrap().has(address), expected, "{network} {address}");
        }
        for text in ["", "10", "10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
