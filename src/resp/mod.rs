//! Resp: the Redis door, where apps keep their sessions without knowing that it is not Redis.
//!
//! `accept` takes connections and bounds them; `connection` reads and writes; `frame` and `inline` make commands of
//! bytes, `write` makes bytes of replies; `conversation` is what one client may say and what it is answered: what
//! concerns keys goes to `keyspace`, the rest (`words`) is answered here, in the words of Redis 7.0.15. Libraries compare
//! error texts, which is why these are its own.
//!
//! Deliberately absent: `MONITOR` (it would show everybody's sessions), replication, clusters, modules, blocking
//! commands, and everything that persists or debugs.

pub mod accept;
mod admission;
mod below;
mod clients;
mod commands;
mod config;
mod connection;
mod conversation;
mod events;
pub mod frame;
mod guesses;
mod info;
mod inline;
mod metrics;
mod pubsub;
mod scripts;
mod settings;
mod transaction;
mod words;
mod write;

use std::sync::Arc;
use std::time::Instant;

use crate::identity::Identity;
use crate::keyspace::Keyspace;
use crate::random;
pub use accept::{Port, serve};
use clients::{Clients, Pace};
use guesses::Guesses;
use metrics::Meters;
pub use settings::Settings;

/// Which Redis this claims to be: clients choose features by it.
const VERSION: &str = "7.0.15";

/// What all connections share.
pub struct Door {
    identity: Arc<Identity>,
    keyspace: Arc<Keyspace>,
    settings: Settings,
    clients: Clients,
    pace: Pace,
    guesses: Guesses,
    meters: Meters,
    /// Names this run of the program, as Redis has it: 40 hexadecimal digits.
    run_id: String,
    begun: Instant,
}

impl Door {
    /// The door to these rooms.
    pub fn new(identity: Arc<Identity>, keyspace: Arc<Keyspace>, settings: Settings) -> Self {
        Self {
            identity,
            keyspace,
            settings,
            clients: Clients::default(),
            pace: Pace::new(),
            guesses: Guesses::default(),
            meters: Meters::new(),
            run_id: random::hex::<20>(),
            begun: Instant::now(),
        }
    }
}
