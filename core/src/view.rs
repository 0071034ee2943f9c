//! One node as it is shown: everything known of it, gathered from where it lies.

use crate::event::Evidence;
use crate::groups::Group;
use crate::name::Called;
use crate::payload::Payload;
use crate::{Instant, Liveness, NodeId, NodeIx};

/// What is believed of one node, and what that rests on.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    /// Its place, valid together with `generation`.
    pub ix: NodeIx,
    /// Which of the successive owners of that place it is.
    pub generation: u32,
    /// Its id on the wire.
    pub id: NodeId,
    /// How it is called.
    pub called: Called<'a>,
    /// The group it is in.
    pub group: &'a Group,
    /// What is believed of it.
    pub liveness: Liveness,
    /// Since when.
    pub since: Instant,
    /// When its next silence would mean something; nothing for who isn't waited for.
    pub due: Option<Instant>,
    /// The load it reported last: 0 is idle, 1 is full.
    pub load: Option<f32>,
    /// What else it told about itself.
    pub payload: Option<&'a Payload>,
    /// What the belief rests on.
    pub evidence: Evidence,
}
