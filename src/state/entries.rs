//! Entries: everything with a deadline, in memory, fed by the log alone.
//!
//! moka forgets by its own clock and is told to do so late (deadline, plus a grace): the deadline in the entry is what
//! counts, and every reader compares it with log time. There is no capacity: a full cache would turn live sessions
//! away. Entries are found by a name of 16 bytes made of their key; the key itself lies in the entry, so that each
//! costs one allocation of ours beside moka's own. Whose sessions they are is in `index`.

use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::app::AppRecord;
use super::deadlines::Deadlines;
use super::entry::{Entry, NEVER};
use super::epochs::Epochs;
use super::index::UserIndex;
use super::key::{self, Key};
use super::name::{AsItIs, Name};
use super::shares::Shares;
use crate::clock::Millis;

/// Bytes that an entry costs beside its key and its packed bytes: moka's nodes, reference counts, the user index.
/// Measured with a million sessions (`benches/restart`).
pub const OVERHEAD: u64 = 490;

/// The least grace after a deadline before moka forgets an entry.
const GRACE_MS: i64 = 60_000;
/// How often what is due is forgotten.
const SWEEP_EVERY: Duration = Duration::from_millis(50);

type Held = Cache<Name, Entry, BuildHasherDefault<AsItIs>>;

/// All entries of one generation.
pub struct Entries {
    cache: Held,
    seeds: [RandomState; 2],
    index: Arc<UserIndex>,
    epochs: Epochs,
    shares: Arc<Shares>,
    deadlines: Deadlines,
    used: Arc<AtomicU64>,
    as_of: Arc<AtomicI64>,
    /// Ends the sweeper when it goes.
    _alive: Arc<()>,
}

impl Default for Entries {
    fn default() -> Self {
        Self::new()
    }
}

impl Entries {
    /// No entries.
    pub fn new() -> Self {
        let index: Arc<UserIndex> = Arc::default();
        let used: Arc<AtomicU64> = Arc::default();
        let as_of: Arc<AtomicI64> = Arc::default();
        let shares: Arc<Shares> = Arc::default();
        let (listed, bytes, shared) = (index.clone(), used.clone(), shares.clone());
        let cache = Cache::builder()
            .expire_after(Late { as_of: as_of.clone() })
            .eviction_listener(move |name: Arc<Name>, entry: Entry, cause| {
                bytes.fetch_sub(cost(&entry), Ordering::Relaxed);
                shared.subtract(entry.key(), cost(&entry));
                if cause != RemovalCause::Replaced {
                    listed.remove(*name, &entry);
                }
            })
            .build_with_hasher(BuildHasherDefault::default());
        let alive = Arc::new(());
        sweep_for_ever(cache.clone(), Arc::downgrade(&alive));
        Self {
            cache,
            seeds: [RandomState::default(), RandomState::default()],
            index,
            epochs: Epochs::default(),
            shares,
            deadlines: Deadlines::default(),
            used,
            as_of,
            _alive: alive,
        }
    }

    /// The entry of a key, whether or not it is live.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.cache.get(&self.name(key.as_bytes())).filter(|entry| entry.key() == key.as_bytes())
    }

    /// The same by the bytes of a key.
    pub(super) fn get_raw(&self, key: &[u8]) -> Option<Entry> {
        self.cache.get(&self.name(key)).filter(|entry| entry.key() == key)
    }

    /// The session epoch of a user: every request of somebody signed in asks for it.
    pub fn epoch(&self, user: &str) -> u64 {
        self.epochs.get(user)
    }

    fn name(&self, key: &[u8]) -> Name {
        Name([self.seeds[0].hash_one(key), self.seeds[1].hash_one(key)])
    }

    /// Puts an entry, whatever was there; `index` is the log index of the write.
    pub fn put(&self, key: &Key, entry: &Entry, index: u64) {
        let entry = entry.held(key, index);
        let name = self.name(key.as_bytes());
        if !entry.is_signed()
            && let Some(old) = self.cache.get(&name)
        {
            self.index.remove(name, &old);
        }
        self.insert(name, entry);
    }

    /// Puts an entry that has its key in it, which is known to hold nobody's session: what filling an empty cache does.
    pub(super) fn load(&self, entry: Entry) {
        self.insert(self.name(entry.key()), entry);
    }

    fn insert(&self, name: Name, entry: Entry) {
        self.as_of.fetch_max(entry.stamp(), Ordering::Relaxed);
        let times = (entry.deadline(), self.as_of.load(Ordering::Relaxed));
        self.deadlines.come(name, times, || self.cache.get(&name).map(|held| held.deadline()));
        self.used.fetch_add(cost(&entry), Ordering::Relaxed);
        self.shares.add(entry.key(), cost(&entry));
        self.index.add(name, &entry);
        let is_app = entry.key().starts_with(key::APP.as_bytes());
        let raised = entry.key().starts_with(key::EPOCH.as_bytes()).then(|| entry.clone());
        self.cache.insert(name, entry);
        if let Some(epoch) = raised {
            self.epochs.put(&epoch);
        }
        if is_app {
            self.shares.are_others();
        }
    }

    /// Removes an entry, if there is one.
    pub fn remove(&self, key: &Key) {
        self.epochs.remove(key.as_bytes());
        self.cache.invalidate(&self.name(key.as_bytes()));
        if key.as_bytes().starts_with(key::APP.as_bytes()) {
            self.shares.are_others();
        }
    }

    /// The keys whose deadlines have come by `now`, at most `max`; each once. From the first call on they are kept in
    /// order, until [`watch_no_deadlines`](Self::watch_no_deadlines).
    pub fn due(&self, now: Millis, max: usize) -> Vec<Key> {
        let all = || self.cache.iter().map(|(name, entry)| (*name, entry.deadline())).collect();
        let names = self.deadlines.due((now, max), all, |name| self.cache.get(&name).map(|entry| entry.deadline()));
        names.into_iter().filter_map(|name| self.cache.get(&name)).map(|entry| Key::new(entry.key())).collect()
    }

    /// Nobody asks for them any more.
    pub fn watch_no_deadlines(&self) {
        self.deadlines.forget();
    }

    /// How often apps have been added, changed or removed: whoever remembers one looks again when this is another.
    pub fn apps_changed(&self) -> u64 {
        self.shares.changed()
    }

    /// The apps that there are, in no particular order. Looks at everything that is held.
    pub fn apps(&self) -> Vec<AppRecord> {
        let apps = self.held().filter(|entry| entry.key().starts_with(key::APP.as_bytes()));
        apps.filter_map(|entry| AppRecord::read(entry.value())).collect()
    }

    /// Bytes in use by the app with this prefix, as `memory_max` counts them; 0 when there is none.
    pub fn used_by(&self, prefix: &[u8]) -> u64 {
        self.shares.used_by(prefix, || {
            let apps = self.held().filter(|entry| entry.key().starts_with(key::APP.as_bytes()));
            let prefixes = apps.filter_map(|entry| AppRecord::read(entry.value())).map(|app| app.prefix).collect();
            (prefixes, self.held().map(|entry| (entry.clone(), cost(&entry))))
        })
    }

    /// Forgets all sessions, live and ended.
    pub fn remove_sessions(&self) {
        let is_session = |entry: &Entry| !key::is_internal(entry.key()) || entry.is_dead();
        let sessions = self.cache.iter().filter(|(_, entry)| is_session(entry));
        sessions.for_each(|(name, _)| self.cache.invalidate(&*name));
    }

    /// Forgets all that have ended at `now`; answers how many. Nothing may be put meanwhile.
    pub fn forget_ended(&self, now: Millis) -> u64 {
        let ended = self.cache.iter().filter(|(_, entry)| entry.deadline() <= now);
        ended.inspect(|(name, _)| self.cache.invalidate(&**name)).count() as u64
    }

    /// The session entries of a user that are live at `now`, by key; in no particular order. Sessions that an older
    /// epoch has ended may be among them.
    pub fn of_user(&self, user: &str, now: Millis) -> Vec<(Key, Entry)> {
        let live = |name: Name| {
            let entry = self.cache.get(&name)?;
            (entry.is_live(now) && entry.is_of(user)).then(|| (Key::new(entry.key()), entry))
        };
        self.index.names(user).into_iter().filter_map(live).collect()
    }

    /// Everything held, in no particular order and no cut: entries that change meanwhile may come in either form.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Entry)> + '_ {
        self.held().map(|entry| (Key::new(entry.key()), entry))
    }

    /// The same, each with its key in it.
    pub(super) fn held(&self) -> impl Iterator<Item = Entry> + '_ {
        self.cache.iter().map(|(_, entry)| entry)
    }

    /// The most bytes that the cluster allows in use; a setting that every node holds.
    pub fn memory_max(&self) -> u64 {
        let held = self.get(&Key::setting("memory_max"));
        held.and_then(|e| e.value().try_into().ok().map(u64::from_le_bytes)).unwrap_or(u64::MAX)
    }

    /// Bytes in use, as `memory_max` counts them. Entries that have ended count until they are forgotten.
    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// How many entries are held, roughly.
    pub fn count(&self) -> u64 {
        self.cache.entry_count()
    }

    /// Has everything that was put and removed counted.
    #[cfg(test)]
    pub fn settle(&self) {
        self.cache.run_pending_tasks();
    }

    /// Says that log time has come to `now`, for entries that are put later.
    pub fn observe(&self, now: Millis) {
        self.as_of.fetch_max(now, Ordering::Relaxed);
    }
}

/// Forgets what is due, from a thread of its own: otherwise whoever writes would pay for half a million deadlines that
/// come at once.
fn sweep_for_ever(cache: Held, alive: Weak<()>) {
    let sweep = move || {
        while alive.strong_count() > 0 {
            cache.run_pending_tasks();
            std::thread::sleep(SWEEP_EVERY);
        }
    };
    std::thread::Builder::new().name("sweeper".into()).spawn(sweep).expect("a thread can be started");
}

/// When moka forgets: what remained at the last stamp known when the entry was put, and a grace on top.
struct Late {
    as_of: Arc<AtomicI64>,
}

impl Late {
    fn remaining(&self, entry: &Entry) -> Option<Duration> {
        if entry.deadline() == NEVER {
            return None;
        }
        let from = entry.stamp().max(self.as_of.load(Ordering::Relaxed));
        let remaining = entry.deadline().saturating_sub(from).max(0);
        let late = remaining.saturating_add(GRACE_MS.max(remaining / 100));
        Some(Duration::from_millis(late.unsigned_abs()))
    }
}

impl Expiry<Name, Entry> for Late {
    fn expire_after_create(&self, _: &Name, entry: &Entry, _: Instant) -> Option<Duration> {
        self.remaining(entry)
    }

    fn expire_after_update(&self, _: &Name, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        self.remaining(entry)
    }
}

fn cost(entry: &Entry) -> u64 {
    entry.len() as u64 + OVERHEAD
}

impl Entry {
    /// Bytes that the entry uses when a node holds it under `key`, as `memory_max` counts them.
    pub(super) fn cost_under(&self, key: &Key) -> u64 {
        cost(self) - self.key().len() as u64 + key.as_bytes().len() as u64
    }
}
