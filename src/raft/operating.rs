//! Operating: what operators ask of the cluster, on whichever node they are.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::timeout;

use super::desk::status_of;
use super::membership::Wish;
use super::opening::move_wish;
use super::peers::link::Failed;
use super::peers::links::Lane;
use super::peers::messages::Status;
use super::peers::routes;
use super::peers::token::{Token, pass};
use super::rotation;
use super::types::{Member, NodeId};
use super::{RaftLog, blocking};
use crate::error::{Error, Result};
use crate::log::Log as _;
use crate::state::{Key, Op, Outcome};

/// How long another node may take to say how it is.
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// How long the leader may take over a change of the membership.
const CHANGED_WITHIN: Duration = Duration::from_secs(30);

/// How long a wish is said again while nobody does anything about it, and how often.
const GRANTED_WITHIN: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long this node may take to hear of a new leader.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(5);

/// A member, as seen from here.
#[derive(Debug, Clone)]
pub struct Seen {
    pub id: NodeId,
    /// Where its peer port answers.
    pub address: String,
    pub votes: bool,
    /// What it says of itself; `None` when it does not answer.
    pub status: Option<Status>,
    /// How long that took.
    pub took: Duration,
}

impl RaftLog {
    /// Everybody, each asked now.
    pub async fn cluster(&self) -> Vec<Seen> {
        let asked = self.members.all().into_iter().map(|(id, member, votes)| async move {
            let begun = Instant::now();
            let status =
                if id == self.node_id() { Some(status_of(&self.raft)) } else { self.status_of(id, &member).await };
            Seen { id, address: member.address, votes, status, took: begun.elapsed() }
        });
        join_all(asked).await
    }

    /// A token that lets `uses` nodes join within `ttl`.
    ///
    /// # Errors
    /// `Conflict` when this node has no peer port, or while the cluster's secret is rotated; what writing says.
    pub async fn invite(&self, uses: u32, ttl: Duration) -> Result<Token> {
        if self.own.address.is_empty() {
            return Err(Error::Conflict("this node listens to no peers\nhint: set cluster.listen".into()));
        }
        if rotation::under_way(&self.state).is_some() {
            let why =
                "the cluster's secret is being rotated\nhint: `sojourn cluster status` says which node that waits for";
            return Err(Error::Conflict(why.into()));
        }
        let authority = self.secrets.authority();
        let token = Token::draw(self.own.address.clone(), authority);
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        match self.submit(Op::Allow { key: Key::join(&pass(&authority, &token.key().public())), uses, ttl_ms }).await? {
            Outcome::Done => Ok(token),
            other => Err(Error::Broken(format!("a token was answered {other:?}"))),
        }
    }

    /// How far this node has applied the log, and how far whoever leads has.
    pub async fn progress(&self) -> (u64, Option<u64>) {
        let leader = self.raft.metrics().borrow_watched().current_leader;
        let theirs = match leader.and_then(|id| Some((id, self.members.get(id)?))) {
            Some((id, member)) => self.status_of(id, &member).await,
            None => None,
        };
        (self.applied_index(), theirs.map(|status| status.applied))
    }

    async fn status_of(&self, id: NodeId, member: &Member) -> Option<Status> {
        let link = self.links.to(id, member, Lane::Quick);
        timeout(STATUS_WITHIN, link.call(routes::STATUS, &())).await.ok()?.ok()
    }

    /// Has this node removed from its cluster, by itself.
    ///
    /// # Errors
    /// As [`RaftLog::grant`]. Then it is a member still, unless the error is `FateUnknown`.
    pub async fn leave(&self) -> Result<()> {
        self.farewells.leaving(true);
        match self.grant(Wish::Remove { id: self.node_id() }).await {
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(e) => {
                self.farewells.leaving(matches!(e, Error::FateUnknown));
                return Err(e);
            }
        }
        let farewells = self.farewells.clone();
        blocking(move || {
            farewells.say();
            Ok(())
        })
        .await
    }

    /// Tells the cluster when this node answers elsewhere than the membership says, or with another key.
    pub(super) async fn move_if_need_be(&self) -> Result<()> {
        let known = self.members.get(self.node_id());
        let Some(wish) = move_wish(self.node_id(), &self.own, known.as_ref()) else { return Ok(()) };
        let leader = match self.leader() {
            Ok(leader) => leader,
            // nobody speaks to a node at the place where it was: it has to ask
            Err(e) => self.cluster().await.into_iter().find_map(|seen| seen.status?.leader).ok_or(e)?,
        };
        self.ask_leader(leader, wish).await?;
        tracing::info!(address = self.own.address, "other nodes know where this one is");
        Ok(())
    }

    /// Has a wish for the membership granted by whoever leads. A leader that is to go hands over first.
    ///
    /// # Errors
    /// `Conflict` and `NotFound` as the leader says; `NotDone` without one.
    pub async fn grant(&self, wish: Wish) -> Result<()> {
        let begun = Instant::now();
        loop {
            match self.try_grant(wish.clone()).await {
                // whoever is to lead may not know it yet, and every wish can be said twice
                Err(Error::NotDone(_)) if begun.elapsed() < GRANTED_WITHIN => tokio::time::sleep(ASK_AGAIN).await,
                granted => return granted,
            }
        }
    }

    async fn try_grant(&self, wish: Wish) -> Result<()> {
        let leads = |leader| matches!(&wish, Wish::Remove { id } if *id == leader);
        let mut leader = self.leader()?;
        if leads(leader) && self.members.voters().len() > 1 {
            self.ask_leader(leader, Wish::Transfer { id: self.another_voter(leader)? }).await?;
            leader = self.leader_after(leader).await?;
        }
        self.ask_leader(leader, wish).await
    }

    async fn ask_leader(&self, leader: NodeId, wish: Wish) -> Result<()> {
        if leader == self.node_id() {
            return self.membership.grant(wish).await;
        }
        let member = self.members.get(leader).ok_or_else(|| Error::NotDone("the leader is no member".into()))?;
        let link = self.links.to(leader, &member, Lane::Log);
        match timeout(CHANGED_WITHIN, link.call::<_, ()>(routes::WISH, &wish)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failed::Refused(why))) => Err(Error::Conflict(why)),
            Ok(Err(Failed::Unsent(why) | Failed::NotNow(why))) => Err(Error::NotDone(why)),
            Ok(Err(Failed::Lost(_))) | Err(_) => Err(Error::FateUnknown),
        }
    }

    fn leader(&self) -> Result<NodeId> {
        let leader = self.raft.metrics().borrow_watched().current_leader;
        leader.ok_or_else(|| Error::NotDone("no leader is known at the moment".into()))
    }

    /// Whoever leads once `old` does not.
    async fn leader_after(&self, old: NodeId) -> Result<NodeId> {
        let wait = self.raft.wait(Some(HANDED_OVER_WITHIN));
        let led = wait.metrics(|m| m.current_leader.is_some_and(|id| id != old), "another leader").await;
        led.map_err(|_| Error::NotDone("leadership was not handed over".into())).and_then(|_| self.leader())
    }

    fn another_voter(&self, leader: NodeId) -> Result<NodeId> {
        let (there, down): (Vec<_>, Vec<_>) =
            self.members.voters().into_iter().filter(|id| *id != leader).partition(|id| !self.links.is_down(*id));
        let another = there.into_iter().chain(down).next();
        another.ok_or_else(|| Error::Conflict("there is no other voter".into()))
    }
}
