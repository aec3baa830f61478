//! Upkeep: what the log does of itself, once a second and at its ends.
//!
//! Log time is bent towards the wall clock and written down, so that a node that comes up with its clock set back goes
//! on from the last stamp; a snapshot is written when the log has grown enough to make a start slow.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use tokio::time::timeout;

use super::logtime::{self, LogTime};
use super::types::NodeId;
use super::{Raft, RaftLog, blocking, meters};
use crate::planted;
use crate::state::{Record, State};

/// The log may grow by this much before a snapshot is worth it, bytes; or by a share of what entries use, when that is
/// more: a start reads the snapshot and then the log after it, and both must be quick.
const SNAPSHOT_EVERY: u64 = if planted::FREQUENT_SNAPSHOTS { 32 << 10 } else { 32 << 20 };
const SNAPSHOT_SHARE: u64 = 4;

/// How old the newest stamp in the log may become, milliseconds of log time.
pub const STAMP_EVERY_MS: i64 = 60_000;

/// How long that may take: a leader that lost its majority would wait for ever.
const STAMPED_WITHIN: Duration = Duration::from_secs(5);

/// Writes log time down; answers whether it was, in time.
pub async fn write_stamp(raft: &Raft, time: &LogTime) -> bool {
    let record = Record { stamp: time.stamp(), changes: Vec::new() };
    let why = match timeout(STAMPED_WITHIN, raft.client_write(record)).await {
        Ok(Ok(_)) => return true,
        Ok(Err(e)) => e.to_string(),
        Err(late) => late.to_string(),
    };
    tracing::debug!(error = why, "log time was not written down");
    false
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

/// Keeps an eye on the other nodes, once a second and as long as there is a log: apart from [`keep_up`], because what a
/// leader asks of the log may have no end when it was removed meanwhile, and it must find that out.
pub async fn keep_watch(log: std::sync::Weak<RaftLog>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut belonging, mut down) = (Belonging::default(), HashSet::new());
    loop {
        ticks.tick().await;
        let Some(log) = log.upgrade() else { return };
        log.links.keep(|id| log.members.has(id));
        say_who_is_down(&log, &mut down);
        if belonging.has_ended(&log).await {
            let farewells = log.farewells.clone();
            // a task that cannot run is one of a process that ends
            let _ = tokio::task::spawn_blocking(move || farewells.say()).await;
        }
    }
}

/// Runs once a second, as long as there is a log.
pub async fn keep_up(log: std::sync::Weak<RaftLog>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut warned = false;
    loop {
        ticks.tick().await;
        let Some(log) = log.upgrade() else { return };
        let leads = log.leads();
        if let Err(e) = log.move_if_need_be().await {
            tracing::debug!(error = %e, "other nodes do not know yet where this one is");
        }
        if leads {
            log.time.steer(&log.members.voters());
            log.membership.promote_who_caught_up().await;
        }
        let off_ms = log.time.off_ms();
        let is_off = off_ms.abs() > logtime::OFF_MS;
        if is_off && !warned {
            tracing::warn!(off_ms, "the wall clock is off log time; deadlines follow log time");
        }
        warned = is_off;
        if leads && log.time.now() - log.state.stamp() >= STAMP_EVERY_MS {
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

/// Says once when a member can be reached no more, and once when it can again.
fn say_who_is_down(log: &RaftLog, down: &mut HashSet<NodeId>) {
    for (id, member, _) in log.members.all() {
        match (log.links.is_down(id), down.contains(&id)) {
            (true, false) => {
                down.insert(id);
                tracing::warn!(node = id, address = member.address, "another node cannot be reached");
            }
            (false, true) => {
                down.remove(&id);
                tracing::info!(node = id, address = member.address, "another node can be reached again");
            }
            _ => {}
        }
    }
    down.retain(|id| log.members.has(*id));
}

/// For how many rounds most voters must say that this node is none of theirs: a member that has just come is not known
/// to all of them at once.
const DISOWNED_MAX: u32 = 10;

/// What is known of whether this node belongs to the cluster.
#[derive(Default)]
struct Belonging {
    /// Whether the log said so.
    was_member: bool,
    /// For how many rounds most voters have denied it.
    disowned: u32,
}

impl Belonging {
    /// Whether this node is certainly no member any more: because the log says so, or most voters do.
    async fn has_ended(&mut self, log: &RaftLog) -> bool {
        let id = log.node_id();
        let is_settled = {
            let metrics = log.raft.metrics();
            let seen = metrics.borrow_watched();
            let said = seen.membership_config.log_id().as_ref().map(|id| id.index);
            said.is_some() && said <= seen.last_applied.as_ref().map(|id| id.index)
        };
        if is_settled && !log.members.has(id) {
            return self.was_member;
        }
        self.was_member |= is_settled && log.members.has(id);
        let others: Vec<_> = log.members.voters().into_iter().filter(|voter| *voter != id).collect();
        let denials = || others.iter().filter(|voter| log.links.is_disowned_by(**voter)).count();
        if denials() == 0 {
            self.disowned = 0;
            return false;
        }
        // whoever is not spoken to otherwise is asked
        log.cluster().await;
        self.disowned = if denials() > others.len() / 2 { self.disowned + 1 } else { 0 };
        self.disowned >= DISOWNED_MAX
    }
}
