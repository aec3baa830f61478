//! View: what deciding sees: applied entries, and on top of them what earlier Ops of the batch will do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::Effect;
use super::decide::epoch_of;
use super::entries::Entries;
use super::entry::Entry;
use super::facts::Facts;
use super::key::Key;
use crate::clock::Millis;

/// Says how long deciding takes already.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What deciding sees: applied entries, and on top what earlier Ops of the batch will do to them.
pub struct View<'a> {
    entries: &'a Entries,
    pending: HashMap<Key, Option<Entry>>,
    /// By how many bytes the pending ones will change what is used.
    grown: i64,
    pub(super) now: Millis,
    /// For what would take too long otherwise.
    stopwatch: Option<Stopwatch>,
}

impl<'a> View<'a> {
    /// The entries as applied, at log time `now`.
    pub fn new(entries: &'a Entries, now: Millis) -> Self {
        Self { entries, pending: HashMap::new(), grown: 0, now, stopwatch: None }
    }

    /// The same, while `bytes` are decided already and not applied yet.
    pub fn beside(self, bytes: u64) -> Self {
        Self { grown: self.grown.saturating_add_unsigned(bytes), ..self }
    }

    /// The same, where scripts are bounded in time.
    pub fn timed(self, stopwatch: Stopwatch) -> Self {
        Self { stopwatch: Some(stopwatch), ..self }
    }

    pub(super) fn stopwatch(&self) -> Option<Stopwatch> {
        self.stopwatch.clone()
    }

    pub(super) fn entry(&self, key: &Key) -> Option<Entry> {
        self.held(key).filter(|entry| self.now < entry.deadline())
    }

    /// Log time.
    pub(super) fn now(&self) -> Millis {
        self.now
    }

    /// What an app's key holds that has not ended, a tombstone too.
    pub(super) fn entry_of_app(&self, db: u8, raw: &[u8]) -> Option<Entry> {
        let held = if db > 0 || raw.first() == Some(&0) {
            self.held(&Key::of_app(db, raw))
        } else {
            self.pending.get(raw).cloned().unwrap_or_else(|| self.entries.get_raw(raw))
        };
        held.filter(|entry| self.now < entry.deadline())
    }

    /// A cluster-wide setting.
    pub(super) fn setting(&self, name: &str) -> Option<Entry> {
        self.live(&Key::setting(name))
    }

    /// What `take` makes of every entry, and of what is pending in their place.
    pub(super) fn all<T>(&self, take: impl Fn(&Entry) -> Option<T>) -> Vec<T> {
        let pending = self.pending.iter().filter_map(|(key, entry)| Some(entry.as_ref()?.held(key, 0)));
        let applied = self.entries.held().filter(|entry| !self.pending.contains_key(entry.key()));
        applied.chain(pending).filter_map(|entry| take(&entry)).collect()
    }

    /// Whether the entries of an app use up its share (percent) of the memory that the cluster allows.
    pub(super) fn app_is_full(&self, (prefix, share): (&[u8], u64)) -> bool {
        let bound = u128::from(self.entries.memory_max()) * u128::from(share) / 100;
        // what is on its way may be anybody's
        u128::from(self.entries.used_by(prefix)) >= bound
    }

    pub(super) fn held(&self, key: &Key) -> Option<Entry> {
        match self.pending.get(key) {
            Some(pending) => pending.clone(),
            None => self.entries.get(key),
        }
    }

    pub(super) fn live(&self, key: &Key) -> Option<Entry> {
        self.entry(key).filter(|entry| !entry.is_dead())
    }

    /// A live session: not past its deadline, not ended, and of the user's present epoch.
    pub(super) fn session(&self, key: &Key) -> Option<(Entry, Facts)> {
        let entry = self.live(key)?;
        let facts = entry.facts()?;
        let current = facts.signed.as_ref().is_none_or(|signed| signed.epoch == self.epoch(&signed.user));
        current.then_some((entry, facts))
    }

    /// The same, or a session that an app keeps without facts: a JSON object.
    pub(super) fn session_or_apps(&self, key: &Key) -> Option<(Entry, Option<Facts>)> {
        let entry = self.live(key)?;
        if entry.is_apps_session() {
            return Some((entry, None));
        }
        self.session(key).map(|(entry, facts)| (entry, Some(facts)))
    }

    /// The session epoch of a user.
    pub(super) fn epoch(&self, user: &str) -> u64 {
        if self.pending.is_empty() {
            return self.entries.epoch(user);
        }
        epoch_of(self.live(&Key::epoch(user)))
    }

    pub(super) fn sessions_of(&self, user: &str) -> Vec<(Key, Facts)> {
        let mut keys: Vec<Key> = self.entries.of_user(user, self.now).into_iter().map(|(key, _)| key).collect();
        let begun_here =
            |(key, entry): (&Key, &Option<Entry>)| entry.as_ref().is_some_and(|e| e.is_of(user)).then(|| key.clone());
        keys.extend(self.pending.iter().filter_map(begun_here));
        keys.sort();
        keys.dedup();
        keys.into_iter().filter_map(|key| self.session(&key).map(|(_, facts)| (key, facts))).collect()
    }

    /// Whether `share` percent of the memory that the cluster allows is used up.
    pub(super) fn is_full(&self, share: u64) -> bool {
        let bound = u128::from(self.entries.memory_max()) * u128::from(share) / 100;
        u128::from(self.entries.used_bytes().saturating_add_signed(self.grown)) >= bound
    }

    #[cfg(test)]
    pub fn grown(&self) -> i64 {
        self.grown
    }

    /// Remembers what will be done.
    pub(super) fn note(&mut self, effect: &Effect) {
        let (key, entry) = match effect {
            Effect::Put(key, entry) => (key, Some(entry)),
            Effect::Remove(key) => (key, None),
            Effect::Tell(_) => return,
        };
        let bytes = |entry: &Entry| entry.cost_under(key).cast_signed();
        self.grown += entry.map_or(0, bytes) - self.held(key).as_ref().map_or(0, bytes);
        self.pending.insert(key.clone(), entry.cloned());
    }
}
