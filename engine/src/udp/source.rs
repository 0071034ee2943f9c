//! The network that a datagram came from, as far as it matters for how many nodes it may bring.
//!
//! Whoever has one address has its neighbours too: a household or a rack is given a /64 to a /48 of IPv6,
//! and a /24 is the smallest block of IPv4 that is routed on its own. So that is a source. This machine is
//! none: its own programs have easier ways to harm it, and load is tried out from here.

use std::net::IpAddr;

use systole_core::Source;

/// The source that `address` belongs to.
pub(super) fn source(address: IpAddr) -> Source {
    match address.to_canonical() {
        address if address.is_loopback() => Source::LOCAL,
        IpAddr::V4(address) => Source::new(V4 | u64::from(u32::from(address) >> 8)),
        IpAddr::V6(address) => Source::new(V6 | (u128::from(address) >> 80) as u64),
    }
}

/// Above the 24 and the 48 bits of a prefix.
const V4: u64 = 4 << 48;
const V6: u64 = 6 << 48;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Source {
        source(address.parse().expect(address))
    }

    #[test]
    fn neighbours_are_one_source_and_strangers_are_two() {
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:3::9"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        assert_ne!(of("0.0.0.0"), of("::"));
    }

    #[test]
    fn an_address_is_the_same_source_in_either_version() {
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn this_machine_is_local_and_nobody_else_is() {
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(address), Source::LOCAL, "{address}");
        }
        for address in ["0.0.0.0", "::", "10.0.0.1", "fe80::1"] {
            assert_ne!(of(address), Source::LOCAL, "{address}");
        }
    }
}
