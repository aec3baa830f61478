//! Types: what this cluster's log is made of, in openraft's words.
//!
//! The log carries [`Record`]s; applying one answers with [`Applied`]. Leader ids are terms alone (one leader a term,
//! as in the Raft paper); this and every type that is stored must not change without raising `codec::FORMAT`, because
//! the bytes of rows depend on them. Aliases spare the rest of the room from openraft's generics.

use std::fmt;

use openraft::impls::leader_id_std;
use serde::{Deserialize, Serialize};

use crate::state::{Record, UserOutcome};

/// Names a node for ever; drawn when its data directory is made, never used again for another.
pub type NodeId = u64;

openraft::declare_raft_types!(
    /// The types that openraft is parametrised with.
    pub TypeConfig:
        D = Record,
        R = Applied,
        NodeId = NodeId,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

/// What the membership knows about a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where its peer port answers: `host:port`; empty for a node that is alone.
    pub address: String,
    /// The public key that its certificate must carry.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// Whether it never votes: it holds everything and answers, and no majority waits for it.
    pub reader: bool,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// What came of one log entry when it was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The entry's log index.
    pub index: u64,
    /// What SQLite said about each Change of the record, in order; `None` for a Change without users. Empty for
    /// entries that carry no record.
    pub users: Vec<Option<UserOutcome>>,
}

/// Values are secrets: only the size of a record is ever printed.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} changes at {}", self.changes.len(), self.stamp)
    }
}

/// A node's handle on the log, over the machine `M` that applies it.
pub type Raft<M> = openraft::Raft<TypeConfig, M>;
/// One entry of the log.
pub type Entry = openraft::alias::EntryOf<TypeConfig>;
/// What an entry carries.
pub type Payload = openraft::alias::PayloadOf<TypeConfig>;
/// Term and index of an entry.
pub type LogId = openraft::alias::LogIdOf<TypeConfig>;
/// The term of a leader that a majority elected.
pub type CommittedLeaderId = openraft::alias::CommittedLeaderIdOf<TypeConfig>;
/// Whom this node voted for, in which term, and whether a majority did.
pub type Vote = openraft::alias::VoteOf<TypeConfig>;
/// A membership with the entry that set it.
pub type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
/// A membership: voters and learners.
pub type Membership = openraft::Membership<NodeId, Member>;
/// What a snapshot holds up to where.
pub type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot whose contents are `D`.
pub type Snapshot<D> = openraft::alias::SnapshotOf<TypeConfig, D>;
/// What a caller of `Raft::write` hears.
pub type WriteResult = openraft::raft::ClientWriteResult<TypeConfig>;
/// The callback of an append.
pub type Flushed = openraft::storage::IOFlushed<TypeConfig>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Change, Effect, Entry as Value, Key};

    #[test]
    fn a_printed_record_shows_no_key_and_no_value() {
        let effect = Effect::Put(Key::new("sess:secret"), Value::plain(b"hidden", 9, 7));
        let record = Record { stamp: 7, changes: vec![Change { effects: vec![effect], user: None }] };
        assert_eq!(record.to_string(), "1 changes at 7");
    }
}
