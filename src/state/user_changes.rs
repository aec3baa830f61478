//! What a change to users does to the database: one function, deterministic, inside the caller's transaction.
//!
//! Time and randomness come in the change. Uniqueness is decided here, by SQLite, at the same place in the log on every
//! node.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::change::{LinkUse, NewUser, UserChange, UserOutcome};
use super::user_rows::{self, LinkRow, alter_user};
use super::users::{Memo, User, UserRow};
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
        UserChange::SetNames { user, first_name, last_name } => found(alter_user(c, user, |user, _| {
            user.first_name.clone_from(first_name);
            user.last_name.clone_from(last_name);
        })?),
        UserChange::SetDisabled { user, disabled } => found(alter_user(c, user, |user, _| user.disabled = *disabled)?),
        UserChange::Approve { user } => found(alter_user(c, user, |user, _| user.approved = true)?),
        UserChange::Delete { user } => {
            c.execute("DELETE FROM links WHERE user = ?1", [user])?;
            found(c.execute("DELETE FROM users WHERE id = ?1", [user])? == 1)
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
    const SQL: &str = "SELECT * FROM links WHERE digest = ?1 AND expires_at > ?2";
    let row = c.query_row(SQL, params![digest, now], user_rows::link).optional()?;
    Ok(row.map(|row| row.usage))
}

fn found(is_found: bool) -> rusqlite::Result<UserOutcome> {
    Ok(if is_found { UserOutcome::Done } else { UserOutcome::NotFound })
}

fn add(c: &Connection, new: &NewUser) -> rusqlite::Result<bool> {
    let user = User {
        id: new.id.clone(),
        email: new.email.clone(),
        first_name: new.first_name.clone(),
        last_name: new.last_name.clone(),
        groups: Vec::new(),
        created_at: new.created_at,
        admin: new.admin,
        approved: new.approved,
        verified: new.verified,
        disabled: false,
        shown: Memo::default(),
    };
    user_rows::add_user(c, &UserRow { user: Arc::new(user), password_hash: new.password_hash.clone() })
}

fn set_password(c: &Connection, user: &str, hash: &str, only_if: Option<&str>) -> rusqlite::Result<UserOutcome> {
    let mut is_other = false;
    let is_found = alter_user(c, user, |_, held| {
        is_other = only_if.is_some_and(|expected| held != expected);
        if !is_other {
            hash.clone_into(held);
        }
    })?;
    if is_other { Ok(UserOutcome::Conflict) } else { found(is_found) }
}

type NewLink<'a> = (&'a [u8; 32], Millis);

fn add_link(c: &Connection, link: NewLink<'_>, usage: &LinkUse, expires_at: Millis) -> rusqlite::Result<UserOutcome> {
    let (digest, now) = link;
    if *usage == LinkUse::FirstAdmin && has_admin(c)? {
        return Ok(UserOutcome::AdminExists);
    }
    c.execute("DELETE FROM links WHERE expires_at <= ?1", [now])?;
    user_rows::put_link(c, &LinkRow { digest: *digest, usage: usage.clone(), expires_at })?;
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
