//! Upkeep: what the log does of itself, once a second and at its ends.
//!
//! Log time is bent towards the wall clock and written down, so that a node that comes up with its clock set back goes
//! on from the last stamp; a snapshot is written when the log has grown enough to make a start slow.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::logtime::{self, LogTime};
use super::{Raft, RaftLog, blocking, meters};
use crate::state::{Record, State};

/// The log may grow by this much before a snapshot is worth it, bytes; or by a share of what entries use, when that is
/// more: a start reads the snapshot and then the log after it, and both must be quick.
const SNAPSHOT_EVERY: u64 = 32 << 20;
const SNAPSHOT_SHARE: u64 = 4;

/// How old the newest stamp in the log may become, milliseconds of log time.
pub const STAMP_EVERY_MS: i64 = 60_000;

/// Writes log time down; answers whether it was.
pub async fn write_stamp(raft: &Raft, time: &LogTime) -> bool {
    let record = Record { stamp: time.stamp(), changes: Vec::new() };
    let written = raft.client_write(record).await;
    if let Err(e) = &written {
        tracing::debug!(error = %e, "log time was not written down");
    }
    written.is_ok()
}

/// After a long stop: writes down what time it is now, and forgets what has ended meanwhile, which nobody else would
/// before it has been held for as long again. Only while nothing else is written.
pub async fn catch_up(raft: &Raft, time: &LogTime, state: &std::sync::Arc<State>) -> crate::error::Result<()> {
    let last = state.stamp();
    if last == 0 || time.now() - last < STAMP_EVERY_MS || !write_stamp(raft, time).await {
        return Ok(());
    }
    let state = state.clone();
    let forgotten = blocking(move || Ok(state.forget_ended())).await?;
    tracing::info!(forgotten, stopped_secs = (time.now() - last) / 1_000, "sessions ended while the node was stopped");
    Ok(())
}

/// Runs once a second, as long as there is a log.
pub async fn keep_up(log: std::sync::Weak<RaftLog>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut warned = false;
    loop {
        ticks.tick().await;
        let Some(log) = log.upgrade() else { return };
        let off_ms = log.time.steer();
        let is_off = off_ms.abs() > logtime::OFF_MS;
        if is_off && !warned {
            tracing::warn!(off_ms, "the wall clock is off log time; deadlines follow log time");
        }
        warned = is_off;
        if log.time.now() - log.state.stamp() >= STAMP_EVERY_MS {
            write_stamp(&log.raft, &log.time).await;
        }
        let generation = log.state.generation();
        meters::show(log.store.counters(), &generation.entries, off_ms);
        let worth = SNAPSHOT_EVERY.max(generation.entries.used_bytes() / SNAPSHOT_SHARE);
        // while one is being written, asking for another changes nothing
        if log.owed.load(Ordering::Relaxed) > worth
            && !log.attempts.borrow().failed_lately()
            && let Err(e) = log.raft.trigger().snapshot().await
        {
            tracing::warn!(error = %e, "no snapshot");
        }
    }
}
