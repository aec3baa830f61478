//! Members: who belongs to the cluster, as the log says, at hand for every handshake and every call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use openraft::async_runtime::WatchReceiver as _;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Raft;
use super::peers::keys::PublicKey;
use super::types::{Member, NodeId, StoredMembership};

/// How long a member is looked for where it said that it is: it says so once a second for as long as the log says
/// something else, and may go back to where it was.
const HEARD_FOR: Duration = Duration::from_secs(10);

/// What is known of the membership.
#[derive(Debug, Default)]
struct Seen {
    members: HashMap<NodeId, Member>,
    ids: HashMap<PublicKey, NodeId>,
    voters: Vec<NodeId>,
}

/// The membership that is in force on this node.
pub struct Members {
    seen: ArcSwap<Seen>,
    /// See [`Members::hear`].
    heard: Mutex<HashMap<NodeId, (String, Instant)>>,
    /// Whether this node has not heard lately how far the log is: then it may not know who belongs here.
    is_lost: AtomicBool,
    changes: watch::Sender<()>,
    /// See [`Members::expect_anybody`].
    expects_anybody: AtomicBool,
    /// Held by whoever lets somebody in, or needs that nobody comes.
    pub changing: tokio::sync::Mutex<()>,
    /// How often in a row a change was seen half done.
    pub half_done: AtomicU32,
}

impl Members {
    /// Nobody is known yet.
    pub fn unknown() -> Self {
        Self {
            seen: ArcSwap::default(),
            heard: Mutex::default(),
            is_lost: AtomicBool::new(true),
            changes: watch::Sender::new(()),
            expects_anybody: AtomicBool::new(false),
            changing: tokio::sync::Mutex::default(),
            half_done: AtomicU32::new(0),
        }
    }

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
        self.heard.lock().retain(|id, (address, _)| members.get(id).is_some_and(|member| member.address != *address));
        self.seen.store(Arc::new(Seen { ids, voters: stored.voter_ids().collect(), members }));
        self.changes.send_replace(());
    }

    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// A member, as the log says.
    pub fn get(&self, id: NodeId) -> Option<Member> {
        self.seen.load().members.get(&id).cloned()
    }

    /// A member, where it answers now.
    pub fn reach(&self, id: NodeId) -> Option<Member> {
        let member = self.get(id)?;
        let heard = self.heard.lock().get(&id).filter(|(_, at)| at.elapsed() < HEARD_FOR).map(|(said, _)| said.clone());
        Some(Member { address: heard.unwrap_or_else(|| member.address.clone()), ..member })
    }

    /// A member says that it answers at `address` now. The log says so soon, unless that waits for this very member: it
    /// is spoken to there meanwhile, and proves by its key that it is the one.
    pub fn hear(&self, id: NodeId, address: &str) {
        if self.get(id).is_some_and(|member| member.address != address) {
            self.heard.lock().insert(id, (address.to_owned(), Instant::now()));
        }
    }

    /// Who holds this key.
    pub fn holder(&self, key: &PublicKey) -> Option<NodeId> {
        self.seen.load().ids.get(key).copied()
    }

    /// A node that joins follows whoever the authority vouches for, until it is in touch: its token led it there, and
    /// the log may not have said yet who belongs here.
    pub fn expect_anybody(&self) {
        self.expects_anybody.store(true, Ordering::Relaxed);
    }

    /// See [`Members::expect_anybody`].
    pub fn expects_anybody(&self) -> bool {
        self.expects_anybody.load(Ordering::Relaxed)
    }

    /// Whether node `own` is lost and the log has not said the key of any other member: the founder of a restored
    /// cluster tells its key when it first leads.
    pub fn has_nobody_to_ask(&self, own: NodeId) -> bool {
        let seen = self.seen.load();
        let mut others = seen.members.iter().filter(|(id, _)| **id != own).map(|(_, member)| member).peekable();
        self.is_lost() && others.peek().is_some() && others.all(|member| member.key.is_empty())
    }

    /// Whether this node has not heard lately how far the log is.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Says so.
    pub fn lose(&self, is_lost: bool) {
        self.is_lost.store(is_lost, Ordering::Relaxed);
    }

    /// Says that it has heard now.
    pub fn find(&self) {
        self.expects_anybody.store(false, Ordering::Relaxed);
    }

    /// Whether this node is a member.
    pub fn has(&self, id: NodeId) -> bool {
        self.seen.load().members.contains_key(&id)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.seen.load().members.len()
    }

    /// Everybody, in the order of their ids, and whether each votes.
    pub fn all(&self) -> Vec<(NodeId, Member, bool)> {
        let seen = self.seen.load();
        let mut all: Vec<_> =
            seen.members.iter().map(|(id, member)| (*id, member.clone(), seen.voters.contains(id))).collect();
        all.sort_by_key(|(id, ..)| *id);
        all
    }

    /// The voters.
    pub fn voters(&self) -> Vec<NodeId> {
        self.seen.load().voters.clone()
    }
}
