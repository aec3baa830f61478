//! User rows: how users lie in the database, each row under a checksum of its own.
//!
//! SQLite notices a page that makes no sense, not a bit that flipped inside a name or a password hash. Every row that is
//! read is compared with its checksum, and at start all of them are, the indexes and the schema too: a database with a
//! part that is not what was written is no database at all, and is made anew from the snapshot and the log.

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change::LinkUse;
use super::token_rows;
use super::user::{Memo, User, UserRow};
use crate::clock::Millis;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, first_name TEXT NOT NULL, last_name TEXT NOT NULL,
        password_hash TEXT NOT NULL, groups TEXT NOT NULL, created_at INTEGER NOT NULL, admin INTEGER NOT NULL,
        approved INTEGER NOT NULL, verified INTEGER NOT NULL, disabled INTEGER NOT NULL, crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS users_admin ON users (admin) WHERE admin = 1;
    CREATE TABLE IF NOT EXISTS links (
        digest BLOB PRIMARY KEY, user TEXT, expires_at INTEGER NOT NULL, crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS meta (
        name TEXT PRIMARY KEY, value INTEGER NOT NULL, crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// A row that is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("a row of {0} is not what was written")]
struct Damaged(&'static str);

/// Makes what a new database needs.
pub fn prepare(c: &Connection) -> rusqlite::Result<()> {
    c.execute_batch(SCHEMA)?;
    c.execute_batch(token_rows::SCHEMA)?;
    for (name, value) in [("applied", 0), ("format", 1)] {
        let values = params![name, value, meta_crc(name, value)];
        c.execute("INSERT OR IGNORE INTO meta VALUES (?1, ?2, ?3)", values)?;
    }
    Ok(())
}

/// What is wrong with the database, if anything is. Reads all of it: `quick_check` would save half of the time, and
/// miss an address that is gone from its index.
pub fn fault(c: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = c.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Some(found));
    }
    let fresh = Connection::open_in_memory()?;
    prepare(&fresh)?;
    if schema(c)? != schema(&fresh)? {
        return Ok(Some("its tables are not those of this program".to_owned()));
    }
    let names: i64 = c.query_row("SELECT count(*) FROM meta", [], |row| row.get(0))?;
    meta(c, "applied")?;
    if names != 2 || meta(c, "format")? != 1 {
        return Ok(Some("it is of another format".to_owned()));
    }
    let mut users = c.prepare("SELECT * FROM users")?;
    users.query_map([], user)?.try_for_each(|row| row.map(|_| ()))?;
    let mut links = c.prepare("SELECT * FROM links")?;
    links.query_map([], link)?.try_for_each(|row| row.map(|_| ()))?;
    let mut tokens = c.prepare("SELECT * FROM tokens")?;
    tokens.query_map([], token_rows::token)?.try_for_each(|row| row.map(|_| ()))?;
    Ok(None)
}

fn schema(c: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut rows = c.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")?;
    rows.query_map([], |row| row.get(0))?.collect()
}

/// The user of a row that has all columns, in the order of the schema: a start reads every row, and to look names up
/// costs as much as the rest.
pub fn user(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    let groups: String = row.get(5)?;
    let user = User {
        id: row.get(0)?,
        email: row.get(1)?,
        first_name: row.get(2)?,
        last_name: row.get(3)?,
        groups: groups.split(',').filter(|g| !g.is_empty()).map(str::to_owned).collect(),
        created_at: row.get(6)?,
        admin: row.get(7)?,
        approved: row.get(8)?,
        verified: row.get(9)?,
        disabled: row.get(10)?,
        shown: Memo::default(),
    };
    let found = UserRow { user: Arc::new(user), password_hash: row.get(4)? };
    whole(found.crc() == row.get::<_, i64>(11)?, "users")?;
    Ok(found)
}

/// Adds a user; `false` when the id or the address is taken.
pub fn add_user(c: &Connection, row: &UserRow) -> rusqlite::Result<bool> {
    const SQL: &str = "INSERT INTO users (id, email, first_name, last_name, password_hash, groups, created_at, admin, \
                       approved, verified, disabled, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
                       ON CONFLICT DO NOTHING";
    write_user(c, SQL, row)
}

/// Changes the row of a user; `false` when there is none.
pub fn alter_user(c: &Connection, id: &str, alter: impl FnOnce(&mut User, &mut String)) -> rusqlite::Result<bool> {
    const READ: &str = "SELECT * FROM users WHERE id = ?1";
    const WRITE: &str = "UPDATE users SET email = ?2, first_name = ?3, last_name = ?4, password_hash = ?5, groups = ?6, \
                         created_at = ?7, admin = ?8, approved = ?9, verified = ?10, disabled = ?11, crc = ?12 \
                         WHERE id = ?1";
    let Some(held) = c.prepare_cached(READ)?.query_row([id], user).optional()? else { return Ok(false) };
    let (mut user, mut password_hash) = (User::clone(&held.user), held.password_hash);
    alter(&mut user, &mut password_hash);
    write_user(c, WRITE, &UserRow { user: Arc::new(user), password_hash })
}

fn write_user(c: &Connection, sql: &str, row: &UserRow) -> rusqlite::Result<bool> {
    let UserRow { user, password_hash } = row;
    let values = params![
        user.id,
        user.email,
        user.first_name,
        user.last_name,
        password_hash,
        user.groups.join(","),
        user.created_at,
        user.admin,
        user.approved,
        user.verified,
        user.disabled,
        row.crc()
    ];
    Ok(c.prepare_cached(sql)?.execute(values)? == 1)
}

/// A one-time link as it lies here.
pub struct LinkRow {
    pub digest: [u8; 32],
    pub usage: LinkUse,
    pub expires_at: Millis,
}

/// The link of a row that has all columns.
pub fn link(row: &Row<'_>) -> rusqlite::Result<LinkRow> {
    let user: Option<String> = row.get("user")?;
    let usage = user.map_or(LinkUse::FirstAdmin, LinkUse::SetPassword);
    let found = LinkRow { digest: row.get("digest")?, usage, expires_at: row.get("expires_at")? };
    whole(found.crc() == row.get::<_, i64>("crc")?, "links")?;
    Ok(found)
}

/// Adds a link, or replaces the one with its digest.
pub fn put_link(c: &Connection, row: &LinkRow) -> rusqlite::Result<()> {
    let values = params![row.digest, row.user(), row.expires_at, row.crc()];
    c.execute("INSERT OR REPLACE INTO links VALUES (?1, ?2, ?3, ?4)", values).map(|_| ())
}

/// Notes the log index up to which changes are in here.
pub fn mark(c: &Connection, applied: u64) -> rusqlite::Result<()> {
    let applied = applied.max(meta(c, "applied")?).cast_signed();
    let values = params![applied, meta_crc("applied", applied)];
    c.prepare_cached("UPDATE meta SET value = ?1, crc = ?2 WHERE name = 'applied'")?.execute(values).map(|_| ())
}

/// A number that the database keeps about itself.
pub fn meta(c: &Connection, name: &str) -> rusqlite::Result<u64> {
    let mut row = c.prepare_cached("SELECT value, crc FROM meta WHERE name = ?1")?;
    let (value, crc): (i64, i64) = row.query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    whole(meta_crc(name, value) == crc, "meta")?;
    Ok(value.cast_unsigned())
}

impl UserRow {
    fn crc(&self) -> i64 {
        let user = &self.user;
        let texts = [&user.id, &user.email, &user.first_name, &user.last_name, &self.password_hash];
        let mut crc = Crc::default();
        texts.into_iter().chain(&user.groups).for_each(|text| crc.bytes(text.as_bytes()));
        crc.number(user.created_at);
        let flags = [user.admin, user.approved, user.verified, user.disabled];
        flags.into_iter().for_each(|flag| crc.number(i64::from(flag)));
        crc.sum()
    }
}

impl LinkRow {
    fn user(&self) -> Option<&str> {
        match &self.usage {
            LinkUse::FirstAdmin => None,
            LinkUse::SetPassword(user) => Some(user),
        }
    }

    fn crc(&self) -> i64 {
        let mut crc = Crc::default();
        crc.bytes(&self.digest);
        crc.number(i64::from(self.user().is_some()));
        crc.bytes(self.user().unwrap_or_default().as_bytes());
        crc.number(self.expires_at);
        crc.sum()
    }
}

fn meta_crc(name: &str, value: i64) -> i64 {
    let mut crc = Crc::default();
    crc.bytes(name.as_bytes());
    crc.number(value);
    crc.sum()
}

pub(super) fn whole(is_whole: bool, table: &'static str) -> rusqlite::Result<()> {
    if is_whole {
        return Ok(());
    }
    Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, Box::new(Damaged(table))))
}

/// A checksum over fields, each with its length, so that nothing can move from one into the next.
#[derive(Default)]
pub(super) struct Crc(crc32fast::Hasher);

impl Crc {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as i64);
        self.0.update(bytes);
    }

    pub(super) fn number(&mut self, number: i64) {
        self.0.update(&number.to_le_bytes());
    }

    pub(super) fn sum(self) -> i64 {
        i64::from(self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let c = Connection::open_in_memory().expect("opens");
        prepare(&c).expect("is made");
        let user = User {
            id: "u1".into(),
            email: "ada@example.com".into(),
            first_name: "Ada".into(),
            last_name: String::new(),
            groups: vec!["staff".into(), "ops".into()],
            created_at: 1_790_000_000_000,
            admin: true,
            approved: true,
            verified: false,
            disabled: false,
            shown: Memo::default(),
        };
        assert!(add_user(&c, &UserRow { user: Arc::new(user), password_hash: "hash".into() }).expect("is added"));
        let usage = LinkUse::SetPassword("u1".into());
        put_link(&c, &LinkRow { digest: [7; 32], usage, expires_at: 5 }).expect("is added");
        put_link(&c, &LinkRow { digest: [8; 32], usage: LinkUse::FirstAdmin, expires_at: 5 }).expect("is added");
        mark(&c, 9).expect("is marked");
        c
    }

    fn is_whole(c: &Connection) -> bool {
        matches!(fault(c), Ok(None))
    }

    #[test]
    fn what_was_written_is_whole_however_it_was_changed() {
        let c = database();
        assert!(is_whole(&c));
        assert!(alter_user(&c, "u1", |user, hash| (user.disabled, *hash) = (true, "other".into())).expect("is found"));
        assert!(!alter_user(&c, "u2", |user, _| user.disabled = true).expect("is asked"));
        let row = c.query_row("SELECT * FROM users", [], user).expect("is read");
        assert_eq!((row.user.disabled, row.user.admin, row.password_hash.as_str()), (true, true, "other"));
        assert_eq!(row.user.groups, ["staff", "ops"]);
        assert_eq!(meta(&c, "applied").expect("is read"), 9);
        mark(&c, 3).expect("is marked");
        assert_eq!(meta(&c, "applied").expect("is read"), 9, "it never goes back");
        assert!(is_whole(&c));
    }

    #[test]
    fn every_column_of_every_table_is_under_a_checksum() {
        for change in [
            "users SET id = 'u2'",
            "users SET email = 'bda@example.com'",
            "users SET first_name = 'Adb'",
            "users SET last_name = 'x'",
            "users SET password_hash = 'hasi'",
            "users SET groups = 'staff'",
            "users SET created_at = created_at + 1",
            "users SET admin = 0",
            "users SET approved = 0",
            "users SET verified = 1",
            "users SET disabled = 1",
            "users SET crc = crc + 1",
            "users SET first_name = 'Ad', last_name = 'a'",
            "links SET user = 'u2' WHERE user = 'u1'",
            "links SET user = '' WHERE user IS NULL",
            "links SET user = NULL",
            "links SET expires_at = 6",
            "links SET digest = zeroblob(32) WHERE user = 'u1'",
            "meta SET value = 8 WHERE name = 'applied'",
            "meta SET name = 'applies' WHERE name = 'applied'",
            "meta SET value = 2 WHERE name = 'format'",
        ] {
            let c = database();
            assert!(c.execute(&format!("UPDATE {change}"), []).expect("is changed") > 0, "{change}");
            assert!(!is_whole(&c), "{change}");
        }
    }

    #[test]
    fn other_tables_are_no_database_of_ours() {
        for change in ["DROP TABLE links", "CREATE TABLE more (a)", "DROP INDEX users_admin", "DELETE FROM meta"] {
            let c = database();
            c.execute_batch(change).expect("is done");
            assert!(!is_whole(&c), "{change}");
        }
    }
}
