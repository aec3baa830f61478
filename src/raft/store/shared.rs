//! Shared: what the store's handles and its writer both hold.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::Database;
use tokio::sync::watch;

use super::tail::Tail;

/// How much was written since the store was opened.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Counters {
    /// Writes to the journal and transactions of the file: one fsync each.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Bytes of the rows that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Entries that were appended and are on disk.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }
}

/// What the store's handles and the writer share.
pub struct Shared {
    /// The file; `None` once it is closed.
    pub database: RwLock<Option<Arc<Database>>>,
    /// Where the log stands.
    pub tail: Mutex<Tail>,
    /// The first error, once there is one.
    pub failed: watch::Sender<Option<Arc<str>>>,
    /// For metrics.
    pub counters: Counters,
}

impl Shared {
    /// Refuses when the store has failed before.
    pub fn check(&self) -> io::Result<()> {
        match &*self.failed.borrow() {
            None => Ok(()),
            Some(why) => Err(io::Error::other(why.to_string())),
        }
    }

    /// Says why nothing is written any more: the first reason stays.
    pub fn fail(&self, why: &str) {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert_with(|| why.into());
            first
        });
    }
}

/// Tells the owner when the writer dies of something it did not foresee.
pub struct OnPanic(pub Arc<Shared>);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("the log's writer panicked");
        }
    }
}

/// The answer to whoever comes after the store was closed.
pub fn closed() -> io::Error {
    io::Error::other("the log is closed")
}
