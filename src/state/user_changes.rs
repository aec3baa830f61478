//! What a change to users does to the database: one function, deterministic, inside the caller's transaction.
//!
//! Time and randomness come in the change. Uniqueness is decided here, by SQLite, at the same place in the log on every
//! node.

use rusqlite::{Connection, OptionalExtension, params};

use super::change::{LinkUse, NewUser, UserChange, UserOutcome};
use crate::clock::Millis;

/// Applies one change.
pub fn apply(c: &Connection, change: &UserChange) -> rusqlite::Result<UserOutcome> {
    match change {
        UserChange::Add(user) => Ok(if add(c, user)? { UserOutcome::Done } else { UserOutcome::Conflict }),
        UserChange::Import(users) => {
            let mut added = 0;
            for user in users {
                added += u64::from(add(c, user)?);
            }
            Ok(UserOutcome::Imported(added))
        }
        UserChange::SetPassword { user, hash, only_if } => set_password(c, user, hash, only_if.as_deref()),
        UserChange::SetNames { user, first_name, last_name } => {
            const SQL: &str = "UPDATE users SET first_name = ?2, last_name = ?3 WHERE id = ?1";
            found(c.prepare_cached(SQL)?.execute(params![user, first_name, last_name])?)
        }
        UserChange::SetDisabled { user, disabled } => {
            found(c.execute("UPDATE users SET disabled = ?2 WHERE id = ?1", params![user, disabled])?)
        }
        UserChange::Approve { user } => found(c.execute("UPDATE users SET approved = 1 WHERE id = ?1", [user])?),
        UserChange::Delete { user } => {
            c.execute("DELETE FROM links WHERE user = ?1", [user])?;
            found(c.execute("DELETE FROM users WHERE id = ?1", [user])?)
        }
        UserChange::AddLink { digest, usage, expires_at, now } => add_link(c, (digest, *now), usage, *expires_at),
        UserChange::SpendLink { digest, user, hash, now } => match link(c, digest, *now)? {
            Some(LinkUse::SetPassword(owner)) if owner == *user => {
                c.execute("DELETE FROM links WHERE user = ?1", [user])?;
                set_password(c, user, hash, None)
            }
            _ => Ok(UserOutcome::Spent),
        },
        UserChange::SpendAdminLink { digest, user, now } => spend_admin_link(c, digest, user, *now),
    }
}

/// The ids of the users whose rows a change may alter.
pub fn touched(change: &UserChange) -> Vec<&String> {
    match change {
        UserChange::Add(user) | UserChange::SpendAdminLink { user, .. } => vec![&user.id],
        UserChange::Import(users) => users.iter().map(|user| &user.id).collect(),
        UserChange::SetPassword { user, .. }
        | UserChange::SetNames { user, .. }
        | UserChange::SetDisabled { user, .. }
        | UserChange::Approve { user }
        | UserChange::Delete { user } => vec![user],
        UserChange::SpendLink { user, .. } => vec![user],
        UserChange::AddLink { .. } => Vec::new(),
    }
}

/// Whether anybody may administer.
pub fn has_admin(c: &Connection) -> rusqlite::Result<bool> {
    c.query_row("SELECT EXISTS (SELECT 1 FROM users WHERE admin = 1)", [], |row| row.get(0))
}

/// What an unspent link is for, if it is good at `now`.
pub fn link(c: &Connection, digest: &[u8; 32], now: Millis) -> rusqlite::Result<Option<LinkUse>> {
    const SQL: &str = "SELECT user FROM links WHERE digest = ?1 AND expires_at > ?2";
    let user = c.query_row(SQL, params![digest, now], |row| row.get::<_, Option<String>>(0)).optional()?;
    Ok(user.map(|user| user.map_or(LinkUse::FirstAdmin, LinkUse::SetPassword)))
}

fn found(rows: usize) -> rusqlite::Result<UserOutcome> {
    Ok(if rows == 0 { UserOutcome::NotFound } else { UserOutcome::Done })
}

fn add(c: &Connection, user: &NewUser) -> rusqlite::Result<bool> {
    const SQL: &str = "INSERT INTO users (id, email, first_name, last_name, password_hash, groups, created_at, admin, \
                       approved, verified, disabled) VALUES (?1, ?2, ?3, ?4, ?5, '', ?6, ?7, ?8, ?9, 0) \
                       ON CONFLICT DO NOTHING";
    let values = params![
        user.id,
        user.email,
        user.first_name,
        user.last_name,
        user.password_hash,
        user.created_at,
        user.admin,
        user.approved,
        user.verified
    ];
    Ok(c.prepare_cached(SQL)?.execute(values)? == 1)
}

fn set_password(c: &Connection, user: &str, hash: &str, only_if: Option<&str>) -> rusqlite::Result<UserOutcome> {
    const HELD: &str = "SELECT password_hash FROM users WHERE id = ?1";
    let held: Option<String> = c.prepare_cached(HELD)?.query_row([user], |row| row.get(0)).optional()?;
    match (held, only_if) {
        (None, _) => Ok(UserOutcome::NotFound),
        (Some(held), Some(expected)) if held != expected => Ok(UserOutcome::Conflict),
        _ => {
            c.prepare_cached("UPDATE users SET password_hash = ?2 WHERE id = ?1")?.execute([user, hash])?;
            Ok(UserOutcome::Done)
        }
    }
}

type NewLink<'a> = (&'a [u8; 32], Millis);

fn add_link(c: &Connection, link: NewLink<'_>, usage: &LinkUse, expires_at: Millis) -> rusqlite::Result<UserOutcome> {
    let (digest, now) = link;
    let user = match usage {
        LinkUse::FirstAdmin if has_admin(c)? => return Ok(UserOutcome::AdminExists),
        LinkUse::FirstAdmin => None,
        LinkUse::SetPassword(user) => Some(user),
    };
    c.execute("DELETE FROM links WHERE expires_at <= ?1", [now])?;
    c.execute("INSERT OR REPLACE INTO links VALUES (?1, ?2, ?3)", params![digest, user, expires_at])?;
    Ok(UserOutcome::Done)
}

fn spend_admin_link(c: &Connection, digest: &[u8; 32], user: &NewUser, now: Millis) -> rusqlite::Result<UserOutcome> {
    if link(c, digest, now)? != Some(LinkUse::FirstAdmin) {
        return Ok(UserOutcome::Spent);
    }
    if has_admin(c)? {
        return Ok(UserOutcome::AdminExists);
    }
    if !add(c, user)? {
        return Ok(UserOutcome::Conflict);
    }
    c.execute("DELETE FROM links WHERE user IS NULL", [])?;
    Ok(UserOutcome::Done)
}
