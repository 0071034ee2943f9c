//! The address that the kernel writes beside a datagram: its sender's.
//!
//! ```text
//!   0        2      4               8                                24
//!   +--------+------+---------------+---------------------------------+-----
//!   | AF_INET| port | four bytes    |
//!   | AF_INET6  port | flow label   | sixteen bytes                   | scope
//! ```
//!
//! Read as bytes, so that one that is cut short or of another family is no address and nothing worse.

use std::mem::{offset_of, size_of};
use std::net::IpAddr;

/// Room for either.
pub(super) const SPACE: usize = size_of::<libc::sockaddr_in6>();

/// The address, if it is one of the internet's.
pub(super) fn parse(name: &[u8]) -> Option<IpAddr> {
    let family = name.get(FAMILY..)?.first_chunk().map(|family| libc::sa_family_t::from_ne_bytes(*family))?;
    match libc::c_int::from(family) {
        libc::AF_INET => name.get(V4..)?.first_chunk::<4>().copied().map(IpAddr::from),
        libc::AF_INET6 => name.get(V6..)?.first_chunk::<16>().copied().map(IpAddr::from),
        _ => None,
    }
}

const FAMILY: usize = offset_of!(libc::sockaddr_in, sin_family);
const V4: usize = offset_of!(libc::sockaddr_in, sin_addr);
const V6: usize = offset_of!(libc::sockaddr_in6, sin6_addr);

const _: () = assert!(FAMILY == offset_of!(libc::sockaddr_in6, sin6_family));
const _: () = assert!(SPACE >= size_of::<libc::sockaddr_in>());

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn named(address: &str) -> Vec<u8> {
        let address: SocketAddr = address.parse().expect(address);
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let mut name = (family as libc::sa_family_t).to_ne_bytes().to_vec();
        name.extend(address.port().to_be_bytes());
        match address.ip() {
            IpAddr::V4(ip) => name.extend(ip.octets()),
            IpAddr::V6(ip) => name.extend([&[0; 4], &ip.octets()[..], &[0; 4]].concat()),
        }
        name
    }

    #[test]
    fn either_version_is_read_and_nothing_is_made_of_less() {
        for (address, enough) in [("192.0.2.7:9", 8), ("[2001:db8::7]:9", 24)] {
            let name = named(address);
            let expected = address.parse::<SocketAddr>().ok().map(|address| address.ip());
            for cut in 0..=name.len() {
                assert_eq!(parse(&name[..cut]), expected.filter(|_| cut >= enough), "{address} cut at {cut}");
            }
        }
        assert_eq!(parse(&[0xFF; SPACE]), None);
    }
}
