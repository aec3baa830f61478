//! Members: who belongs to the cluster, as the log says, at hand for every handshake and every call.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use openraft::async_runtime::WatchReceiver as _;

use super::Raft;
use super::peers::keys::PublicKey;
use super::types::{Member, NodeId, StoredMembership};

/// What is known of the membership.
#[derive(Debug, Default)]
struct Seen {
    members: HashMap<NodeId, Member>,
    ids: HashMap<PublicKey, NodeId>,
    voters: Vec<NodeId>,
}

/// The membership that is in force on this node.
#[derive(Default)]
pub struct Members(ArcSwap<Seen>);

impl Members {
    /// Follows what the log of `raft` says, as long as there is one.
    pub fn follow(self: &Arc<Self>, raft: &Raft) {
        let mut metrics = raft.metrics();
        let seen = self.clone();
        tokio::spawn(async move {
            let mut last = None;
            while metrics.changed().await.is_ok() {
                let now = metrics.borrow_watched().membership_config.clone();
                if last.as_ref() != Some(&now) {
                    seen.see(&now);
                    last = Some(now);
                }
            }
        });
    }

    /// Takes over what the log says.
    pub fn see(&self, stored: &StoredMembership) {
        let members: HashMap<NodeId, Member> = stored.nodes().map(|(id, member)| (*id, member.clone())).collect();
        let key = |(id, member): (&NodeId, &Member)| member.key.as_slice().try_into().ok().map(|key| (key, *id));
        let ids = members.iter().filter_map(key).collect();
        self.0.store(Arc::new(Seen { ids, voters: stored.voter_ids().collect(), members }));
    }

    /// A member.
    pub fn get(&self, id: NodeId) -> Option<Member> {
        self.0.load().members.get(&id).cloned()
    }

    /// Who holds this key.
    pub fn holder(&self, key: &PublicKey) -> Option<NodeId> {
        self.0.load().ids.get(key).copied()
    }

    /// Whether the log has not said yet who belongs here: a node that has just joined takes whoever the authority
    /// vouches for.
    pub fn is_unknown(&self) -> bool {
        self.0.load().members.is_empty()
    }

    /// Whether this node is a member.
    pub fn has(&self, id: NodeId) -> bool {
        self.0.load().members.contains_key(&id)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load().members.len()
    }

    /// Everybody, in the order of their ids, and whether each votes.
    pub fn all(&self) -> Vec<(NodeId, Member, bool)> {
        let seen = self.0.load();
        let mut all: Vec<_> =
            seen.members.iter().map(|(id, member)| (*id, member.clone(), seen.voters.contains(id))).collect();
        all.sort_by_key(|(id, ..)| *id);
        all
    }

    /// The voters.
    pub fn voters(&self) -> Vec<NodeId> {
        self.0.load().voters.clone()
    }
}
