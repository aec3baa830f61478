//! Log: what a room may ask of the replicated log, without knowing how nodes agree.
//!
//! `raft` implements it; `identity` and the doors' rooms are handed it. Deliberately absent: terms, leaders, indexes.
//! Whoever submits an Op learns its outcome after it is on a majority's disks *and* applied here.

use std::pin::Pin;

use crate::clock::Millis;
use crate::error::Result;
use crate::state::{Op, Outcome};

/// A boxed future: what the methods of a trait object give.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a read may be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// At most `max_staleness` old.
    Fresh,
    /// At most `stale_reads` older than that: where nobody answers, it will do.
    Bearable,
}

/// The replicated log.
pub trait Log: Send + Sync + 'static {
    /// Has `op` decided by the leader, committed on a majority and applied on this node.
    ///
    /// Dropping the future does not take the Op back.
    ///
    /// # Errors
    /// `NotDone` when it certainly was not appended; `FateUnknown` when nobody can tell.
    fn submit(&self, op: Op) -> Answer<'_, Result<Outcome>>;

    /// Log time now, as this node extrapolates it.
    fn now(&self) -> Millis;

    /// Whether what this node has applied is at most `max_staleness` old. Read first, then ask this.
    fn is_fresh(&self) -> bool {
        self.is_still(Belief::Fresh)
    }

    /// Whether what this node has applied is at most as old as that. Read first, then ask this.
    fn is_still(&self, belief: Belief) -> bool;

    /// Makes this node fresh by asking the leader: on success, everything acknowledged before the call is applied.
    ///
    /// # Errors
    /// `NotDone` when no leader with a quorum answers in time.
    fn refresh(&self) -> Answer<'_, Result<()>>;

    /// The same, except that what is at most `stale_reads` older will do where nobody answers. What is read afterwards
    /// is believed if it [is still](Log::is_still) so: the answer may have been long on its way.
    ///
    /// # Errors
    /// `NotDone` as above, and what is here is too old even so.
    fn refresh_or_bear(&self) -> Answer<'_, Result<Belief>>;

    /// Whether no other node holds the state: then every read is as fresh as it can be.
    fn is_alone(&self) -> bool;
}
