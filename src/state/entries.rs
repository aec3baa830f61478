//! Entries: everything with a deadline, in memory, fed by the log alone.
//!
//! moka forgets by its own clock and is told to do so late (deadline, plus a grace): the deadline in the entry is what
//! counts, and every reader compares it with log time. There is no capacity: a full cache would turn live sessions
//! away. Beside it, per user, the keys of their sessions, for listing and ending only; the epoch decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::notification::RemovalCause;
use moka::sync::Cache;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::entry::{Entry, NEVER};
use super::key::Key;
use crate::clock::Millis;

/// Bytes that an entry costs beside its key and its packed bytes: moka's nodes, reference counts, the user index.
/// Measured with a million sessions (`benches/restart`).
pub const OVERHEAD: u64 = 420;

/// The least grace after a deadline before moka forgets an entry.
const GRACE_MS: i64 = 60_000;
/// How often what is due is forgotten.
const SWEEP_EVERY: Duration = Duration::from_millis(50);

type Hasher = foldhash::quality::RandomState;
type UserIndex = Mutex<HashMap<u64, SmallVec<[Key; 1]>, Hasher>>;

/// All entries of one generation.
pub struct Entries {
    cache: Cache<Key, Entry, Hasher>,
    users: Arc<UserIndex>,
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
        let users: Arc<UserIndex> = Arc::default();
        let used: Arc<AtomicU64> = Arc::default();
        let as_of: Arc<AtomicI64> = Arc::default();
        let (index, bytes) = (users.clone(), used.clone());
        let cache = Cache::builder()
            .expire_after(Late { as_of: as_of.clone() })
            .eviction_listener(move |key: Arc<Key>, entry: Entry, cause| {
                bytes.fetch_sub(cost(&key, &entry), Ordering::Relaxed);
                if cause != RemovalCause::Replaced {
                    unlist(&index, &key, &entry);
                }
            })
            .build_with_hasher(Hasher::default());
        let alive = Arc::new(());
        sweep_for_ever(cache.clone(), Arc::downgrade(&alive));
        Self { cache, users, used, as_of, _alive: alive }
    }

    /// The entry of a key, whether or not it is live.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        self.cache.get(key)
    }

    /// Puts an entry, whatever was there.
    pub fn put(&self, key: Key, entry: Entry) {
        if entry.user().is_none()
            && let Some(old) = self.cache.get(&key)
        {
            unlist(&self.users, &key, &old);
        }
        self.load(key, entry);
    }

    /// Puts an entry whose key is known to hold nobody's session: what filling an empty cache does.
    pub fn load(&self, key: Key, entry: Entry) {
        self.as_of.fetch_max(entry.stamp(), Ordering::Relaxed);
        self.used.fetch_add(cost(&key, &entry), Ordering::Relaxed);
        if let Some(user) = entry.user() {
            let mut users = self.users.lock();
            let keys = users.entry(hash(user)).or_default();
            if !keys.contains(&key) {
                keys.push(key.clone());
            }
        }
        self.cache.insert(key, entry);
    }

    /// Removes an entry, if there is one.
    pub fn remove(&self, key: &Key) {
        self.cache.invalidate(key);
    }

    /// Forgets all sessions, live and ended.
    pub fn remove_sessions(&self) {
        let sessions = self.cache.iter().filter(|(key, entry)| !key.is_internal() || entry.is_dead());
        sessions.for_each(|(key, _)| self.cache.invalidate(&*key));
    }

    /// The session entries of a user that are live at `now`, by key; in no particular order. Sessions that an older
    /// epoch has ended may be among them.
    pub fn of_user(&self, user: &str, now: Millis) -> Vec<(Key, Entry)> {
        let keys = self.users.lock().get(&hash(user)).cloned().unwrap_or_default();
        let live = |key: Key| {
            let entry = self.cache.get(&key)?;
            (entry.is_live(now) && entry.user() == Some(user)).then_some((key, entry))
        };
        keys.into_iter().filter_map(live).collect()
    }

    /// Everything held, in no particular order and no cut: entries that change meanwhile may come in either form.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Entry)> + '_ {
        self.cache.iter().map(|(key, entry)| (Key::clone(&key), entry))
    }

    /// The most bytes that the cluster allows in use; a setting that every node holds.
    pub fn memory_max(&self) -> u64 {
        let held = self.cache.get(&Key::setting("memory_max"));
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

    /// Says that log time has come to `now`, for entries that are put later.
    pub fn observe(&self, now: Millis) {
        self.as_of.fetch_max(now, Ordering::Relaxed);
    }
}

/// Forgets what is due, from a thread of its own: otherwise whoever writes would pay for half a million deadlines that
/// come at once.
fn sweep_for_ever(cache: Cache<Key, Entry, Hasher>, alive: Weak<()>) {
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

impl Expiry<Key, Entry> for Late {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        self.remaining(entry)
    }

    fn expire_after_update(&self, _: &Key, entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        self.remaining(entry)
    }
}

fn cost(key: &Key, entry: &Entry) -> u64 {
    (key.as_bytes().len() + entry.len()) as u64 + OVERHEAD
}

/// Users are listed under a hash: a collision only means that somebody else's keys are looked at and passed over.
fn hash(user: &str) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(user)
}

fn unlist(index: &UserIndex, key: &Key, entry: &Entry) {
    let Some(user) = entry.user() else { return };
    let mut users = index.lock();
    if let Some(keys) = users.get_mut(&hash(user)) {
        keys.retain(|k| k != key);
        if keys.is_empty() {
            users.remove(&hash(user));
        }
    }
}
