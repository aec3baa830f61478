//! Writer: the one thread that writes to the log file.
//!
//! Group commit: it takes everything that waits, writes it in one transaction with one fsync, then tells everybody who
//! waited, in order. While it syncs, the next group gathers; no timer is needed. What was asked first is written first.
//! A group of appends goes to the journal; with anything else, or when the journal is full, all that is there goes into
//! the file together with the group.
//!
//! The first error is the last: nobody can say what a disk holds after a failed fsync, so nothing is tried again, every
//! later wish fails with the same words, and whoever watches [`Shared::failed`] stops the node.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use openraft::LogIdOptionExt as _;
use redb::{Database, Durability, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::file::Beside;
use super::journal::{Row, WRITE_MAX};
use super::rows::{self, broken};
use super::shared::{OnPanic, Shared, closed};
use super::tail::weight;
use crate::planted::{self, Bug};
use crate::raft::types::{Entry, Flushed, LogId, Vote};
use crate::state::codec;

/// Wishes that may wait for the writer; whoever comes later waits for room.
pub const QUEUE: usize = 1_024;
/// Entries in one transaction, about: the group ends with the wish that passes it.
const GROUP_ENTRIES: usize = 8_192;
/// Rows that one transaction purges at most: about a millisecond's work, so that appends never wait longer for it.
pub const PURGE_ROWS: u64 = 5_000;

/// So many writes to the journal may come before a step of a purge that waits.
const PURGE_AFTER: u32 = 16;

/// How long the writer looks out for the next wish before it sleeps.
const LOOKOUT: Duration = Duration::from_micros(100);
/// How often in a row it may be in vain, and how many wishes are slept for then.
const IN_VAIN_MAX: u32 = 3;
const LEFT_ALONE: u32 = 30;

/// What the writer is asked for.
pub enum Wish {
    /// Put these entries on disk, then call back.
    Append(Vec<Arc<Entry>>, Flushed),
    /// Put the vote on disk.
    Vote(Vote, Done),
    /// Remove the rows after this one; all rows for `None`.
    Truncate(Option<LogId>, Done),
    /// Remove the rows up to and including this one, when there is time.
    Purge(LogId),
    /// Write what is still owed, then let go of the file.
    Close(Done),
}

/// Who waits for a wish.
pub type Done = oneshot::Sender<io::Result<()>>;

/// The writer, and what it knows of the file.
pub struct Writer {
    shared: Arc<Shared>,
    wishes: mpsc::Receiver<Wish>,
    database: Option<Arc<Database>>,
    /// The indexes that have rows, those not yet purged included.
    rows: Range<u64>,
    purged: Option<LogId>,
    /// How often looking out for the next wish was in vain.
    in_vain: u32,
    /// What the file says of them.
    written_purged: Option<LogId>,
    written_committed: Option<LogId>,
    /// How often the log was written, and what lies beside the file.
    commits: u64,
    beside: Option<Beside>,
    /// What the journal holds and the file does not, and in how many writes.
    journaled: Appends,
    journaled_writes: u32,
}

/// Entries and their rows.
#[derive(Default)]
struct Appends {
    entries: Vec<Arc<Entry>>,
    rows: Vec<Row>,
}

impl Writer {
    /// A writer for a file that was just opened and holds no row at or below its purge mark. `written`: how often it
    /// was, and what lies beside it.
    pub fn new(shared: Arc<Shared>, wishes: mpsc::Receiver<Wish>, written: (u64, Option<Beside>)) -> Self {
        let database = shared.database.read().clone();
        let (purged, committed, last) = {
            let tail = shared.tail.lock();
            (tail.purged, tail.committed, tail.last)
        };
        let rows = purged.next_index()..last.next_index();
        let ((commits, beside), journaled) = (written, Appends::default());
        let (written_purged, written_committed, in_vain) = (purged, committed, 0);
        Self {
            shared,
            wishes,
            database,
            rows,
            purged,
            in_vain,
            written_purged,
            written_committed,
            commits,
            beside,
            journaled,
            journaled_writes: 0,
        }
    }

    /// Works until the store is closed or its last handle is gone.
    pub fn run(mut self) {
        let _guard = OnPanic(self.shared.clone());
        while let Some(first) = self.next() {
            let mut group = Group::default();
            group.take(first);
            while group.has_room()
                && let Ok(wish) = self.wishes.try_recv()
            {
                group.take(wish);
            }
            let closing = group.closing;
            self.serve(group);
            if closing {
                return;
            }
        }
        self.serve(Group { closing: true, ..Group::default() });
    }

    /// The next wish. While rows are left to purge and nobody wishes anything, purges.
    fn next(&mut self) -> Option<Wish> {
        while self.purge_step().is_some() && self.shared.check().is_ok() {
            match self.wishes.try_recv() {
                Ok(wish) => return Some(wish),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => self.serve(Group::default()),
            }
        }
        self.expected().or_else(|| self.wishes.blocking_recv())
    }

    /// The next wish if it comes at once. Whoever writes one thing after another has the next ready sooner than a
    /// sleeping thread would wake, so it is looked for a little longer before this one sleeps.
    fn expected(&mut self) -> Option<Wish> {
        // where looking out was in vain lately it is left alone for a while: others can use the core
        if self.in_vain >= IN_VAIN_MAX {
            self.in_vain -= 1;
            return None;
        }
        let until = Instant::now() + LOOKOUT;
        while Instant::now() < until {
            match self.wishes.try_recv() {
                Ok(wish) => {
                    self.in_vain = 0;
                    return Some(wish);
                }
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => std::thread::yield_now(),
            }
        }
        self.in_vain = if self.in_vain + 1 < IN_VAIN_MAX { self.in_vain + 1 } else { IN_VAIN_MAX + LEFT_ALONE };
        None
    }

    fn serve(&mut self, mut group: Group) {
        if planted::has(Bug::AckBeforeFsync) {
            group.wishes = acknowledged_early(group.wishes);
        }
        let result = self.shared.check().and_then(|()| {
            self.put_down(&group.wishes).inspect_err(|e| self.shared.fail(&format!("the log cannot be written: {e}")))
        });
        if group.closing {
            self.close();
        }
        for wish in group.wishes {
            self.answer(wish, &result);
        }
    }

    /// Lets go of the file, and of those who wished too late.
    fn close(&mut self) {
        self.database = None;
        *self.shared.database.write() = None;
        self.wishes.close();
        while let Ok(wish) = self.wishes.try_recv() {
            self.answer(wish, &Err(closed()));
        }
    }

    /// Puts the wishes on disk: in the journal if all of them are appends and there is room.
    fn put_down(&mut self, wishes: &[Wish]) -> io::Result<()> {
        // rows that are to go must not pile up because others come all the time
        let owes_purge = self.journaled_writes >= PURGE_AFTER && self.purge_step().is_some();
        let appends = if owes_purge { Appends::default() } else { appends_of(wishes) };
        match &self.beside {
            Some(Beside { journal, .. }) if !appends.rows.is_empty() && journal.has_room(&appends.rows) => {
                self.journal(appends)
            }
            _ => self.commit(wishes),
        }
    }

    fn journal(&mut self, appends: Appends) -> io::Result<()> {
        let end = appends.rows.last().map_or(0, |(index, _)| index + 1);
        let committed = self.shared.tail.lock().committed.filter(|id| id.index < end);
        if let Some(beside) = &mut self.beside {
            beside.journal.write(self.commits + 1, committed, &appends.rows)?;
        }
        self.count(&appends.rows);
        self.journaled.entries.extend(appends.entries);
        self.journaled.rows.extend(appends.rows);
        self.journaled_writes += 1;
        self.written()
    }

    /// Puts what the journal holds, the wishes, one step of a purge and what is known to be committed into the file, in
    /// one transaction.
    fn commit(&mut self, wishes: &[Wish]) -> io::Result<()> {
        let database = self.database.clone().ok_or_else(closed)?;
        let mut write = database.begin_write().map_err(broken)?;
        write.set_durability(Durability::Immediate).map_err(broken)?;
        let journaled = std::mem::take(&mut self.journaled);
        let mut changed = !journaled.rows.is_empty();
        self.write_rows(&write, &journaled.rows)?;
        for wish in wishes {
            changed |= self.write(&write, wish)?;
        }
        changed |= self.write_purge(&write)?;
        changed |= self.write_committed(&write)?;
        if !changed {
            return write.abort().map_err(broken);
        }
        rows::set_meta(&write, rows::COMMITS, &(self.commits + 1))?;
        write.commit().map_err(broken)?;
        if let Some(beside) = &mut self.beside {
            beside.journal.begin_again();
        }
        self.journaled_writes = 0;
        self.let_go(&journaled.entries, wishes);
        self.written()
    }

    /// The file has these entries and those that were wished for: they need not stay in memory.
    fn let_go(&self, journaled: &[Arc<Entry>], wishes: &[Wish]) {
        let mut tail = self.shared.tail.lock();
        tail.durable(journaled);
        for wish in wishes {
            if let Wish::Append(entries, _) = wish {
                tail.durable(entries);
            }
        }
    }

    /// One more write is on disk.
    fn written(&mut self) -> io::Result<()> {
        self.commits += 1;
        if let Some(beside) = &self.beside {
            beside.mark.set(self.commits)?;
        }
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write(&mut self, write: &WriteTransaction, wish: &Wish) -> io::Result<bool> {
        match wish {
            Wish::Append(entries, _) => {
                let rows: Vec<Row> = entries.iter().map(row_of).collect();
                self.count(&rows);
                self.write_rows(write, &rows)?;
            }
            Wish::Vote(vote, _) => rows::set_meta(write, rows::VOTE, vote)?,
            Wish::Truncate(after, _) => self.write_truncation(write, after.next_index())?,
            Wish::Purge(upto) => {
                self.purged = self.purged.max(Some(*upto));
                return Ok(false);
            }
            Wish::Close(_) => return Ok(false),
        }
        Ok(true)
    }

    fn write_rows(&mut self, write: &WriteTransaction, rows: &[Row]) -> io::Result<()> {
        rows::insert(write, rows)?;
        if let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) {
            let start = if self.rows.is_empty() { *first } else { self.rows.start };
            self.rows = start..last + 1;
        }
        Ok(())
    }

    fn count(&self, rows: &[Row]) {
        let bytes: usize = rows.iter().map(|(_, row)| row.len()).sum();
        self.shared.counters.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn write_truncation(&mut self, write: &WriteTransaction, keep: u64) -> io::Result<()> {
        let mut log = write.open_table(rows::LOG).map_err(broken)?;
        log.retain_in(keep.., |_, _| false).map_err(broken)?;
        self.rows = self.rows.start.min(keep)..self.rows.end.min(keep);
        Ok(())
    }

    /// The rows that the next step of a purge removes.
    fn purge_step(&self) -> Option<Range<u64>> {
        let end = self.purged.next_index().min(self.rows.end).min(self.rows.start + PURGE_ROWS);
        (self.rows.start < end).then_some(self.rows.start..end)
    }

    /// The mark comes first, the rows follow in steps: rows at or below the mark do not count, so a crash in between
    /// leaves no gap.
    fn write_purge(&mut self, write: &WriteTransaction) -> io::Result<bool> {
        let marks = self.purged > self.written_purged;
        if marks {
            rows::set_meta(write, rows::PURGED, &self.purged)?;
            self.written_purged = self.purged;
        }
        let Some(step) = self.purge_step() else { return Ok(marks) };
        let mut log = write.open_table(rows::LOG).map_err(broken)?;
        log.retain_in(step.clone(), |_, _| false).map_err(broken)?;
        self.rows.start = step.end;
        Ok(true)
    }

    /// A leader may know an entry to be committed before its own disk has it, so the mark waits for the entry: a file
    /// whose mark is beyond its rows has lost some.
    fn write_committed(&mut self, write: &WriteTransaction) -> io::Result<bool> {
        let committed = self.shared.tail.lock().committed;
        let is_here = committed.next_index() <= self.rows.end || committed <= self.purged;
        if committed <= self.written_committed || !is_here {
            return Ok(false);
        }
        rows::set_meta(write, rows::COMMITTED, &committed)?;
        self.written_committed = committed;
        Ok(true)
    }

    fn answer(&self, wish: Wish, result: &io::Result<()>) {
        let told = result.as_ref().copied().map_err(|e| io::Error::new(e.kind(), e.to_string()));
        match wish {
            Wish::Append(entries, flushed) => {
                if told.is_ok() {
                    self.shared.counters.entries.fetch_add(entries.len() as u64, Ordering::Relaxed);
                }
                flushed.io_completed(told);
            }
            Wish::Vote(vote, done) => {
                if told.is_ok() {
                    self.shared.tail.lock().vote = Some(vote);
                }
                // Who waited may have gone; the wish was granted all the same.
                let _ = done.send(told);
            }
            Wish::Truncate(_, done) | Wish::Close(done) => {
                let _ = done.send(told);
            }
            Wish::Purge(_) => {}
        }
    }
}

fn row_of(entry: &Arc<Entry>) -> Row {
    (entry.log_id.index, codec::encode(&**entry))
}

/// What is appended, if nothing else is wished and it may be little enough for the journal.
fn appends_of(wishes: &[Wish]) -> Appends {
    let mut appends = Appends::default();
    let entries = wishes.iter().flat_map(|wish| match wish {
        Wish::Append(entries, _) => entries.as_slice(),
        _ => &[],
    });
    if entries.map(|entry| weight(entry)).sum::<usize>() > 2 * WRITE_MAX {
        return appends;
    }
    for wish in wishes {
        let Wish::Append(entries, _) = wish else { return Appends::default() };
        appends.rows.extend(entries.iter().map(row_of));
        appends.entries.extend(entries.iter().cloned());
    }
    appends
}

/// Says that entries are written, and takes its time to write them.
fn acknowledged_early(wishes: Vec<Wish>) -> Vec<Wish> {
    let mut appends = 0;
    let told = wishes.into_iter().map(|wish| match wish {
        Wish::Append(entries, flushed) => {
            flushed.io_completed(Ok(()));
            appends += 1;
            Wish::Append(entries, Flushed::noop())
        }
        other => other,
    });
    let told = told.collect();
    if appends > 0 {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    told
}

/// Wishes that share a transaction.
#[derive(Default)]
struct Group {
    wishes: Vec<Wish>,
    entries: usize,
    closing: bool,
}

impl Group {
    fn take(&mut self, wish: Wish) {
        match &wish {
            Wish::Append(entries, _) => self.entries += entries.len(),
            Wish::Close(_) => self.closing = true,
            _ => {}
        }
        self.wishes.push(wish);
    }

    fn has_room(&self) -> bool {
        !self.closing && self.wishes.len() < QUEUE && self.entries < GROUP_ENTRIES
    }
}
