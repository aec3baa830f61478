//! Links: one-time links that set a password or make the first admin.
//!
//! The token is random and shown once; the database holds its digest, good for an hour of log time. Spending a link
//! and what it does are one change, so it works once, on whichever node. A link to the first admin is refused as soon
//! as there is one.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Client, Identity, SECURITY, SignUp, User, email};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::state::{EndUser, LinkUse, NewUser, UserChange};
use crate::{limits, random};

/// What a one-time link is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    /// It makes the first admin.
    FirstAdmin,
    /// It sets the password of the account with this address.
    SetPassword { email: String },
}

/// A link, once: whoever holds it may use it.
#[derive(Clone)]
pub struct OneTimeLink {
    /// The whole address.
    pub url: String,
    /// When it stops being good, log time.
    pub expires: Millis,
}

impl Identity {
    /// A link that makes the first admin; `None` when there is an admin.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`.
    pub async fn first_admin_link(&self) -> Result<Option<OneTimeLink>> {
        if self.has_admin().await? {
            return Ok(None);
        }
        // somebody may become one meanwhile
        match self.make_link(LinkUse::FirstAdmin).await {
            Ok(link) => Ok(Some(link)),
            Err(Error::Conflict(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether anybody may administer.
    ///
    /// # Errors
    /// `Broken`.
    pub async fn has_admin(&self) -> Result<bool> {
        self.users(|users| users.has_admin()).await
    }

    /// A link that sets the password of the account with this address.
    ///
    /// # Errors
    /// `NotFound` when nobody has the address; `Unacceptable` when nobody can.
    pub async fn link_for(&self, address: &str) -> Result<OneTimeLink> {
        let row = self.row_by_email(email::normalise(address)?).await?.ok_or(Error::NotFound("user"))?;
        self.make_link(LinkUse::SetPassword(row.user.id.clone())).await
    }

    async fn make_link(&self, usage: LinkUse) -> Result<OneTimeLink> {
        let token = random::token::<32>();
        let now = self.now();
        let lifetime = i64::try_from(limits::LINK_LIFETIME.as_millis()).unwrap_or(i64::MAX);
        let expires = now.saturating_add(lifetime);
        self.done(UserChange::AddLink { digest: digest(&token), usage, expires_at: expires, now }, None).await?;
        Ok(OneTimeLink { url: format!("{}/link/{token}", self.settings.public_url), expires })
    }

    /// What a one-time link is good for.
    ///
    /// # Errors
    /// `NotFound` when it is unknown, spent or too old.
    pub async fn link(&self, token: &str) -> Result<LinkPurpose> {
        match self.usage(token).await? {
            LinkUse::FirstAdmin => Ok(LinkPurpose::FirstAdmin),
            LinkUse::SetPassword(user) => {
                let user = self.user_after(user).await.map_err(|_| Error::NotFound("link"))?;
                Ok(LinkPurpose::SetPassword { email: user.email.clone() })
            }
        }
    }

    async fn usage(&self, token: &str) -> Result<LinkUse> {
        let (digest, now) = (digest(token), self.now());
        let held = self.users(move |users| users.link(&digest, now)).await?;
        if held.is_some() && self.log.is_fresh() {
            return held.ok_or(Error::NotFound("link"));
        }
        // it may have been made, or spent, on another node just now
        self.log.refresh().await?;
        let now = self.now();
        self.users(move |users| users.link(&digest, now)).await?.ok_or(Error::NotFound("link"))
    }

    /// Sets a password by one-time link; ends all sessions of the user.
    ///
    /// # Errors
    /// `NotFound` as for [`Identity::link`]; `Malformed` without a password; `Unacceptable`.
    pub async fn spend_link(&self, token: &str, password: &str, client: &Client) -> Result<Arc<User>> {
        let LinkUse::SetPassword(id) = self.usage(token).await? else { return Err(Error::NotFound("link")) };
        let user = self.user_after(id).await.map_err(|_| Error::NotFound("link"))?;
        if password.is_empty() {
            return Err(Error::Malformed("Please fill in all the fields.".into()));
        }
        self.check_password(password, &user.email)?;
        let hash = self.hashes.hash(password).await?;
        let change = UserChange::SpendLink { digest: digest(token), user: user.id.clone(), hash, now: self.now() };
        self.done(change, Some(EndUser { user: user.id.clone(), keep: None })).await?;
        tracing::info!(target: SECURITY, user = user.id, address = %client.address, "a link was spent: a password was set");
        Ok(user)
    }

    /// Makes the first admin by one-time link: approved, and the address taken as verified.
    ///
    /// # Errors
    /// `NotFound` as above; `Conflict` when there is an admin or the address is taken; `Malformed`, `Unacceptable`.
    pub async fn spend_admin_link(&self, token: &str, form: SignUp, client: &Client) -> Result<Arc<User>> {
        if self.usage(token).await? != LinkUse::FirstAdmin {
            return Err(Error::NotFound("link"));
        }
        let (user, password) = self.checked(form)?;
        let password_hash = self.hashes.hash(&password).await?;
        let user = NewUser { password_hash, admin: true, approved: true, verified: true, ..user };
        let id = user.id.clone();
        self.done(UserChange::SpendAdminLink { digest: digest(token), user, now: self.now() }, None).await?;
        tracing::warn!(target: SECURITY, user = id, address = %client.address, "a link was spent: the first admin was made");
        self.user_after(id).await
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
