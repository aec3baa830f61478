//! What a change to users does to the database: one function, deterministic, inside the caller's transaction.
//!
//! Time and randomness come in the change. Uniqueness is decided here, by SQLite, at the same place in the log on every
//! node. What takes a user's password away takes their one-time links too; what shuts them out, their tokens as well.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::change::{LinkUse, NewUser, UserChange, UserOutcome};
use super::token_rows;
use super::user::{Memo, User, UserRow};
use super::user_rows::{self, LinkRow, alter_user};
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
        UserChange::SetPassword { user, hash, only_if } => {
            let outcome = set_password(c, user, hash, only_if.as_deref())?;
            if outcome == UserOutcome::Done {
                forget_links(c, user)?;
            }
            Ok(outcome)
        }
        UserChange::SetNames { user, first_name, last_name } => found(alter_user(c, user, |user, _| {
            user.first_name.clone_from(first_name);
            user.last_name.clone_from(last_name);
        })?),
        UserChange::SetDisabled { user, disabled } => {
            if *disabled {
                forget_links(c, user)?;
                token_rows::delete_of(c, user)?;
            }
            found(alter_user(c, user, |user, _| user.disabled = *disabled)?)
        }
        UserChange::Approve { user } => found(alter_user(c, user, |user, _| user.approved = true)?),
        UserChange::Delete { user } => {
            forget_links(c, user)?;
            token_rows::delete_of(c, user)?;
            found(c.execute("DELETE FROM users WHERE id = ?1", [user])? == 1)
        }
        UserChange::AddLink { digest, usage, expires_at, now } => add_link(c, (digest, *now), usage, *expires_at),
        UserChange::SpendLink { digest, user, hash, now } => match link(c, digest, *now)? {
            Some(LinkUse::SetPassword(owner)) if owner == *user => {
                forget_links(c, user)?;
                set_password(c, user, hash, None)
            }
            _ => Ok(UserOutcome::Spent),
        },
        UserChange::SpendAdminLink { digest, user, now } => spend_admin_link(c, digest, user, *now),
        UserChange::AddToken { token, max } => token_rows::add(c, token, *max),
        UserChange::DeleteToken { id, user } => found(token_rows::delete(c, id, user.as_deref())?),
        UserChange::TouchTokens(used) => {
            used.iter().try_for_each(|(id, day)| token_rows::touch(c, id, *day))?;
            Ok(UserOutcome::Done)
        }
        UserChange::SetGroups { user, groups } => found(alter_user(c, user, |user, _| user.groups.clone_from(groups))?),
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
        | UserChange::SetGroups { user, .. }
        | UserChange::Delete { user } => vec![user],
        UserChange::SpendLink { user, .. } => vec![user],
        UserChange::AddLink { .. }
        | UserChange::AddToken { .. }
        | UserChange::DeleteToken { .. }
        | UserChange::TouchTokens(_) => Vec::new(),
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

/// Links that set a user's password are worth nothing any more once the password is another, or the user is shut out.
fn forget_links(c: &Connection, user: &str) -> rusqlite::Result<()> {
    c.prepare_cached("DELETE FROM links WHERE user = ?1")?.execute([user]).map(|_| ())
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_000;

    fn new_user(id: &str) -> NewUser {
        NewUser {
            id: id.into(),
            email: format!("{id}@example.com"),
            first_name: String::new(),
            last_name: String::new(),
            password_hash: "old".into(),
            created_at: NOW,
            admin: false,
            approved: true,
            verified: true,
        }
    }

    fn set_password(only_if: Option<&str>) -> UserChange {
        UserChange::SetPassword { user: "ada".into(), hash: "new".into(), only_if: only_if.map(str::to_owned) }
    }

    /// Which links are good after a change to ada: hers, bob's, the first admin's.
    fn links_after(change: &UserChange) -> [bool; 3] {
        let c = Connection::open_in_memory().expect("a database");
        user_rows::prepare(&c).expect("tables");
        let usages = [LinkUse::SetPassword("ada".into()), LinkUse::SetPassword("bob".into()), LinkUse::FirstAdmin];
        for id in ["ada", "bob"] {
            assert_eq!(apply(&c, &UserChange::Add(new_user(id))), Ok(UserOutcome::Done));
        }
        for (n, usage) in usages.into_iter().enumerate() {
            let add = UserChange::AddLink { digest: [n as u8; 32], usage, expires_at: NOW + 1, now: NOW };
            assert_eq!(apply(&c, &add), Ok(UserOutcome::Done));
        }
        apply(&c, change).expect("it is applied");
        [0, 1, 2].map(|n| link(&c, &[n; 32], NOW).expect("links are read").is_some())
    }

    #[test]
    fn a_users_links_end_with_their_password_and_when_they_are_shut_out() {
        let user = || "ada".to_owned();
        let gone = [
            set_password(None),
            set_password(Some("old")),
            UserChange::SetDisabled { user: user(), disabled: true },
            UserChange::Delete { user: user() },
            UserChange::SpendLink { digest: [0; 32], user: user(), hash: "new".into(), now: NOW },
        ];
        for change in gone {
            assert_eq!(links_after(&change), [false, true, true], "{change:?}");
        }
        let kept = [
            set_password(Some("another")),
            UserChange::SetDisabled { user: user(), disabled: false },
            UserChange::Approve { user: user() },
            UserChange::SpendLink { digest: [1; 32], user: user(), hash: "new".into(), now: NOW },
        ];
        for change in kept {
            assert_eq!(links_after(&change), [true; 3], "{change:?}");
        }
    }
}
