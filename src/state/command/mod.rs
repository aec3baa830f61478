//! Command: what apps ask of their keys, in Redis's words.
//!
//! A command is a name and arguments, as sent. `table` says what each is called, how many arguments it takes, which of
//! them are keys, and which function runs it, on a [`Keyspace`]: the entries as an app sees them. Those that change
//! something are run by the leader alone, as part of deciding, and only their effects travel on; those that read run on
//! any node. The semantics are those of Redis 7.0, except where a session is concerned: see `sessions`.

mod draw;
mod glob;
mod hash;
mod keys;
mod keyspace;
mod number;
mod packed;
mod reply;
mod score_range;
mod script;
mod sessions;
mod set;
mod sorted_set;
mod strings;
mod table;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use glob::matches;
pub use keys::{Scan, in_order};
pub use keyspace::{Held, Keyspace};
pub use number::{parse_float, parse_int, show_double};
pub use reply::{Answered, Reply, wrong};
pub use sessions::rest;
pub use table::{Access, Keys, Spec, find, names, unknown};

use super::change::Outcome;
use super::key::Key;
use super::view::View;
use super::{Change, Entries};
use crate::clock::Millis;

/// Who asks: what they may see, and how their keys are taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The database that was selected.
    pub db: u8,
    /// Which app; `None`: whoever holds the password for everything.
    pub app: Option<AppScope>,
    /// What session keys begin with.
    pub sessions: String,
    /// How long keys of Express's form stay dead after an app's own `DEL`, milliseconds.
    pub guard_ms: i64,
}

/// What an app may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppScope {
    /// Its name.
    pub name: String,
    /// What its keys begin with.
    #[serde(with = "serde_bytes")]
    pub prefix: Vec<u8>,
    /// Whether what it says about who is signed in counts.
    pub may_sign_in: bool,
    /// How much of `memory_max` its entries may use, percent.
    pub share: u8,
}

/// A name and arguments.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call(pub Vec<Bytes>);

/// Arguments are secrets.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Call({} arguments)", self.0.len())
    }
}

/// Commands that are run one after another, with nothing between.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    pub scope: Scope,
    pub calls: Vec<Call>,
    /// Keys, and the log index of the write that each held when it was watched; 0: it held nothing.
    pub watched: Vec<(Bytes, u64)>,
}

/// Which keys must be held while something is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    Keys(Vec<Key>),
    /// All there are: it runs alone.
    Everything,
}

impl Commands {
    /// The keys that these commands touch.
    pub fn claim(&self) -> Claim {
        let mut keys: Vec<Key> = self.watched.iter().map(|(raw, _)| Key::of_app(self.scope.db, raw)).collect();
        for call in &self.calls {
            let Some(spec) = call.spec() else { continue };
            match spec.keys_of(&call.0) {
                Some(named) => keys.extend(named.iter().map(|raw| Key::of_app(self.scope.db, raw))),
                None if spec.access == Access::Write => return Claim::Everything,
                None => {}
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Claim::Keys(keys)
    }
}

impl Call {
    /// What is known of the command; `None` when there is none of this name.
    pub fn spec(&self) -> Option<&'static Spec> {
        self.0.first().and_then(|name| find(name))
    }
}

/// Runs commands one after another, each seeing what those before it did. Effects are noted in the view as they come.
pub(super) fn run_all(view: &mut View<'_>, commands: &Commands, change: &mut Change) -> Outcome {
    let mut keyspace = Keyspace::new(view, &commands.scope);
    if commands.watched.iter().any(|(raw, index)| keyspace.version(raw) != *index) {
        return Outcome::Aborted;
    }
    let replies = commands.calls.iter().map(|call| keyspace.run(&call.0)).collect();
    change.effects = keyspace.into_effects();
    Outcome::Replies(replies)
}

/// Runs a command that only reads, on the entries as they are applied here.
pub fn read(entries: &Entries, scope: &Scope, call: &[Bytes], now: Millis) -> Reply {
    let mut view = View::new(entries, now);
    let mut keyspace = Keyspace::new(&mut view, scope);
    let reply = keyspace.run(call);
    debug_assert!(keyspace.into_effects().is_empty(), "a command that reads has no effects");
    reply
}

/// Runs a command on the entries as they are applied here, and answers only if it would neither change nor tell anything:
/// most touches of a session that lives long are of this kind.
pub fn attempt(entries: &Entries, scope: &Scope, call: &[Bytes], now: Millis) -> Option<Reply> {
    let mut view = View::new(entries, now);
    let mut keyspace = Keyspace::new(&mut view, scope);
    let names_live = call.get(1).is_some_and(|raw| keyspace.live(raw).is_some());
    let reply = keyspace.run(call);
    (names_live && keyspace.into_effects().is_empty()).then_some(reply)
}

/// Bytes that a live key uses here, as `memory_max` counts them.
pub fn usage(entries: &Entries, scope: &Scope, raw: &[u8], now: Millis) -> Option<u64> {
    let mut view = View::new(entries, now);
    let keyspace = Keyspace::new(&mut view, scope);
    keyspace.live(raw).map(|entry| entry.cost_under(&keyspace.key(raw)))
}

/// The keys of a scope that hold something here, in no particular order.
pub fn listing(entries: &Entries, scope: &Scope, now: Millis) -> Vec<Vec<u8>> {
    Keyspace::new(&mut View::new(entries, now), scope).names()
}

/// The page of a listing that a `SCAN` asks for.
pub fn page(entries: &Entries, scope: &Scope, (scan, all): (&Scan, &[(u64, Vec<u8>)]), now: Millis) -> Reply {
    scan.page(&Keyspace::new(&mut View::new(entries, now), scope), all)
}

/// The log index of the write that a key holds here; 0 when it holds nothing.
pub fn version(entries: &Entries, scope: &Scope, raw: &[u8], now: Millis) -> u64 {
    Keyspace::new(&mut View::new(entries, now), scope).version(raw)
}
