//! Sign-in and sign-up: proving who you are with a password.
//!
//! A known and an unknown address take the same way: a try is counted, a hash is computed (a dummy one if need be),
//! the answer is the same, and a refusal takes as long as the slowest (see `HashPool::verify` for what this cannot
//! hide). The user's epoch is read before the password is verified, so that a password change or
//! a sign-out everywhere that comes between wins.

use std::sync::Arc;

use serde_json::Map;

use super::sessions::{Beginning, Granted};
use super::{
    Client, Identity, Proof, SECURITY, Session, User, UserOutcome, Visitor, attempts, email, name, password_rules,
};
use crate::config::SignupPolicy;
use crate::error::{Error, Result};
use crate::state::{EndUser, NewUser, UserChange, UserRow};
use crate::{limits, random};

/// What a person sends to sign up. Unchecked.
#[derive(Clone)]
pub struct SignUp {
    pub email: String,
    pub password: String,
    pub first_name: String,
    pub last_name: String,
}

/// What a person sends to sign in. Unchecked.
#[derive(Clone)]
pub struct SignIn {
    pub email: String,
    pub password: String,
    pub remember: bool,
}

/// Whoever proved who they are with a password.
struct Proved {
    row: Arc<UserRow>,
    /// The stored hash should be replaced.
    outdated: bool,
}

impl Identity {
    /// Makes an account.
    ///
    /// # Errors
    /// `Malformed` (`Please fill in all the fields.`), `Unacceptable` (address, password, names), `Conflict`,
    /// `Forbidden` (sign-up is closed), `TooMany`.
    pub async fn sign_up(&self, form: SignUp, client: &Client) -> Result<Arc<User>> {
        match self.settings.users.signup {
            SignupPolicy::Open => {}
            SignupPolicy::Invite => return Err(Error::Forbidden("Accounts are made by invitation here.".into())),
            SignupPolicy::Closed => return Err(Error::Forbidden("Sign-up is closed.".into())),
        }
        let (user, password) = self.checked(form)?;
        self.hashes.has_room()?;
        self.try_sign_up(client).await?;
        let added = self.add_hashed(user, &password).await;
        let user = self.unless_done(added, attempts::sign_up_keys(client)).await?;
        tracing::info!(target: SECURITY, user = user.id, address = %client.address, "signed up");
        Ok(user)
    }

    async fn add_hashed(&self, user: NewUser, password: &str) -> Result<Arc<User>> {
        if self.row_by_email(user.email.clone()).await?.is_some() {
            return Err(taken());
        }
        self.add(NewUser { password_hash: self.hashes.hash(password).await?, ..user }).await
    }

    /// A new user of what a person sent, and their password; without a hash yet.
    pub(super) fn checked(&self, form: SignUp) -> Result<(NewUser, String)> {
        if form.email.trim().is_empty() || form.password.is_empty() {
            return Err(Error::Malformed("Please fill in all the fields.".into()));
        }
        let email = email::normalise(&form.email)?;
        self.check_password(&form.password, &email)?;
        let user = NewUser {
            id: self.new_user_id(),
            first_name: name::normalise("first_name", &form.first_name)?,
            last_name: name::normalise("last_name", &form.last_name)?,
            email,
            password_hash: String::new(),
            created_at: self.now(),
            admin: false,
            approved: self.settings.users.auto_approve,
            verified: false,
        };
        Ok((user, form.password))
    }

    pub(super) fn check_password(&self, password: &str, email: &str) -> Result<()> {
        let host = self.settings.public_url.host();
        password_rules::check(password, &password_rules::Context { min: self.settings.users.password_min, email, host })
    }

    /// UUID of version 7: in the order of making, which is kind to indexes.
    pub(super) fn new_user_id(&self) -> String {
        uuid::Builder::from_unix_timestamp_millis(self.now().unsigned_abs(), &random::bytes()).into_uuid().to_string()
    }

    pub(super) async fn add(&self, user: NewUser) -> Result<Arc<User>> {
        let id = user.id.clone();
        match self.change_user(UserChange::Add(user), None).await? {
            UserOutcome::Done => self.user_after(id).await,
            UserOutcome::Conflict => Err(taken()),
            other => Err(Error::Broken(format!("a sign-up was answered {other:?}"))),
        }
    }

    /// The user as the change that was just applied left them.
    pub(super) async fn user_after(&self, id: String) -> Result<Arc<User>> {
        self.row_by_id(id).await?.map(|row| row.user.clone()).ok_or(Error::NotFound("user"))
    }

    /// Verifies a password and begins a session, ending the one the browser had.
    ///
    /// # Errors
    /// `Credentials` whichever of the two is wrong; `TooMany`; `Malformed` when a field is empty.
    pub async fn sign_in(&self, form: SignIn, visitor: &Visitor, client: &Client) -> Result<(Arc<User>, Granted)> {
        if form.email.trim().is_empty() || form.password.is_empty() {
            return Err(Error::Malformed("Please fill in all the fields.".into()));
        }
        // an address that breaks the rules belongs to nobody, and is treated like any other that does; not even its
        // case is folded, which could make it somebody's
        let email = email::normalise(&form.email).unwrap_or_else(|_| form.email.trim().to_owned());
        self.hashes.has_room()?;
        self.try_password(&email, client).await?;
        let signed_in = self.sign_in_as(&email, &form, (visitor, client)).await;
        self.unless_done(signed_in, attempts::password_keys(&email, client)).await
    }

    async fn sign_in_as(
        &self,
        email: &str,
        form: &SignIn,
        (visitor, client): (&Visitor, &Client),
    ) -> Result<(Arc<User>, Granted)> {
        let (row, epoch) = self.row_under_epoch(email).await?;
        let known = row.as_ref().map(|row| row.user.id.clone());
        let address = client.address;
        let Proved { row, outdated } = self.proved(row, &form.password).await.inspect_err(|error| {
            if matches!(error, Error::Credentials) {
                tracing::warn!(target: SECURITY, user = known, %address, "a sign-in was refused");
            }
        })?;
        if outdated {
            self.rehash(&row, &form.password).await;
        }
        let beginning = Beginning {
            user: Some((&row.user.id, epoch, Proof::Password)),
            data: Map::new(),
            remember: form.remember,
            forgiven: attempts::forgiven(email, client),
        };
        let granted = self.begin_session(beginning, visitor, client).await?;
        tracing::info!(target: SECURITY, user = row.user.id, %address, "signed in");
        Ok((row.user.clone(), granted))
    }

    /// The row of an address, and an epoch that was read before it: whatever replaces the password or disables the
    /// account afterwards begins another epoch, under which the leader begins no session of this one.
    async fn row_under_epoch(&self, email: &str) -> Result<(Option<Arc<UserRow>>, u64)> {
        let named = self.row_by_email(email.to_owned()).await?;
        // an unknown address takes the second look too: one of nobody's
        let id = named.map(|row| row.user.id.clone()).unwrap_or_default();
        let epoch = self.state.epoch(&id, self.now());
        Ok((self.row_by_id(id).await?, epoch))
    }

    /// The row, if the password is theirs and they may sign in. A refusal takes as long without a row as with one.
    async fn proved(&self, row: Option<Arc<UserRow>>, password: &str) -> Result<Proved> {
        if password.len() > limits::PASSWORD_BYTES_MAX {
            return Err(Error::Credentials);
        }
        let stored = row.as_ref().map(|row| row.password_hash.as_str()).filter(|hash| !hash.is_empty());
        let (verdict, wait) = self.hashes.verify(password, stored).await?;
        match row.filter(|row| verdict.matched && !row.user.disabled) {
            Some(row) => Ok(Proved { row, outdated: verdict.rehash }),
            None => {
                // holds no thread, and nothing of the log
                tokio::time::sleep(wait).await;
                Err(Error::Credentials)
            }
        }
    }

    /// Replaces an imported or weaker hash. Whoever is signing in does not wait for a failure of this.
    async fn rehash(&self, row: &UserRow, password: &str) {
        let replaced = async {
            let hash = self.hashes.hash(password).await?;
            let only_if = Some(row.password_hash.clone());
            self.change_user(UserChange::SetPassword { user: row.user.id.clone(), hash, only_if }, None).await
        };
        if let Err(e) = replaced.await {
            tracing::warn!(user = row.user.id, error = %e, "an old password hash was not replaced; the next sign-in tries again");
        }
    }

    /// Replaces the visitor's password and ends their other sessions.
    ///
    /// # Errors
    /// As for [`Visitor::owner`]; `Forbidden` when `current` is wrong; `Unacceptable`; `TooMany`; `Conflict` when
    /// somebody else replaced the password meanwhile.
    pub async fn change_password(&self, visitor: &Visitor, current: &str, new: &str, client: &Client) -> Result<()> {
        let (user, session) = visitor.owner()?;
        if current.is_empty() || new.is_empty() {
            return Err(Error::Malformed("Please fill in all the fields.".into()));
        }
        self.check_password(new, &user.email)?;
        self.hashes.has_room()?;
        self.try_password(&user.email, client).await?;
        let replaced = self.replace_password((user, session), current, new).await;
        let address = client.address;
        if matches!(replaced, Err(Error::Forbidden(_))) {
            tracing::warn!(target: SECURITY, user = user.id, %address, "a change of password was refused");
        }
        self.unless_done(replaced, attempts::password_keys(&user.email, client)).await?;
        tracing::info!(target: SECURITY, user = user.id, %address, "the password was changed");
        // whatever comes of this, the password is changed
        self.give_back(attempts::forgiven(&user.email, client)).await;
        Ok(())
    }

    async fn replace_password(&self, (user, session): (&User, &Session), current: &str, new: &str) -> Result<()> {
        let row = self.row_by_id(user.id.clone()).await?;
        let row = match self.proved(row, current).await {
            Err(Error::Credentials) => return Err(Error::Forbidden("The current password is wrong.".into())),
            proved => proved?.row,
        };
        let hash = self.hashes.hash(new).await?;
        let end = Some(EndUser { user: user.id.clone(), keep: Some(session.key.clone()) });
        // only over the password that was proved: one that an operator or a link set meanwhile stays
        let only_if = Some(row.password_hash.clone());
        match self.change_user(UserChange::SetPassword { user: user.id.clone(), hash, only_if }, end).await? {
            UserOutcome::Done => Ok(()),
            UserOutcome::NotFound => Err(Error::NotSignedIn),
            _ => Err(Error::Conflict("The password was changed just now. Please try again.".into())),
        }
    }

    /// Changes the visitor's names.
    ///
    /// # Errors
    /// As for [`Visitor::owner`]; `Unacceptable`.
    pub async fn set_names(&self, visitor: &Visitor, first: &str, last: &str) -> Result<Arc<User>> {
        let (user, _) = visitor.owner()?;
        let first_name = name::normalise("first_name", first)?;
        let last_name = name::normalise("last_name", last)?;
        self.done(UserChange::SetNames { user: user.id.clone(), first_name, last_name }, None).await?;
        self.user_after(user.id.clone()).await
    }

    /// Has a change to one user made, who must exist.
    pub(super) async fn done(&self, change: UserChange, end: Option<EndUser>) -> Result<()> {
        match self.change_user(change, end).await? {
            UserOutcome::Done => Ok(()),
            UserOutcome::NotFound => Err(Error::NotFound("user")),
            UserOutcome::Spent => Err(Error::NotFound("link")),
            UserOutcome::Conflict => Err(taken()),
            UserOutcome::AdminExists => Err(Error::Conflict("There is an admin already.".into())),
            other => Err(Error::Broken(format!("a change to a user was answered {other:?}"))),
        }
    }
}

fn taken() -> Error {
    Error::Conflict("There is an account with this e-mail address already.".into())
}
