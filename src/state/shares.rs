//! Shares: how many bytes the entries of each app use.
//!
//! Counted as entries come and go. When apps are added or removed everything is counted anew, by whoever asks next; what
//! moka forgets in that moment may be counted wrongly, by an entry or two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::entry::Entry;
use super::key::named_by_app;

/// The counts.
#[derive(Default)]
pub struct Shares {
    /// Prefixes, the longest first, and bytes.
    rows: RwLock<Vec<(Vec<u8>, AtomicU64)>>,
    /// Whether there is any row: most nodes have none, and writes look here.
    some: AtomicBool,
    stale: AtomicBool,
    changed: AtomicU64,
}

impl Shares {
    /// Counts an entry that came.
    pub fn add(&self, key: &[u8], bytes: u64) {
        self.with_row(key, |count| {
            count.fetch_add(bytes, Ordering::Relaxed);
        });
    }

    /// Counts an entry that went.
    pub fn subtract(&self, key: &[u8], bytes: u64) {
        self.with_row(key, |count| {
            // never below nothing, whatever was counted wrongly
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| Some(held.saturating_sub(bytes)));
        });
    }

    /// Says that apps were added, changed or removed.
    pub fn are_others(&self) {
        self.stale.store(true, Ordering::Release);
        self.changed.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was said.
    pub fn changed(&self) -> u64 {
        self.changed.load(Ordering::Acquire)
    }

    /// Bytes of the entries under a prefix of an app. `all` gives the prefixes of all apps, and all entries with their
    /// bytes, when they have to be counted anew.
    pub fn used_by<I: Iterator<Item = (Entry, u64)>>(
        &self,
        prefix: &[u8],
        all: impl FnOnce() -> (Vec<Vec<u8>>, I),
    ) -> u64 {
        if self.stale.swap(false, Ordering::AcqRel) {
            self.recount(all());
        }
        let rows = self.rows.read();
        rows.iter().find(|(held, _)| held == prefix).map_or(0, |(_, bytes)| bytes.load(Ordering::Relaxed))
    }

    fn recount(&self, (mut prefixes, entries): (Vec<Vec<u8>>, impl Iterator<Item = (Entry, u64)>)) {
        prefixes.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        prefixes.dedup();
        let mut rows = self.rows.write();
        self.some.store(!prefixes.is_empty(), Ordering::Release);
        *rows = prefixes.into_iter().map(|prefix| (prefix, AtomicU64::new(0))).collect();
        for (entry, bytes) in entries {
            if let Some(count) = row(&rows, entry.key()) {
                count.fetch_add(bytes, Ordering::Relaxed);
            }
        }
    }

    fn with_row(&self, key: &[u8], count: impl FnOnce(&AtomicU64)) {
        if self.some.load(Ordering::Acquire)
            && let Some(row) = row(&self.rows.read(), key)
        {
            count(row);
        }
    }
}

/// The row of the app whose key this is.
fn row<'r>(rows: &'r [(Vec<u8>, AtomicU64)], key: &[u8]) -> Option<&'r AtomicU64> {
    let (_, raw) = named_by_app(key)?;
    rows.iter().find(|(prefix, _)| raw.starts_with(prefix)).map(|(_, count)| count)
}
