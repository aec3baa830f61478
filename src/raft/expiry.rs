//! Expiry: has what has ended forgotten in time, while somebody listens for that.
//!
//! A deadline needs no record to be kept: whoever reads compares it with log time. Only whoever wants to be told of an
//! end needs one, so that every node tells it once, in the order of the log. The leader alone looks; a new one begins
//! with all that it holds.

use std::sync::Weak;
use std::time::Duration;

use super::RaftLog;
use crate::log::Log as _;
use crate::state::{Key, Op, told};

/// How often it is looked what has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Most ends in one record: their keys may be as long as keys can be.
const LOT_MAX: usize = 256;

/// Looks as long as there is a log.
pub async fn keep_expiring(log: Weak<RaftLog>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(log) = log.upgrade() else { return };
        let generation = log.state.generation();
        if !log.leads() || !is_told(&log) {
            generation.entries.watch_no_deadlines();
            continue;
        }
        loop {
            let due = generation.entries.due(log.now(), LOT_MAX);
            let is_all = due.len() < LOT_MAX;
            if !due.is_empty()
                && let Err(e) = log.submit(Op::Expire(due)).await
            {
                tracing::debug!(error = %e, "what has ended was not told; it is looked for anew");
                generation.entries.watch_no_deadlines();
                break;
            }
            if is_all {
                break;
            }
        }
    }
}

/// Whether anybody is told of ends.
fn is_told(log: &RaftLog) -> bool {
    let now = log.now();
    let setting = |name| log.state.live(&Key::setting(name), now);
    let has_ends = |flags: &[u8]| flags.iter().any(|flag| matches!(flag, b'x' | b'A'));
    setting(told::SESSION_EVENTS).is_some()
        || setting(told::KEYSPACE_EVENTS).is_some_and(|flags| has_ends(flags.value()))
}
