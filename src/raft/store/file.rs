//! File: making, opening and checking the log file.
//!
//! A new file is made complete under another name and linked into place, so that a file under the real name always
//! has its identity in it; every directory that got a new name in it is fsynced. Opening walks the whole file: redb
//! does so itself after a crash, and is made to after a clean stop, because a log that was damaged while nobody looked
//! must be refused, not half read. A bounded log makes that a matter of milliseconds.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::LogIdOptionExt as _;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::journal::{self, Journal, Tag};
use super::mark::{self, Mark};
use super::rows::{self, Identity, about, broken, damaged};
use super::tail::Tail;
use super::writer::PURGE_ROWS;
use crate::raft::types::LogId;
use crate::state::files::{create_directories, parent_of, sync_directory};

/// redb's page cache, bytes. Recent entries are in the tail, so it serves little else than the tree's upper pages.
const CACHE_BYTES: usize = 8 << 20;
/// A file smaller than this is not worth compacting, bytes.
pub const COMPACT_MIN: u64 = 64 << 20;
/// Compacted when larger than its contents so many times.
const COMPACT_RATIO: u64 = 4;
/// Rows at the end of the log that are decoded when it is opened.
const ROWS_CHECKED: usize = 64;

/// What to do about a file that lost something.
pub const DAMAGE_HINT: &str = "a node of several is replaced: `sojourn cluster remove` it on another one, and join with \
                               an empty data directory; one that is alone: restore the last backup into a new one";

/// What an opened file holds.
pub struct Opened {
    /// The file.
    pub database: Database,
    /// Who this node is.
    pub identity: Identity,
    /// Where the log stands.
    pub tail: Tail,
    /// How often it was written.
    pub commits: u64,
    /// What lies beside it, unless it is a file of no name.
    pub beside: Option<Beside>,
}

/// What lies beside the file.
pub struct Beside {
    /// The newest writes.
    pub journal: Journal,
    /// How many there were.
    pub mark: Mark,
}

/// Opens the file at `path`; makes it first, for the node `fresh`, when there is none.
///
/// # Errors
/// Names the file, what is wrong and what to do: in use, damaged, of another format, or what the disk says.
pub fn open(path: &Path, fresh: Identity) -> io::Result<Opened> {
    let marked = mark::read(path).map_err(|e| explain(path, &e))?;
    if !path.try_exists()? {
        if marked > 0 || journal::is_used(path).map_err(|e| explain(path, &e))? {
            return Err(explain(path, &damaged("it is missing, and was there")));
        }
        create(path, fresh).map_err(|e| about(path, &e, "check the directory's owner, permissions and free space"))?;
    }
    // redb may panic over a page that cannot be, instead of saying so.
    let database =
        catch_unwind(|| open_database(path)).unwrap_or_else(|_| Err(damaged("its pages contradict each other")));
    let (database, was_closed) = database.map_err(|e| explain(path, &e))?;
    // Left by a crash between the two names; nobody makes a new file while this one is here.
    let _ = fs::remove_file(draft_of(path));
    whole(database, path, (marked, was_closed)).map_err(|e| explain(path, &e))
}

/// The file with everything that lies beside it.
fn whole(database: Database, path: &Path, (marked, was_closed): (u64, bool)) -> io::Result<Opened> {
    let tag = fold(&database, path, (marked, was_closed))?;
    let opened = load(database).and_then(|opened| marked_at_most(opened, marked))?;
    let beside = Beside { mark: Mark::begin(path, opened.commits)?, journal: Journal::begin(path, tag)? };
    Ok(Opened { beside: Some(beside), ..opened })
}

/// Puts what only the journal holds into the file. A file that is older than journals gets one.
fn fold(database: &Database, path: &Path, (marked, was_closed): (u64, bool)) -> io::Result<Tag> {
    let read = database.begin_read().map_err(broken)?;
    let meta = read.open_table(rows::META).map_err(broken)?;
    let (format, commits) = (format_of(&meta)?, rows::meta(&meta, rows::COMMITS)?.unwrap_or(0));
    let tag: Option<Tag> = rows::meta(&meta, rows::JOURNAL)?;
    let newer = match tag {
        None if format == rows::FORMAT => return Err(missing(rows::JOURNAL)),
        None if journal::is_used(path)? => return Err(damaged("log.journal is that of a newer one")),
        None => Vec::new(),
        Some(tag) => match journal::read(path, tag, commits)? {
            Some(newer) => newer,
            // it is empty after a clean stop, and the mark says whether there was one
            None if was_closed && marked == commits => Vec::new(),
            None => return Err(damaged("log.journal is missing, cut short, or another log's")),
        },
    };
    drop((meta, read));
    let used = tag.unwrap_or_else(crate::random::bytes);
    if tag.is_none() {
        Journal::begin(path, used)?;
    }
    if newer.is_empty() && tag.is_some() {
        return Ok(used);
    }
    let write = database.begin_write().map_err(broken)?;
    for written in newer {
        rows::set_meta(&write, rows::COMMITS, &written.number)?;
        if written.committed.is_some() {
            rows::set_meta(&write, rows::COMMITTED, &written.committed)?;
        }
        rows::insert(&write, &written.rows)?;
    }
    rows::set_meta(&write, rows::FORMAT_NAME, &rows::FORMAT)?;
    rows::set_meta(&write, rows::JOURNAL, &used)?;
    write.commit().map_err(broken)?;
    Ok(used)
}

/// A log that was written more often than it remembers has lost what was acknowledged: a vote, perhaps.
fn marked_at_most(opened: Opened, marked: u64) -> io::Result<Opened> {
    match marked.saturating_sub(opened.commits) {
        0 => Ok(opened),
        lost => Err(damaged(format!("the last {lost} of {marked} writes to it and log.journal are lost"))),
    }
}

/// The error with the file's name and a hint.
pub fn explain(path: &Path, error: &io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ResourceBusy => {
            about(path, error, "stop the other process, or give this one its own data directory")
        }
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => about(path, error, DAMAGE_HINT),
        _ => about(path, error, "check the disk, the file's owner and its permissions"),
    }
}

/// Makes the file complete under another name, then gives it its own. Somebody who was faster wins.
fn create(path: &Path, fresh: Identity) -> io::Result<()> {
    let parent = parent_of(path);
    create_directories(parent)?;
    let draft = draft_of(path);
    match fs::remove_file(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&draft)?;
    let database = Builder::new().set_cache_size(CACHE_BYTES).create_file(file).map_err(broken)?;
    let tag = initialise(&database, fresh)?;
    drop(database);
    Journal::begin(path, tag)?;
    match fs::hard_link(&draft, path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    fs::remove_file(&draft)?;
    sync_directory(parent)
}

/// Writes what every file holds from the beginning, the tag of its journal among it.
pub fn initialise(database: &Database, fresh: Identity) -> io::Result<Tag> {
    let tag = crate::random::bytes();
    let write = database.begin_write().map_err(broken)?;
    write.open_table(rows::LOG).map_err(broken)?;
    rows::set_meta(&write, rows::FORMAT_NAME, &rows::FORMAT)?;
    rows::set_meta(&write, rows::NODE, &fresh.node)?;
    rows::set_meta(&write, rows::CLUSTER, &fresh.cluster)?;
    rows::set_meta(&write, rows::SEED, &fresh.seed)?;
    rows::set_meta(&write, rows::JOINS, &fresh.joins)?;
    rows::set_meta(&write, rows::JOURNAL, &tag)?;
    write.commit().map_err(broken)?;
    Ok(tag)
}

/// Opens the file and makes sure that every page of it is whole. Answers whether it had been closed, too.
fn open_database(path: &Path) -> io::Result<(Database, bool)> {
    let walked = Arc::new(AtomicBool::new(false));
    let seen = walked.clone();
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_repair_callback(move |_| seen.store(true, Ordering::Relaxed));
    let mut database = builder.open(path).map_err(|e| match e {
        DatabaseError::DatabaseAlreadyOpen => io::Error::new(io::ErrorKind::ResourceBusy, "is used by another process"),
        DatabaseError::RepairAborted => damaged("it cannot be repaired"),
        e => broken(e),
    })?;
    // A file that was closed cleanly is either whole or an error: redb closes with a two-phase commit, so it has no
    // older one to go back to. What it may repair here is its list of free pages.
    let was_closed = !walked.load(Ordering::Relaxed);
    if was_closed && !database.check_integrity().map_err(broken)? {
        tracing::warn!(file = %path.display(), "the log file's list of free pages was damaged, and is rebuilt");
    }
    Ok((database, was_closed))
}

/// Reads and checks what the file says of itself.
pub fn load(database: Database) -> io::Result<Opened> {
    let read = database.begin_read().map_err(broken)?;
    let meta = read.open_table(rows::META).map_err(broken)?;
    format_of(&meta)?;
    let node = rows::meta(&meta, rows::NODE)?.ok_or_else(|| missing(rows::NODE))?;
    let cluster = rows::meta(&meta, rows::CLUSTER)?.ok_or_else(|| missing(rows::CLUSTER))?;
    let seed = rows::meta(&meta, rows::SEED)?.ok_or_else(|| missing(rows::SEED))?;
    let joins = rows::meta(&meta, rows::JOINS)?.ok_or_else(|| missing(rows::JOINS))?;
    let purged = rows::meta(&meta, rows::PURGED)?.flatten();
    let commits = rows::meta(&meta, rows::COMMITS)?.unwrap_or(0);
    let mut tail = Tail::default();
    tail.vote = rows::meta(&meta, rows::VOTE)?;
    tail.committed = rows::meta(&meta, rows::COMMITTED)?.flatten();
    drop((meta, read));
    finish_purge(&database, purged)?;
    tail.stand(purged, last_of(&database, purged)?);
    if tail.committed > tail.last {
        let (last, committed) = (tail.last.next_index(), tail.committed.next_index());
        return Err(damaged(format!("it ends before entry {last}, but entries before {committed} were committed")));
    }
    Ok(Opened { database, identity: Identity { node, cluster, seed, joins }, tail, commits, beside: None })
}

/// The layout of the file, if it is one that can be read.
fn format_of(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> io::Result<u32> {
    let format: Option<u32> = rows::meta(meta, rows::FORMAT_NAME)?;
    let found = format.map_or("none".to_owned(), |f| f.to_string());
    let known = format.filter(|format| (1..=rows::FORMAT).contains(format));
    known.ok_or_else(|| damaged(format!("its format is {found}, this program reads {}", rows::FORMAT)))
}

fn missing(name: &str) -> io::Error {
    damaged(format!("row {name:?} is missing"))
}

/// Removes the rows that a purge had no time for.
fn finish_purge(database: &Database, purged: Option<LogId>) -> io::Result<()> {
    let end = purged.next_index();
    loop {
        let write = database.begin_write().map_err(broken)?;
        let mut log = write.open_table(rows::LOG).map_err(broken)?;
        let Some(first) = log.first().map_err(broken)?.map(|(key, _)| key.value()).filter(|first| *first < end) else {
            drop(log);
            return write.abort().map_err(broken);
        };
        log.retain_in(first..end.min(first + PURGE_ROWS), |_, _| false).map_err(broken)?;
        drop(log);
        write.commit().map_err(broken)?;
    }
}

/// The last entry of the log, after a look at whether it has gaps and its newest rows can be read.
fn last_of(database: &Database, purged: Option<LogId>) -> io::Result<Option<LogId>> {
    let read = database.begin_read().map_err(broken)?;
    let log = read.open_table(rows::LOG).map_err(broken)?;
    let (Some((first, _)), Some((last, _))) = (log.first().map_err(broken)?, log.last().map_err(broken)?) else {
        return Ok(purged);
    };
    let (first, last, count) = (first.value(), last.value(), log.len().map_err(broken)?);
    if first != purged.next_index() || last - first + 1 != count {
        let from = purged.next_index();
        return Err(damaged(format!("entries are missing: {count} rows where {from} to {last} should be")));
    }
    let mut newest: Option<LogId> = None;
    let mut next: Option<LogId> = None;
    for row in log.iter().map_err(broken)?.rev().take(ROWS_CHECKED) {
        let (key, value) = row.map_err(broken)?;
        let id = rows::entry_of(key.value(), value.value())?.log_id;
        if next.is_some_and(|next| next < id) {
            return Err(damaged(format!("entry {} has a later term than the entry after it", id.index)));
        }
        next = Some(id);
        newest = newest.or(next);
    }
    Ok(newest)
}

/// Gives back what a file holds beyond `min` bytes and four times its contents.
///
/// # Errors
/// What redb says.
pub fn compact(database: &mut Database, path: &Path, min: u64) -> io::Result<bool> {
    let size = fs::metadata(path)?.len();
    if size <= min {
        return Ok(false);
    }
    let write = database.begin_write().map_err(broken)?;
    let stats = write.stats().map_err(broken)?;
    write.abort().map_err(broken)?;
    let live = stats.stored_bytes() + stats.metadata_bytes();
    if size / COMPACT_RATIO <= live {
        return Ok(false);
    }
    database.compact().map_err(broken)
}

fn draft_of(path: &Path) -> PathBuf {
    path.with_extension("new")
}
