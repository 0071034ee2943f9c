//! Who may ask over HTTP: a name, a scope, and 256 random bits of which only the hash is kept.
//!
//! ```text
//!   systole_5f0c...9e   told once to whoever will ask        64 hexadecimal digits behind the word
//!   grafana read    sha256:9f86d081884c7d65...               a line of the monitor's file for each
//!   oncall  operate sha256:60303ae22b998861...
//! ```
//!
//! A hash that is meant to be slow is for what people choose; nobody guesses 256 random bits, so one
//! SHA-256 is enough. A token is held against every line whichever fits, in constant time, so how
//! long a refusal takes says nothing about the file.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use systole_core::is_name;

use crate::guarded;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Scope {
    /// See what there is.
    Read,
    /// That, and change it.
    Operate,
}

/// A token as its owner shows it. Never written anywhere but where its maker is told of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// One line of a file of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub name: Box<str>,
    /// What it is for.
    pub scope: Scope,
    hash: [u8; HASH],
}

/// The tokens that are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Entry>);

const HASH: usize = 32;

/// What a token begins with, so that whoever finds one in the wrong place knows what it is.
const WORD: &str = "systole_";

/// What a hash begins with in a file.
const KIND: &str = "sha256:";

impl Scope {
    /// What files and messages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> anyhow::Result<Self> {
        let mut bytes = [0; HASH];
        getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers to be had from the system: {error}"))?;
        Ok(Self(format!("{WORD}{}", hex(&bytes))))
    }

    /// The first line of a file in which nothing else stands.
    ///
    /// # Errors
    /// The file can't be read, or holds no token.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("can't read token file {}", path.display()))?;
        text.trim().parse().with_context(|| format!("token file {}", path.display()))
    }

    /// The text, to be shown to whoever asks for it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The line that makes a monitor accept it.
    pub fn entry(&self, name: &str, scope: Scope) -> Entry {
        Entry { name: name.into(), scope, hash: hash(&self.0) }
    }
}

/// Any text without blanks, as what isn't a token will be refused anyway. It isn't repeated: it may nearly be one.
impl FromStr for Token {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("that is no token; `systole token new NAME --scope read` makes one, and it stands alone on one line");
        }
        Ok(Self(text.to_owned()))
    }
}

/// Secrets aren't shown by accident.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Tokens {
    /// The tokens in the file at `path`.
    ///
    /// # Errors
    /// The file can't be read, is open to others than its owner and group, or has faults: all of them, each with its
    /// line.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = guarded::read(path).context("tokens")?;
        let text = std::str::from_utf8(&text).with_context(|| format!("tokens: {} is no text", path.display()))?;
        Self::read(text).map_err(|faults| {
            let lines: Vec<String> =
                faults.iter().map(|(line, why)| format!("{}:{line}: {why}", path.display())).collect();
            anyhow!("{}", lines.join("\n"))
        })
    }

    /// The tokens in a text, or everything that is wrong with it by line.
    fn read(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let (mut entries, mut faults) = (Vec::<Entry>::new(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.parse::<Entry>() {
                Ok(entry) if entries.iter().any(|other| other.name == entry.name) => {
                    faults.push((
                        number,
                        format!("the name {:?} stands on an earlier line; give each token its own", entry.name),
                    ));
                }
                Ok(entry) if entries.iter().any(|other| other.hash == entry.hash) => {
                    faults.push((
                        number,
                        format!("the token of {:?} stands on an earlier line; make another", entry.name),
                    ));
                }
                Ok(entry) => entries.push(entry),
                Err(why) => faults.push((number, why.0)),
            }
        }
        if faults.is_empty() { Ok(Self(entries)) } else { Err(faults) }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: then nobody is let in.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token it is that was `shown`, and what it is for. Takes as long whether there is one or not.
    pub fn find(&self, shown: &str) -> Option<&Entry> {
        let shown = hash(shown);
        let mut found = usize::MAX as u64;
        for (index, entry) in (0u64..).zip(&self.0) {
            let same: Choice = entry.hash.ct_eq(&shown);
            found.conditional_assign(&index, same);
        }
        usize::try_from(found).ok().and_then(|index| self.0.get(index))
    }
}

/// Why a line is no entry, and what one looks like.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotEntry(String);

impl FromStr for Entry {
    type Err = NotEntry;

    fn from_str(line: &str) -> Result<Self, NotEntry> {
        let wrong = |why: String| {
            NotEntry(format!(
                "{why}; a line is NAME, read or operate, and {KIND} with 64 digits, as `systole token new` prints it"
            ))
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, scope, digits] = words[..] else {
            // What stands there may be a token by mistake, so it isn't repeated.
            return Err(wrong(format!("this line has {} words", words.len())));
        };
        if !is_name(name.as_bytes()) {
            return Err(wrong("the name must be 1 to 128 bytes of A-Z a-z 0-9 . _ : / @ -".to_owned()));
        }
        let scope = match scope {
            "read" => Scope::Read,
            "operate" => Scope::Operate,
            _ => return Err(wrong(format!("the scope of {name:?} is neither read nor operate"))),
        };
        let hash = digits.strip_prefix(KIND).and_then(unhex);
        let hash = hash.ok_or_else(|| wrong(format!("the hash of {name:?} can't be read")))?;
        Ok(Self { name: name.into(), scope, hash })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {KIND}{}", self.name, self.scope.name(), hex(&self.hash))
    }
}

fn hash(text: &str) -> [u8; HASH] {
    Sha256::digest(text.as_bytes()).into()
}

fn hex(bytes: &[u8; HASH]) -> String {
    bytes.iter().fold(String::with_capacity(2 * HASH), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(digits: &str) -> Option<[u8; HASH]> {
    if digits.len() != 2 * HASH || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; HASH];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_lets_its_token_in_and_no_other() {
        let (a, b) = (Token::random().unwrap(), Token::random().unwrap());
        assert_ne!(a, b);
        assert_eq!((a.text().len(), &a.text()[..8]), (72, "systole_"));
        let text =
            format!("# made today\n\n{}\n  {}\n", a.entry("grafana", Scope::Read), b.entry("oncall", Scope::Operate));
        let tokens = Tokens::read(&text).unwrap();
        assert_eq!(tokens.find(a.text()).map(|entry| (&*entry.name, entry.scope)), Some(("grafana", Scope::Read)));
        assert_eq!(tokens.find(b.text()).map(|entry| (&*entry.name, entry.scope)), Some(("oncall", Scope::Operate)));
        for other in ["", "systole_", &a.text()[1..], &format!("{} ", a.text()), &hex(&hash(a.text()))] {
            assert_eq!(tokens.find(other), None, "{other}");
        }
        assert_eq!(Tokens::default().find(a.text()), None);
    }

    #[test]
    fn a_hash_is_the_sha256_of_the_token() {
        let entry = Token("abc".into()).entry("a", Scope::Read);
        let expected = "a read sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(entry.to_string(), expected, "FIPS 180-2, appendix B.1");
        assert_eq!(expected.parse(), Ok(entry));
    }

    #[test]
    fn every_fault_of_a_file_is_told_with_its_line_and_no_token_is_repeated() {
        let token = Token::random().unwrap();
        let good = token.entry("a", Scope::Read);
        let again = token.entry("b", Scope::Read);
        let lines = [
            good.to_string(),
            good.to_string(),
            again.to_string(),
            token.text().to_owned(),
            format!("c write {}", good.to_string().split(' ').next_back().unwrap()),
            format!("d read {}", token.text()),
            format!("e! read {KIND}00"),
        ];
        let faults = Tokens::read(&lines.join("\n")).unwrap_err();
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert!(faults.iter().all(|(_, why)| !why.contains(token.text())), "{faults:?}");
        assert!(faults[3].1.contains("neither read nor operate"), "{faults:?}");
    }
}
