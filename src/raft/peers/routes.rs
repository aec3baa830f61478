//! Routes: what peers may ask each other, by path.

/// Entries of the log and heartbeats: openraft's own.
pub const APPEND: &str = "/append";
/// A vote.
pub const VOTE: &str = "/vote";
/// Whether a vote would be granted.
pub const PRE_VOTE: &str = "/pre-vote";
/// Leadership is handed over.
pub const TRANSFER: &str = "/transfer";
/// A whole snapshot.
pub const SNAPSHOT: &str = "/snapshot";
/// A read index, from the leader.
pub const READ: &str = "/read";
/// Ops that the leader is to decide.
pub const OPS: &str = "/ops";
