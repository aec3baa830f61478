//! Freshness: how sure this node is that it has heard of everything acknowledged.
//!
//! A node asks for a read index and notes when it *sent* the question, by the boot clock. While that is younger than
//! `max_staleness` and the index is applied, the node may answer reads; a process that was paused wakes up stale. One
//! question is in flight at a time and those who come later share the next one.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::Raft;
use super::logtime::LogTime;
use super::members::Members;
use super::peers::links::{Lane, Links};
use super::peers::messages::{ReadAnswer, ReadQuestion};
use super::peers::routes;
use super::types::NodeId;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::log::Belief;
use crate::planted::{self, Bug};

/// How long somebody waits for an answer; a try that is under way then is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long one leader may take; then it is asked again, or the next one.
const ONE_ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How long to wait before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Those who may wait for one answer.
const WAITING_MAX: usize = 65_536;

/// No age is below this.
const NOTHING_IS: i64 = i64::MIN / 2;

/// How old answers may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Whatever happens.
    pub max_staleness: Duration,
    /// How much longer while nobody answers.
    pub stale_reads: Duration,
}

/// Somebody who waits for an answer.
struct Asker {
    answer: oneshot::Sender<bool>,
    since: Instant,
}

/// When this node last asked a question that was answered.
pub struct Freshness {
    clock: Arc<dyn Clock>,
    asked_at_us: AtomicI64,
    /// How old what is read here may be.
    staleness_us: AtomicI64,
    /// How much older while nobody answers.
    bearable_us: i64,
    /// Whether the last question went unanswered.
    is_unanswered: AtomicBool,
    askers: mpsc::Sender<Asker>,
}

impl Freshness {
    /// Starts asking: whenever somebody waits, and every quarter of `max_staleness` anyhow. Ends with `raft`'s owner,
    /// when the answer's last holder is gone.
    pub fn start(oracle: Oracle, clock: Arc<dyn Clock>, bounds: Bounds) -> Arc<Self> {
        let (askers, waiting) = mpsc::channel(WAITING_MAX);
        let us = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let Bounds { max_staleness, stale_reads } = bounds;
        let (staleness_us, bearable_us) = (us(max_staleness), us(stale_reads));
        let never = clock.boot_us().saturating_sub(staleness_us).saturating_sub(bearable_us);
        let fresh = Arc::new(Self {
            clock,
            asked_at_us: AtomicI64::new(never),
            staleness_us: AtomicI64::new(staleness_us),
            bearable_us,
            is_unanswered: AtomicBool::new(false),
            askers,
        });
        tokio::spawn(ask_for_ever(Arc::downgrade(&fresh), oracle, waiting, max_staleness / 4));
        fresh
    }

    /// Whether what is applied here is at most so old. Read first, then ask.
    pub fn is_still(&self, belief: Belief) -> bool {
        let longer_us = if belief == Belief::Bearable { self.bearable_us } else { 0 };
        self.age_us() - longer_us < self.staleness_us.load(Ordering::Relaxed) || planted::has(Bug::SkipFreshness)
    }

    fn age_us(&self) -> i64 {
        self.clock.boot_us() - self.asked_at_us.load(Ordering::Acquire)
    }

    /// From now on nothing that is read here is fresh, or bearable.
    pub fn close(&self) {
        self.staleness_us.store(NOTHING_IS, Ordering::Relaxed);
    }

    /// Asks, unless the last question went unanswered; where nobody answers, what is a little older will do.
    ///
    /// # Errors
    /// As [`Freshness::refresh`], when what is here is too old for that.
    pub async fn refresh_or_bear(&self) -> Result<Belief> {
        let is_bearable = || self.bearable_us > 0 && self.is_still(Belief::Bearable);
        if self.is_unanswered.load(Ordering::Relaxed) && is_bearable() {
            return Ok(Belief::Bearable);
        }
        match self.refresh().await {
            Err(_) if is_bearable() => Ok(Belief::Bearable),
            refreshed => refreshed.map(|()| Belief::Fresh),
        }
    }

    /// Returns when a question sent after this call was answered and its index is applied.
    ///
    /// # Errors
    /// `NotDone` when no leader with a quorum answers in time.
    pub async fn refresh(&self) -> Result<()> {
        let (sender, answer) = oneshot::channel();
        let asker = Asker { answer: sender, since: Instant::now() };
        let full = || Error::NotDone("too many requests wait for the leader".into());
        self.askers.try_send(asker).map_err(|_| full())?;
        match answer.await {
            Ok(true) => Ok(()),
            _ => Err(Error::NotDone("no leader answers".into())),
        }
    }
}

/// Whoever knows the read index: this node while it leads, the leader otherwise.
pub struct Oracle {
    pub raft: Raft,
    pub id: NodeId,
    pub members: Arc<Members>,
    pub links: Arc<Links>,
    pub time: Arc<LogTime>,
    /// The term in which this node may decide.
    pub tenure: watch::Receiver<Option<u64>>,
}

impl Oracle {
    /// Asks once. When there is an answer and its index is applied, answers when, by the boot clock, the question had
    /// been sent.
    async fn ask(&self) -> Option<i64> {
        let (sent_at, _) = self.time.clocks();
        let leader = self.raft.metrics().borrow_watched().current_leader?;
        let answered = match leader == self.id {
            true => timeout(ONE_ANSWER_WITHIN, self.ask_here()).await.ok()?,
            false => self.ask_there(leader, sent_at).await,
        };
        answered.map(|()| sent_at)
    }

    async fn ask_here(&self) -> Option<()> {
        // before its tenure a leader may not know yet what time it is
        (*self.tenure.borrow())?;
        let linearizer = self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
        linearizer.await_ready(&self.raft).await.ok().map(|_| ())
    }

    async fn ask_there(&self, leader: NodeId, sent_at: i64) -> Option<()> {
        let member = self.members.get(leader)?;
        let link = self.links.to(leader, &member, Lane::Quick);
        let question = ReadQuestion { wall_ms: self.time.clocks().1 };
        let asked = timeout(ONE_ANSWER_WITHIN, link.call::<_, ReadAnswer>(routes::READ, &question)).await;
        let answer = asked.ok()?.ok()?;
        self.time.follow(answer.now, sent_at);
        let wait = self.raft.wait(Some(ANSWER_WITHIN));
        wait.applied_index_at_least(Some(answer.index), "the read index").await.ok().map(|_| ())
    }
}

/// Everybody who waits shares the next question, and the one after it if nobody answers that, until they have waited
/// long enough.
async fn ask_for_ever(fresh: Weak<Freshness>, oracle: Oracle, mut waiting: mpsc::Receiver<Asker>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut askers: Vec<Asker> = Vec::new();
    let mut unanswered_since = None;
    loop {
        if askers.is_empty() {
            tokio::select! {
                _ = ticks.tick() => {}
                got = waiting.recv_many(&mut askers, WAITING_MAX) => if got == 0 { return },
            }
        } else {
            tokio::time::sleep(ASK_AGAIN).await;
            askers.extend(std::iter::from_fn(|| waiting.try_recv().ok()));
        }
        if fresh.strong_count() == 0 {
            return;
        }
        let sent_at = oracle.ask().await;
        let Some(fresh) = fresh.upgrade() else { return };
        match sent_at {
            Some(sent_at) => {
                unanswered_since = None;
                oracle.members.find();
                fresh.asked_at_us.fetch_max(sent_at, Ordering::AcqRel);
                // whoever stopped waiting does not want to know
                askers.drain(..).for_each(|asker| _ = asker.answer.send(true));
            }
            None => {
                unanswered_since.get_or_insert_with(Instant::now);
                // dropped, they know
                askers.retain(|asker| asker.since.elapsed() < ANSWER_WITHIN);
            }
        }
        oracle.members.lose(unanswered_since.is_some_and(|since| since.elapsed() > every * 4));
        let is_long = unanswered_since.is_some_and(|since| since.elapsed() > ANSWER_WITHIN);
        fresh.is_unanswered.store(is_long, Ordering::Relaxed);
    }
}
