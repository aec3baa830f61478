//! Messages: what nodes tell each other beside openraft's own questions.
//!
//! All of them are `codec` frames; one that does not decode is refused, never guessed at.

use serde::{Deserialize, Serialize};

use super::keys::PublicKey;
use crate::clock::Millis;
use crate::state::Outcome;

/// Asks the leader for a read index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadQuestion {
    /// The asker's wall clock: the leader steers log time by the median of them.
    pub wall_ms: Millis,
}

/// Everything acknowledged before the question was sent is at or below `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAnswer {
    /// The log index that the asker must have applied.
    pub index: u64,
    /// Log time when the leader answered.
    pub now: Millis,
}

/// What a node's clocks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnswer {
    /// The wall clock.
    pub wall_ms: Millis,
    /// Log time, if the node has known it since its process began.
    pub now: Option<Millis>,
}

/// What became of a forwarded Op.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fate {
    /// Decided and committed; whoever asked has to have applied `index` before it says so.
    Decided { index: u64, outcome: Outcome },
    /// Surely not appended.
    NotDone(String),
    /// Nobody can tell.
    Unknown,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The last log entry it has applied.
    pub applied: u64,
    /// Whom it knows to lead.
    pub leader: Option<u64>,
    /// Its term.
    pub term: u64,
    /// Its program's version.
    pub version: String,
}

/// By which authorities a node goes, each by its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Whose certificate it shows.
    pub shows: PublicKey,
    /// Whose certificates it takes.
    pub trusts: Vec<PublicKey>,
    /// The one of the secret that its data directory keeps.
    pub keeps: PublicKey,
    /// Whether its settings name a secret.
    pub is_set: bool,
}
