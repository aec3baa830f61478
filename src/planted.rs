//! Planted: bugs on purpose, to see whether the tests find them.
//!
//! Only in builds with the feature `planted`, which no release has: without it every question here is answered "no" at
//! compile time, and nothing of any bug is in the program. With it `SOJOURN_PLANTED` names the one bug that is there.

/// Whether snapshots are written, and the log before them is removed, so often that a short run sees it.
pub const FREQUENT_SNAPSHOTS: bool = cfg!(feature = "planted");

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Entries count as written before they are.
    AckBeforeFsync,
    /// A node believes what it holds, however old.
    SkipFreshness,
    /// It asks whether it is fresh, and reads later.
    FreshnessFirst,
    /// A node that was stale and asked answers what it had read before.
    KeepStaleRead,
    /// Whoever wrote on one node reads another one as anybody does.
    IgnoreOwnWrites,
    /// An ended session leaves nothing behind.
    DropTombstone,
    /// A new leader decides before it has applied what others committed.
    EarlyTenure,
    /// What may have been done is done again.
    RetryUnknown,
    /// A leader that restarts leads on.
    LeaderRestore,
    /// A snapshot is poured into what is there.
    MergeSnapshot,
    /// A start does not know what the snapshot and the database of users hold.
    ForgetApplied,
    /// A start takes what was committed for applied.
    SkipReplay,
    /// Deadlines follow the wall clock.
    WallClock,
}

#[cfg(feature = "planted")]
const NAMES: [(&str, Bug); 13] = [
    ("ack-before-fsync", Bug::AckBeforeFsync),
    ("skip-freshness", Bug::SkipFreshness),
    ("freshness-first", Bug::FreshnessFirst),
    ("keep-stale-read", Bug::KeepStaleRead),
    ("ignore-own-writes", Bug::IgnoreOwnWrites),
    ("drop-tombstone", Bug::DropTombstone),
    ("early-tenure", Bug::EarlyTenure),
    ("retry-unknown", Bug::RetryUnknown),
    ("leader-restore", Bug::LeaderRestore),
    ("merge-snapshot", Bug::MergeSnapshot),
    ("forget-applied", Bug::ForgetApplied),
    ("skip-replay", Bug::SkipReplay),
    ("wall-clock", Bug::WallClock),
];

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub fn has(bug: Bug) -> bool {
    static PLANTED: std::sync::LazyLock<Option<Bug>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("SOJOURN_PLANTED").ok().filter(|name| !name.is_empty())?;
        let found = NAMES.iter().find(|(known, _)| *known == name);
        Some(found.expect("SOJOURN_PLANTED names no bug that there is").1)
    });
    *PLANTED == Some(bug)
}

/// How long the next one that was checked too early is left lying: every third for longer than anything is fresh.
#[cfg(feature = "planted")]
pub fn late() -> std::time::Duration {
    static CHECKED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let is_late = CHECKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(3);
    std::time::Duration::from_millis(if is_late { 1_050 } else { 0 })
}

/// No time: nothing is checked too early.
#[cfg(not(feature = "planted"))]
pub const fn late() -> std::time::Duration {
    std::time::Duration::ZERO
}

/// Whether this bug is planted: none is.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn has(_: Bug) -> bool {
    false
}
