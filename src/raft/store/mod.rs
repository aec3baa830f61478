//! Store: the log on disk, in a redb file and a journal beside it.
//!
//! What is acknowledged is here, on disk, or it is nowhere: votes, entries and the purge mark. One thread writes, with
//! group commit (`writer`), appends to a `journal` first and many of them together to redb; the newest entries are also in memory (`tail`), where readers find them from the moment
//! they are appended. A store that could not write once fails for ever; [`Store::failed`] tells the owner, who stops
//! the node. Deliberately absent: retries, repairs by hand, more than one process.

mod file;
mod journal;
mod mark;
mod read;
mod rows;
mod shared;
mod tail;
mod writer;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use openraft::OptionalSend;
use openraft::storage::{LogState, RaftLogReader, RaftLogStorage};
use parking_lot::{Mutex, RwLock};
use redb::ReadableDatabase;
use tokio::sync::{mpsc, oneshot, watch};

pub use file::DAMAGE_HINT;
pub use read::Records;
pub use rows::Identity;
pub use shared::Counters;
pub use tail::{change_weight, weight};

use crate::raft::types::{Entry, Flushed, LogId, TypeConfig, Vote};
use read::View;
use rows::broken;
use shared::{Shared, closed};
use writer::{Done, Wish, Writer};

/// What one bounded read returns at most, bytes: a message to a follower.
const READ_BYTES: usize = 1 << 20;

/// The log of this node. Cheap to clone; the file is closed when the last clone is gone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    identity: Identity,
    shared: Arc<Shared>,
    wishes: Option<mpsc::Sender<Wish>>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the log at `path`. When there is none, makes it, its directories and a new identity.
    ///
    /// Blocks: it reads the whole file once.
    ///
    /// # Errors
    /// Names the file and what is wrong with it, and ends in a hint: used by another process (`ResourceBusy`), damaged
    /// (`InvalidData`), or what the disk says.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_as(path, Identity::draw())
    }

    /// Opens the log at `path`; a new one is made for `fresh`. A log that exists keeps its own identity.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_as(path: impl AsRef<Path>, fresh: Identity) -> io::Result<Self> {
        let path = path.as_ref();
        let mut opened = file::open(path, fresh)?;
        if file::compact(&mut opened.database, path, file::COMPACT_MIN).map_err(|e| file::explain(path, &e))? {
            tracing::info!(file = %path.display(), "the log file was compacted");
        }
        Self::start(opened, path)
    }

    fn start(opened: file::Opened, path: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            database: RwLock::new(Some(Arc::new(opened.database))),
            tail: Mutex::new(opened.tail),
            failed: watch::Sender::new(None),
            counters: Counters::default(),
        });
        let (wishes, receiver) = mpsc::channel(writer::QUEUE);
        let writer = Writer::new(shared.clone(), receiver, (opened.commits, opened.beside));
        let writer = std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run())?;
        let (path, identity) = (path.to_owned(), opened.identity);
        Ok(Self(Arc::new(Inner { path, identity, shared, wishes: Some(wishes), writer: Some(writer) })))
    }

    /// The last entry that was purged, and the last entry.
    pub fn ends(&self) -> (Option<LogId>, Option<LogId>) {
        let tail = self.0.shared.tail.lock();
        (tail.purged, tail.last)
    }

    /// The last entry that was known to be committed when the store was opened, or is now.
    pub fn committed(&self) -> Option<LogId> {
        self.0.shared.tail.lock().committed
    }

    /// The vote that is on disk.
    pub fn vote(&self) -> Option<Vote> {
        self.0.shared.tail.lock().vote
    }

    /// Who this node is.
    pub fn identity(&self) -> Identity {
        self.0.identity
    }

    /// Becomes the first error, once there is one. The node must stop then: nothing can be written any more.
    pub fn failed(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.shared.failed.subscribe()
    }

    /// Takes and gives nothing any more, for a reason that lies elsewhere.
    pub fn give_up(&self, why: &str) {
        self.0.shared.fail(why);
    }

    /// How much was written.
    pub fn counters(&self) -> &Counters {
        &self.0.shared.counters
    }

    /// Writes what is still owed and lets go of the file; every later call fails.
    ///
    /// # Errors
    /// When the last commit fails.
    pub async fn close(&self) -> io::Result<()> {
        self.ask(Wish::Close, |_| Ok(())).await
    }

    /// The entries of `range` in order, for backups. Blocks while it reads, so keep it off the async threads.
    ///
    /// An item is an error, and the last one, when the entry was purged, does not exist or cannot be read.
    pub fn records(&self, range: RangeInclusive<u64>) -> Records {
        Records::new(self.clone(), range)
    }

    /// Queues a wish once there is room. `note` changes the tail; the wish is queued in the same order.
    async fn queue(&self, wish: Wish, note: impl FnOnce(&mut tail::Tail) -> io::Result<()>) -> io::Result<()> {
        self.0.shared.check()?;
        let wishes = self.0.wishes.as_ref().ok_or_else(closed)?;
        let room = wishes.reserve().await.map_err(|_| closed())?;
        let mut tail = self.0.shared.tail.lock();
        note(&mut tail)?;
        room.send(wish);
        Ok(())
    }

    /// Queues a wish and waits until it is on disk.
    async fn ask(
        &self,
        wish: impl FnOnce(Done) -> Wish,
        note: impl FnOnce(&mut tail::Tail) -> io::Result<()>,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.queue(wish(done), note).await?;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.0.shared.check().err().unwrap_or_else(closed)),
        }
    }

    /// What of `range` the log holds; with `bytes`, perhaps only its beginning.
    async fn read(&self, range: Range<u64>, bytes: usize) -> io::Result<Vec<Entry>> {
        let view = self.view(range, bytes)?;
        if view.is_in_memory() {
            return view.entries();
        }
        tokio::task::spawn_blocking(move || view.entries()).await.map_err(io::Error::other)?
    }

    /// `range` as it is at this moment.
    fn view(&self, range: Range<u64>, bytes: usize) -> io::Result<View> {
        let tail = self.0.shared.tail.lock();
        let found = tail.find(range, bytes);
        let mut disk = None;
        if !found.on_disk.is_empty() {
            let database = self.0.shared.database.read().clone().ok_or_else(closed)?;
            disk = Some((database.begin_read().map_err(broken)?, found.on_disk));
        }
        Ok(View { path: self.0.path.clone(), disk, recent: found.entries, bytes })
    }
}

impl Drop for Inner {
    /// The writer ends when nobody can wish any more; the file is free when this returns.
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(writer) = self.writer.take() {
            // It has told `failed` already, if it panicked.
            let _ = writer.join();
        }
    }
}

impl RaftLogReader<TypeConfig> for Store {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(half_open(&range), usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.0.shared.tail.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, READ_BYTES).await
    }
}

impl RaftLogStorage<TypeConfig> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let tail = self.0.shared.tail.lock();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.ask(|done| Wish::Vote(*vote, done), |_| Ok(())).await
    }

    /// Only noted: it is written with the next commit, or when the store is closed. A log that knows a little less
    /// than was committed is whole all the same.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.0.shared.check()?;
        self.0.shared.tail.lock().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.0.shared.tail.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: Flushed) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
        let noted = entries.clone();
        self.queue(Wish::Append(entries, callback), move |tail| tail.append(&noted)).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let note = |tail: &mut tail::Tail| {
            tail.truncate_after(last);
            Ok(())
        };
        self.ask(|done| Wish::Truncate(last, done), note).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let note = |tail: &mut tail::Tail| {
            tail.purge(upto);
            Ok(())
        };
        self.queue(Wish::Purge(upto), note).await
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

#[cfg(test)]
mod tests;
