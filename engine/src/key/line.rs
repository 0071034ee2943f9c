//! The line of a key file, written and read.
//!
//! Words in this order, one blank between them, so that a line which was cut or pasted twice is no key.
//! What is wrong with one is said without repeating any of it: it may be a secret in the wrong place.

use std::fmt::Write;

use systole_core::auth::{KeyId, MasterKey, NodeKey, Suite, WrongLength};
use systole_core::{NodeId, is_name};
use zeroize::Zeroizing;

/// A key that a file holds.
#[derive(Clone, Debug)]
pub enum Key {
    /// Speaks for every node of a fleet.
    Master(MasterKey),
    /// Speaks for this node alone.
    Node(Box<str>, NodeKey),
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKey {
    /// Not one line of the right words.
    #[error(
        "this is no key: one line such as `systole-master-key id=1 suite=siphash key=HEX` is; \
         `systole key new` makes one"
    )]
    Line,
    /// Not 1 to 255.
    #[error("its id isn't a number from 1 to 255")]
    Id,
    /// A suite that there isn't.
    #[error("its suite is neither siphash nor hmac")]
    Suite,
    /// Not a name.
    #[error("its node isn't 1 to 128 characters out of A-Z a-z 0-9 . _ : / @ -")]
    Node,
    /// A character that is no hexadecimal digit, or an odd number of them.
    #[error("its key isn't made of pairs of hexadecimal digits; was it copied whole?")]
    Hex,
    /// Too short or too long for its suite.
    #[error("its key has {digits} hexadecimal digits and {suite} takes {wanted}; was it copied whole?", wanted = suite.key_length() * 2)]
    Length {
        /// The suite.
        suite: Suite,
        /// How many there are.
        digits: usize,
    },
}

/// A key can't speak for a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is the key of {of} alone, and can't speak for {node}; derive one with `systole key derive`")]
pub struct NotSealer {
    /// Whose key it is.
    pub of: Box<str>,
    /// Who was to be spoken for.
    pub node: String,
}

impl Key {
    /// The key that seals what `node` says.
    ///
    /// # Errors
    /// It is the key of another node.
    pub fn sealer(&self, node: &str) -> Result<NodeKey, NotSealer> {
        match self {
            Self::Master(key) => Ok(key.node(NodeId::of(node))),
            Self::Node(of, key) if **of == *node => Ok(key.clone()),
            Self::Node(of, _) => Err(NotSealer { of: of.clone(), node: node.to_owned() }),
        }
    }
}

/// The line of a fleet's key.
pub fn master_line(id: KeyId, suite: Suite, secret: &[u8]) -> Zeroizing<String> {
    line(&format!("{MASTER} id={id} suite={suite}"), secret)
}

/// The line of the key of the node called `name`.
pub fn node_line(name: &str, key: &NodeKey) -> Zeroizing<String> {
    line(&format!("{NODE} id={} suite={} node={name}", key.id(), key.suite()), &key.secret())
}

/// Reads a line, with or without its end.
///
/// # Errors
/// It is no key.
pub fn parse(text: &str) -> Result<Key, NotKey> {
    let words: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split(' ').collect();
    match words[..] {
        [MASTER, id, suite, key] => {
            let (id, suite, secret) = parts(id, suite, key)?;
            MasterKey::new(id, suite, &secret).map(Key::Master).map_err(NotKey::from)
        }
        [NODE, id, suite, node, key] => {
            let (id, suite, secret) = parts(id, suite, key)?;
            let name = after(node, "node=")?;
            if !is_name(name.as_bytes()) {
                return Err(NotKey::Node);
            }
            let key = NodeKey::new(id, suite, NodeId::of(name), &secret)?;
            Ok(Key::Node(name.into(), key))
        }
        _ => Err(NotKey::Line),
    }
}

fn parts(id: &str, suite: &str, key: &str) -> Result<(KeyId, Suite, Zeroizing<Vec<u8>>), NotKey> {
    let (id, suite, digits) = (after(id, "id=")?, after(suite, "suite=")?, after(key, "key=")?);
    let id = id.parse().ok().and_then(KeyId::new).ok_or(NotKey::Id)?;
    let suite = Suite::ALL.into_iter().find(|known| known.name() == suite).ok_or(NotKey::Suite)?;
    Ok((id, suite, bytes(digits)?))
}

fn after<'t>(word: &'t str, key: &str) -> Result<&'t str, NotKey> {
    word.strip_prefix(key).ok_or(NotKey::Line)
}

fn line(words: &str, secret: &[u8]) -> Zeroizing<String> {
    // Long enough from the start: a text that grows leaves copies behind.
    let mut line = Zeroizing::new(String::with_capacity(words.len() + 2 * secret.len() + 8));
    line.push_str(words);
    line.push_str(" key=");
    secret.iter().for_each(|byte| write!(line, "{byte:02x}").expect("a String takes everything"));
    line.push('\n');
    line
}

fn bytes(digits: &str) -> Result<Zeroizing<Vec<u8>>, NotKey> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(NotKey::Hex);
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.as_bytes().chunks(2) {
        let [high, low] = pair else { return Err(NotKey::Hex) };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Ok(bytes)
}

impl From<WrongLength> for NotKey {
    fn from(wrong: WrongLength) -> Self {
        Self::Length { suite: wrong.suite, digits: wrong.bytes * 2 }
    }
}

const MASTER: &str = "systole-master-key";
const NODE: &str = "systole-node-key";

#[cfg(test)]
mod tests {
    use super::*;

    const ID: KeyId = KeyId::new(7).expect("not 0");

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        for suite in Suite::ALL {
            let secret: Vec<u8> = (0..suite.key_length() as u8).map(|byte| byte.wrapping_mul(37)).collect();
            let line = master_line(ID, suite, &secret);
            let Ok(Key::Master(master)) = parse(&line) else { panic!("{suite}") };
            assert_eq!((master.id(), master.suite()), (ID, suite));
            assert!(master.is_same_secret(&MasterKey::new(ID, suite, &secret).unwrap()));

            let key = master.node(NodeId::of("eu-1/rack_7:web@a.b"));
            let line = node_line("eu-1/rack_7:web@a.b", &key);
            let Ok(Key::Node(name, read)) = parse(line.trim_end()) else { panic!("{suite}") };
            assert_eq!(
                (&*name, read.id(), read.suite(), read.secret()),
                ("eu-1/rack_7:web@a.b", ID, suite, key.secret())
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let short = NotKey::Length { suite: Suite::SipHash, digits: 30 };
        for (text, reason) in [
            ("", NotKey::Line),
            ("\n", NotKey::Line),
            ("deadbeef", NotKey::Line),
            ("systole-master-key", NotKey::Line),
            ("systole-master-key id=1 suite=siphash", NotKey::Line),
            ("systole-master-key suite=siphash id=1 key=deadbeefdeadbeefdeadbeefdeadbeef", NotKey::Line),
            ("systole-master-key id=1 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbeef ", NotKey::Line),
            ("systole-master-key id=1 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbeef\n\n", NotKey::Hex),
            ("systole-master-key id=1 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbeef\nsystole", NotKey::Hex),
            ("systole-master-key id=0 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbeef", NotKey::Id),
            ("systole-master-key id=256 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbeef", NotKey::Id),
            ("systole-master-key id=1 suite=deadbeef key=deadbeefdeadbeefdeadbeefdeadbeef", NotKey::Suite),
            ("systole-master-key id=1 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbee", NotKey::Hex),
            ("systole-master-key id=1 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbexx", NotKey::Hex),
            ("systole-master-key id=1 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbe", short),
            ("systole-node-key id=1 suite=siphash key=deadbeefdeadbeefdeadbeefdeadbeef", NotKey::Line),
            ("systole-node-key id=1 suite=siphash node=a,b key=deadbeefdeadbeefdeadbeefdeadbeef", NotKey::Node),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error, reason, "{text}");
            assert!(!error.to_string().contains("deadbe"), "{error}");
        }
    }

    #[test]
    fn a_fleets_key_speaks_for_every_node_and_a_nodes_key_for_one() {
        let master = MasterKey::new(ID, Suite::SipHash, &[1; 16]).unwrap();
        let one = Key::Node("web-1".into(), master.node(NodeId::of("web-1")));
        let all = Key::Master(master);
        for (key, node, speaks) in
            [(&all, "web-1", true), (&all, "web-2", true), (&one, "web-1", true), (&one, "web-2", false)]
        {
            let sealer = key.sealer(node);
            assert_eq!(sealer.as_ref().map(NodeKey::node).ok(), speaks.then(|| NodeId::of(node)));
        }
        assert_eq!(all.sealer("web-1").unwrap().secret(), one.sealer("web-1").unwrap().secret());
    }

    #[test]
    fn the_keys_of_the_document_are_keys() {
        let document = include_str!("../../../docs/PROTOCOL.md");
        let lines = document.lines().filter(|line| line.starts_with("systole-"));
        let keys: Vec<Key> = lines.map(|line| parse(line).expect(line)).collect();
        for keys in keys.chunks(2) {
            let [Key::Master(master), Key::Node(name, key)] = keys else {
                panic!("a master key and a node's: {keys:?}")
            };
            assert_eq!(master.node(NodeId::of(name)).secret(), key.secret());
        }
        assert_eq!(keys.len(), 4, "both suites");
    }
}
