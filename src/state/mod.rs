//! State: what all nodes agree on.
//!
//! Entries (sessions and everything else with a deadline) in memory, users in SQLite, both fed by the log alone.
//! No clock, no randomness, no network in here: time arrives as an argument, so that two States that are fed the same
//! records are the same.

pub mod change;
pub mod codec;
pub mod entry;
pub mod key;

pub use change::{
    Begin, Budget, Change, Edit, Effect, EndUser, LinkUse, NewUser, Op, Outcome, Record, SignedIn, UserChange,
    UserOutcome,
};
pub use entry::{Entry, Facts, NEVER, Proof, Signed};
pub use key::Key;
