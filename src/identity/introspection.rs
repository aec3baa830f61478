//! Introspection: what an app is told about a token that somebody showed it (RFC 7662).
//!
//! Two things are tokens here: personal access tokens, and the value of the session cookie, which an app on the same
//! domain is sent. An app that shows neither learns nothing, not even why.

use std::sync::Arc;

use smallvec::SmallVec;

use super::token_text::BEGINNING;
use super::{Client, Cookies, Identity, SECURITY, Scopes, User};
use crate::clock::Millis;
use crate::error::{Error, Result};

/// What is said of a good token.
pub struct Introspected {
    pub user: Arc<User>,
    /// What it is good for; `None` of a session, which is no token of scopes.
    pub scopes: Option<Scopes>,
    /// When it was made, log time.
    pub begun: Millis,
    /// When it ends, log time; `None`: when somebody ends it.
    pub expires: Option<Millis>,
}

impl Identity {
    /// What `token` stands for, told to the app that proves with its password who it is.
    ///
    /// # Errors
    /// `Credentials` when the app's are wrong; `TooMany` when they were so too often; `NotDone` when this node cannot
    /// be sure.
    pub async fn introspect(
        &self,
        (name, password): (&str, &str),
        token: &str,
        client: &Client,
    ) -> Result<Option<Introspected>> {
        self.admit_app((name, password), client).await?;
        if token.starts_with(BEGINNING) {
            self.introspect_token(token).await
        } else {
            self.introspect_session(token).await
        }
    }

    /// Lets an app pass that proves with its password who it is.
    ///
    /// # Errors
    /// `Credentials` when it does not; `TooMany` when that happened too often; `NotDone` when this node cannot be sure.
    pub async fn admit_app(&self, (name, password): (&str, &str), client: &Client) -> Result<()> {
        if self.sure_app(name, password.as_bytes()).await?.is_some() {
            return Ok(());
        }
        tracing::warn!(target: SECURITY, address = %client.address, "an app's credentials were refused");
        self.count_wrong_app(client).await?;
        Err(Error::Credentials)
    }

    async fn introspect_token(&self, token: &str) -> Result<Option<Introspected>> {
        let Some((user, token)) = self.sure_token(token).await? else { return Ok(None) };
        let scopes = if user.admin { token.scopes } else { token.scopes.without(Scopes::ADMIN) };
        Ok(Some(Introspected { user, scopes: Some(scopes), begun: token.created_at, expires: token.expires_at }))
    }

    /// Being asked for is use of a session, as it is when an app looks into it itself. What another app says in it about
    /// who is signed in does not count: whoever asks takes our word for it.
    async fn introspect_session(&self, cookie: &str) -> Result<Option<Introspected>> {
        let cookies = Cookies { session: SmallVec::from_slice(&[cookie]), own: SmallVec::new() };
        let visitor = self.visitor(&cookies).await?;
        Ok(visitor.user.zip(visitor.session).map(|(user, session)| Introspected {
            user,
            scopes: None,
            begun: session.glance().begun,
            expires: Some(session.expires()),
        }))
    }
}
