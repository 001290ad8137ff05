//! Where a login comes from, as far as anything is held against anyone.

use std::net::{IpAddr, Ipv6Addr};

/// An address of IPv4, or a network of IPv6: its /64 belongs to one customer, who has all
/// addresses in it. Who has no address is in one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(Option<Ipv6Addr>);

impl Network {
    pub(crate) fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)),
        }))
    }

    /// For a key.
    pub(crate) fn octets(self) -> [u8; 16] {
        self.0.map(|network| network.octets()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_network_is_an_address_or_half_of_one() {
        let network = |address: &str| Network::of(address.parse().ok());
        assert_eq!(network("10.0.0.1"), network("::ffff:10.0.0.1"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        let different = ["", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8:0:1::1"];
        let set: HashSet<_> = different.map(network).into_iter().collect();
        assert_eq!(set.len(), different.len());
    }
}
