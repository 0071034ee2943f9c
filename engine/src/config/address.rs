//! `127.0.0.1:2328`, `[::1]:2328`: where to listen, as settings and flags write it.
//!
//! Numbers only. A name would have to be looked up, could come to mean another machine, and hides
//! whether others can reach what it stands for.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where to answer questions: an address, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http(pub Option<SocketAddr>);

/// A text that isn't an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAddress {
    /// Not a number and a port.
    Address,
    /// Neither that nor `off`.
    Http,
}

/// Reads an address with its port. Port 0 is any that is free.
///
/// # Errors
/// Anything else, names of machines among it.
pub fn address(text: &str) -> Result<SocketAddr, NotAddress> {
    text.parse().map_err(|_| NotAddress::Address)
}

/// Whether only this machine can reach the address.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl FromStr for Http {
    type Err = NotAddress;

    fn from_str(text: &str) -> Result<Self, NotAddress> {
        if text == "off" {
            return Ok(Self(None));
        }
        address(text).map(|address| Self(Some(address))).map_err(|_| NotAddress::Http)
    }
}

impl fmt::Display for NotAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address is an IP and a port, such as 127.0.0.1:2328 or [::1]:2328")?;
        match self {
            Self::Address => Ok(()),
            Self::Http => f.write_str("; or off"),
        }
    }
}

impl std::error::Error for NotAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_number_and_a_port() {
        for good in ["127.0.0.1:2328", "[::1]:2328", "0.0.0.0:0", "[fe80::1%2]:9"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1", "localhost:2328", ":2328", "2328", "127.0.0.1:70000", "::1:2328", " 127.0.0.1:1"] {
            assert_eq!(address(bad), Err(NotAddress::Address), "{bad}");
        }
    }

    #[test]
    fn only_an_address_of_this_machine_is_loopback() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("[::ffff:10.0.0.1]:1", false),
            ("192.168.0.1:1", false),
        ] {
            assert_eq!(is_loopback(address(text).expect(text)), expected, "{text}");
        }
    }

    #[test]
    fn http_can_be_off() {
        assert_eq!("off".parse(), Ok(Http(None)));
        assert_eq!("127.0.0.1:0".parse(), Ok(Http(Some(([127, 0, 0, 1], 0).into()))));
        assert_eq!("OFF".parse::<Http>(), Err(NotAddress::Http));
    }
}
