//! Visitor: whose request this is.
//!
//! The order is: signature, entry, deadline, epoch, user, and last whether this node is fresh enough to believe what it
//! read. A cookie that is validly signed is called unknown only after asking the leader. Nothing is ever created here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;
use subtle::ConstantTimeEq as _;

use super::cookie::Verified;
use super::{Identity, Proof, User, apps, express};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::limits;
use crate::log::Belief;
use crate::planted::{self, Bug};
use crate::state::{Entry, Glance, Key, UserRow};

/// How often a session is looked at while answers of the leader come too late to believe what was read.
const LOOKS_MAX: usize = 3;

/// The cookies a browser sent that concern us: undecoded values, in the order sent.
#[derive(Default, Clone)]
pub struct Cookies<'a> {
    /// Values of the session cookie.
    pub session: SmallVec<[&'a str; 2]>,
    /// Values of the second, host-only cookie.
    pub own: SmallVec<[&'a str; 2]>,
}

/// Whoever holds them is signed in: only how many there are is ever printed.
impl fmt::Debug for Cookies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookies({} session, {} own)", self.session.len(), self.own.len())
    }
}

/// Whoever sent a request.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    /// Their live session, if they have one.
    pub session: Option<Session>,
    /// Who they are, if they signed in and may.
    pub user: Option<Arc<User>>,
    /// Who an app says they are that may sign people in: good for what other services ask, for no page of ours, and
    /// never an admin.
    pub claimed: Option<Arc<User>>,
    /// Whether they also hold the second cookie; see [`Visitor::owner`].
    pub own: bool,
    /// Whether their cookie was signed with a secret that signs no more: the next write sets it anew.
    pub outdated: bool,
}

impl Visitor {
    /// Who they are, for a service that asks: whoever signed in, here or in an app that may sign people in.
    pub fn whoever(&self) -> Option<&Arc<User>> {
        self.user.as_ref().or(self.claimed.as_ref())
    }

    /// Who they are and in which session.
    ///
    /// # Errors
    /// `NotSignedIn`.
    pub fn signed_in(&self) -> Result<(&Arc<User>, &Session)> {
        self.user.as_ref().zip(self.session.as_ref()).ok_or(Error::NotSignedIn)
    }

    /// The same, for what concerns the account as a whole: its password, its names, the list of its sessions and their
    /// end. Apps on the same domain are sent the session cookie, and may act in that session; what reaches beyond it
    /// also wants the second cookie, at every door.
    ///
    /// # Errors
    /// `NotSignedIn`; `Forbidden` without the second cookie.
    pub fn owner(&self) -> Result<(&Arc<User>, &Session)> {
        let signed_in = self.signed_in()?;
        if self.own {
            return Ok(signed_in);
        }
        let why = "This takes the second cookie that signing in sets, and it was not sent. Sign in again to get one.";
        Err(Error::Forbidden(why.into()))
    }
}

/// A live session.
#[derive(Clone)]
pub struct Session {
    /// The session id.
    pub sid: String,
    /// Its key in the store.
    pub key: Key,
    /// The entry as read.
    pub entry: Entry,
}

/// Only the public name is ever printed.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.handle())
    }
}

impl Session {
    /// A public name of the session from which its id cannot be had: 22 characters of base64url.
    pub fn handle(&self) -> String {
        handle(&self.key)
    }

    /// What stands beside the value, read in place.
    pub fn glance(&self) -> Glance<'_> {
        self.entry.glance().unwrap_or(Glance::NONE)
    }

    /// When it ends if nobody uses it, log time: the idle timeout or the absolute deadline, whichever comes first. The
    /// slack in the deadline is not promised to anybody.
    pub fn expires(&self) -> Millis {
        let deadline = self.entry.deadline();
        match self.entry.glance() {
            Some(facts) if facts.is_apps() => deadline,
            Some(facts) if deadline >= facts.absolute => facts.absolute,
            Some(facts) => deadline.saturating_sub(facts.slack_ms()),
            // one that an app keeps
            None => deadline,
        }
    }

    /// The same in seconds from now, rounded down; of one without an end, the longest that a session lasts.
    pub fn expires_in(&self, now: Millis) -> i64 {
        let longest = i64::try_from(limits::LIFETIME_MAX.as_secs()).unwrap_or(i64::MAX);
        (self.expires().max(now) - now).div_euclid(1_000).min(longest)
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

/// What a look into memory gives.
enum Look {
    /// A live session, and its user's row if it has one.
    Session(Session, Option<Arc<UserRow>>),
    /// The session of a user whose row is not in memory.
    Unread(Session, String),
    /// No live session.
    Nothing,
}

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
        let Some(Verified { sid, outdated }) = self.signer.verify(first) else { return Ok(Visitor::default()) };
        let now = self.now();
        let (session, row) = match self.sure_look(&sid).await? {
            Look::Session(session, row) => (session, row),
            Look::Unread(session, user) => (session, self.row_by_id(user).await?),
            Look::Nothing => return Ok(Visitor::default()),
        };
        let facts = session.glance();
        let vouched_by = facts.epoch().map(|_| facts.proof());
        let row = row.filter(|row| !row.user.disabled);
        if vouched_by.is_some_and(|proof| !is_apps(proof)) && row.is_none() {
            return Ok(Visitor::default());
        }
        if facts.wants_touch(session.entry.deadline(), now) {
            self.touches.touch(&session.key);
        }
        let user = row.map(|row| row.user.clone());
        let (user, claimed) = match vouched_by {
            Some(Proof::App) => (None, user.filter(|user| !user.admin)),
            Some(Proof::Claim) => (None, None),
            _ => (user, None),
        };
        let own = user.is_some() && holds(facts.own(), &cookies.own);
        Ok(Visitor { own, user, claimed, session: Some(session), outdated })
    }

    /// The session as it stands, by what this node may believe: it reads first and asks afterwards how old that is. What
    /// it does not find it asks for.
    async fn sure_look(&self, sid: &str) -> Result<Look> {
        let checked_first = planted::has(Bug::FreshnessFirst) && self.log.is_fresh();
        if checked_first {
            let late = planted::late();
            tokio::time::sleep(late).await;
            // who is in touch is held up no longer than that: the others would have nothing to do
            tokio::time::sleep(if self.log.is_fresh() { Duration::ZERO } else { 2 * late }).await;
        }
        let (mut belief, mut has_asked) = (Belief::Fresh, false);
        for _ in 0..LOOKS_MAX {
            let look = self.look(sid, self.now());
            match look {
                Look::Nothing if has_asked => return Ok(look),
                Look::Nothing => {
                    self.log.refresh().await?;
                    belief = Belief::Fresh;
                }
                _ if checked_first || self.log.is_still(belief) => return Ok(look),
                _ => belief = self.log.refresh_or_bear().await?,
            }
            has_asked = belief == Belief::Fresh;
            if planted::has(Bug::KeepStaleRead) && !matches!(look, Look::Nothing) {
                return Ok(look);
            }
        }
        Err(Error::NotDone("what the leader says comes too late".into()))
    }

    /// The session as it stands in memory: one generation for session, epoch and user.
    fn look(&self, sid: &str, now: Millis) -> Look {
        let key = self.session_key(sid);
        let generation = self.state.current();
        let Some(entry) = generation.entries.get(&key).filter(|entry| entry.is_live(now)) else { return Look::Nothing };
        let session = |key| Session { sid: sid.to_owned(), key, entry: entry.clone() };
        let facts = match entry.glance() {
            Some(facts) => facts,
            None if entry.is_apps_session() => return Look::Session(session(key), None),
            None => return Look::Nothing,
        };
        let Some((user, epoch)) = facts.user().zip(facts.epoch()) else { return Look::Session(session(key), None) };
        if generation.entries.epoch(&user) != epoch {
            return Look::Nothing;
        }
        if facts.proof() == Proof::App && !apps::may_say_so(&generation, (&key, &entry), now) {
            return Look::Session(session(key), None);
        }
        match generation.users.cached(&user) {
            Some(row) => Look::Session(session(key), Some(row)),
            None => Look::Unread(session(key), user.to_string()),
        }
    }
}

/// Whether an app said so, and nobody proved it to us.
fn is_apps(proof: Proof) -> bool {
    matches!(proof, Proof::App | Proof::Claim)
}

fn holds(digest: &[u8], own: &[&str]) -> bool {
    own.iter().any(|own| own_digest(own).ct_eq(digest).into())
}

#[cfg(test)]
mod tests {
    use super::super::Granted;
    use super::*;

    #[test]
    fn what_is_printed_opens_no_session() {
        let key = Key::session("sess:", "TheSessionId");
        let entry = Entry::plain(br#"{"mine":"TheValue"}"#, Millis::MAX, 0);
        let session = Session { sid: "TheSessionId".to_owned(), key, entry };
        let cookies = Cookies { session: SmallVec::from_slice(&["s%3ATheSessionId.x"]), own: SmallVec::new() };
        let granted = Granted {
            session: session.clone(),
            cookie: "s%3ATheSessionId.x".to_owned(),
            own: "TheOwnCookie".to_owned(),
            max_age_secs: None,
        };
        let visitor = Visitor { session: Some(session), ..Visitor::default() };
        let printed = format!("{cookies:?} {granted:?} {visitor:#?}");
        assert!(printed.contains(&handle(&Key::session("sess:", "TheSessionId"))), "{printed}");
        assert!(!printed.contains("TheSessionId") && !printed.contains("TheOwnCookie"), "{printed}");
        assert!(!printed.contains("TheValue"), "{printed}");
    }
}
