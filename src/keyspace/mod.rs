//! Keyspace: runs apps' commands, wherever they have to be run.
//!
//! What only reads is read here, once it is known to be fresh; what changes something is decided by the leader, and
//! stretches of commands that came together are decided together. `run` does both, `scripts` remembers scripts,
//! `listing` walks through keys, `hub` brings messages to whoever listens on this node. No protocol in here.

pub mod hub;
mod listing;
mod run;
mod scripts;

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Millis;
use crate::config::Reads;
use crate::error::{Error, Result};
use crate::log::Log;
pub use crate::state::command::{
    Access, AppScope, Call, Counted, DATABASES, Keys, Names, Reply, Scope, Spec, Watched, find, matches, names,
    parse_int, selected, show_double, unknown, wrong,
};
pub use crate::state::told::KEYSPACE_EVENTS as EVENTS;
use crate::state::{Commands, Key, Op, Outcome, State, command};
use hub::Hub;
use listing::Listings;
pub use run::{Ended, refusal};
use scripts::Scripts;

/// How often something is read while what the leader says comes too late to believe it.
const LOOKS_MAX: usize = 3;

/// The room. Shared by all connections.
pub struct Keyspace {
    state: Arc<State>,
    log: Arc<dyn Log>,
    reads: Reads,
    scripts: Scripts,
    listings: Listings,
    hub: Arc<Hub>,
}

impl Keyspace {
    /// Opens the room over a state and the log that feeds it.
    pub fn open(state: Arc<State>, log: Arc<dyn Log>, reads: Reads) -> Self {
        let hub = Arc::default();
        Self { state, log, reads, scripts: Scripts::default(), listings: Listings::default(), hub }
    }

    /// Who brings messages: has to be told what the state tells.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Log time now.
    pub fn now(&self) -> Millis {
        self.log.now()
    }

    /// How many entries there are, roughly, and how many bytes they use.
    pub fn size(&self) -> (u64, u64) {
        let entries = &self.state.current().entries;
        (entries.count(), entries.used_bytes())
    }

    /// The most bytes that entries may use.
    pub fn memory_max(&self) -> u64 {
        self.state.current().entries.memory_max()
    }

    /// Bytes that a key uses, as `memory_max` counts them.
    pub fn usage(&self, scope: &Scope, raw: &[u8]) -> Option<u64> {
        command::usage(&self.state.current().entries, scope, raw, self.log.now())
    }

    /// A cluster-wide setting, as it stands here.
    pub fn setting(&self, name: &str) -> Option<Bytes> {
        let held = self.state.live(&Key::setting(name), self.log.now());
        held.map(|entry| Bytes::copy_from_slice(entry.value()))
    }

    /// Sets which keyspace events are told, on every node.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`.
    pub async fn set_events(&self, events: &str) -> Result<()> {
        let value = Bytes::copy_from_slice(events.as_bytes());
        self.log.submit(Op::Setting { name: EVENTS.into(), value, only_if_absent: false }).await.map(|_| ())
    }

    /// What each key holds that is watched from now on.
    ///
    /// # Errors
    /// `NotDone` when nobody can tell.
    pub async fn watch(&self, scope: &Scope, keys: &[Bytes]) -> Result<Vec<Watched>> {
        self.freshen().await?;
        let (generation, now) = (self.state.generation(), self.log.now());
        let _whole = self.state.whole();
        Ok(keys.iter().map(|raw| command::watched(&generation.entries, scope, raw, now)).collect())
    }

    /// Runs commands with nothing between them, if what was watched is as it was; `None` when it is not.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`.
    pub async fn transact(&self, scope: &Scope, calls: Vec<Call>, watched: Vec<Watched>) -> Result<Option<Vec<Reply>>> {
        let mut calls = calls;
        let refused = self.with_bodies(&mut calls).await;
        // they keep their places, and do nothing there
        refused.iter().for_each(|(at, _)| calls[*at] = Call::of(["echo", ""]));
        let published = self.published(&calls);
        let commands = Commands { scope: scope.clone(), calls, watched, is_whole: true };
        match self.log.submit(Op::Commands(Box::new(commands))).await? {
            Outcome::Replies(mut replies) => {
                self.count_listeners(scope, published, &mut replies);
                for (at, refusal) in refused {
                    replies[at] = refusal;
                }
                Ok(Some(replies))
            }
            Outcome::Aborted => Ok(None),
            Outcome::Full => Err(Error::Full),
            other => Err(Error::Broken(format!("commands were answered {other:?}"))),
        }
    }

    /// Sees to it that everything acknowledged so far is here.
    ///
    /// # Errors
    /// `NotDone` when nobody can tell.
    pub async fn freshen(&self) -> Result<()> {
        if self.is_current() { Ok(()) } else { self.log.refresh().await }
    }

    /// Whether nobody can know more than this node.
    fn is_current(&self) -> bool {
        self.log.is_alone() && self.log.is_fresh()
    }
}
