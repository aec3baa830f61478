//! Freshness: how sure this node is that it has heard of everything acknowledged.
//!
//! A node asks for a read index and notes when it *sent* the question, by the boot clock. While that is younger than
//! `max_staleness` and the index is applied, the node may answer reads; a process that was paused wakes up stale. One
//! question is in flight at a time and those who come later share the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};

use super::Raft;
use crate::clock::Clock;
use crate::error::{Error, Result};

/// The longest a question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Those who may wait for one answer.
const WAITING_MAX: usize = 65_536;

type Asker = oneshot::Sender<bool>;

/// When this node last asked a question that was answered.
pub struct Freshness {
    clock: Arc<dyn Clock>,
    asked_at_us: AtomicI64,
    staleness_us: i64,
    askers: mpsc::Sender<Asker>,
}

impl Freshness {
    /// Starts asking: whenever somebody waits, and every quarter of `max_staleness` anyhow. Ends with `raft`'s owner,
    /// when the answer's last holder is gone.
    pub fn start(raft: Raft, clock: Arc<dyn Clock>, max_staleness: Duration) -> Arc<Self> {
        let (askers, waiting) = mpsc::channel(WAITING_MAX);
        let staleness_us = i64::try_from(max_staleness.as_micros()).unwrap_or(i64::MAX);
        let never = clock.boot_us().saturating_sub(staleness_us);
        let fresh = Arc::new(Self { clock, asked_at_us: AtomicI64::new(never), staleness_us, askers });
        tokio::spawn(ask_for_ever(Arc::downgrade(&fresh), raft, waiting, max_staleness / 4));
        fresh
    }

    /// Whether what is applied here is at most `max_staleness` old. Read first, then ask.
    pub fn is_fresh(&self) -> bool {
        self.clock.boot_us() - self.asked_at_us.load(Ordering::Acquire) < self.staleness_us
    }

    /// Returns when a question sent after this call was answered and its index is applied.
    ///
    /// # Errors
    /// `NotDone` when no leader with a quorum answers in time.
    pub async fn refresh(&self) -> Result<()> {
        let (asker, answer) = oneshot::channel();
        let full = || Error::NotDone("too many requests wait for the leader".into());
        self.askers.try_send(asker).map_err(|_| full())?;
        match answer.await {
            Ok(true) => Ok(()),
            _ => Err(Error::NotDone("no leader answers".into())),
        }
    }
}

async fn ask_for_ever(
    fresh: std::sync::Weak<Freshness>,
    raft: Raft,
    mut waiting: mpsc::Receiver<Asker>,
    every: Duration,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut askers = Vec::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            got = waiting.recv_many(&mut askers, WAITING_MAX) => if got == 0 { return },
        }
        let Some(clock) = fresh.upgrade().map(|f| f.clock.clone()) else { return };
        let sent_at = clock.boot_us();
        let answered = ask(&raft).await;
        let Some(fresh) = fresh.upgrade() else { return };
        if answered {
            fresh.asked_at_us.fetch_max(sent_at, Ordering::AcqRel);
        }
        for asker in askers.drain(..) {
            // whoever stopped waiting does not want to know
            let _ = asker.send(answered);
        }
    }
}

async fn ask(raft: &Raft) -> bool {
    let question = async {
        let linearizer = raft.get_read_linearizer(ReadPolicy::ReadIndex).await.ok()?;
        linearizer.await_ready(raft).await.ok()
    };
    tokio::time::timeout(ANSWER_WITHIN, question).await.is_ok_and(|answer| answer.is_some())
}
