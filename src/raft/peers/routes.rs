//! Routes: what peers may ask each other, by path.

/// Entries of the log and heartbeats: openraft's own.
pub const APPEND: &str = "/append";
/// How far the node has acknowledged entries to the leader of a vote, and now denies to have them.
pub const HAD: &str = "/had";
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
/// What the wall clock says, and log time where it is known.
pub const CLOCK: &str = "/clock";
/// A wish for the membership, from a member to the leader.
pub const WISH: &str = "/wish";
/// That whoever is called was removed from the membership.
pub const REMOVED: &str = "/removed";
/// What the node is and how far it has got.
pub const STATUS: &str = "/status";
/// Whether a key is pinned, and whose it is then.
pub const KNOWS: &str = "/knows";
/// By which authorities the node goes.
pub const KEYS: &str = "/keys";
/// The cluster's secret and id, for the holder of a join token.
pub const WELCOME: &str = "/welcome";
/// To be a member, for the holder of a join token.
pub const JOIN: &str = "/join";
