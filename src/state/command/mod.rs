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
mod names;
mod number;
mod packed;
mod reply;
mod scan;
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
pub use keyspace::{Held, Keyspace};
pub use names::Names;
pub use number::{parse_float, parse_int, show_double};
pub use reply::{Answered, Reply, wrong};
pub use scan::{List, Mark, Scan};
pub use sessions::rest;
pub use table::{Access, FLUSHED, Keys, Spec, find, names, unknown};

use super::change::Outcome;
use super::key::Key;
use super::view::View;
use super::{Change, Entries};
use crate::clock::Millis;
use crate::limits::{STEP_REPLIES_MAX, STEP_WRITES_MAX};

/// How many databases there are, as with Redis unless it is told otherwise.
pub const DATABASES: u8 = 16;

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
    pub watched: Vec<Watched>,
    /// Whether all of them are run in one step. Otherwise those that would be too much are left, and have no answer.
    pub is_whole: bool,
}

/// A key, as it was when it was watched.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    pub db: u8,
    pub raw: Bytes,
    /// The log index of the write that it held; 0: it held nothing.
    pub index: u64,
}

/// Which keys must be held while something is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    Keys(Vec<Key>),
    /// All there are: it runs alone.
    Everything,
}

impl Commands {
    /// Bytes of what was sent, about.
    pub fn weight(&self) -> usize {
        let each = |call: &Call| call.0.iter().map(|word| word.len() + 8).sum::<usize>();
        self.calls.iter().map(each).sum::<usize>() + self.watched.iter().map(|watched| watched.raw.len()).sum::<usize>()
    }

    /// The keys that these commands touch.
    pub fn claim(&self) -> Claim {
        let mut keys: Vec<Key> = self.watched.iter().map(|watched| Key::of_app(watched.db, &watched.raw)).collect();
        let mut db = self.scope.db;
        for call in &self.calls {
            if let Some(Ok(other)) = selected(&call.0) {
                db = other;
            }
            let Some(spec) = call.spec() else { continue };
            match spec.keys_of(&call.0) {
                Some(named) => keys.extend(named.iter().map(|raw| Key::of_app(db, raw))),
                None if spec.is_decided() => return Claim::Everything,
                None => {}
            }
        }
        keys.sort_unstable();
        keys.dedup();
        Claim::Keys(keys)
    }
}

impl Call {
    /// What is known of the command; `None` when there is none of this name. Doors let nothing in that [`find`] does not
    /// know.
    pub fn spec(&self) -> Option<&'static Spec> {
        let name = self.0.first()?;
        find(name).or_else(|| (name == FLUSHED.name).then_some(&FLUSHED))
    }
}

/// The database that a call selects; `None` when it is none of that kind.
pub fn selected(call: &[Bytes]) -> Option<Result<u8, Reply>> {
    let [name, number] = call else { return None };
    if !name.eq_ignore_ascii_case(b"select") {
        return None;
    }
    let Some(number) = parse_int(number) else { return Some(Err(wrong::integer())) };
    if i32::try_from(number).is_err() {
        return Some(Err(Reply::err("ERR value is out of range, value must between -2147483648 and 2147483647")));
    }
    let db = u8::try_from(number).ok().filter(|db| *db < DATABASES);
    Some(db.ok_or_else(|| Reply::err("ERR DB index is out of range")))
}

/// Runs commands one after another, each seeing what those before it did. Effects are noted in the view as they come.
/// One step is bounded in what it writes, in what is answered, and in time.
pub(super) fn run_all(view: &mut View<'_>, commands: &Commands, change: &mut Change) -> Outcome {
    let mut keyspace = Keyspace::new(view, &commands.scope);
    if commands.watched.iter().any(|watched| keyspace.version(watched.db, &watched.raw) != watched.index) {
        return Outcome::Aborted;
    }
    let mut replies = Vec::with_capacity(commands.calls.len());
    let mut said = 0;
    for call in &commands.calls {
        let is_over = said > STEP_REPLIES_MAX || keyspace.is_late();
        if !replies.is_empty() && !commands.is_whole && (is_over || keyspace.weight() > STEP_WRITES_MAX) {
            break;
        }
        let reply =
            if is_over { Reply::err("ERR this was not run: it is too much for one step") } else { keyspace.step(call) };
        said += reply.weight();
        replies.push(reply);
    }
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

/// Keys of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub keys: u64,
    /// How many of them have a deadline.
    pub ending: u64,
}

/// How many keys of a scope hold something here, in each database.
pub fn counted(entries: &Entries, scope: &Scope, now: Millis) -> [Counted; DATABASES as usize] {
    let mut view = View::new(entries, now);
    let keyspace = Keyspace::new(&mut view, scope);
    let mut all = [Counted::default(); DATABASES as usize];
    for (db, ends) in keyspace.each_held() {
        if let Some(counted) = all.get_mut(usize::from(db)) {
            counted.keys += 1;
            counted.ending += u64::from(ends);
        }
    }
    all
}

/// The page of a listing that a `SCAN` asks for.
pub fn page(entries: &Entries, scope: &Scope, (scan, list): (&Scan, &List), now: Millis) -> Reply {
    scan.page(&Keyspace::new(&mut View::new(entries, now), scope), list)
}

/// A key as it is here now.
pub fn watched(entries: &Entries, scope: &Scope, raw: &[u8], now: Millis) -> Watched {
    let index = Keyspace::new(&mut View::new(entries, now), scope).version(scope.db, raw);
    // the buffer it came in is not kept for as long as it is watched
    Watched { db: scope.db, raw: Bytes::copy_from_slice(raw), index }
}
