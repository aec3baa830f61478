//! Administration: what admins see and do on their page. Every question names who asks, and is answered to admins who
//! hold the second cookie alone.

use std::sync::Arc;

use super::visitor::Visitor;
use super::{AppView, Identity, SECURITY, User};
use crate::error::{Error, Result};
use crate::state::{EndUser, UserChange};

/// A page of accounts.
#[derive(Debug, Default)]
pub struct Found {
    pub users: Vec<Arc<User>>,
    /// The address to go on after, when there are more.
    pub next: Option<String>,
}

/// What an admin does to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administered {
    Approve,
    Disable,
    Enable,
}

impl Identity {
    /// Who is asking, if they may administer.
    ///
    /// # Errors
    /// `NotSignedIn`, `Forbidden`.
    pub fn admin<'a>(&self, visitor: &'a Visitor) -> Result<&'a Arc<User>> {
        let (user, _) = visitor.owner()?;
        if user.admin { Ok(user) } else { Err(Error::Forbidden("this page is for administrators".into())) }
    }

    /// Those who wait for approval, the longest waiting first, at most `limit`; and how many there are.
    ///
    /// # Errors
    /// Those of [`Identity::admin`].
    pub async fn waiting(&self, visitor: &Visitor, limit: u32) -> Result<(Vec<Arc<User>>, u64)> {
        self.admin(visitor)?;
        let (rows, count) = self.users(move |users| users.waiting(limit)).await?;
        Ok((rows.into_iter().map(|row| row.user).collect(), count))
    }

    /// Accounts by address, those after `after` whose address holds `part`, at most `limit`.
    ///
    /// # Errors
    /// Those of [`Identity::admin`].
    pub async fn find_accounts(&self, visitor: &Visitor, (part, after): (&str, &str), limit: u32) -> Result<Found> {
        self.admin(visitor)?;
        let (part, after) = (part.trim().to_lowercase(), after.to_owned());
        let mut rows = self.users(move |users| users.search(&part, &after, limit + 1)).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| row.user.email.clone());
        Ok(Found { users: rows.into_iter().map(|row| row.user).collect(), next })
    }

    /// Does something to the account with this id. Nobody shuts themselves out.
    ///
    /// # Errors
    /// Those of [`Identity::admin`]; `NotFound`; `Conflict`.
    pub async fn administer(&self, visitor: &Visitor, id: &str, what: Administered) -> Result<()> {
        let admin = self.admin(visitor)?;
        if what == Administered::Disable && admin.id == id {
            return Err(Error::Conflict("you cannot disable the account that you are signed in to".into()));
        }
        let user = self.row_by_id(id.to_owned()).await?.ok_or(Error::NotFound("user"))?.user.id.clone();
        tracing::info!(target: SECURITY, admin = admin.id, user, ?what, "an admin changed an account");
        let end = EndUser { user: user.clone(), keep: None };
        match what {
            Administered::Approve => self.done(UserChange::Approve { user }, None).await,
            Administered::Disable => self.done(UserChange::SetDisabled { user, disabled: true }, Some(end)).await,
            Administered::Enable => self.done(UserChange::SetDisabled { user, disabled: false }, None).await,
        }
    }

    /// The services that keep things here, by name.
    ///
    /// # Errors
    /// Those of [`Identity::admin`]; `NotDone` when nobody can tell.
    pub async fn apps_seen(&self, visitor: &Visitor) -> Result<Vec<AppView>> {
        self.admin(visitor)?;
        self.apps().await
    }
}
