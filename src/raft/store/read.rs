//! Read: entries from disk and memory as one log.
//!
//! A view is taken in one moment, under the tail's lock: the entries in memory, and a read transaction for those before
//! them. Later appends, truncations and purges do not change what it yields. A missing row inside a view is damage and
//! an error, never a shorter answer.

use std::io;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::sync::Arc;
use std::vec;

use redb::ReadTransaction;

use super::rows::{self, broken, damaged};
use super::{DAMAGE_HINT, READ_BYTES, Store};
use crate::raft::types::Entry;

/// A range of the log at one moment.
pub struct View {
    /// For error messages.
    pub path: PathBuf,
    /// What is on disk.
    pub disk: Option<(ReadTransaction, Range<u64>)>,
    /// What follows it.
    pub recent: Vec<Arc<Entry>>,
    /// How much to read from disk, bytes; one entry at least.
    pub bytes: usize,
}

impl View {
    /// Whether reading it does not block.
    pub fn is_in_memory(&self) -> bool {
        self.disk.is_none()
    }

    /// Its entries.
    ///
    /// # Errors
    /// `InvalidData`, naming the file and the entry, for a row that is missing or cannot be read.
    pub fn entries(self) -> io::Result<Vec<Entry>> {
        let mut entries = match &self.disk {
            None => Vec::with_capacity(self.recent.len()),
            Some((read, indexes)) => self.fetch(read, indexes.clone()).map_err(|e| {
                let hint = format!("stop the node; {DAMAGE_HINT}");
                rows::about(&self.path, &e, &hint)
            })?,
        };
        entries.extend(self.recent.iter().map(|entry| Entry::clone(entry)));
        Ok(entries)
    }

    fn fetch(&self, read: &ReadTransaction, indexes: Range<u64>) -> io::Result<Vec<Entry>> {
        let log = read.open_table(rows::LOG).map_err(broken)?;
        let mut entries = Vec::new();
        let mut next = indexes.start;
        let mut left = self.bytes;
        for row in log.range(indexes.clone()).map_err(broken)? {
            let (key, value) = row.map_err(broken)?;
            if key.value() != next {
                break;
            }
            if left == 0 && !entries.is_empty() {
                return Ok(entries);
            }
            left = left.saturating_sub(value.value().len());
            entries.push(rows::entry_of(next, value.value())?);
            next += 1;
        }
        if next < indexes.end {
            return Err(damaged(format!("log entry {next}: its row is missing")));
        }
        Ok(entries)
    }
}

/// Entries in index order, read piece by piece. Made by [`Store::records`].
pub struct Records {
    store: Store,
    /// What is still to be yielded; `None` after an error.
    left: Option<RangeInclusive<u64>>,
    ready: vec::IntoIter<Entry>,
}

impl Records {
    pub(super) fn new(store: Store, range: RangeInclusive<u64>) -> Self {
        Self { store, left: Some(range), ready: Vec::new().into_iter() }
    }

    /// The next entries, beginning with `start`.
    fn read(&self, start: u64, last: u64) -> io::Result<Vec<Entry>> {
        let end = last.saturating_add(1);
        let entries = self.store.view(start..end, READ_BYTES)?.entries()?;
        match entries.first() {
            Some(first) if first.log_id.index == start => Ok(entries),
            _ => {
                let why = format!("log entry {start} was purged, or is not written yet");
                Err(io::Error::new(io::ErrorKind::NotFound, why))
            }
        }
    }
}

impl Iterator for Records {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut left = self.left.take()?;
        let (start, last) = (left.next()?, *left.end());
        if self.ready.len() == 0 {
            match self.read(start, last) {
                Ok(entries) => self.ready = entries.into_iter(),
                Err(e) => return Some(Err(e)),
            }
        }
        self.left = Some(left);
        self.ready.next().map(Ok)
    }
}
