//! `[http]`: who may ask, in which wrapping, and how many at once.
//!
//! Where to listen stands under `[listen]`. What the files hold is judged by whoever is given, as that of
//! keys is; whoever starts to answer opens them anew, and again at each reload.

use std::path::PathBuf;

use super::auth::{Look, Named};
use super::fault::Faults;
use super::section::Section;
use super::value;

/// How questions are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The file of the tokens that are accepted; none to ask for no token.
    pub tokens: Option<PathBuf>,
    /// What is shown to whoever speaks TLS; none to speak plain HTTP.
    pub tls: Option<Tls>,
    /// How many connections there may be.
    pub connections: usize,
    /// How many of them from one address, this machine's own excepted.
    pub connections_per_address: usize,
}

/// The files for TLS, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those that lead to its issuer.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// More open files than that are more than a service is usually allowed.
const CONNECTIONS_MAX: u32 = 16_384;

impl Default for Access {
    fn default() -> Self {
        Self { tokens: None, tls: None, connections: 256, connections_per_address: 64 }
    }
}

pub(super) fn access(mut section: Section<'_>, look: Look<'_>, faults: &mut Faults) -> Access {
    let usual = Access::default();
    let tokens = section.read("tokens", faults, value::path);
    let cert = section.read("tls_cert", faults, value::path);
    let key = section.read("tls_key", faults, value::path);
    let mut count = |key, usual| {
        let read = section.read(key, faults, |value| value::count(value, 1..=CONNECTIONS_MAX));
        read.unwrap_or_default().map_or(usual, |count| count as usize)
    };
    let connections = count("connections", usual.connections);
    let connections_per_address = count("connections_per_address", usual.connections_per_address);
    let tls = match (cert, key) {
        (Ok(Some(cert)), Ok(Some(key))) => Some(Tls { cert, key }),
        (Ok(Some(_)), Ok(None)) => {
            section.refuse("tls_cert", "needs its private key; name the file as tls_key", faults);
            None
        }
        (Ok(None), Ok(Some(_))) => {
            section.refuse("tls_key", "needs its certificate; name the file as tls_cert", faults);
            None
        }
        (Ok(None), Ok(None)) | (Err(_), _) | (_, Err(_)) => None,
    };
    section.done(faults);
    let tokens = tokens.unwrap_or_default();
    if let Some(Err(why)) = tokens.as_deref().map(|file| look(Named::Tokens(file))) {
        // Each line of the file that is wrong is a fault.
        why.lines().for_each(|why| faults.add(section.locate("tokens"), why.to_owned()));
    }
    if let Some(Err(why)) = tls.as_ref().map(|tls| look(Named::Tls(tls))) {
        let key = if why.starts_with("tls_cert") { "tls_cert" } else { "tls_key" };
        faults.add(section.locate(key), why);
    }
    Access { tokens, tls, connections, connections_per_address }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read::read_looking;
    use crate::config::{Fault, read};

    #[test]
    fn everything_that_is_said_is_taken() {
        let text =
            "[http]\ntokens = \"t\"\ntls_cert = \"c\"\ntls_key = \"k\"\nconnections = 7\nconnections_per_address = 3\n";
        let tls = Some(Tls { cert: "c".into(), key: "k".into() });
        let expected = Access { tokens: Some("t".into()), tls, connections: 7, connections_per_address: 3 };
        assert_eq!(read(text).unwrap().access, expected);
    }

    #[test]
    fn what_is_wrong_with_a_file_stands_where_it_is_named() {
        let text = "[http]\ntokens = \"t\"\ntls_cert = \"c\"\ntls_key = \"k\"\n";
        let faults = |tls: &str| {
            let mut look = |named: Named<'_>| {
                Err(match named {
                    Named::Tokens(_) => "t:1: no".to_owned() + "\nt:3: no",
                    Named::Tls(_) => tls.to_owned(),
                    Named::Key(_) => "there is none".to_owned(),
                })
            };
            let faults = read_looking(text, false, &mut look).unwrap_err();
            faults.iter().map(Fault::to_string).collect::<Vec<_>>()
        };
        let tokens = ["2:1: t:1: no", "2:1: t:3: no"];
        assert_eq!(faults("tls_cert: no"), [&tokens[..], &["3:1: tls_cert: no"]].concat());
        assert_eq!(faults("c and k don't go together"), [&tokens[..], &["4:1: c and k don't go together"]].concat());
    }

    #[test]
    fn half_of_a_pair_and_no_connections_are_refused() {
        let faults = |text: &str| read(text).expect_err(text).iter().map(Fault::to_string).collect::<Vec<_>>();
        assert_eq!(
            faults("[http]\ntls_cert = \"c\"\n"),
            ["2:1: tls_cert needs its private key; name the file as tls_key"]
        );
        assert_eq!(
            faults("[http]\ntls_key = \"k\"\n"),
            ["2:1: tls_key needs its certificate; name the file as tls_cert"]
        );
        assert_eq!(faults("[http]\ntls_cert = 5\ntls_key = \"k\"\n").len(), 1, "what can't be read is one fault");
        let none = "[http]\nconnections = 0\nconnections_per_address = 99999\ntoken = \"t\"\n";
        assert_eq!(faults(none).len(), 3);
    }
}
