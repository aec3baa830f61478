//! Meters: what the log tells Prometheus of itself, once a second.
//!
//! Names are looked up each time, because the recorder may be installed after the log is opened, and what is counted
//! before that must not be lost: the totals are kept by the store, and only shown here.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::store::Counters;
use crate::state::Entries;

const COMMITS: &str = "sojourn_log_commits_total";
const RECORDS: &str = "sojourn_log_entries_total";
const BYTES: &str = "sojourn_log_bytes_total";
const HELD: &str = "sojourn_entries";
const USED: &str = "sojourn_entries_bytes";
const OFF: &str = "sojourn_clock_offset_seconds";

/// Shows how much was written, how much is held in memory, and how far the wall clock is ahead of log time.
pub fn show(written: &Counters, held: &Entries, off_ms: i64) {
    describe_counter!(COMMITS, "transactions of the log, one fsync each");
    describe_counter!(RECORDS, "log entries that were written and are on disk");
    describe_counter!(BYTES, "bytes of log entries that were written");
    describe_gauge!(HELD, "sessions and other entries in memory, roughly");
    describe_gauge!(USED, "bytes that entries use, as sessions.memory_max counts them");
    describe_gauge!(OFF, "how far the wall clock is ahead of log time, which deadlines follow");
    counter!(COMMITS).absolute(written.commits());
    counter!(RECORDS).absolute(written.entries());
    counter!(BYTES).absolute(written.bytes());
    gauge!(HELD).set(held.count() as f64);
    gauge!(USED).set(held.used_bytes() as f64);
    gauge!(OFF).set(off_ms as f64 / 1_000.0);
}
