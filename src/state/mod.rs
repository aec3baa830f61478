//! State: what all nodes agree on.
//!
//! Entries (sessions and everything else with a deadline) in memory, users in SQLite, both fed by the log alone.
//! No clock, no randomness, no network in here: time arrives as an argument, so that two States that are fed the same
//! records are the same. Both halves hang under one pointer, so that a reader that looks twice sees one generation
//! even while a snapshot is installed.

pub mod app;
pub mod change;
pub mod claims;
pub mod codec;
pub mod command;
mod deadlines;
pub mod decide;
pub mod entries;
pub mod entry;
mod epochs;
pub mod facts;
pub mod files;
mod index;
mod json;
pub mod key;
mod name;
mod rows;
mod shares;
pub mod snapshot;
pub mod token;
mod token_rows;
pub mod told;
pub mod user;
mod user_changes;
mod user_rows;
pub mod users;
mod view;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::RwLock;

pub use app::AppRecord;
pub use change::{
    Begin, Budget, Change, Edit, Effect, EndUser, Exchange, Forgiven, LinkUse, NewUser, Op, Outcome, Record,
    SessionEvent, SignedIn, Told, UserChange, UserOutcome,
};
pub use command::{Call, Commands, Reply, Scope};
pub use decide::epoch_of;
pub use entries::Entries;
pub use entry::{Entry, NEVER};
pub use facts::{Facts, Glance, Proof, Signed, UserId};
pub use json::edited;
pub use key::Key;
pub use token::{Scopes, Token};
pub use user::{Memo, User, UserRow};
pub use users::Users;
pub use view::View;

use crate::clock::Millis;
use crate::planted::{self, Bug};
use files::users_path;

/// One whole state: what a snapshot holds, and what is replaced when one is installed.
pub struct Generation {
    pub entries: Entries,
    pub users: Users,
    number: u64,
}

/// The state of a node.
pub struct State {
    dir: PathBuf,
    current: ArcSwap<Generation>,
    stamp: AtomicI64,
    applied: AtomicU64,
    listeners: ArcSwap<Vec<Arc<dyn Listener>>>,
    /// Held for writing while a record is applied.
    whole: RwLock<()>,
}

/// Whoever is told what records tell.
pub trait Listener: Send + Sync + 'static {
    /// Called as the record at `index` is applied, which was decided at `stamp`, in the order of the log; must not wait.
    fn hear(&self, index: u64, stamp: Millis, told: &Told);

    /// Called when the state came as a whole, so that what the records up to `index` told was not heard.
    fn missed(&self, _index: u64) {}
}

impl State {
    /// Opens the state in `dir`: users from their database, no entries yet (they come from the snapshot and the log).
    ///
    /// # Errors
    /// When a file is damaged or cannot be read; says which.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let number = files::current_generation(dir)?;
        files::discard_other_generations(dir, number)?;
        let generation = Generation { entries: Entries::new(), users: open_users(&users_path(dir, number))?, number };
        files::sync_directory(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            current: ArcSwap::from_pointee(generation),
            stamp: AtomicI64::new(0),
            applied: AtomicU64::new(0),
            listeners: ArcSwap::default(),
            whole: RwLock::default(),
        })
    }

    /// Has everything told to `listener`, too, from now on.
    pub fn tell(&self, listener: Arc<dyn Listener>) {
        self.listeners.rcu(|held| held.iter().chain([&listener]).cloned().collect::<Vec<_>>());
    }

    /// The generation to read from. Keep it for as long as one answer is being made, and no longer.
    pub fn generation(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The same for one quick look that waits for nothing.
    pub fn current(&self) -> impl std::ops::Deref<Target = Arc<Generation>> + '_ {
        self.current.load()
    }

    /// While this is held, no record is applied by halves: for whoever reads several entries that belong together.
    pub fn whole(&self) -> impl Drop + '_ {
        self.whole.read()
    }

    /// The entry of a key, if it is live at `now`.
    pub fn live(&self, key: &Key, now: Millis) -> Option<Entry> {
        self.current.load().entries.get(key).filter(|entry| entry.is_live(now))
    }

    /// The session epoch of a user.
    pub fn epoch(&self, user: &str, now: Millis) -> u64 {
        epoch_of(self.live(&Key::epoch(user), now))
    }

    /// Changes whenever an app was added, changed or removed: whoever remembers one looks again.
    pub fn apps_changed(&self) -> u64 {
        let generation = self.current.load();
        generation.number << 40 | generation.entries.apps_changed()
    }

    /// Log time of the last record applied; 0 before the first.
    pub fn stamp(&self) -> Millis {
        self.stamp.load(Ordering::Acquire)
    }

    /// Log index of the last record applied, or of a snapshot that holds it; 0 before the first.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Applies committed records in log order; answers, for each, what SQLite said to each change.
    ///
    /// # Errors
    /// When the disk or the database fails: then the node must stop.
    pub fn apply(&self, records: &[(u64, &Record)]) -> io::Result<Vec<Vec<Option<UserOutcome>>>> {
        let generation = self.current.load_full();
        let changes = records.iter().flat_map(|(index, record)| record.changes.iter().map(move |c| (*index, c)));
        let asked: Vec<(u64, &UserChange)> = changes.filter_map(|(i, c)| c.user.as_ref().map(|u| (i, u))).collect();
        let mut answers = generation.users.apply(&asked)?.into_iter();
        for (index, record) in records {
            self.stamp.fetch_max(record.stamp, Ordering::AcqRel);
            generation.entries.observe(record.stamp);
            let effects = || record.changes.iter().flat_map(|change| &change.effects);
            let whole = self.whole.write();
            for effect in effects() {
                match effect {
                    Effect::Put(key, entry) => generation.entries.put(key, entry, *index),
                    Effect::Remove(key) => generation.entries.remove(key),
                    Effect::Tell(_) => {}
                }
            }
            drop(whole);
            let told = effects().filter_map(|effect| if let Effect::Tell(told) = effect { Some(told) } else { None });
            for told in told {
                self.listeners.load().iter().for_each(|l| l.hear(*index, record.stamp, told));
            }
        }
        // not before everything is told: what is told later has a later index
        self.applied.fetch_max(records.last().map_or(0, |(index, _)| *index), Ordering::AcqRel);
        let per_record = |record: &Record| {
            let answer = |change: &Change| change.user.as_ref().and_then(|_| answers.next());
            record.changes.iter().map(answer).collect()
        };
        Ok(records.iter().map(|(_, record)| *record).map(per_record).collect())
    }

    /// Fills the entries of a state that was just opened from a snapshot file. The users come from it too when their
    /// database is behind it or missing.
    ///
    /// # Errors
    /// When the file is damaged; nothing of it is used then.
    pub fn load(&self, path: &Path) -> io::Result<snapshot::Head> {
        let head = snapshot::head(path)?;
        let behind = self.current.load().users.applied() < head.index;
        if behind {
            // gone, or as old as before an install that was cut short
            let snapshot = path.display();
            tracing::warn!(%snapshot, "the users' database is behind the snapshot, and is made anew from it");
            return self.install(path);
        }
        // before the entries: how long each is held is counted from here
        self.observe(&head);
        let generation = self.current.load_full();
        snapshot::read(path, &generation.entries, None)?;
        Ok(head)
    }

    /// Replaces everything by what a snapshot file holds: into a new cache and a new database, made durable, and only
    /// then swapped in.
    ///
    /// # Errors
    /// When the file is damaged or the disk fails; the old state stays then.
    pub fn install(&self, path: &Path) -> io::Result<snapshot::Head> {
        let old = self.current.load_full();
        if planted::has(Bug::MergeSnapshot) {
            let head = snapshot::read(path, &old.entries, None)?;
            self.observe(&head);
            return Ok(head);
        }
        let number = old.number + 1;
        let target = users_path(&self.dir, number);
        files::discard_users(&target)?;
        let entries = Entries::new();
        entries.observe(snapshot::head(path)?.stamp);
        let head = snapshot::read(path, &entries, Some(&target))?;
        let users = Users::open(&target)?;
        users.checkpoint()?;
        files::set_current_generation(&self.dir, number)?;
        self.current.store(Arc::new(Generation { entries, users, number }));
        self.observe(&head);
        files::discard_users(&users_path(&self.dir, old.number))?;
        Ok(head)
    }

    /// Forgets the entries that have ended by the last stamp; answers how many. Nothing may be applied meanwhile.
    pub fn forget_ended(&self) -> u64 {
        self.current.load().entries.forget_ended(self.stamp())
    }

    fn observe(&self, head: &snapshot::Head) {
        self.stamp.fetch_max(head.stamp, Ordering::AcqRel);
        self.current.load().entries.observe(head.stamp);
        self.applied.fetch_max(head.index, Ordering::AcqRel);
        self.listeners.load().iter().for_each(|l| l.missed(head.index));
    }
}

/// The users' database, or an empty one in the place of one that is damaged: everything in it is in the snapshot and in
/// the log too.
fn open_users(path: &Path) -> io::Result<Users> {
    match Users::open(path) {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            tracing::warn!(error = %e, "the users' database is made anew from the snapshot and the log");
            files::discard_users(path)?;
            Users::open(path)
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests;
