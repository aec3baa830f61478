//! Router: brings Ops to whoever leads, one hop, and says what became of them.
//!
//! An Op that surely was not appended is brought to the next leader while somebody waits for it; one that was lost on
//! the way is answered "outcome unknown" and never sent again. What the leader decided counts here once this node has
//! applied it, so that whoever wrote reads it.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::Raft;
use super::decider::{self, Decided, Job, PATIENCE};
use super::members::Members;
use super::peers::link::{Failed, Link};
use super::peers::links::{Lane, Links};
use super::peers::messages::Fate;
use super::peers::routes;
use super::types::NodeId;
use crate::error::Error;
use crate::planted::{self, Bug};
use crate::state::Op;

/// Ops that are sent in one question.
const BATCH_MAX: usize = 512;
/// Bytes, about, from which on a question carries no more Ops.
const BATCH_BYTES: usize = 16 << 20;
/// Questions with Ops that may be under way at once, unless they take longer than that: one Op may have to wait for
/// another, and those behind it need not.
const QUESTIONS: usize = 1;
const TURN_WITHIN: Duration = Duration::from_millis(10);
/// However long they take, there are no more: the others wait in the queue.
const QUESTIONS_MAX: usize = 16;
/// How long the next question waits for more Ops.
const GATHER: Duration = Duration::from_millis(1);
/// How long the leader may take over them: longer than it lets an Op wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long what the leader decided may take to get here.
const APPLIED_WITHIN: Duration = Duration::from_secs(5);
/// How often somebody who waits for a leader looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The router's own task.
#[derive(Clone)]
pub struct Router {
    pub raft: Raft,
    pub id: NodeId,
    pub members: Arc<Members>,
    pub links: Arc<Links>,
    /// Ops for this node to decide, while it may.
    pub here: mpsc::Sender<Job>,
    /// Ops that have to be brought somewhere, again.
    pub back: mpsc::WeakSender<Job>,
    /// The term in which this node may decide.
    pub tenure: watch::Receiver<Option<u64>>,
    /// How many Ops the last question carried.
    pub shared: usize,
}

impl Router {
    /// Works until nobody can send jobs any more.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::new();
        let room = Arc::new(Semaphore::new(QUESTIONS));
        let under_way = Arc::new(Semaphore::new(QUESTIONS_MAX));
        loop {
            // whoever comes while a question is under way shares the next one
            let turn = timeout(TURN_WITHIN, room.clone().acquire_owned()).await.ok();
            if !self.gather(&mut jobs, &mut batch).await {
                return;
            }
            if self.has_stopped() {
                jobs.close();
                batch.drain(..).for_each(|job| job.refuse(decider::stopped()));
                continue;
            }
            let Some(leader) = self.leader_in_time(&mut batch).await else { continue };
            let batch = std::mem::take(&mut batch);
            if leader == self.id {
                for job in batch {
                    self.decide_here(job);
                }
                continue;
            }
            let Some(member) = self.members.get(leader) else {
                batch.into_iter().for_each(|job| job.refuse(Error::NotDone("the leader is no member".into())));
                continue;
            };
            let link = self.links.to(leader, &member, Lane::Log);
            let router = self.clone();
            let place = under_way.clone().acquire_owned().await;
            tokio::spawn(async move {
                for part in parts(batch) {
                    router.bring(part, &link).await;
                }
                drop((turn, place));
            });
        }
    }

    /// Takes what waits, and a little later what those bring who were answered with the last question: as many as half
    /// of those who shared it are worth waiting for. False when nobody can send jobs any more.
    async fn gather(&mut self, jobs: &mut mpsc::Receiver<Job>, batch: &mut Vec<Job>) -> bool {
        if jobs.recv_many(batch, BATCH_MAX).await == 0 {
            return false;
        }
        let until = Instant::now() + GATHER;
        while batch.len() < self.shared / 2 {
            match timeout_at(until, jobs.recv_many(batch, BATCH_MAX - batch.len())).await {
                Ok(got) if got > 0 => {}
                _ => break,
            }
        }
        self.shared = batch.len();
        true
    }

    /// Whether the log has ended: nobody tells terms any more.
    fn has_stopped(&self) -> bool {
        self.tenure.has_changed().is_err()
    }

    fn decide_here(&self, job: Job) {
        if let Err(e) = self.here.try_send(job) {
            e.into_inner().refuse(Error::NotDone("too many writes wait".into()));
        }
    }

    /// Who decides now; waits for somebody to, as long as anyone in `batch` has patience.
    async fn leader_in_time(&mut self, batch: &mut Vec<Job>) -> Option<NodeId> {
        loop {
            if self.tenure.borrow().is_some() {
                return Some(self.id);
            }
            let leader = self.raft.metrics().borrow_watched().current_leader;
            if let Some(leader) = leader.filter(|leader| *leader != self.id) {
                return Some(leader);
            }
            let (patient, impatient) = std::mem::take(batch).into_iter().partition(|job| job.waited() < PATIENCE);
            *batch = patient;
            let refuse = |job: Job| job.refuse(Error::NotDone("no leader is known at the moment".into()));
            Vec::into_iter(impatient).for_each(refuse);
            if self.has_stopped() {
                batch.drain(..).for_each(|job| job.refuse(decider::stopped()));
            }
            if batch.is_empty() {
                return None;
            }
            // either way it is time to look again
            let _ = timeout(LOOK_EVERY, self.tenure.changed()).await;
        }
    }

    async fn bring(&self, batch: Vec<Job>, leader: &Link) {
        let ops: Vec<&Op> = batch.iter().map(Job::op).collect();
        let asked = timeout(ANSWER_WITHIN, leader.call::<_, Vec<Fate>>(routes::OPS, &ops)).await;
        let fates = match asked {
            Ok(Ok(fates)) if fates.len() == batch.len() => fates,
            Ok(Err(Failed::Unsent(why) | Failed::Refused(why) | Failed::NotNow(why))) => {
                return self.later(batch, &why).await;
            }
            _ if planted::has(Bug::RetryUnknown) => return self.later(batch, "nobody knows").await,
            _ => return batch.into_iter().for_each(|job| job.refuse(Error::FateUnknown)),
        };
        let last = fates.iter().map(|fate| if let Fate::Decided { index, .. } = fate { *index } else { 0 }).max();
        let is_applied = self.has_applied(last.unwrap_or(0)).await;
        let mut undone = Vec::new();
        let mut why = String::new();
        for (job, fate) in batch.into_iter().zip(fates) {
            match fate {
                Fate::Decided { index, outcome } if is_applied => job.answer(Decided { index, outcome }),
                Fate::Decided { .. } | Fate::Unknown => job.refuse(Error::FateUnknown),
                Fate::NotDone(said) => {
                    why = said;
                    undone.push(job);
                }
            }
        }
        if !undone.is_empty() {
            self.later(undone, &why).await;
        }
    }

    async fn has_applied(&self, index: u64) -> bool {
        let wait = self.raft.wait(Some(APPLIED_WITHIN));
        wait.applied_index_at_least(Some(index), "what the leader decided").await.is_ok()
    }

    /// Tries all of them again a little later: who could not be reached now may not lead any more then.
    async fn later(&self, batch: Vec<Job>, why: &str) {
        tokio::time::sleep(LOOK_EVERY).await;
        batch.into_iter().for_each(|job| self.again(job, why.to_owned()));
    }

    fn again(&self, job: Job, why: String) {
        match self.back.upgrade() {
            Some(back) if job.waited() < PATIENCE => {
                if let Err(e) = back.try_send(job) {
                    e.into_inner().refuse(Error::NotDone("too many writes wait".into()));
                }
            }
            _ => job.refuse(Error::NotDone(why)),
        }
    }
}

/// The jobs in parts that each fit into one question.
fn parts(batch: Vec<Job>) -> Vec<Vec<Job>> {
    let mut parts: Vec<Vec<Job>> = Vec::new();
    let mut bytes = BATCH_BYTES;
    for job in batch {
        bytes += job.op().weight();
        match parts.last_mut().filter(|_| bytes <= BATCH_BYTES) {
            Some(part) => part.push(job),
            None => {
                bytes = job.op().weight();
                parts.push(vec![job]);
            }
        }
    }
    parts
}
