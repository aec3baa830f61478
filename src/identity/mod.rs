//! Identity: who you are and what you may reach.
//!
//! The doors ask questions here in the words of people (sign up, sign in, my sessions); the answers come from `state`,
//! and every change goes through the `log`. No HTTP and no Redis in here.

mod user;

use std::net::IpAddr;
use std::sync::Arc;

use crate::clock::Millis;
use crate::error::Result;
use crate::state::{Entry, Facts, Key};
pub use crate::state::{Proof, UserOutcome};
pub use user::User;

/// Who is asking, as far as a door can tell.
#[derive(Debug, Clone)]
pub struct Client {
    /// The peer's address, or the one a trusted proxy vouches for.
    pub address: IpAddr,
    /// The `User-Agent`, empty without one.
    pub agent: String,
}

/// The cookies a browser sent that concern us: undecoded values, in the order sent.
#[derive(Debug, Default, Clone)]
pub struct Cookies<'a> {
    /// Values of the session cookie.
    pub session: Vec<&'a str>,
    /// Values of the second, host-only cookie.
    pub own: Vec<&'a str>,
}

/// Whoever sent a request.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    /// Their live session, if they have one.
    pub session: Option<Session>,
    /// Who they are, if they signed in and may.
    pub user: Option<Arc<User>>,
    /// Whether they also hold the second cookie: what `/account` and `/admin` want.
    pub own: bool,
}

/// A live session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The session id.
    pub sid: String,
    /// Its key in the store.
    pub key: Key,
    /// The entry as read.
    pub entry: Entry,
    /// What stands beside the value.
    pub facts: Facts,
}

impl Session {
    /// A public name of the session from which its id cannot be had: 22 characters of base64url.
    pub fn handle(&self) -> String {
        todo!()
    }
    /// Seconds until it ends if nobody uses it.
    pub fn expires_in(&self, _now: Millis) -> i64 {
        todo!()
    }
    /// The app's members: all of the value but `cookie` and `passport`.
    pub fn data(&self) -> serde_json::Map<String, serde_json::Value> {
        todo!()
    }
}

/// What sets a cookie: the doors turn this into `Set-Cookie`.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The session as it stands.
    pub session: Session,
    /// The value of the session cookie, signed and percent-encoded.
    pub cookie: String,
    /// The value of the second cookie; empty for anonymous sessions.
    pub own: String,
    /// How long the cookies outlive the browser, seconds; `None`: not at all.
    pub max_age_secs: Option<i64>,
}

/// What a person sends to sign up. Unchecked.
#[derive(Debug, Clone)]
pub struct SignUp {
    pub email: String,
    pub password: String,
    pub first_name: String,
    pub last_name: String,
}

/// What a person sends to sign in. Unchecked.
#[derive(Debug, Clone)]
pub struct SignIn {
    pub email: String,
    pub password: String,
    pub remember: bool,
}

/// One of a user's sessions, for listing.
#[derive(Debug, Clone)]
pub struct Listed {
    pub handle: String,
    pub begun: Millis,
    pub expires: Millis,
    pub address: String,
    pub agent: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// What a one-time link is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPurpose {
    FirstAdmin,
    SetPassword { email: String },
}

/// The room. Shared by all doors.
pub struct Identity {}

impl Identity {
    /// Log time now.
    pub fn now(&self) -> Millis {
        todo!()
    }
    /// Whether this node may answer: fresh, and a leader is known.
    ///
    /// # Errors
    /// `NotDone` with the reason.
    pub async fn ready(&self) -> Result<()> {
        todo!()
    }
    /// Whose request this is. Slides the session's deadline when that is worth it. Never creates anything.
    ///
    /// # Errors
    /// `Malformed` when two different session cookies came; `NotDone` when this node cannot be sure.
    pub async fn visitor(&self, _cookies: &Cookies<'_>) -> Result<Visitor> {
        todo!()
    }
    /// Makes an account.
    ///
    /// # Errors
    /// `Malformed` (`Please fill in all the fields.`), `Unacceptable` (address, password), `Conflict`, `Forbidden`
    /// (sign-up is closed), `TooMany`.
    pub async fn sign_up(&self, _form: SignUp, _client: &Client) -> Result<Arc<User>> {
        todo!()
    }
    /// Begins a session for somebody who just signed up, ending the one they had.
    pub async fn begin(&self, _user: &User, _proof: Proof, _visitor: &Visitor, _client: &Client) -> Result<Granted> {
        todo!()
    }
    /// Verifies a password and begins a session, ending the one the browser had.
    ///
    /// # Errors
    /// `Credentials` whichever of the two is wrong; `TooMany`; `Malformed` when a field is empty.
    pub async fn sign_in(&self, _form: SignIn, _visitor: &Visitor, _client: &Client) -> Result<(Arc<User>, Granted)> {
        todo!()
    }
    /// Ends the visitor's session, if they have one.
    pub async fn sign_out(&self, _visitor: &Visitor) -> Result<()> {
        todo!()
    }
    /// Merges `patch` (RFC 7396) into the app's members; begins an anonymous session when there is none.
    ///
    /// # Errors
    /// `Unacceptable` when the patch names `cookie` or `passport` or makes the value too large.
    pub async fn patch(
        &self,
        _visitor: &Visitor,
        _patch: serde_json::Map<String, serde_json::Value>,
        _client: &Client,
    ) -> Result<Granted> {
        todo!()
    }
    /// One more beer: names it in `beer`, adds one to `beers`. Begins an anonymous session when there is none.
    pub async fn pour(&self, _visitor: &Visitor, _client: &Client) -> Result<Granted> {
        todo!()
    }
    /// The visitor's live sessions, newest first.
    ///
    /// # Errors
    /// `NotSignedIn`.
    pub async fn sessions(&self, _visitor: &Visitor) -> Result<Vec<Listed>> {
        todo!()
    }
    /// Ends one of the visitor's own sessions.
    ///
    /// # Errors
    /// `NotSignedIn`; `NotFound` when it is not theirs.
    pub async fn end_session(&self, _visitor: &Visitor, _handle: &str) -> Result<()> {
        todo!()
    }
    /// Ends all of the visitor's sessions but this one; answers how many.
    pub async fn end_others(&self, _visitor: &Visitor) -> Result<u64> {
        todo!()
    }
    /// Replaces the visitor's password and ends their other sessions.
    ///
    /// # Errors
    /// `NotSignedIn`; `Forbidden` when `current` is wrong; `Unacceptable`; `TooMany`.
    pub async fn change_password(
        &self,
        _visitor: &Visitor,
        _current: &str,
        _new: &str,
        _client: &Client,
    ) -> Result<()> {
        todo!()
    }
    /// Changes the visitor's names.
    pub async fn set_names(&self, _visitor: &Visitor, _first: &str, _last: &str) -> Result<Arc<User>> {
        todo!()
    }
    /// What a one-time link is good for.
    ///
    /// # Errors
    /// `NotFound` when it is unknown, spent or too old.
    pub async fn link(&self, _token: &str) -> Result<LinkPurpose> {
        todo!()
    }
    /// Sets a password by one-time link; ends all sessions of the user.
    pub async fn spend_link(&self, _token: &str, _password: &str, _client: &Client) -> Result<Arc<User>> {
        todo!()
    }
    /// Makes the first admin by one-time link.
    ///
    /// # Errors
    /// `NotFound` as above; `Conflict` when there is an admin.
    pub async fn spend_admin_link(&self, _token: &str, _form: SignUp, _client: &Client) -> Result<Arc<User>> {
        todo!()
    }
}
