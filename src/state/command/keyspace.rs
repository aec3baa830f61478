//! Keyspace: the entries as an app sees them, while its commands are run.
//!
//! Every command reads and writes through here, so that what holds for all of them stands once: which keys an app may
//! name, what a tombstone does to a write, when there is no room, and who is told. A write on a dead key is answered as
//! if it had come just before the session ended: with what it would have been answered, and no effect.

use std::collections::HashMap;
use std::time::Duration;

use super::reply::wrong;
use super::{Access, Answered, AppScope, Call, Reply, Scope, selected, sessions, table};
use crate::clock::Millis;
use crate::limits::{REDIS_KEY_MAX, STEP_TIME_MAX, STEP_WRITES_MAX};
use crate::state::change::{Effect, SessionEvent, Told};
use crate::state::decide::APP_SHARE;
use crate::state::entry::{Entry, Kind, NEVER};
use crate::state::facts::Proof;
use crate::state::key::{self, Key};
use crate::state::told;
use crate::state::view::{Stopwatch, View};

/// What a key holds.
#[derive(Debug, Clone)]
pub enum Held {
    /// Nothing.
    Nothing,
    Live(Entry),
    /// A session ended there, and nothing may take its place yet.
    Dead,
}

/// A deadline that is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Deadline {
    /// So much from now on, as with every use of a session: a little later will do.
    Slides(Millis),
    /// This one.
    Exact(Millis),
}

/// The entries as an app sees them.
pub struct Keyspace<'v, 'e> {
    pub(super) view: &'v mut View<'e>,
    pub(super) scope: &'v Scope,
    /// The database that is selected.
    db: u8,
    effects: Vec<Effect>,
    /// Where the last effect on a key stands.
    last: HashMap<Key, usize>,
    /// Bytes of what was done, about.
    weight: usize,
    /// What the stopwatch said when all this began.
    begun: Duration,
    /// The keys that a script named; it may touch no other. `None` outside of scripts, and in one that named none.
    declared: Option<Vec<Key>>,
    /// Which keyspace events are told, once it was looked.
    events: Option<Vec<u8>>,
}

impl<'v, 'e> Keyspace<'v, 'e> {
    /// The entries of a view, as `scope` has them.
    pub(in crate::state) fn new(view: &'v mut View<'e>, scope: &'v Scope) -> Self {
        let begun = view.stopwatch().map_or(Duration::ZERO, |stopwatch| stopwatch());
        let (effects, last) = (Vec::new(), HashMap::new());
        Self { view, scope, db: scope.db, effects, last, weight: 0, begun, declared: None, events: None }
    }

    /// What has been done.
    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }

    /// Runs a command, which may also select another database for those behind it.
    pub(super) fn step(&mut self, call: &Call) -> Reply {
        match selected(&call.0) {
            Some(Ok(db)) => {
                self.db = db;
                Reply::OK
            }
            Some(Err(refused)) => refused,
            None => self.run_as(call.spec(), &call.0),
        }
    }

    /// Runs a command: looks it up, counts its arguments, sees whether its keys may be named, and whether there is room.
    pub fn run(&mut self, call: &[bytes::Bytes]) -> Reply {
        self.run_as(call.first().and_then(|name| table::find(name)), call)
    }

    fn run_as(&mut self, spec: Option<&'static table::Spec>, call: &[bytes::Bytes]) -> Reply {
        let Some(spec) = spec else { return table::unknown(call) };
        if !spec.takes(call.len()) {
            return wrong::arity(spec.name);
        }
        if let Some(refused) = self.refusal(spec, call) {
            return refused;
        }
        (spec.run)(self, &call[1..]).unwrap_or_else(|error| error)
    }

    fn refusal(&self, spec: &table::Spec, call: &[bytes::Bytes]) -> Option<Reply> {
        match spec.keys_of(call) {
            None if self.declared.is_some() => return Some(undeclared()),
            None => {}
            Some(named) => {
                if !named.iter().all(|raw| self.may_name(raw)) {
                    return Some(forbidden());
                }
                if named.iter().any(|raw| raw.len() > REDIS_KEY_MAX) {
                    return Some(Reply::err("ERR keys have a bound here, and this is longer"));
                }
                if let Some(declared) = &self.declared
                    && !named.iter().all(|raw| declared.contains(&self.key(raw)))
                {
                    return Some(undeclared());
                }
            }
        }
        if spec.access == Access::Write && self.weight > STEP_WRITES_MAX {
            return Some(Reply::err("ERR too much is written in one step"));
        }
        (spec.grows && self.is_full()).then(wrong::full)
    }

    /// Runs `within` as a script that named these keys.
    pub(super) fn declaring<T>(&mut self, keys: Option<Vec<Key>>, within: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.declared, keys);
        let done = within(self);
        self.declared = before;
        done
    }

    /// Whether the app may name this key.
    pub fn may_name(&self, raw: &[u8]) -> bool {
        self.scope.app.as_ref().is_none_or(|app| raw.starts_with(&app.prefix))
    }

    fn is_full(&self) -> bool {
        let has_its_share = |app: &AppScope| self.view.app_is_full((&app.prefix, u64::from(app.share)));
        self.view.is_full(APP_SHARE) || self.scope.app.as_ref().is_some_and(has_its_share)
    }

    /// Log time.
    pub fn now(&self) -> Millis {
        self.view.now()
    }

    /// The key of what an app calls `raw`.
    pub fn key(&self, raw: &[u8]) -> Key {
        Key::of_app(self.db, raw)
    }

    /// The database that is selected.
    pub fn db(&self) -> u8 {
        self.db
    }

    /// What a key holds.
    pub fn held(&self, raw: &[u8]) -> Held {
        self.held_in(self.db, raw)
    }

    fn held_in(&self, db: u8, raw: &[u8]) -> Held {
        let Some(entry) = self.view.entry_of_app(db, raw) else { return Held::Nothing };
        if entry.is_dead() || !self.is_current(&entry) {
            return Held::Dead;
        }
        Held::Live(entry)
    }

    /// Whether the entry is no session, or one of its user's present epoch.
    fn is_current(&self, entry: &Entry) -> bool {
        let signed = entry.glance().and_then(|facts| facts.user().zip(facts.epoch()));
        signed.is_none_or(|(user, epoch)| self.view.epoch(&user) == epoch)
    }

    /// The live entry of a key.
    pub fn live(&self, raw: &[u8]) -> Option<Entry> {
        match self.held(raw) {
            Held::Live(entry) => Some(entry),
            Held::Nothing | Held::Dead => None,
        }
    }

    /// Whether nothing may take the place of what this key held.
    pub fn is_dead(&self, raw: &[u8]) -> bool {
        matches!(self.held(raw), Held::Dead)
    }

    /// The log index of the write that a key of a database holds; 0 when it holds nothing, `u64::MAX` while it is being
    /// changed.
    pub(super) fn version(&self, db: u8, raw: &[u8]) -> u64 {
        match self.held_in(db, raw) {
            Held::Live(entry) if entry.index() == 0 => u64::MAX,
            Held::Live(entry) => entry.index(),
            Held::Nothing | Held::Dead => 0,
        }
    }

    /// The live string of a key.
    ///
    /// # Errors
    /// `WRONGTYPE`.
    pub fn string(&self, raw: &[u8]) -> Result<Option<Entry>, Reply> {
        match self.live(raw) {
            Some(entry) if matches!(entry.kind(), Kind::Plain | Kind::Session) => Ok(Some(entry)),
            Some(_) => Err(wrong::kind()),
            None => Ok(None),
        }
    }

    /// The live collection of a key; `None` when it holds nothing.
    ///
    /// # Errors
    /// `WRONGTYPE`.
    pub fn collection(&self, raw: &[u8], kind: Kind) -> Result<Option<Entry>, Reply> {
        match self.live(raw) {
            Some(entry) if entry.kind() == kind => Ok(Some(entry)),
            Some(_) => Err(wrong::kind()),
            None => Ok(None),
        }
    }

    /// Lets a key hold this string until then; what a session's value may change of its facts is seen to. `class` and
    /// `event` are those of keyspace events. Nothing happens on a dead key.
    pub fn put_string(&mut self, raw: &[u8], value: &[u8], deadline: Millis, (class, event): (u8, &str)) {
        let old = match self.held(raw) {
            Held::Dead => return,
            Held::Live(entry) => Some(entry),
            Held::Nothing => None,
        };
        let entry = sessions::written(self, (raw, old.as_ref()), value, deadline);
        self.tell_of_sessions(raw, old.as_ref(), &entry);
        self.put(raw, entry, (class, event));
    }

    /// Lets a key hold this entry. Nothing happens on a dead key.
    pub fn put(&mut self, raw: &[u8], entry: Entry, (class, event): (u8, &str)) {
        if self.is_dead(raw) {
            return;
        }
        self.effect(Effect::Put(self.key(raw), entry));
        self.notify(class, event, raw);
    }

    /// Replaces the packed members of a collection, which keeps its deadline; one without members is gone.
    pub fn put_collection(&mut self, raw: &[u8], (kind, packed): (Kind, &[u8]), (class, event): (u8, &str)) {
        let deadline = self.live(raw).map_or(NEVER, |entry| entry.deadline());
        let entry = Entry::collection(kind, packed, deadline, self.now());
        self.put(raw, entry, (class, event));
    }

    /// Lets a key hold these packed members instead of anything that it held, for ever.
    pub fn replace(&mut self, raw: &[u8], (kind, packed): (Kind, &[u8]), (class, event): (u8, &str)) {
        let old = match self.held(raw) {
            Held::Dead => return,
            Held::Live(entry) => Some(entry),
            Held::Nothing => None,
        };
        let entry = Entry::collection(kind, packed, NEVER, self.now());
        self.tell_of_sessions(raw, old.as_ref(), &entry);
        self.put(raw, entry, (class, event));
    }

    /// Has a key hold nothing. A session that ends so leaves a tombstone. Answers whether it held something.
    pub fn remove(&mut self, raw: &[u8], (class, event): (u8, &str)) -> bool {
        let Some(entry) = self.live(raw) else { return false };
        let effect = sessions::removed(self, raw, &entry);
        if let Some(user) = believed(&entry) {
            self.tell_session(SessionEvent::SignOut, &user, raw);
        }
        self.effect(effect);
        self.notify(class, event, raw);
        true
    }

    /// Has a key hold nothing, because something else takes its place in the same step.
    pub(super) fn remove_for_replacement(&mut self, raw: &[u8]) {
        self.effect(Effect::Remove(self.key(raw)));
    }

    /// Gives what a key holds another deadline; one that has come ends it. Answers whether it holds something.
    pub fn set_deadline(&mut self, raw: &[u8], deadline: Deadline) -> bool {
        let Some(entry) = self.live(raw) else { return false };
        let (Deadline::Slides(at) | Deadline::Exact(at)) = deadline;
        if at <= self.now() {
            return self.remove(raw, (b'g', "del"));
        }
        let event = if at == NEVER { "persist" } else { "expire" };
        match sessions::extended(self, raw, &entry, deadline) {
            Some(extended) => self.put(raw, extended, (b'g', event)),
            // near enough: it is said, and not written down
            None => self.notify(b'g', event, raw),
        }
        true
    }

    /// The keys that this app sees, as it calls them; in no particular order.
    pub fn names(&self) -> Vec<Vec<u8>> {
        let prefix = self.scope.app.as_ref().map_or(&[][..], |app| &app.prefix);
        let named = |entry: &Entry| match key::named_by_app(entry.key()) {
            Some((db, raw)) if db == self.db && raw.starts_with(prefix) => Some(raw.to_vec()),
            _ => None,
        };
        let mut names = self.view.all(named);
        names.retain(|raw| matches!(self.held(raw), Held::Live(_)));
        names
    }

    /// The database of each key that this app sees in any of them, and whether the key ends; where nothing is changed.
    pub(super) fn each_held(&self) -> Vec<(u8, bool)> {
        let prefix = self.scope.app.as_ref().map_or(&[][..], |app| &app.prefix);
        let is_held = |entry: &Entry| entry.is_live(self.now()) && !entry.is_dead() && self.is_current(entry);
        self.view.all(|entry| match key::named_by_app(entry.key()) {
            Some((db, raw)) if raw.starts_with(prefix) && is_held(entry) => Some((db, entry.deadline() != NEVER)),
            _ => None,
        })
    }

    /// Tells whoever listens on a channel of this app's, on every node.
    pub fn publish(&mut self, channel: &[u8], payload: &[u8]) {
        match &self.scope.app {
            Some(app) => self.say(told::channel_of(&app.name, channel), payload.to_vec()),
            None => self.say(channel.to_vec(), payload.to_vec()),
        }
    }

    fn say(&mut self, channel: Vec<u8>, payload: Vec<u8>) {
        self.effect(Effect::Tell(Told::Message { channel: channel.into(), payload: payload.into() }));
    }

    /// Tells of something that happened to a key, if anybody wants to hear of such.
    pub fn notify(&mut self, class: u8, event: &str, raw: &[u8]) {
        if event.is_empty() {
            return;
        }
        let view = &self.view;
        let wanted = self.events.get_or_insert_with(|| told::wanted(view)).clone();
        for (channel, payload) in told::messages(&wanted, (class, event), self.db, raw) {
            self.say(channel, payload);
        }
    }

    fn tell_of_sessions(&mut self, raw: &[u8], old: Option<&Entry>, new: &Entry) {
        let (before, after) = (old.and_then(believed), believed(new));
        if before == after {
            return;
        }
        if let Some(user) = before {
            self.tell_session(SessionEvent::SignOut, &user, raw);
        }
        if let Some(user) = after {
            self.tell_session(SessionEvent::SignIn, &user, raw);
        }
    }

    fn tell_session(&mut self, what: SessionEvent, user: &str, raw: &[u8]) {
        if !told::are_sessions_told(self.view) {
            return;
        }
        let told = Told::Session { what, user: user.to_owned(), key: self.key(raw) };
        self.effect(Effect::Tell(told));
    }

    /// Bytes of what was done so far, about.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// What says how long it takes already, where that is known, and what that said when this began.
    pub(super) fn stopwatch(&self) -> (Option<Stopwatch>, Duration) {
        (self.view.stopwatch(), self.begun)
    }

    /// Whether all of this has taken as long as one step may.
    pub(super) fn is_late(&self) -> bool {
        self.view.stopwatch().is_some_and(|stopwatch| stopwatch() - self.begun > STEP_TIME_MAX)
    }

    /// Notes what is done. What was done to the same key before counts no longer.
    fn effect(&mut self, effect: Effect) {
        self.view.note(&effect);
        self.weight += weight(&effect);
        let (Effect::Put(key, _) | Effect::Remove(key)) = &effect else { return self.effects.push(effect) };
        match self.last.get(key) {
            Some(&at) => self.weight -= weight(&std::mem::replace(&mut self.effects[at], effect)),
            None => {
                self.last.insert(key.clone(), self.effects.len());
                self.effects.push(effect);
            }
        }
    }
}

/// Bytes of an effect, about.
fn weight(effect: &Effect) -> usize {
    match effect {
        Effect::Put(key, entry) => key.as_bytes().len() + entry.len(),
        Effect::Remove(key) => key.as_bytes().len(),
        Effect::Tell(Told::Message { channel, payload }) => channel.len() + payload.len(),
        Effect::Tell(Told::Session { key, .. }) => key.as_bytes().len(),
    }
}

/// Who is signed in, unless an app merely names them: whoever listens would hear of anybody whom any app can name.
fn believed(entry: &Entry) -> Option<String> {
    let facts = entry.glance().filter(|facts| facts.proof() != Proof::Claim)?;
    facts.user().map(|user| user.to_string())
}

fn forbidden() -> Reply {
    Reply::err("NOPERM this user has no permissions to access one of the keys used as arguments")
}

fn undeclared() -> Reply {
    Reply::err("ERR Script attempted to access a key that it did not declare")
}

/// What a function answers that gives nothing to do.
pub(super) fn nothing_done() -> Answered {
    Ok(Reply::Int(0))
}

impl Call {
    /// A call of these words.
    pub fn of<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(words.into_iter().map(|word| bytes::Bytes::copy_from_slice(word.as_ref())).collect())
    }
}
