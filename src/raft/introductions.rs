//! Introductions: how a node that lost touch learns whether an unknown that knocks belongs to its cluster.
//!
//! Whoever leads may have come while a node was away, so that its key is not known here; whoever was removed and still
//! holds the cluster's secret knocks in the same way. The authority's word is not enough to tell them apart. Members
//! that this node knows are asked, over connections that it opens itself to keys that it has pinned, and only what one
//! of them holds for a member is let in. A node that is in touch asks nobody: it knows all members.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::members::Members;
use super::peers::keys::PublicKey;
use super::peers::links::{Lane, Links, hex};
use super::peers::routes;
use super::types::{Member, NodeId};

/// How long a member may take to say whether it knows a key.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// How many members are asked about one key, and about how many keys at once.
const ASKED_MAX: usize = 8;
const KEYS_MAX: usize = 4;
/// How long an answer holds: one that lets somebody in, and one that does not.
const YES_HOLDS: Duration = Duration::from_secs(5);
const NO_HOLDS: Duration = Duration::from_secs(1);
/// Keys whose answers are remembered. Who has the secret can draw any number of them.
const REMEMBERED_MAX: usize = 64;
/// How often operators are told of it.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This member's.
    Of(NodeId),
    /// Somebody's whom the authority vouches for: this node cannot know more yet.
    OfAnybody,
}

/// What was said about a key, and when. Locked while it is asked for.
type Answer = Arc<tokio::sync::Mutex<Option<(Option<NodeId>, Instant)>>>;

/// The answers of late.
pub struct Introductions {
    id: NodeId,
    members: Arc<Members>,
    links: Arc<Links>,
    answers: Mutex<HashMap<PublicKey, Answer>>,
    room: Semaphore,
    told: Mutex<Option<Instant>>,
}

impl Introductions {
    /// Nobody was asked yet.
    pub fn new(id: NodeId, members: Arc<Members>, links: Arc<Links>) -> Arc<Self> {
        let (answers, told) = (Mutex::default(), Mutex::default());
        Arc::new(Self { id, members, links, answers, room: Semaphore::new(KEYS_MAX), told })
    }

    /// Whose key this is, which the authority vouches for. `None`: of nobody who is to be spoken to.
    pub async fn whose(&self, key: &PublicKey) -> Option<Whose> {
        if let Some(id) = self.members.holder(key) {
            return Some(Whose::Of(id));
        }
        if self.members.expects_anybody() || self.members.has_nobody_to_ask(self.id) {
            return Some(Whose::OfAnybody);
        }
        if !self.members.is_lost() {
            return None;
        }
        let answer = self.answer(key)?;
        // whoever comes meanwhile waits for the same answer
        let mut answer = answer.lock().await;
        let holds = |(id, at): &(Option<NodeId>, Instant)| at.elapsed() < holds_for(*id);
        if let Some((id, _)) = answer.as_ref().filter(|answer| holds(answer)) {
            return id.map(Whose::Of);
        }
        let _room = self.room.try_acquire().ok()?;
        let id = self.ask(key).await;
        *answer = Some((id, Instant::now()));
        match id {
            Some(node) => tracing::info!(node, "a member that came meanwhile was introduced"),
            None => self.tell(key),
        }
        id.map(Whose::Of)
    }

    /// Where the answer about a key lies; `None` when there are too many.
    fn answer(&self, key: &PublicKey) -> Option<Answer> {
        let mut answers = self.answers.lock();
        if !answers.contains_key(key) && answers.len() >= REMEMBERED_MAX {
            let is_held = |answer: &Answer| {
                let Ok(said) = answer.try_lock() else { return true };
                said.is_some_and(|(id, at)| at.elapsed() < holds_for(id))
            };
            answers.retain(|_, answer| is_held(answer));
        }
        if !answers.contains_key(key) && answers.len() >= REMEMBERED_MAX {
            return None;
        }
        Some(answers.entry(*key).or_default().clone())
    }

    /// Who holds the key, as the first member says that knows.
    async fn ask(&self, key: &PublicKey) -> Option<NodeId> {
        let others = self.members.all().into_iter().filter(|(id, member, _)| *id != self.id && is_pinned(member));
        let mut asked: FuturesUnordered<_> =
            others.take(ASKED_MAX).map(|(id, member, _)| self.tell_of(id, member, key)).collect();
        while let Some(told) = asked.next().await {
            if told.is_some() {
                return told;
            }
        }
        None
    }

    async fn tell_of(&self, id: NodeId, member: Member, key: &PublicKey) -> Option<NodeId> {
        let link = self.links.to(id, &member, Lane::Quick);
        timeout(TOLD_WITHIN, link.call::<_, Option<NodeId>>(routes::KNOWS, key)).await.ok()?.ok()?
    }

    fn tell(&self, key: &PublicKey) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(
                key = hex(&key[..8]),
                "a node that no member known here answers for is not let in; hint: when all members known here are \
                 gone, start with an empty data directory and a new token; when one was removed, see `sojourn cluster \
                 rotate-secret`"
            );
        }
    }
}

fn holds_for(said: Option<NodeId>) -> Duration {
    if said.is_some() { YES_HOLDS } else { NO_HOLDS }
}

fn is_pinned(member: &Member) -> bool {
    !member.key.is_empty()
}
