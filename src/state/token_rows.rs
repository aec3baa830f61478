//! Token rows: how personal access tokens lie in the database, and which of them are in memory.
//!
//! Each row is under a checksum, as those of users are. A token that was asked for lately is in memory, so that a check
//! needs no database; what no row has is never remembered. Whatever changes a token or ends it forgets it there, on
//! every node, as it is applied.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::change::{UserChange, UserOutcome};
use super::token::{Scopes, Token};
use super::user_rows::{Crc, whole};
use crate::clock::Millis;

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS tokens (
        id TEXT PRIMARY KEY, user TEXT NOT NULL, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE,
        scopes INTEGER NOT NULL, created_at INTEGER NOT NULL, last_used INTEGER, expires_at INTEGER,
        crc INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS tokens_user ON tokens (user);
";

/// The token of a row that has all columns, in the order of the schema.
pub fn token(row: &Row<'_>) -> rusqlite::Result<Token> {
    let found = Token {
        id: row.get(0)?,
        user: row.get(1)?,
        name: row.get(2)?,
        digest: row.get(3)?,
        scopes: Scopes::of_bits(row.get(4)?),
        created_at: row.get(5)?,
        last_used: row.get(6)?,
        expires_at: row.get(7)?,
    };
    whole(crc(&found) == row.get::<_, i64>(8)?, "tokens")?;
    Ok(found)
}

/// The token with this digest.
pub fn by_digest(c: &Connection, digest: &[u8; 32]) -> rusqlite::Result<Option<Token>> {
    c.prepare_cached("SELECT * FROM tokens WHERE digest = ?1")?.query_row([digest], token).optional()
}

/// The tokens of a user, the oldest first.
pub fn of_user(c: &Connection, user: &str) -> rusqlite::Result<Vec<Token>> {
    let mut rows = c.prepare_cached("SELECT * FROM tokens WHERE user = ?1 ORDER BY created_at, id")?;
    rows.query_map([user], token)?.collect()
}

/// Adds a token to a user who has fewer than `max`, not counting those whose time has come: these go.
pub fn add(c: &Connection, new: &Token, max: u32) -> rusqlite::Result<UserOutcome> {
    let owner =
        c.query_row("SELECT 1 FROM users WHERE id = ?1 AND disabled = 0", [&new.user], |_| Ok(())).optional()?;
    if owner.is_none() {
        return Ok(UserOutcome::NotFound);
    }
    c.execute("DELETE FROM tokens WHERE user = ?1 AND expires_at <= ?2", params![new.user, new.created_at])?;
    let held: u32 = c.query_row("SELECT count(*) FROM tokens WHERE user = ?1", [&new.user], |row| row.get(0))?;
    if held >= max {
        return Ok(UserOutcome::TooMany);
    }
    Ok(if put(c, "INSERT OR IGNORE", new)? { UserOutcome::Done } else { UserOutcome::Conflict })
}

fn put(c: &Connection, how: &str, row: &Token) -> rusqlite::Result<bool> {
    let sql = format!("{how} INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    let values = params![
        row.id,
        row.user,
        row.name,
        row.digest,
        row.scopes.bits(),
        row.created_at,
        row.last_used,
        row.expires_at,
        crc(row)
    ];
    Ok(c.prepare_cached(&sql)?.execute(values)? == 1)
}

/// Ends a token, of this user if one is named; `false` when there is none.
pub fn delete(c: &Connection, id: &str, user: Option<&str>) -> rusqlite::Result<bool> {
    const SQL: &str = "DELETE FROM tokens WHERE id = ?1 AND (?2 IS NULL OR user = ?2)";
    Ok(c.prepare_cached(SQL)?.execute(params![id, user])? == 1)
}

/// Ends all tokens of a user.
pub fn delete_of(c: &Connection, user: &str) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM tokens WHERE user = ?1")?.execute([user]).map(|_| ())
}

/// Notes that a token was used on a day, unless it was on a later one.
pub fn touch(c: &Connection, id: &str, day: Millis) -> rusqlite::Result<()> {
    let held = c.prepare_cached("SELECT * FROM tokens WHERE id = ?1")?.query_row([id], token).optional()?;
    match held {
        Some(held) if held.last_used.is_none_or(|last| last < day) => {
            put(c, "INSERT OR REPLACE", &Token { last_used: Some(day), ..held }).map(|_| ())
        }
        _ => Ok(()),
    }
}

fn crc(row: &Token) -> i64 {
    let mut crc = Crc::default();
    [&row.id, &row.user, &row.name].into_iter().for_each(|text| crc.bytes(text.as_bytes()));
    crc.bytes(&row.digest);
    crc.number(i64::from(row.scopes.bits()));
    crc.number(row.created_at);
    for moment in [row.last_used, row.expires_at] {
        crc.number(i64::from(moment.is_some()));
        crc.number(moment.unwrap_or(0));
    }
    crc.sum()
}

const SHARDS: usize = 16;
/// Tokens that are kept, about: at some 300 bytes each.
const KEPT: usize = 100_000;

type Shard = RwLock<HashMap<[u8; 32], Arc<Token>>>;

/// Tokens that were asked for lately, by digest.
#[derive(Default)]
pub struct Cached([Shard; SHARDS]);

impl Cached {
    /// The token, if it is here.
    pub fn get(&self, digest: &[u8; 32]) -> Option<Arc<Token>> {
        self.shard(digest).read().get(digest).cloned()
    }

    /// Keeps a token. A shard that is full forgets all it has.
    pub fn keep(&self, token: Arc<Token>) {
        let mut shard = self.shard(&token.digest).write();
        if shard.len() >= KEPT / SHARDS {
            shard.clear();
        }
        shard.insert(token.digest, token);
    }

    /// Forgets what a change may have altered or ended. These are rare, and each looks at all that is kept.
    pub fn forget(&self, change: &UserChange) {
        match change {
            UserChange::DeleteToken { id, .. } => self.forget_if(|token| token.id == *id),
            UserChange::TouchTokens(used) => self.forget_if(|token| used.iter().any(|(id, _)| *id == token.id)),
            UserChange::SetDisabled { user, .. } | UserChange::Delete { user } => {
                self.forget_if(|token| token.user == *user);
            }
            _ => {}
        }
    }

    /// Forgets all.
    pub fn forget_all(&self) {
        self.0.iter().for_each(|shard| shard.write().clear());
    }

    fn forget_if(&self, such: impl Fn(&Token) -> bool) {
        self.0.iter().for_each(|shard| shard.write().retain(|_, token| !such(token)));
    }

    fn shard(&self, digest: &[u8; 32]) -> &Shard {
        &self.0[usize::from(digest[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::NewUser;
    use super::super::{user_changes, user_rows};
    use super::*;

    const NOW: Millis = 1_000;

    fn database(users: &[&str]) -> Connection {
        let c = Connection::open_in_memory().expect("a database");
        user_rows::prepare(&c).expect("tables");
        for id in users {
            let user = NewUser {
                id: (*id).into(),
                email: format!("{id}@example.com"),
                first_name: String::new(),
                last_name: String::new(),
                password_hash: "hash".into(),
                created_at: NOW,
                admin: false,
                approved: true,
                verified: true,
            };
            assert_eq!(user_changes::apply(&c, &UserChange::Add(user)), Ok(UserOutcome::Done));
        }
        c
    }

    fn of(user: &str, n: u8) -> Token {
        Token {
            id: format!("t{n}"),
            user: user.into(),
            name: "laptop".into(),
            digest: [n; 32],
            scopes: Scopes::PROFILE,
            created_at: NOW,
            last_used: None,
            expires_at: None,
        }
    }

    fn apply(c: &Connection, change: UserChange) -> UserOutcome {
        user_changes::apply(c, &change).expect("it is applied")
    }

    fn add(c: &Connection, token: Token) -> UserOutcome {
        apply(c, UserChange::AddToken { token: Box::new(token), max: 2 })
    }

    #[test]
    fn a_token_is_found_by_its_digest_as_it_was_written() {
        let c = database(&["ada"]);
        let token = Token { expires_at: Some(NOW + 5), last_used: Some(3), ..of("ada", 1) };
        assert_eq!(add(&c, token.clone()), UserOutcome::Done);
        assert_eq!(by_digest(&c, &[1; 32]).expect("is read"), Some(token));
        assert_eq!(by_digest(&c, &[2; 32]).expect("is read"), None);
        assert!(matches!(user_rows::fault(&c), Ok(None)));
    }

    #[test]
    fn a_user_has_so_many_and_those_that_ended_make_room() {
        let c = database(&["ada", "bob"]);
        assert_eq!(add(&c, Token { expires_at: Some(NOW), ..of("ada", 1) }), UserOutcome::Done);
        assert_eq!(add(&c, of("ada", 2)), UserOutcome::Done);
        assert_eq!(add(&c, of("ada", 3)), UserOutcome::Done, "the first one's time had come");
        assert_eq!(add(&c, of("ada", 4)), UserOutcome::TooMany);
        assert_eq!(add(&c, of("bob", 3)), UserOutcome::Conflict, "the id is taken");
        assert_eq!(add(&c, of("bob", 5)), UserOutcome::Done);
        assert_eq!(add(&c, of("eve", 6)), UserOutcome::NotFound);
        let ids = |user| of_user(&c, user).expect("is read").into_iter().map(|t| t.id).collect::<Vec<_>>();
        assert_eq!((ids("ada"), ids("bob")), (vec!["t2".into(), "t3".into()], vec!["t5".to_owned()]));
    }

    #[test]
    fn tokens_end_by_name_and_with_their_owner_and_when_they_are_shut_out() {
        let left = |change: UserChange| {
            let c = database(&["ada", "bob"]);
            assert_eq!(add(&c, of("ada", 1)), UserOutcome::Done);
            assert_eq!(add(&c, of("bob", 2)), UserOutcome::Done);
            let outcome = apply(&c, change);
            (outcome, [1, 2].map(|n| by_digest(&c, &[n; 32]).expect("is read").is_some()))
        };
        let (ada, bob) = (|| "ada".to_owned(), || Some("bob".to_owned()));
        let ended = (UserOutcome::Done, [false, true]);
        assert_eq!(left(UserChange::DeleteToken { id: "t1".into(), user: None }), ended);
        assert_eq!(left(UserChange::DeleteToken { id: "t1".into(), user: Some(ada()) }), ended);
        assert_eq!(left(UserChange::SetDisabled { user: ada(), disabled: true }), ended);
        assert_eq!(left(UserChange::Delete { user: ada() }), ended);
        let kept = [true, true];
        assert_eq!(left(UserChange::DeleteToken { id: "t1".into(), user: bob() }), (UserOutcome::NotFound, kept));
        assert_eq!(left(UserChange::SetDisabled { user: ada(), disabled: false }), (UserOutcome::Done, kept));
    }

    #[test]
    fn use_is_noted_by_the_day_and_never_goes_back() {
        let c = database(&["ada"]);
        add(&c, of("ada", 1));
        for (day, seen) in [(10, 10), (5, 10), (20, 20)] {
            apply(&c, UserChange::TouchTokens(vec![("t1".into(), day), ("t9".into(), day)]));
            assert_eq!(by_digest(&c, &[1; 32]).expect("is read").expect("is there").last_used, Some(seen));
        }
        assert!(matches!(user_rows::fault(&c), Ok(None)));
    }

    #[test]
    fn every_column_is_under_a_checksum() {
        for change in [
            "id = 't2'",
            "user = 'bob'",
            "name = 'phone'",
            "digest = zeroblob(32)",
            "scopes = 5",
            "created_at = 1",
            "last_used = 0",
            "expires_at = 0",
            "crc = crc + 1",
        ] {
            let c = database(&["ada"]);
            add(&c, of("ada", 1));
            assert_eq!(c.execute(&format!("UPDATE tokens SET {change}"), []), Ok(1), "{change}");
            assert!(!matches!(user_rows::fault(&c), Ok(None)), "{change}");
        }
    }

    #[test]
    fn what_a_change_ends_is_in_memory_no_more() {
        let kept_after = |change: UserChange| {
            let cached = Cached::default();
            [of("ada", 1), of("ada", 2), of("bob", 3)].into_iter().for_each(|token| cached.keep(Arc::new(token)));
            cached.forget(&change);
            [1, 2, 3].map(|n| cached.get(&[n; 32]).is_some())
        };
        let ada = || "ada".to_owned();
        assert_eq!(kept_after(UserChange::DeleteToken { id: "t1".into(), user: None }), [false, true, true]);
        assert_eq!(kept_after(UserChange::TouchTokens(vec![("t3".into(), 1)])), [true, true, false]);
        assert_eq!(kept_after(UserChange::SetDisabled { user: ada(), disabled: true }), [false, false, true]);
        assert_eq!(kept_after(UserChange::Delete { user: ada() }), [false, false, true]);
        assert_eq!(kept_after(UserChange::Approve { user: ada() }), [true, true, true]);
    }
}
