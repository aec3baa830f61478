//! Decider: the leader's one desk where Ops become log entries.
//!
//! It grants keys, decides what waits and may be decided, packs that into one record, proposes it, and keeps the keys
//! until the record is applied or its term is over; callers that give up change nothing. It decides only in a term
//! whose first entry it has applied, and proposes only in that term. What fails before it was appended is decided
//! again; what may have been appended is answered "outcome unknown" and never retried.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use openraft::ReadPolicy;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use openraft::raft::ClientWriteResult;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::Raft;
use super::grants::{BATCH_MAX, Held, grant};
use super::logtime::LogTime;
use super::store::change_weight;
use super::types::{Applied, TypeConfig};
use crate::error::{Error, Result};
use crate::planted::{self, Bug};
use crate::state::command::Claim;
use crate::state::decide::{claim, decide};
use crate::state::{Entries, Key, Op, Outcome, Record, State, View};

/// Ops that may wait to be decided.
pub const QUEUE_MAX: usize = 8_192;
/// Bytes that one record holds, about, and how long deciding it takes: it ends with the Op that reaches either. A record
/// must fit well into what a frame may decode to, and into memory as often as there are flights.
const RECORD_BYTES: usize = 4 << 20;
const DECIDING: Duration = Duration::from_millis(50);
/// Bytes of sessions that one Op touches, about, and how many: a touch writes each as a whole.
const LOT_BYTES: usize = 1 << 20;
const LOT_MAX: usize = 512;
/// Records that may be on their way at once. The log lands them in order, so that one that departs earlier lands no
/// sooner; and a record of many Ops costs all nodes little more than one of a single Op.
const FLIGHTS_MAX: usize = 2;
/// Bytes of them: no further one departs when they have as many.
const FLYING_BYTES: usize = 64 << 20;
/// Bytes that one Op may write: a record must go to another node in one piece, and be read back.
const CHANGE_MAX: usize = 32 << 20;
/// How long the next record waits, after one has landed, for those who were answered to come again; and how many they
/// must have been. Whoever writes alone waits for nobody.
const GATHER: Duration = Duration::from_millis(1);
const GATHER_MIN: usize = 8;
/// How often it is looked who waits while no further record may depart, and who has waited too long.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long nothing is proposed after something was not taken.
const REST: Duration = Duration::from_millis(10);
/// How long an Op waits for a leader that may decide.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What was decided, and where in the log it stands.
#[derive(Debug)]
pub struct Decided {
    pub outcome: Outcome,
    /// Whoever has applied this entry sees what was decided; 0 when nothing was to be written.
    pub index: u64,
}

/// An Op and whoever waits for its outcome.
pub struct Job {
    op: Op,
    answer: oneshot::Sender<Result<Decided>>,
    since: Instant,
    /// Whether another node sent it here: it is not sent on.
    is_forwarded: bool,
}

impl Job {
    /// A job that begins to wait now.
    pub fn new(op: Op) -> (Self, oneshot::Receiver<Result<Decided>>) {
        let (answer, decided) = oneshot::channel();
        (Self { op, answer, since: Instant::now(), is_forwarded: false }, decided)
    }

    /// The same for an Op that another node sent.
    pub fn forwarded(op: Op) -> (Self, oneshot::Receiver<Result<Decided>>) {
        let (job, decided) = Self::new(op);
        (Self { is_forwarded: true, ..job }, decided)
    }

    /// What is to be decided.
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// How long it has waited.
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Says what was decided.
    pub fn answer(self, decided: Decided) {
        // a caller that went away does not want to know
        let _ = self.answer.send(Ok(decided));
    }

    /// Says why nothing was, or that nobody can tell.
    pub fn refuse(self, error: Error) {
        let _ = self.answer.send(Err(error));
    }
}

/// An Op's way in.
pub type Queue = mpsc::Sender<Job>;

/// A record on its way: what it decided, and which keys it holds.
struct Flight {
    jobs: Vec<(Job, Outcome)>,
    changes: Vec<bool>,
    claims: Vec<Claim>,
    bytes: usize,
    landing: Landing,
}

/// How a flight ended.
enum Landing {
    Applied(Applied),
    NotAppended,
    Unknown,
}

/// The desk itself. One task owns it.
pub struct Decider {
    pub raft: Raft,
    pub state: Arc<State>,
    pub time: Arc<LogTime>,
    /// The term in which this node may decide, if it leads and has applied that term's first entry.
    pub tenure: watch::Receiver<Option<u64>>,
    /// Whether nothing is on its way.
    pub idle: watch::Sender<bool>,
    /// Brings Ops to another leader when this node may not decide.
    pub elsewhere: mpsc::WeakSender<Job>,
    /// Bytes of records that are decided and not applied: `memory_max` counts them, too.
    pub flying: usize,
    /// Nothing departs before: what was proposed last was not taken.
    pub rests_until: Option<Instant>,
    /// How many Ops are worth waiting for, and until when; while they are, nothing departs.
    pub gathers: Option<(usize, Instant)>,
    /// When it was last looked whether somebody has waited too long.
    pub looked_at: Instant,
}

impl Decider {
    /// Works until `queue` is closed or the log has ended, and what was accepted has landed.
    pub async fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting: VecDeque<Job> = VecDeque::new();
        let mut held = Held::default();
        let mut flights: FuturesUnordered<BoxFuture<'static, Flight>> = FuturesUnordered::new();
        let mut arrived = Vec::new();
        let (mut open, mut led) = (true, true);
        while open || !waiting.is_empty() || !flights.is_empty() {
            let left = self.rest_left();
            let may_depart = flights.len() < FLIGHTS_MAX;
            tokio::select! {
                biased;
                Some(flight) = flights.next() => self.land(flight, &mut held, &mut waiting),
                got = queue.recv_many(&mut arrived, BATCH_MAX), if open && may_depart && waiting.len() < QUEUE_MAX => {
                    open = got > 0;
                }
                changed = self.tenure.changed(), if led => led = changed.is_ok(),
                () = tokio::time::sleep(left.min(LOOK_EVERY)), if !may_depart => {
                    let room = QUEUE_MAX.saturating_sub(waiting.len());
                    arrived.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(room));
                }
                () = tokio::time::sleep(left), if may_depart && !waiting.is_empty() => {}
            }
            waiting.extend(arrived.drain(..));
            if !led {
                queue.close();
                waiting.drain(..).for_each(|job| job.refuse(stopped()));
            }
            // said before it looks whether it may decide: whoever ends the tenure and then finds it idle can be sure
            self.rest(waiting.is_empty() && flights.is_empty());
            while flights.len() < FLIGHTS_MAX
                && !self.gathers(waiting.len())
                && let Some(flight) = self.depart(&mut waiting, &mut held).await
            {
                flights.push(flight);
            }
            self.refuse_the_impatient(&mut waiting);
            if self.tenure.borrow().is_none() {
                waiting.drain(..).for_each(|job| self.send_on(job));
            }
            self.rest(flights.is_empty());
        }
        self.rest(true);
    }

    /// How long to wait until something may depart, or has waited too long.
    fn rest_left(&self) -> Duration {
        let now = Instant::now();
        let untils = self.rests_until.into_iter().chain(self.gathers.map(|(_, until)| until));
        untils.map(|until| until.saturating_duration_since(now)).min().unwrap_or(PATIENCE / 4)
    }

    /// Whether more Ops than wait are expected at any moment.
    fn gathers(&mut self, waiting: usize) -> bool {
        let gathers = self.gathers.is_some_and(|(wanted, until)| waiting < wanted && Instant::now() < until);
        if !gathers {
            self.gathers = None;
        }
        gathers
    }

    fn refuse_the_impatient(&mut self, waiting: &mut VecDeque<Job>) {
        let now = Instant::now();
        if now.duration_since(self.looked_at) < LOOK_EVERY {
            return;
        }
        self.looked_at = now;
        for _ in 0..waiting.len() {
            let Some(job) = waiting.pop_front() else { break };
            if now.duration_since(job.since) > PATIENCE {
                job.refuse(Error::NotDone("no leader decides at the moment".into()));
            } else {
                waiting.push_back(job);
            }
        }
    }

    fn rest(&self, rests: bool) {
        self.idle.send_if_modified(|idle| std::mem::replace(idle, rests) != rests);
    }

    /// Lets somebody else decide.
    fn send_on(&self, job: Job) {
        let refused = match self.elsewhere.upgrade() {
            Some(elsewhere) if !job.is_forwarded => {
                elsewhere.try_send(job).map_err(mpsc::error::TrySendError::into_inner)
            }
            _ => Err(job),
        };
        if let Err(job) = refused {
            job.refuse(Error::NotDone("this node does not lead".into()));
        }
    }

    /// Grants keys to whoever can have all of theirs, in order of arrival, and sends one record on its way.
    async fn depart(&mut self, waiting: &mut VecDeque<Job>, held: &mut Held) -> Option<BoxFuture<'static, Flight>> {
        let term = (*self.tenure.borrow_and_update())?;
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        self.rests_until = None;
        if self.flying >= FLYING_BYTES {
            return None;
        }
        let generation = self.state.generation();
        let stamp = self.time.stamp();
        let mut granted = grant(waiting, held, |job: &Job| claim(&job.op, &generation.entries, stamp)).into_iter();
        let begun = Instant::now();
        let view = View::new(&generation.entries, stamp).timed(Arc::new(move || begun.elapsed()));
        let mut view = view.beside(self.flying as u64);
        let mut record = Record { stamp, changes: Vec::new() };
        let (mut jobs, mut changes, mut taken, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (job, claim) in granted.by_ref() {
            let (change, outcome) = decide(&mut view, &job.op);
            let weight = change_weight(&change);
            if weight > CHANGE_MAX {
                job.refuse(Error::NotDone("it is too much for one step".into()));
                // what it would have done is in the view: the others are decided anew, at once
                let others = jobs.into_iter().map(|(job, _)| job).chain(granted.map(|(job, _)| job));
                others.rev().for_each(|job| waiting.push_front(job));
                self.rests_until = Some(Instant::now());
                return None;
            }
            bytes += weight;
            changes.push(!change.is_empty());
            if !change.is_empty() {
                record.changes.push(change);
            }
            jobs.push((job, outcome));
            taken.push(claim);
            if bytes >= RECORD_BYTES || begun.elapsed() >= DECIDING {
                break;
            }
        }
        // what the record has no room for goes into the next one
        granted.rev().for_each(|(job, _)| waiting.push_front(job));
        if jobs.is_empty() {
            return None;
        }
        taken.iter().for_each(|claim| held.take(claim));
        self.flying += bytes;
        let flight = move |landing| Flight { jobs, changes, claims: taken, bytes, landing };
        let landing = if record.changes.is_empty() { self.confirm(term) } else { self.propose(record, term).await };
        Some(landing.map(flight).boxed())
    }

    async fn propose(&self, record: Record, term: u64) -> BoxFuture<'static, Landing> {
        let (responder, result) = ProgressResponder::<TypeConfig, ClientWriteResult<TypeConfig>>::complete_only();
        let queued = self.raft.write(record).responder(responder).with_leader(term).await;
        async move {
            if queued.is_err() {
                return Landing::Unknown;
            }
            match result.await {
                Ok(Ok(written)) => Landing::Applied(written.data),
                Ok(Err(ClientWriteError::ForwardToLeader(_))) => Landing::NotAppended,
                _ => Landing::Unknown,
            }
        }
        .boxed()
    }

    /// Decisions that change nothing are told only when this node is sure that it still led when it took them.
    fn confirm(&self, term: u64) -> BoxFuture<'static, Landing> {
        let raft = self.raft.clone();
        async move {
            match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
                Ok(linearizer) if leads(&linearizer, term) => Landing::Applied(Applied { index: 0, users: Vec::new() }),
                _ => Landing::NotAppended,
            }
        }
        .boxed()
    }

    fn land(&mut self, flight: Flight, held: &mut Held, waiting: &mut VecDeque<Job>) {
        self.flying -= flight.bytes;
        flight.claims.iter().for_each(|claim| held.give_back(claim));
        match flight.landing {
            Landing::Applied(applied) => {
                if flight.jobs.len() >= GATHER_MIN {
                    self.gathers = Some((flight.jobs.len() / 2, Instant::now() + GATHER));
                }
                let index = applied.index;
                let mut users = applied.users.into_iter();
                for ((job, outcome), changed) in flight.jobs.into_iter().zip(flight.changes) {
                    let said = if changed { users.next().flatten() } else { None };
                    job.answer(Decided { outcome: said.map_or(outcome, Outcome::User), index });
                }
            }
            Landing::Unknown if planted::has(Bug::RetryUnknown) => {
                flight.jobs.into_iter().for_each(|(job, _)| waiting.push_back(job));
            }
            Landing::NotAppended => {
                // a leader that hears from no majority takes nothing: asking it at once again would only keep it busy
                self.rests_until = Some(Instant::now() + REST);
                for (job, _) in flight.jobs.into_iter().rev() {
                    waiting.push_front(job);
                }
            }
            Landing::Unknown => flight.jobs.into_iter().for_each(|(job, _)| job.refuse(Error::FateUnknown)),
        }
    }
}

type Linearizer = openraft::raft::linearizable_read::Linearizer<TypeConfig>;

/// Whether a read index was answered in this term.
pub fn leads(linearizer: &Linearizer, term: u64) -> bool {
    linearizer.read_log_id().committed_leader_id().term == term
}

/// Nothing is decided any more.
pub fn stopped() -> Error {
    Error::NotDone("the log has stopped".into())
}

/// The keys in lots that one Op can touch: what it writes is bounded.
pub fn lots(keys: Vec<Key>, entries: &Entries) -> Vec<Vec<Key>> {
    let mut lots: Vec<Vec<Key>> = Vec::new();
    let mut left = 0;
    for key in keys {
        let bytes = entries.get(&key).map_or(0, |entry| entry.len());
        match lots.last_mut().filter(|lot| lot.len() < LOT_MAX && bytes <= left) {
            Some(lot) => lot.push(key),
            None => {
                left = LOT_BYTES.max(bytes);
                lots.push(vec![key]);
            }
        }
        left -= bytes;
    }
    lots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Entry, NEVER};

    #[test]
    fn a_touch_of_many_sessions_is_split_by_bytes_and_by_number() {
        let entries = Entries::new();
        let put = |n: usize, bytes: usize| {
            let key = Key::session("sess:", &n.to_string());
            entries.put(&key, &Entry::plain(&vec![0; bytes], NEVER, 1), 1);
            key
        };
        let sizes = |keys: Vec<Key>| lots(keys, &entries).iter().map(Vec::len).collect::<Vec<_>>();
        assert!(sizes(Vec::new()).is_empty());
        assert_eq!(sizes((0..1_100).map(|n| put(n, 10)).collect()), [512, 512, 76]);
        assert_eq!(sizes((0..40).map(|n| put(n, 64 << 10)).collect()), [15, 15, 10]);
        assert_eq!(sizes(vec![put(0, 2 << 20), put(1, 1), put(2, 2 << 20)]), [1, 1, 1]);
    }
}
