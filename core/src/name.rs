//! Names of nodes, kept small: most are short, and there are millions.
//!
//! Up to 22 bytes stay inside these 24; a longer one has a place of its own. A node whose name
//! hasn't travelled yet is known by its id alone and shown as `#` and 32 hexadecimal digits,
//! which no name can be.

use alloc::boxed::Box;
use core::fmt;

use crate::NodeId;

const INLINE: usize = 22;

const _: () = assert!(size_of::<Name>() == 24, "a name takes 24 bytes of each node");

/// A node's name in the table, or the lack of one.
#[derive(Clone, Debug)]
pub(crate) enum Name {
    Unknown,
    Short(u8, [u8; INLINE]),
    Long(Box<str>),
}

/// How a node is called: by its name, or by its id until the name has travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called<'a> {
    /// Its name.
    Name(&'a str),
    /// No name came yet.
    Id(NodeId),
}

impl Name {
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                Self::Short(text.len() as u8, bytes)
            }
            None => Self::Long(text.into()),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Unknown => None,
            Self::Short(len, bytes) => core::str::from_utf8(&bytes[..usize::from(*len)]).ok(),
            Self::Long(text) => Some(text),
        }
    }

    pub(crate) fn called(&self, id: NodeId) -> Called<'_> {
        self.text().map_or(Called::Id(id), Called::Name)
    }
}

impl<'a> Called<'a> {
    /// The id meant by `text`: the hash of a name, or the id itself behind a `#`.
    /// Nothing if it can be neither.
    pub fn id_of(text: &str) -> Option<NodeId> {
        let Some(digits) = text.strip_prefix('#') else {
            return crate::is_name(text.as_bytes()).then(|| NodeId::of(text));
        };
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(digits, 16).ok().map(|id| NodeId::from_bytes(id.to_be_bytes()))
    }

    /// The name, if one is known.
    pub const fn name(self) -> Option<&'a str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Id(_) => None,
        }
    }
}

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "#{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_name_comes_back_whatever_its_length() {
        for len in [1, 21, 22, 23, 128] {
            let text = "x".repeat(len);
            assert_eq!(Name::new(&text).text(), Some(&*text));
        }
    }

    #[test]
    fn a_node_without_a_name_is_found_by_what_is_shown() {
        let id = NodeId::of("web-1");
        let shown = Name::Unknown.called(id).to_string();
        assert_eq!(Called::id_of(&shown), Some(id));
        assert_eq!(Called::id_of("web-1"), Some(id));
        for neither in ["#12", "", "a b", "#+f00000000000000000000000000000f"] {
            assert_eq!(Called::id_of(neither), None);
        }
    }
}
