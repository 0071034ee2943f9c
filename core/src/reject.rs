//! Why a message was refused. Bad input is ordinary on the wire: it is counted by reason, never
//! logged one by one, and nothing that was believed before changes because of it.

use core::fmt;

/// The reason for which a message was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reject {
    /// Neither form: no magic byte and no `hb` or `bye`, or a structure that doesn't add up.
    Malformed,
    /// Cut short: a length points beyond the datagram, or the datagram beyond the receive buffer.
    Truncated,
    /// The binary form in a version that this monitor doesn't speak.
    UnknownVersion,
    /// A whole message of a kind that this monitor doesn't know; skipped.
    UnknownKind,
    /// A node's or group's name that is empty, too long, or has a byte outside the alphabet.
    BadName,
    /// A name that doesn't hash to the id it travels with.
    NameMismatch,
    /// A field that is known but whose value doesn't parse or is out of its range.
    BadValue,
    /// An incarnation older than the one that is known: a restarted node's former life.
    StaleIncarnation,
    /// A heartbeat that isn't newer than the last one: duplicated, reordered or replayed.
    NotNewer,
    /// A first heartbeat when the table already holds its maximum of nodes.
    TableFull,
    /// A first heartbeat from a network that brings more of them than it may.
    RateLimited,
    /// A goodbye of a node that never beat.
    UnknownNode,
    /// No tag, where messages must have one; text never has.
    Unsigned,
    /// A tag made with a key that isn't in the ring.
    UnknownKey,
    /// A tag that isn't the one which this node's key makes over these bytes.
    BadTag,
}

impl Reject {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::Truncated,
        Self::UnknownVersion,
        Self::UnknownKind,
        Self::BadName,
        Self::NameMismatch,
        Self::BadValue,
        Self::StaleIncarnation,
        Self::NotNewer,
        Self::TableFull,
        Self::RateLimited,
        Self::UnknownNode,
        Self::Unsigned,
        Self::UnknownKey,
        Self::BadTag,
    ];

    /// The name under which it is counted everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
            Self::UnknownVersion => "unknown_version",
            Self::UnknownKind => "unknown_kind",
            Self::BadName => "bad_name",
            Self::NameMismatch => "name_mismatch",
            Self::BadValue => "bad_value",
            Self::StaleIncarnation => "stale_incarnation",
            Self::NotNewer => "not_newer",
            Self::TableFull => "table_full",
            Self::RateLimited => "rate_limited",
            Self::UnknownNode => "unknown_node",
            Self::Unsigned => "unsigned",
            Self::UnknownKey => "unknown_key",
            Self::BadTag => "bad_tag",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Reject::ALL.len() {
        assert!(Reject::ALL[i] as usize == i, "ALL lists the reasons in the order of their numbers");
        i += 1;
    }
};

/// What was refused.
impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "neither the text form nor the binary form of a message",
            Self::Truncated => "a message that is cut short",
            Self::UnknownVersion => "a message in an unknown version of the binary form",
            Self::UnknownKind => "a message of an unknown kind",
            Self::BadName => "a name that isn't 1 to 128 bytes of A-Z a-z 0-9 . _ : / @ -",
            Self::NameMismatch => "a name that isn't the one of its node id",
            Self::BadValue => "a value that is out of its range",
            Self::StaleIncarnation => "a message of a node's former life",
            Self::NotNewer => "a message that isn't newer than the last one",
            Self::TableFull => "a new node where there is no place for one more",
            Self::RateLimited => "a new node of a network that brings too many at once",
            Self::UnknownNode => "a goodbye of a node that never beat",
            Self::Unsigned => "a message without a tag where one is needed",
            Self::UnknownKey => "a message whose tag was made with a key that isn't known",
            Self::BadTag => "a message whose tag doesn't fit its node and its bytes",
        })
    }
}

impl core::error::Error for Reject {}
