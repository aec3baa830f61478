//! Membership: how nodes come, vote, move and go. Done by whoever leads; every other node sends the wish there.
//!
//! A node that joins is a learner first, catches up, and becomes a voter by itself unless it wants to stay a reader.
//! One change at a time: openraft refuses a second one while the first is under way, and so does this.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Raft;
use super::members::Members;
use super::peers::keys::PublicKey;
use super::peers::link::{Failed, Link};
use super::peers::links::{Lane, Links};
use super::peers::routes;
use super::rotation;
use super::secrets::Secrets;
use super::types::{Member, NodeId, TypeConfig};
use crate::error::{Error, Result};
use crate::state::State;

/// How far behind the leader a learner may be when it becomes a voter, in log entries.
const CLOSE: u64 = 1_000;
/// How long a new leader may take to come.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);
/// A voter that was heard of no later than this may be handed the leadership: some heartbeats long.
const HEARD_WITHIN: Duration = Duration::from_millis(300);
/// For how many looks, a second apart, a change may be half done.
const HALF_DONE_MAX: u32 = 5;
/// How long a node that was removed may take to hear it, and how often it is told.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
const TELL_TIMES: usize = 5;

/// What is wanted of the membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// This node, which was given the secret of this authority, is to be a member, as a learner.
    Join { id: NodeId, member: Member, authority: PublicKey },
    /// This member answers elsewhere now, or with another key.
    Move { id: NodeId, member: Member },
    /// This learner is to vote.
    Promote { id: NodeId },
    /// This member is to be one no longer.
    Remove { id: NodeId },
    /// This voter is to lead.
    Transfer { id: NodeId },
}

/// The leader's hand on the membership.
pub struct Membership {
    pub raft: Raft,
    pub id: NodeId,
    pub members: Arc<Members>,
    pub links: Arc<Links>,
    pub state: Arc<State>,
    pub secrets: Arc<Secrets>,
}

impl Membership {
    /// Does what is wanted. Only on the leader.
    ///
    /// # Errors
    /// `Conflict` when it cannot be wanted now, `NotFound`, `NotDone` on a node that does not lead.
    pub async fn grant(&self, wish: Wish) -> Result<()> {
        match wish {
            Wish::Join { id, member, authority } => self.admit(id, member, &authority).await,
            Wish::Move { id, member } => self.moved(id, member).await,
            Wish::Promote { id } => self.promote(id).await,
            Wish::Remove { id } => self.remove(id).await,
            Wish::Transfer { id } => self.transfer(id).await,
        }
    }

    /// Makes a learner of a node that is new. It must know the secret that the cluster has, and goes on having.
    async fn admit(&self, id: NodeId, member: Member, authority: &PublicKey) -> Result<()> {
        if let Some(known) = self.members.get(id) {
            if known.key != member.key {
                return Err(Error::Conflict(format!("node {id} is a member, and has another key")));
            }
            // one that votes has a log, and says by itself where it is; one that never got one may have moved
            return if self.members.voters().contains(&id) { Ok(()) } else { self.moved(id, member).await };
        }
        let _still = self.members.changing.lock().await;
        if rotation::under_way(&self.state).is_some() {
            return Err(Error::NotDone("the cluster's secret is being rotated".into()));
        }
        if *authority != self.secrets.authority() {
            let why =
                "the cluster's secret was rotated meanwhile\nhint: start with an empty data directory and a new token";
            return Err(Error::Conflict(why.into()));
        }
        self.check_key(id, &member)?;
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, member)]))).await
    }

    /// One key is one node's.
    fn check_key(&self, id: NodeId, member: &Member) -> Result<()> {
        if PublicKey::try_from(member.key.as_slice()).is_err() {
            return Err(Error::Conflict("its key is no key of a node".into()));
        }
        let metrics = self.raft.metrics();
        let seen = metrics.borrow_watched();
        let holder = seen.membership_config.nodes().find(|(other, known)| **other != id && known.key == member.key);
        match holder {
            Some((other, _)) => Err(Error::Conflict(format!("its key is the one of node {other}"))),
            None => Ok(()),
        }
    }

    async fn moved(&self, id: NodeId, member: Member) -> Result<()> {
        self.check_key(id, &member)?;
        self.members.hear(id, &member.address);
        match self.members.get(id) {
            Some(known) if known == member => Ok(()),
            Some(_) => self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, member)]))).await,
            None => Err(Error::NotFound("node")),
        }
    }

    async fn promote(&self, id: NodeId) -> Result<()> {
        let member = self.members.get(id).ok_or(Error::NotFound("node"))?;
        if self.members.voters().contains(&id) {
            return Ok(());
        }
        if member.reader {
            let member = Member { reader: false, ..member };
            self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, member)]))).await?;
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id]))).await
    }

    async fn remove(&self, id: NodeId) -> Result<()> {
        if !self.members.has(id) {
            return Err(Error::NotFound("node"));
        }
        let voters = self.members.voters();
        if voters == [id] {
            return Err(Error::Conflict("the last voter cannot go\nhint: stop it, and the cluster is stopped".into()));
        }
        if id == self.id {
            return Err(Error::NotDone("the leader hands over before it goes".into()));
        }
        // it hears nothing any more once it is gone, so that somebody has to tell it
        let link = self.members.get(id).map(|member| self.links.to(id, &member, Lane::Quick));
        if voters.contains(&id) {
            self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await?;
        } else {
            self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await?;
        }
        tracing::info!(node = id, "a node was removed");
        if let Some(link) = link {
            tokio::spawn(tell_removed(link));
        }
        Ok(())
    }

    async fn transfer(&self, id: NodeId) -> Result<()> {
        if !self.members.voters().contains(&id) {
            return Err(Error::Conflict(format!(
                "node {id} does not vote\nhint: `sojourn cluster status` lists voters"
            )));
        }
        if id == self.id {
            return Ok(());
        }
        self.raft.trigger().transfer_leader(id).await.map_err(|e| Error::broken("leadership", e))?;
        let led = self.raft.wait(Some(HAND_OVER_WITHIN)).current_leader(id, "the new leader").await;
        led.map(|_| ()).map_err(|_| match self.raft.metrics().borrow_watched().current_leader {
            Some(other) if other != self.id => {
                Error::Conflict(format!("node {id} did not come to lead; node {other} leads now"))
            }
            _ => Error::NotDone(format!("node {id} did not come to lead")),
        })
    }

    /// Hands leadership to the voter that is nearest, if there is another that answers.
    ///
    /// # Errors
    /// `NotDone` when nobody took it.
    pub async fn hand_over(&self) -> Result<()> {
        let Some(nearest) = self.nearest() else { return Ok(()) };
        self.raft.trigger().transfer_leader(nearest).await.map_err(|e| Error::broken("leadership", e))?;
        // whoever took it: another one may have been quicker
        let wait = self.raft.wait(Some(HAND_OVER_WITHIN));
        let led = wait.metrics(|m| m.current_leader.is_some_and(|id| id != self.id), "another leader").await;
        led.map(|_| ()).map_err(|_| Error::NotDone("nobody came to lead".into()))
    }

    /// The voter that has most of the log, among those that were heard of a moment ago.
    pub(super) fn nearest(&self) -> Option<NodeId> {
        let metrics = self.raft.metrics();
        let seen = metrics.borrow_watched();
        let (matched, heard) = (seen.replication.as_ref()?, seen.heartbeat.as_ref()?);
        let is_there = |id: &NodeId| {
            let at = heard.get(id).and_then(Option::as_ref);
            at.is_some_and(|at| at.elapsed() < HEARD_WITHIN)
        };
        let voters = self.members.voters();
        let others = voters.into_iter().filter(|id| *id != self.id && is_there(id));
        others.max_by_key(|id| matched.get(id).and_then(|log_id| log_id.as_ref().map(|id| id.index)))
    }

    /// Makes voters of learners that have caught up and want to vote. Only the leader finds any.
    pub async fn promote_who_caught_up(&self) {
        self.finish_change().await;
        for id in self.caught_up() {
            match self.promote(id).await {
                Ok(()) => tracing::info!(node = id, "a node that has caught up votes now"),
                Err(e) => tracing::debug!(node = id, error = %e, "not a voter yet"),
            }
        }
    }

    /// Finishes a change that somebody began and did not live to finish: two majorities are asked until then.
    async fn finish_change(&self) {
        let is_joint = {
            let metrics = self.raft.metrics();
            let seen = metrics.borrow_watched();
            seen.membership_config.membership().get_joint_config().len() > 1
        };
        if !is_joint {
            self.members.half_done.store(0, Ordering::Relaxed);
            return;
        }
        // whoever began it is given a while
        if self.members.half_done.fetch_add(1, Ordering::Relaxed) < HALF_DONE_MAX {
            return;
        }
        match self.change(ChangeMembers::AddVoterIds(BTreeSet::new())).await {
            Ok(()) => tracing::info!("a change of the membership that was left half done is through"),
            Err(e) => tracing::debug!(error = %e, "a change of the membership is under way"),
        }
    }

    fn caught_up(&self) -> Vec<NodeId> {
        let metrics = self.raft.metrics();
        let seen = metrics.borrow_watched();
        let (Some(matched), Some(last)) = (seen.replication.as_ref(), seen.last_log_index) else { return Vec::new() };
        // a voter knows that it is a member: else it could not say that it has moved, and would be waited for in vain
        let known_since = seen.membership_config.log_id().as_ref().map_or(0, |id| id.index);
        let is_close = |id: NodeId| {
            let at = matched.get(&id).and_then(|log_id| log_id.as_ref().map(|id| id.index));
            at.is_some_and(|at| at + CLOSE > last && at >= known_since)
        };
        let learners = self.members.all().into_iter().filter(|(_, member, votes)| !votes && !member.reader);
        learners.map(|(id, ..)| id).filter(|id| is_close(*id)).collect()
    }

    async fn change(&self, change: ChangeMembers<NodeId, Member>) -> Result<()> {
        match self.raft.change_membership(change, false).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(Error::NotDone("no leader hears a majority".into()))
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)))) => {
                Err(Error::NotDone("another change of the membership is under way".into()))
            }
            Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(e))) => {
                Err(Error::Conflict(format!("{e}\nhint: try again when the change under way is through")))
            }
            Err(e) => Err(unknown(&e)),
        }
    }
}

/// Tells a node that was removed. One that does not answer finds out when it asks to be let in.
async fn tell_removed(link: Arc<Link>) {
    for _ in 0..TELL_TIMES {
        match timeout(TOLD_WITHIN, link.call::<_, ()>(routes::REMOVED, &())).await {
            Ok(Ok(()) | Err(Failed::Refused(_))) => return,
            _ => tokio::time::sleep(TOLD_WITHIN).await,
        }
    }
}

fn unknown(e: &RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Error {
    tracing::warn!(error = %e, "a change of the membership has an unknown fate");
    Error::FateUnknown
}
