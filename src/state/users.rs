//! Users: who has an account, in SQLite, fed by the log alone.
//!
//! The index of the last applied log entry is written in the same transaction as what it did, so a replay skips what is
//! there. There is no fsync per write (WAL, `synchronous=NORMAL`): the log is the journal, and it is purged only after
//! [`Users::checkpoint`]. One connection writes, a few others read, and one copies.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::change::{LinkUse, UserChange, UserOutcome};
use super::files::damaged;
use super::rows::Rows;
use super::token::Token;
use super::user::UserRow;
use super::{token_rows, user_changes, user_rows};
use crate::clock::Millis;
use crate::planted::{self, Bug};

const READERS: usize = 2;

/// The database of users of one generation.
pub struct Users {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: [Mutex<Connection>; READERS],
    /// Reads everything now and then, and must keep no reader waiting.
    copier: Mutex<Connection>,
    rows: Rows,
    tokens: token_rows::Cached,
    /// Counts writes, so that a row read before one is not cached after it.
    version: Mutex<u64>,
    applied: AtomicU64,
}

impl Users {
    /// Opens the database at `path`, making it if need be.
    ///
    /// # Errors
    /// `InvalidData` when the file is no database of ours or a part of it is not what was written: then it is of no
    /// use, and can be made anew. Any other kind when it cannot be opened or read at all.
    pub fn open(path: &Path) -> io::Result<Self> {
        let opened = connect(path).and_then(|writer| {
            user_rows::prepare(&writer)?;
            let fault = user_rows::fault(&writer)?;
            Ok((user_rows::meta(&writer, "applied")?, fault, writer))
        });
        let (applied, fault, writer) = opened.map_err(|e| unusable(path, &e))?;
        if let Some(fault) = fault {
            return Err(damaged(path, &fault));
        }
        let readers = [reader(path)?, reader(path)?].map(Mutex::new);
        let copier = Mutex::new(reader(path)?);
        let applied = AtomicU64::new(applied);
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers,
            copier,
            rows: Rows::default(),
            tokens: token_rows::Cached::default(),
            version: Mutex::new(0),
            applied,
        })
    }

    /// Where the database lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log index up to which changes are in here.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Applies the changes of log entry after log entry, in one transaction. Those that are in here already are passed
    /// over and answered `Done`: nobody waits for them.
    ///
    /// # Errors
    /// When the disk or the database fails; nothing of the batch is in then, and the node must stop.
    pub fn apply(&self, batch: &[(u64, &UserChange)]) -> io::Result<Vec<UserOutcome>> {
        let Some(last) = batch.iter().map(|(index, _)| *index).max() else { return Ok(Vec::new()) };
        let mut writer = self.writer.lock();
        let outcomes = self.write(&mut writer, batch, last).map_err(|e| named(&self.path, &e))?;
        let mut version = self.version.lock();
        *version += 1;
        match batch {
            [(_, change)] => {
                user_changes::touched(change).into_iter().for_each(|id| self.rows.forget(id));
                self.tokens.forget(change);
            }
            _ => {
                self.rows.forget_all();
                self.tokens.forget_all();
            }
        }
        self.applied.fetch_max(last, Ordering::Release);
        Ok(outcomes)
    }

    fn write(
        &self,
        writer: &mut Connection,
        batch: &[(u64, &UserChange)],
        last: u64,
    ) -> rusqlite::Result<Vec<UserOutcome>> {
        let done = if planted::has(Bug::ForgetApplied) { 0 } else { self.applied() };
        let transaction = writer.transaction()?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for (index, change) in batch {
            let outcome = if *index <= done { UserOutcome::Done } else { user_changes::apply(&transaction, change)? };
            outcomes.push(outcome);
        }
        user_rows::mark(&transaction, last)?;
        transaction.commit()?;
        Ok(outcomes)
    }

    /// Says that everything up to log entry `index` is in here, because what came since the last change to users had
    /// nothing for them.
    ///
    /// # Errors
    /// When the disk or the database fails.
    pub fn mark_applied(&self, index: u64) -> io::Result<()> {
        user_rows::mark(&self.writer.lock(), index).map_err(|e| named(&self.path, &e))?;
        self.applied.fetch_max(index, Ordering::Release);
        Ok(())
    }

    /// The user with this id, if their row is in memory.
    pub fn cached(&self, id: &str) -> Option<Arc<UserRow>> {
        self.rows.get(id)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn by_id(&self, id: &str) -> io::Result<Option<Arc<UserRow>>> {
        if let Some(row) = self.rows.get(id) {
            return Ok(Some(row));
        }
        let before = *self.version.lock();
        let Some(row) = self.read(|c| one(c, "id", id))? else { return Ok(None) };
        let row = Arc::new(row);
        let version = self.version.lock();
        if *version == before {
            self.rows.keep(row.clone());
        }
        Ok(Some(row))
    }

    /// The user with this normalised address.
    ///
    /// # Errors
    /// When the database fails.
    pub fn by_email(&self, email: &str) -> io::Result<Option<Arc<UserRow>>> {
        self.read(|c| one(c, "email", email)).map(|row| row.map(Arc::new))
    }

    /// Users in the order of their addresses, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self, after: &str, limit: u32) -> io::Result<Vec<UserRow>> {
        self.read(|c| {
            let mut rows = c.prepare_cached("SELECT * FROM users WHERE email > ?1 ORDER BY email LIMIT ?2")?;
            rows.query_map(params![after, limit], user_rows::user)?.collect()
        })
    }

    /// The same, of those whose address holds `part`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn search(&self, part: &str, after: &str, limit: u32) -> io::Result<Vec<UserRow>> {
        const SQL: &str = "SELECT * FROM users WHERE email > ?1 AND instr(email, ?2) > 0 ORDER BY email LIMIT ?3";
        self.read(|c| c.prepare_cached(SQL)?.query_map(params![after, part, limit], user_rows::user)?.collect())
    }

    /// Those who wait for approval, the longest waiting first, at most `limit`; and how many there are.
    ///
    /// # Errors
    /// When the database fails.
    pub fn waiting(&self, limit: u32) -> io::Result<(Vec<UserRow>, u64)> {
        const COUNT: &str = "SELECT count(*) FROM users WHERE approved = 0 AND disabled = 0";
        const SQL: &str = "SELECT * FROM users WHERE approved = 0 AND disabled = 0 ORDER BY created_at, id LIMIT ?1";
        self.read(|c| {
            let count: i64 = c.prepare_cached(COUNT)?.query_row([], |row| row.get(0))?;
            let rows: rusqlite::Result<_> = c.prepare_cached(SQL)?.query_map([limit], user_rows::user)?.collect();
            Ok((rows?, count.unsigned_abs()))
        })
    }

    /// How many users there are.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count(&self) -> io::Result<u64> {
        self.read(|c| c.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0))).map(|n| n as u64)
    }

    /// Whether anybody may administer.
    ///
    /// # Errors
    /// When the database fails.
    pub fn has_admin(&self) -> io::Result<bool> {
        self.read(user_changes::has_admin)
    }

    /// What the unspent link with this digest is for, if it is still good at `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn link(&self, digest: &[u8; 32], now: Millis) -> io::Result<Option<LinkUse>> {
        self.read(|c| user_changes::link(c, digest, now))
    }

    /// The token with this digest, if it is in memory.
    pub fn cached_token(&self, digest: &[u8; 32]) -> Option<Arc<Token>> {
        self.tokens.get(digest)
    }

    /// The token with this digest, whether or not its time has come.
    ///
    /// # Errors
    /// When the database fails.
    pub fn token(&self, digest: &[u8; 32]) -> io::Result<Option<Arc<Token>>> {
        if let Some(token) = self.tokens.get(digest) {
            return Ok(Some(token));
        }
        let before = *self.version.lock();
        let Some(token) = self.read(|c| token_rows::by_digest(c, digest))? else { return Ok(None) };
        let token = Arc::new(token);
        let version = self.version.lock();
        if *version == before {
            self.tokens.keep(token.clone());
        }
        Ok(Some(token))
    }

    /// The tokens of a user, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub fn tokens_of(&self, user: &str) -> io::Result<Vec<Token>> {
        self.read(|c| token_rows::of_user(c, user))
    }

    /// Ends all tokens, beside the log: for a state that no log feeds yet.
    ///
    /// # Errors
    /// When the disk or the database fails.
    pub fn remove_tokens(&self) -> io::Result<()> {
        let removed = self.writer.lock().execute("DELETE FROM tokens", []).map(|_| ());
        self.tokens.forget_all();
        removed.map_err(|e| named(&self.path, &e))
    }

    /// Writes a consistent copy to `target`, which must not exist. Nobody who reads or writes waits for it.
    ///
    /// # Errors
    /// When the disk or the database fails.
    pub fn copy_to(&self, target: &Path) -> io::Result<()> {
        let name = target.to_str().ok_or_else(|| named(target, &"path is not UTF-8"))?;
        self.copier.lock().execute("VACUUM INTO ?1", [name]).map(|_| ()).map_err(|e| named(&self.path, &e))
    }

    /// Makes everything applied so far durable in the database file itself. Whoever purges the log does this first.
    ///
    /// # Errors
    /// When the disk fails, or a reader held the checkpoint up: then the log must not be purged.
    pub fn checkpoint(&self) -> io::Result<()> {
        let writer = self.writer.lock();
        let _quiet: Vec<_> = self.readers.iter().chain([&self.copier]).map(Mutex::lock).collect();
        let busy: i64 = writer
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            .map_err(|e| named(&self.path, &e))?;
        if busy != 0 {
            return Err(named(&self.path, &"checkpoint was held up by a reader"));
        }
        Ok(())
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> io::Result<T> {
        let reader = self.readers.iter().find_map(Mutex::try_lock).unwrap_or_else(|| self.readers[0].lock());
        query(&reader).map_err(|e| named(&self.path, &e))
    }
}

fn reader(path: &Path) -> io::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|c| c.pragma_update(None, "cache_size", -512).map(|()| c))
        .map_err(|e| named(path, &e))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open(path).and_then(|c| {
        c.pragma_update(None, "journal_mode", "WAL")?;
        c.pragma_update(None, "synchronous", "NORMAL")?;
        c.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        c.pragma_update(None, "cache_size", -2_000)?;
        c.pragma_update(None, "trusted_schema", false)?;
        Ok(c)
    })
}

fn one(c: &Connection, column: &str, value: &str) -> rusqlite::Result<Option<UserRow>> {
    c.prepare_cached(&format!("SELECT * FROM users WHERE {column} = ?1"))?
        .query_row([value], user_rows::user)
        .optional()
}

/// Every failure says which file.
fn named(path: &Path, cause: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {cause}", path.display()))
}

/// Why a database cannot be opened: because of the machine, or because of what is in it.
fn unusable(path: &Path, e: &rusqlite::Error) -> io::Error {
    use ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly};
    match e.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure | CannotOpen | DatabaseBusy | DatabaseLocked) => named(path, e),
        Some(DiskFull | OutOfMemory | PermissionDenied | ReadOnly) => named(path, e),
        _ => damaged(path, e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_made_while_every_reader_is_at_work() {
        let dir = tempfile::tempdir().expect("a directory");
        let users = Users::open(&dir.path().join("users.db")).expect("a database");
        users.mark_applied(7).expect("it is marked");
        let busy: Vec<_> = users.readers.iter().map(Mutex::lock).collect();
        let copy = dir.path().join("copy.db");
        let (done, copied) = std::sync::mpsc::channel();
        std::thread::scope(|threads| {
            threads.spawn(|| done.send(users.copy_to(&copy)).expect("somebody waits"));
            let copied = copied.recv_timeout(std::time::Duration::from_secs(30));
            drop(busy);
            copied.expect("no reader is waited for").expect("it is copied");
        });
        assert_eq!(Users::open(&copy).expect("a copy").applied(), 7);
    }

    #[test]
    fn a_bit_that_flips_in_an_index_is_noticed_as_well_as_one_in_a_table() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("users.db");
        let users = Users::open(&path).expect("a database");
        let ada = crate::state::NewUser {
            id: "u1".into(),
            email: "ada@example.com".into(),
            first_name: String::new(),
            last_name: String::new(),
            password_hash: String::new(),
            created_at: 0,
            admin: false,
            approved: true,
            verified: true,
        };
        users.apply(&[(1, &UserChange::Add(ada))]).expect("it is applied");
        users.checkpoint().expect("it is in the file");
        drop(users);
        let whole = std::fs::read(&path).expect("it is read");
        let address = b"ada@example.com";
        let places: Vec<usize> = (0..whole.len()).filter(|at| whole[*at..].starts_with(address)).collect();
        assert_eq!(places.len(), 2, "a row, and an entry of the index");
        for place in places {
            let mut damaged = whole.clone();
            damaged[place] ^= 2;
            std::fs::write(&path, damaged).expect("it is written");
            let refused = Users::open(&path).err().expect("it is damaged");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{place}: {refused}");
        }
    }
}
