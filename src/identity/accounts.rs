//! Accounts: what operators do with users and sessions, over the control socket.
//!
//! Accounts made here count as approved and their address as verified. Whatever takes a way in away ends the user's
//! sessions in the same log entry.

use std::sync::Arc;

use super::sessions::{Listed, listed};
use super::visitor::handle;
use super::{Identity, Session, SignUp, User, UserOutcome, email, import, passwords};
use crate::config;
use crate::error::{Error, Result};
use crate::limits;
use crate::state::{EndUser, NewUser, Op, Outcome, UserChange, UserRow};

/// An account that an operator makes.
pub struct NewAccount {
    pub form: SignUp,
    pub admin: bool,
}

/// A live session, as operators see it.
pub struct SessionView {
    pub listed: Listed,
    /// Address of the user; empty for an anonymous one.
    pub email: String,
    pub session: Session,
}

/// What came of an import.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub added: u64,
    /// Rows whose address or id was taken already.
    pub taken: u64,
    /// Rows that break a rule.
    pub refused: Vec<import::RowError>,
}

impl Identity {
    /// Makes an account. An empty password makes one that nobody can sign in to until a link set one.
    ///
    /// # Errors
    /// `Unacceptable`, `Conflict`.
    pub async fn add_account(&self, account: NewAccount) -> Result<Arc<User>> {
        let mut form = account.form;
        let has_password = !form.password.is_empty();
        if !has_password {
            // the rules are for passwords that people choose; this one is thrown away, and longer than any rule asks
            form.password = crate::random::token::<64>();
        }
        let (user, password) = self.checked(form)?;
        let password_hash = if has_password { self.hashes.hash(&password).await? } else { String::new() };
        self.add(NewUser { password_hash, admin: account.admin, approved: true, verified: true, ..user }).await
    }

    /// Accounts by address, those after `after`, at most `limit`, each with the scheme of its password hash.
    ///
    /// # Errors
    /// `Broken`.
    pub async fn accounts(&self, after: String, limit: u32) -> Result<Vec<(Arc<User>, String)>> {
        let rows = self.users(move |users| users.list(&after, limit)).await?;
        Ok(rows.iter().map(with_scheme).collect())
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// `Broken`.
    pub async fn account_count(&self) -> Result<u64> {
        self.users(|users| users.count()).await
    }

    /// One account, with the scheme of its password hash.
    ///
    /// # Errors
    /// `NotFound`, `Unacceptable`.
    pub async fn account(&self, address: &str) -> Result<(Arc<User>, String)> {
        Ok(with_scheme(&*self.existing(address).await?))
    }

    async fn existing(&self, address: &str) -> Result<Arc<UserRow>> {
        self.row_by_email(email::normalise(address)?).await?.ok_or(Error::NotFound("user"))
    }

    /// Refuses every way in and ends the sessions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn disable_account(&self, address: &str) -> Result<()> {
        let user = self.existing(address).await?.user.id.clone();
        self.done(UserChange::SetDisabled { user: user.clone(), disabled: true }, all_of(user)).await
    }

    /// Allows it again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn enable_account(&self, address: &str) -> Result<()> {
        let user = self.existing(address).await?.user.id.clone();
        self.done(UserChange::SetDisabled { user, disabled: false }, None).await
    }

    /// Forgets the account and ends its sessions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_account(&self, address: &str) -> Result<()> {
        let user = self.existing(address).await?.user.id.clone();
        self.done(UserChange::Delete { user: user.clone() }, all_of(user)).await
    }

    /// Lets the account pass forward-auth.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn approve_account(&self, address: &str) -> Result<()> {
        let user = self.existing(address).await?.user.id.clone();
        self.done(UserChange::Approve { user }, None).await
    }

    /// Puts the account into these groups and no others.
    ///
    /// # Errors
    /// `NotFound`; `Unacceptable` when one is no name of a group.
    pub async fn set_account_groups(&self, address: &str, mut groups: Vec<String>) -> Result<()> {
        if let Some(why) = groups.iter().find_map(|group| config::group_fault(group)) {
            return Err(Error::Unacceptable { field: "groups", message: why });
        }
        groups.sort();
        groups.dedup();
        if groups.len() > limits::GROUPS_MAX {
            let message = format!("a user is in {} groups at most", limits::GROUPS_MAX);
            return Err(Error::Unacceptable { field: "groups", message });
        }
        let user = self.existing(address).await?.user.id.clone();
        self.done(UserChange::SetGroups { user, groups }, None).await
    }

    /// Replaces the password and ends the sessions.
    ///
    /// # Errors
    /// `NotFound`, `Unacceptable`.
    pub async fn set_account_password(&self, address: &str, password: &str) -> Result<()> {
        let row = self.existing(address).await?;
        self.check_password(password, &row.user.email)?;
        let hash = self.hashes.hash(password).await?;
        let user = row.user.id.clone();
        self.done(UserChange::SetPassword { user: user.clone(), hash, only_if: None }, all_of(user)).await
    }

    /// Adds the accounts of a piece of a file: all rows that are sound and whose address and id are free.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`; rows that break a rule are in the answer.
    pub async fn import_accounts(&self, text: &str, format: import::Format) -> Result<Imported> {
        let (users, refused) = import::rows(text, Some(format), self.now(), &mut || self.new_user_id());
        let mut imported = Imported { refused, ..Imported::default() };
        for users in users.chunks(limits::IMPORT_OP_MAX) {
            match self.change_user(UserChange::Import(users.to_vec()), None).await? {
                UserOutcome::Imported(added) => {
                    imported.added += added;
                    imported.taken += users.len() as u64 - added;
                }
                other => return Err(Error::Broken(format!("an import was answered {other:?}"))),
            }
        }
        Ok(imported)
    }

    /// Live sessions by handle, those after `after`, at most `limit`; of one user or of all.
    ///
    /// # Errors
    /// `NotFound` for the user.
    pub async fn all_sessions(&self, address: Option<&str>, after: &str, limit: usize) -> Result<Vec<SessionView>> {
        let sessions = match address {
            Some(address) => self.live_sessions_of(&self.existing(address).await?.user.id),
            None => self.every_session().await?,
        };
        let mut named: Vec<(String, Session)> = sessions.into_iter().map(|s| (s.handle(), s)).collect();
        named.retain(|(handle, _)| handle.as_str() > after);
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut views = Vec::with_capacity(limit.min(named.len()));
        for (_, session) in named.into_iter().take(limit) {
            views.push(self.view(session).await?);
        }
        Ok(views)
    }

    /// One live session, by its id or its handle.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn session_named(&self, name: &str) -> Result<SessionView> {
        let key = self.session_key(name);
        let found = self.every_session().await?.into_iter().find(|s| s.key == key || handle(&s.key) == name);
        self.view(found.ok_or(Error::NotFound("session"))?).await
    }

    /// Ends one session, by its id or its handle.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_session(&self, name: &str) -> Result<()> {
        let found = self.session_named(name).await?;
        self.log.submit(Op::Revoke(vec![found.session.key])).await.map(|_| ())
    }

    /// Ends all sessions of a user; answers how many.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_sessions_of(&self, address: &str) -> Result<u64> {
        let user = self.existing(address).await?.user.id.clone();
        match self.log.submit(Op::EndUser(EndUser { user, keep: None })).await? {
            Outcome::Ended(count) => Ok(count),
            other => Err(Error::Broken(format!("ending sessions was answered {other:?}"))),
        }
    }

    /// How many sessions are live.
    ///
    /// # Errors
    /// `Broken`.
    pub async fn session_count(&self) -> Result<u64> {
        Ok(self.every_session().await?.len() as u64)
    }

    async fn every_session(&self) -> Result<Vec<Session>> {
        let (generation, now) = (self.state.generation(), self.now());
        let prefix = self.settings.sessions.prefix.clone().into_bytes();
        let collect = move || {
            let live = |(key, entry): (_, crate::state::Entry)| {
                let live = entry.is_live(now) && (entry.glance().is_some() || entry.is_apps_session());
                live.then(|| Session { sid: String::new(), key, entry })
            };
            let ours = |(key, _): &(crate::state::Key, _)| key.as_bytes().starts_with(&prefix);
            generation.entries.iter().filter(ours).filter_map(live).collect()
        };
        let sessions: Vec<Session> =
            tokio::task::spawn_blocking(collect).await.map_err(|e| Error::broken("listing", e))?;
        let current = |session: &Session| {
            let facts = session.glance();
            let signed = facts.user().zip(facts.epoch());
            signed.is_none_or(|(user, epoch)| self.state.epoch(&user, now) == epoch)
        };
        Ok(sessions.into_iter().filter(current).collect())
    }

    async fn view(&self, session: Session) -> Result<SessionView> {
        let user = session.glance().user().map(|user| user.to_string());
        let email = match user {
            Some(user) => self.row_by_id(user).await?.map_or(String::new(), |row| row.user.email.clone()),
            None => String::new(),
        };
        Ok(SessionView { listed: listed(&session, None), email, session })
    }
}

fn all_of(user: String) -> Option<EndUser> {
    Some(EndUser { user, keep: None })
}

fn with_scheme(row: &UserRow) -> (Arc<User>, String) {
    (row.user.clone(), passwords::scheme_name(&row.password_hash).to_owned())
}
