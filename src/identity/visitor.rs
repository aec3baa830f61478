//! Visitor: whose request this is.
//!
//! The order is: signature, entry, deadline, epoch, user, and last whether this node is fresh enough to believe what it
//! read. A cookie that is validly signed is called unknown only after asking the leader. Nothing is ever created here.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Identity, User, express};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::state::{Entry, Facts, Generation, Key, Signed, UserRow, epoch_of};

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

impl Visitor {
    /// Who they are and in which session.
    ///
    /// # Errors
    /// `NotSignedIn`.
    pub fn signed_in(&self) -> Result<(&Arc<User>, &Session)> {
        self.user.as_ref().zip(self.session.as_ref()).ok_or(Error::NotSignedIn)
    }
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
        handle(&self.key)
    }

    /// When it ends if nobody uses it, log time: the idle timeout or the absolute deadline, whichever comes first. The
    /// slack in the deadline is not promised to anybody.
    pub fn expires(&self) -> Millis {
        let deadline = self.entry.deadline();
        if deadline >= self.facts.absolute {
            self.facts.absolute
        } else {
            deadline.saturating_sub(self.facts.slack_ms())
        }
    }

    /// The same in seconds from now, rounded down.
    pub fn expires_in(&self, now: Millis) -> i64 {
        (self.expires().max(now) - now).div_euclid(1_000)
    }

    /// The app's members: all of the value but `cookie` and `passport`.
    pub fn data(&self) -> serde_json::Map<String, serde_json::Value> {
        express::data(self.entry.value())
    }
}

/// The public name of the session under `key`.
pub fn handle(key: &Key) -> String {
    let digest = Sha256::new().chain_update(b"session handle\0").chain_update(key.as_bytes()).finalize();
    URL_SAFE_NO_PAD.encode(&digest[..16])
}

/// What the facts remember of the second cookie.
pub fn own_digest(own: &str) -> [u8; 16] {
    let digest = Sha256::digest(own);
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// A session as it stands in the store, with its user's row if it has one.
type Found = (Session, Option<Arc<UserRow>>);

impl Identity {
    /// Whose request this is. Slides the session's deadline when that is worth it. Never creates anything.
    ///
    /// # Errors
    /// `Malformed` when two different session cookies came; `NotDone` when this node cannot be sure.
    pub async fn visitor(&self, cookies: &Cookies<'_>) -> Result<Visitor> {
        let Some(first) = cookies.session.first() else { return Ok(Visitor::default()) };
        if cookies.session.iter().any(|other| other != first) {
            return Err(Error::Malformed("Two different session cookies were sent.".into()));
        }
        let Some(sid) = self.signer.verify(first) else { return Ok(Visitor::default()) };
        let mut found = self.find(&sid).await?;
        if found.is_none() || !self.log.is_fresh() {
            self.log.refresh().await?;
            found = self.find(&sid).await?;
        }
        let Some((session, row)) = found else { return Ok(Visitor::default()) };
        if session.facts.wants_touch(session.entry.deadline(), self.now()) {
            self.touches.touch(&session.key);
        }
        let own = session.facts.signed.as_ref().is_some_and(|signed| holds(signed, &cookies.own));
        Ok(Visitor { own, user: row.map(|row| row.user.clone()), session: Some(session) })
    }

    async fn find(&self, sid: &str) -> Result<Option<Found>> {
        let key = self.session_key(sid);
        let now = self.now();
        let (session, cached) = {
            let generation = self.state.generation();
            let Some(session) = live_session(&generation, key, sid, now) else { return Ok(None) };
            let Some(signed) = &session.facts.signed else { return Ok(Some((session, None))) };
            let cached = generation.users.cached(&signed.user);
            (session, cached)
        };
        let row = match (cached, &session.facts.signed) {
            (None, Some(signed)) => self.row_by_id(signed.user.clone()).await?,
            (cached, _) => cached,
        };
        Ok(row.filter(|row| !row.user.disabled).map(|row| (session, Some(row))))
    }
}

fn live_session(generation: &Generation, key: Key, sid: &str, now: Millis) -> Option<Session> {
    let entry = generation.entries.get(&key).filter(|entry| entry.is_live(now))?;
    let facts = entry.facts()?;
    if let Some(signed) = &facts.signed
        && epoch_of(generation.entries.get(&Key::epoch(&signed.user))) != signed.epoch
    {
        return None;
    }
    Some(Session { sid: sid.to_owned(), key, entry, facts })
}

fn holds(signed: &Signed, own: &[&str]) -> bool {
    own.iter().any(|own| own_digest(own).ct_eq(&signed.own).into())
}
