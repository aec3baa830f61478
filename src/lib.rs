//! Sojourn: sign-in and shared sessions for a fleet of services, in one binary.
//!
//! *Doors translate, rooms decide, the log agrees, the state remembers.*
//!
//! # A tour
//! A request comes in through a door ([`web`] for HTTP, [`resp`] for apps that speak Redis, [`control`] for commands on
//! the same machine), which understands its dialect and nothing else. It asks [`identity`] in the words of people, or
//! [`keyspace`] in the words of Redis. Both answer from [`state`], in memory and in SQLite, and want changes through the
//! [`log`]. [`raft`] is that log: its decider turns
//! what is wanted (an `Op`) into what is remembered (a `Change`), once; redb keeps it, a majority agrees, every node
//! applies it to its state. [`node`] wires all of this together.
//!
//! # Floors
//! Imports point down, and `tests/tidy.rs` reads the `use` lines to see that they do.
//!
//! | floor | holds | may use |
//! |---|---|---|
//! | 5 | `main`, [`cli`] | `node`, `config`, the client of `control` |
//! | 4 | [`node`] | everything below |
//! | 3 doors | [`web`], [`resp`], [`control`] | `identity`, `keyspace` (`resp`), ground; never `state`, `raft`, each other |
//! | 2 rooms | [`identity`], [`keyspace`]; beside them [`raft`] | `state`, `log`, ground |
//! | 1 cellar | [`state`], [`log`] | ground |
//! | 0 ground | [`clock`] [`random`] [`config`] [`limits`] [`error`] [`listen`] [`trace`] [`planted`] | std and crates |
//!
//! One crate, one room: warp and minijinja only in `web`; redis-protocol only in `resp`; openraft and redb only in
//! `raft`; moka and rusqlite only in `state`, mlua only in its `command/script`; argon2 only in `identity/passwords.rs`;
//! bincode only in `state/codec.rs`.
//!
//! # What always holds
//! - Nothing is acknowledged before it is on a majority's disks and applied here.
//! - Ops are decided once, by the leader, holding their keys; Changes are whole effects and carry no condition. What a
//!   Change does to entries never depends on what SQLite says.
//! - Time enters the state through stamps on records. Deadlines are in log time, which no wall clock can jerk.
//! - Facts about who is signed in stand beside a session's value, where no app can write. A session lives only under
//!   its user's present epoch.
//! - An ended session leaves a tombstone until its absolute deadline, so no late write revives it.
//! - A read is believed only if this node asked the leader recently enough: read first, then check.
//! - Whoever wrote something carries a mark for as long as any node may be behind; a node that is shown it asks first.
//! - A node that joins never founds a cluster, and one that was removed never serves again.
//! - Passwords are hashed on threads of their own; disks are written off the async threads; every queue has a bound.
//!
//! # Deliberately absent
//! Middleware stacks, sticky sessions, a cache beside the state, retries of what may have been done, any eviction of
//! what is still alive.

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod error;
pub mod identity;
pub mod keyspace;
pub mod limits;
pub mod listen;
pub mod log;
pub mod node;
pub mod planted;
pub mod raft;
pub mod random;
pub mod resp;
pub mod state;
pub mod trace;
pub mod web;
