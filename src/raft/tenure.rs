//! Tenure: in which term this node may decide.
//!
//! One that it leads and whose first entry it has applied: its state then holds everything that was acknowledged
//! before. A leader that nobody's log time reached since the process began asks the others for their wall clocks first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Raft;
use super::decider;
use super::logtime::LogTime;
use super::members::Members;
use super::peers::links::{Lane, Links};
use super::peers::routes;
use super::types::NodeId;
use crate::clock::Millis;
use crate::planted::{self, Bug};
use crate::state::State;

/// How long the others may take to tell what their clocks say.
const CLOCK_WITHIN: Duration = Duration::from_millis(500);

/// What it takes to begin a tenure.
pub struct Watch {
    pub raft: Raft,
    pub id: NodeId,
    pub members: Arc<Members>,
    pub links: Arc<Links>,
    pub time: Arc<LogTime>,
    pub state: Arc<State>,
    /// Whether this node is to decide no more, though it leads.
    pub is_over: watch::Receiver<bool>,
}

impl Watch {
    /// Tells the term, as long as there is a log and somebody listens. `None` any more when the log has ended.
    pub async fn run(mut self, tenure: watch::Sender<Option<u64>>) {
        let mut metrics = self.raft.metrics();
        loop {
            let (term, leads) = {
                let seen = metrics.borrow_watched();
                (seen.current_term, seen.current_leader == Some(seen.id))
            };
            if !leads || *self.is_over.borrow_and_update() {
                tenure.send_if_modified(|held| held.take().is_some());
            } else if *tenure.borrow() != Some(term) && self.has_applied_own_term(term).await {
                self.set_time().await;
                if self.members.count() > 1 {
                    tracing::info!(term, "this node leads");
                }
                tenure.send_replace(Some(term));
            }
            let goes_on = tokio::select! {
                changed = metrics.changed() => changed.is_ok(),
                over = self.is_over.changed() => over.is_ok(),
            };
            if !goes_on || tenure.is_closed() {
                tenure.send_replace(None);
                return;
            }
        }
    }

    async fn has_applied_own_term(&self, term: u64) -> bool {
        if planted::has(Bug::EarlyTenure) {
            return true;
        }
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) if decider::leads(&linearizer, term) => linearizer.await_ready(&self.raft).await.is_ok(),
            _ => false,
        }
    }

    /// Goes on from the last stamp; when nobody has told log time since this process began, from what the voters'
    /// wall clocks say.
    async fn set_time(&self) {
        self.time.see(self.state.stamp());
        let mut voters = self.members.voters();
        voters.retain(|id| *id != self.id);
        if self.time.is_set() {
            return;
        }
        let asked = join_all(voters.iter().map(|id| self.wall_of(*id))).await;
        for (id, wall_ms) in asked.into_iter().flatten() {
            self.time.note_wall(id, wall_ms);
        }
        if !self.time.settle(&voters) {
            tracing::warn!("the wall clocks of the voters do not agree; log time goes on from their median");
        }
    }

    async fn wall_of(&self, id: NodeId) -> Option<(NodeId, Millis)> {
        let link = self.links.to(id, &self.members.get(id)?, Lane::Quick);
        let asked = timeout(CLOCK_WITHIN, link.call::<_, Millis>(routes::CLOCK, &())).await;
        Some((id, asked.ok()?.ok()?))
    }
}
