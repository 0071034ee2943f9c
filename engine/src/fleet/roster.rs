//! Who the nodes are: a number each, a name made of it, and a group that goes by it.
//!
//! Names and ids aren't kept: ten million of them are made anew in the time that it takes to send them.

use std::fmt::Write;

/// The most nodes of one fleet.
pub const NODES_MAX: u32 = 10_000_000;

/// The nodes of a fleet: `node-0` to `node-9999`, dealt out to the groups like cards, so that those of a group beat at
/// different times of the interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    nodes: u32,
    prefix: String,
    groups: Vec<String>,
}

impl Roster {
    /// `nodes` nodes in `groups`, of which there is at least one.
    ///
    /// # Panics
    /// Without a node or a group.
    pub fn new(nodes: u32, prefix: impl Into<String>, groups: Vec<String>) -> Self {
        assert!(nodes > 0 && !groups.is_empty(), "a fleet has at least one node, and it is in a group");
        Self { nodes, prefix: prefix.into(), groups }
    }

    /// How many nodes there are.
    pub const fn len(&self) -> u32 {
        self.nodes
    }

    /// Never.
    pub const fn is_empty(&self) -> bool {
        self.nodes == 0
    }

    /// The names of the groups.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Writes a node's name into `name`, in place of what is there.
    pub fn write_name(&self, node: u32, name: &mut String) {
        name.clear();
        let _ = write!(name, "{}{node}", self.prefix);
    }

    /// A node's name.
    pub fn name(&self, node: u32) -> String {
        format!("{}{node}", self.prefix)
    }

    /// The node of this name; nothing if it isn't one of ours.
    pub fn find(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix(&self.prefix)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|node| plain && *node < self.nodes)
    }

    /// The index of a node's group.
    pub const fn group_of(&self, node: u32) -> usize {
        node as usize % self.groups.len()
    }

    /// The nodes of a group, in order.
    pub fn members(&self, group: usize) -> impl Iterator<Item = u32> + use<> {
        let first = u32::try_from(group).unwrap_or(u32::MAX);
        (first..self.nodes).step_by(self.groups.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_found_by_its_name_and_is_a_member_of_its_group() {
        let roster = Roster::new(10, "node-", vec!["a".into(), "b".into(), "c".into()]);
        let mut name = String::from("before");
        for node in 0..10 {
            roster.write_name(node, &mut name);
            assert_eq!((roster.find(&name), roster.name(node)), (Some(node), name.clone()));
            assert!(roster.members(roster.group_of(node)).any(|member| member == node));
        }
        assert_eq!((0..3).map(|group| roster.members(group).count()).collect::<Vec<_>>(), [4, 3, 3]);
        for stranger in ["node-10", "node-", "node-01", "node-+1", "web-1", "node-99999999999"] {
            assert_eq!(roster.find(stranger), None, "{stranger}");
        }
    }
}
