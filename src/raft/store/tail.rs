//! Tail: where the log stands, and its newest entries in memory.
//!
//! An entry can be read from the moment it is appended, long before it is on disk, so it lives here until it is, and
//! then for as long as the window allows: followers and the machine read mostly what is new. Everything older than the
//! tail is on disk, whole; that is the invariant which lets a reader ask two places and find no gap between them.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use openraft::{EntryPayload, LogIdOptionExt as _};

use crate::raft::types::{Entry, LogId, Vote};
use crate::state::{Change, Effect, Told, UserChange};

/// Durable entries that stay in memory, at most.
const WINDOW_ENTRIES: usize = 4_096;
/// Their bytes, at most, by [`weight`].
const WINDOW_BYTES: usize = 16 << 20;

struct Slot {
    entry: Arc<Entry>,
    weight: usize,
    durable: bool,
}

/// The state of the log as its callers see it; the disk follows.
#[derive(Default)]
pub struct Tail {
    /// The last vote that is on disk.
    pub vote: Option<Vote>,
    /// The last entry known to be committed.
    pub committed: Option<LogId>,
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// The last entry, or the last purged one when there is none.
    pub last: Option<LogId>,
    slots: VecDeque<Slot>,
    /// The first index that the log holds, if it holds any.
    start: u64,
    /// The index of the first slot, or of the next entry when there is no slot.
    first: u64,
    bytes: usize,
}

/// What a read found in memory, and what it still has to fetch.
pub struct Found {
    /// Indexes that are on disk, before those of `entries`.
    pub on_disk: Range<u64>,
    /// The entries that follow.
    pub entries: Vec<Arc<Entry>>,
}

impl Tail {
    /// Stands where the log was found to stand on disk.
    pub fn stand(&mut self, purged: Option<LogId>, last: Option<LogId>) {
        (self.purged, self.last) = (purged, last);
        (self.start, self.first) = (purged.next_index(), last.next_index());
    }

    /// Takes entries that are on their way to the disk.
    ///
    /// # Errors
    /// `InvalidInput` when they do not follow the last entry: a log has no gaps. Nothing is taken then.
    pub fn append(&mut self, entries: &[Arc<Entry>]) -> io::Result<()> {
        let mut last = self.last;
        if last.is_none() {
            self.start = entries.first().map_or(0, |first| first.log_id.index);
        }
        for entry in entries {
            if last.is_some() && entry.log_id.index != last.next_index() {
                let why = format!("entry {} cannot follow entry {}", entry.log_id.index, last.next_index() - 1);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            last = Some(entry.log_id);
        }
        for entry in entries {
            if self.slots.is_empty() {
                self.first = entry.log_id.index;
            }
            let weight = weight(entry);
            self.bytes += weight;
            self.slots.push_back(Slot { entry: entry.clone(), weight, durable: false });
        }
        self.last = last;
        Ok(())
    }

    /// Forgets the entries after `after`; `None` forgets all.
    pub fn truncate_after(&mut self, after: Option<LogId>) {
        let keep = after.next_index();
        while self.first + self.slots.len() as u64 > keep {
            let Some(slot) = self.slots.pop_back() else { break };
            self.bytes -= slot.weight;
        }
        if self.slots.is_empty() {
            self.first = self.first.min(keep);
        }
        self.last = self.last.min(after.max(self.purged));
    }

    /// Forgets the entries up to and including `upto`.
    pub fn purge(&mut self, upto: LogId) {
        while self.first <= upto.index && self.pop_front().is_some() {}
        self.first = self.first.max(upto.index + 1);
        self.start = self.start.max(upto.index + 1);
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(self.purged);
    }

    /// Notes that these entries are on disk, and lets go of what the window does not hold.
    pub fn durable(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            let Some(at) = entry.log_id.index.checked_sub(self.first) else { continue };
            // The slot may hold another entry by now, if this one was truncated meanwhile.
            if let Some(slot) = self.slots.get_mut(at as usize).filter(|slot| Arc::ptr_eq(&slot.entry, entry)) {
                slot.durable = true;
            }
        }
        while self.slots.len() > WINDOW_ENTRIES || self.bytes > WINDOW_BYTES {
            if !self.slots.front().is_some_and(|slot| slot.durable) {
                break;
            }
            self.pop_front();
        }
    }

    /// What of `range` the log holds, as far as it is in memory. With `bytes`, only as much from the beginning of the
    /// range as weighs that, but at least one entry: nothing from memory when the beginning is on disk.
    pub fn find(&self, range: Range<u64>, bytes: usize) -> Found {
        let start = range.start.max(self.start);
        let end = range.end.min(self.last.next_index());
        let on_disk = start..end.min(self.first).max(start);
        let mut entries = Vec::new();
        if bytes < usize::MAX && !on_disk.is_empty() {
            return Found { on_disk, entries };
        }
        let from = start.max(self.first) - self.first;
        let mut left = bytes;
        for slot in self.slots.range(self.slots.len().min(from as usize)..) {
            if slot.entry.log_id.index >= end || (left == 0 && !entries.is_empty()) {
                break;
            }
            left = left.saturating_sub(slot.weight);
            entries.push(slot.entry.clone());
        }
        Found { on_disk, entries }
    }

    fn pop_front(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.bytes -= slot.weight;
        self.first += 1;
        Some(slot)
    }
}

/// About how many bytes an entry takes, in memory and on disk.
pub fn weight(entry: &Entry) -> usize {
    const FIXED: usize = 64;
    let EntryPayload::Normal(record) = &entry.payload else { return FIXED };
    FIXED + record.changes.iter().map(change_weight).sum::<usize>()
}

/// About how many bytes a Change takes.
pub fn change_weight(change: &Change) -> usize {
    const EFFECT: usize = 32;
    const USER: usize = 512;
    let effects = change.effects.iter().map(|effect| match effect {
        Effect::Put(key, entry) => EFFECT + key.as_bytes().len() + entry.len(),
        Effect::Remove(key) => EFFECT + key.as_bytes().len(),
        Effect::Tell(Told::Message { channel, payload }) => EFFECT + channel.len() + payload.len(),
        Effect::Tell(Told::Session { user, key, .. }) => EFFECT + user.len() + key.as_bytes().len(),
    });
    let users = match &change.user {
        None => 0,
        Some(UserChange::Import(users)) => users.len() * USER,
        Some(_) => USER,
    };
    effects.sum::<usize>() + users
}
