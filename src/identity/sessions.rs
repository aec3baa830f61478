//! Sessions: beginning them, changing what is in them, listing and ending them.

use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::visitor::{handle, own_digest};
use super::{Client, Identity, User, Visitor, agent, attempts, beers, express};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::state::{Begin, Edit, EndUser, Forgiven, Op, Outcome, Proof, SignedIn, claims, edited};
use crate::{limits, random};

use super::Session;

/// A session id is drawn again when it is taken; a second time would mean that the generator is broken.
const DRAWS: usize = 3;

/// What sets a cookie: the doors turn this into `Set-Cookie`.
#[derive(Clone)]
pub struct Granted {
    /// The session as it stands.
    pub session: Session,
    /// The value of the session cookie, signed and percent-encoded; empty when the browser has this very cookie. It is
    /// set when the session begins, and once more after the secret changed. Writes alone never set it (as
    /// `express-session` with `rolling: false` has it): with "remember me" a session's end does not slide, and without
    /// it the cookie ends with the browser.
    pub cookie: String,
    /// The value of the second cookie; empty when the session did not begin just now, or nobody signed in.
    pub own: String,
    /// How long the cookies outlive the browser, seconds; `None`: not at all.
    pub max_age_secs: Option<i64>,
}

/// Cookies are never printed.
impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, max_age_secs, .. } = self;
        f.debug_struct("Granted").field("session", session).field("max_age_secs", max_age_secs).finish_non_exhaustive()
    }
}

/// One of a user's sessions, for listing.
#[derive(Debug, Clone)]
pub struct Listed {
    /// See [`Session::handle`].
    pub handle: String,
    /// Log time.
    pub begun: Millis,
    /// When it ends if nobody uses it, log time.
    pub expires: Millis,
    /// Where it began.
    pub address: String,
    /// What it began in.
    pub agent: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// A session about to begin.
pub(super) struct Beginning<'a> {
    /// Who signs in, under which epoch, and how they proved it; `None` for an anonymous session.
    pub user: Option<(&'a str, u64, Proof)>,
    /// What the value holds beside `cookie` and `passport`.
    pub data: Map<String, Value>,
    /// Whether to outlive the browser.
    pub remember: bool,
    /// Tries that are given back.
    pub forgiven: Forgiven,
}

impl Identity {
    pub(super) async fn begin_session(
        &self,
        beginning: Beginning<'_>,
        visitor: &Visitor,
        client: &Client,
    ) -> Result<Granted> {
        let own = if beginning.user.is_some() { random::token::<32>() } else { String::new() };
        for _ in 0..DRAWS {
            let sid = random::token::<24>();
            let begin = self.begin_op(&beginning, &sid, &own, (visitor, client));
            let key = begin.key.clone();
            match self.log.submit(Op::Begin(Box::new(begin))).await? {
                Outcome::Session(entry) => {
                    let session = Session { sid, key, entry };
                    let facts = session.glance();
                    let max_age_secs = facts.remember().then(|| (facts.absolute - facts.begun) / 1_000);
                    let cookie = self.signer.sign(&session.sid);
                    return Ok(Granted { session, cookie, own, max_age_secs });
                }
                Outcome::Taken => {}
                Outcome::StaleEpoch => return Err(Error::Credentials),
                Outcome::Full => return Err(Error::Full),
                Outcome::Limited { wait_ms } => return Err(attempts::too_many(wait_ms)),
                other => return Err(Error::Broken(format!("a sign-in was answered {other:?}"))),
            }
        }
        Err(Error::Broken("session ids repeat: the random generator is broken".into()))
    }

    fn begin_op(&self, beginning: &Beginning<'_>, sid: &str, own: &str, from: (&Visitor, &Client)) -> Begin {
        let (visitor, client) = from;
        let sessions = &self.settings.sessions;
        let millis = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        let (idle_ms, lifetime_ms) = if beginning.remember {
            (millis(sessions.remember), millis(sessions.remember))
        } else {
            (millis(sessions.idle), millis(sessions.lifetime))
        };
        let value = express::value(&express::Shape {
            max_age_ms: beginning.remember.then_some(lifetime_ms),
            expires: beginning.remember.then(|| self.now().saturating_add(lifetime_ms)),
            secure: self.settings.public_url.is_https(),
            user: beginning.user.map(|(user, ..)| user),
            data: &beginning.data,
        });
        let signed = beginning.user.map(|(user, epoch, proof)| SignedIn {
            user: user.to_owned(),
            epoch,
            proof,
            own: own_digest(own),
        });
        Begin {
            key: self.session_key(sid),
            value: Bytes::from(value),
            budget: signed.is_none().then(|| attempts::anonymous(client)),
            signed,
            idle_ms,
            lifetime_ms,
            remember: beginning.remember,
            address: client.address.to_string(),
            agent: agent::label(&client.agent),
            replaces: visitor.session.as_ref().map(|session| session.key.clone()),
            per_user_max: sessions.per_user_max,
            forgiven: beginning.forgiven.clone(),
        }
    }

    /// Begins a session for somebody who just proved who they are, ending the one their browser had.
    ///
    /// # Errors
    /// `Full`; `Credentials` when the user's sessions were ended this very moment.
    pub async fn begin(&self, user: &User, proof: Proof, visitor: &Visitor, client: &Client) -> Result<Granted> {
        let epoch = self.state.epoch(&user.id, self.now());
        let beginning = Beginning {
            user: Some((&user.id, epoch, proof)),
            data: Map::new(),
            remember: false,
            forgiven: Forgiven::default(),
        };
        self.begin_session(beginning, visitor, client).await
    }

    /// Ends the visitor's session, if they have one.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`.
    pub async fn sign_out(&self, visitor: &Visitor) -> Result<()> {
        let Some(session) = &visitor.session else { return Ok(()) };
        self.log.submit(Op::End(vec![session.key.clone()])).await.map(|_| ())
    }

    /// Merges `patch` (RFC 7396) into the app's members; begins an anonymous session when there is none.
    ///
    /// # Errors
    /// `Unacceptable` when the patch names `cookie`, `passport` or what other stores keep the user's id in, makes the
    /// value too large, or holds nothing to begin a session with; `NotSignedIn` when the visitor's session ended meanwhile; `Full`; `TooMany`.
    pub async fn patch(&self, visitor: &Visitor, patch: Map<String, Value>, client: &Client) -> Result<Granted> {
        // an app that saves the session anew would have it listed as that user's
        let mut reserved = express::RESERVED.iter().chain(&claims::NAMES);
        if let Some(name) = reserved.find(|name| patch.contains_key(**name)) {
            return Err(unacceptable(format!("The member `{name}` belongs to the session itself.")));
        }
        self.edit(visitor, patch, Vec::new(), client).await
    }

    /// One more beer: names it in `beer`, adds one to `beers`. Begins an anonymous session when there is none.
    ///
    /// # Errors
    /// As for [`Identity::patch`].
    pub async fn pour(&self, visitor: &Visitor, client: &Client) -> Result<Granted> {
        let patch = Map::from_iter([("beer".to_owned(), Value::from(beers::drawn()))]);
        self.edit(visitor, patch, vec![("beers".to_owned(), 1)], client).await
    }

    async fn edit(
        &self,
        visitor: &Visitor,
        patch: Map<String, Value>,
        add: Vec<(String, i64)>,
        client: &Client,
    ) -> Result<Granted> {
        let value_max = limits::SESSION_VALUE_MAX as u64;
        let Some(session) = &visitor.session else { return self.begin_anonymous(patch, add, client).await };
        let edit = Edit {
            key: session.key.clone(),
            merge: Value::Object(patch.clone()).to_string(),
            add: add.clone(),
            value_max,
        };
        match self.log.submit(Op::Edit(edit)).await? {
            Outcome::Session(entry) => {
                let session = Session { entry, ..session.clone() };
                let cookie = if visitor.outdated { self.signer.sign(&session.sid) } else { String::new() };
                let max_age_secs = session.glance().remember().then(|| session.expires_in(self.now()));
                Ok(Granted { session, cookie, own: String::new(), max_age_secs })
            }
            // what was meant for somebody's session goes into no other
            Outcome::Gone if session.entry.is_signed() => Err(Error::NotSignedIn),
            Outcome::Gone => self.begin_anonymous(patch, add, client).await,
            Outcome::Full => Err(Error::Full),
            Outcome::BadValue if serde_json::from_slice::<Map<String, Value>>(session.entry.value()).is_err() => {
                Err(unacceptable(
                    "What an app stored in this session is no JSON object: nothing can be merged into it.".into(),
                ))
            }
            Outcome::BadValue => Err(unacceptable(format!("A session holds at most {value_max} bytes of JSON."))),
            other => Err(Error::Broken(format!("a session write was answered {other:?}"))),
        }
    }

    async fn begin_anonymous(
        &self,
        patch: Map<String, Value>,
        add: Vec<(String, i64)>,
        client: &Client,
    ) -> Result<Granted> {
        let data = first_data(patch, &add)?;
        if data.is_empty() {
            return Err(unacceptable("There is nothing to store, and no session is begun for nothing.".into()));
        }
        if Value::Object(data.clone()).to_string().len() > limits::SESSION_VALUE_MAX {
            return Err(unacceptable(format!("A session holds at most {} bytes of JSON.", limits::SESSION_VALUE_MAX)));
        }
        let beginning = Beginning { user: None, data, remember: false, forgiven: Forgiven::default() };
        self.begin_session(beginning, &Visitor::default(), client).await
    }

    /// The visitor's live sessions, newest first.
    ///
    /// # Errors
    /// As for [`Visitor::owner`].
    pub async fn sessions(&self, visitor: &Visitor) -> Result<Vec<Listed>> {
        let (user, current) = visitor.owner()?;
        let mut listed: Vec<Listed> =
            self.live_sessions_of(&user.id).iter().map(|session| listed(session, Some(current))).collect();
        listed.sort_by(|a, b| b.begun.cmp(&a.begun).then_with(|| a.handle.cmp(&b.handle)));
        Ok(listed)
    }

    pub(super) fn live_sessions_of(&self, user: &str) -> Vec<Session> {
        let now = self.now();
        let epoch = self.state.epoch(user, now);
        let of_user = self.state.generation().entries.of_user(user, now);
        let live = of_user.into_iter().filter_map(|(key, entry)| {
            let current = entry.glance()?.epoch() == Some(epoch);
            current.then(|| Session { sid: String::new(), key, entry })
        });
        live.collect()
    }

    /// Ends one of the visitor's own sessions.
    ///
    /// # Errors
    /// As for [`Visitor::owner`]; `NotFound` when it is not theirs.
    pub async fn end_session(&self, visitor: &Visitor, named: &str) -> Result<()> {
        let (user, _) = visitor.owner()?;
        let session = self.live_sessions_of(&user.id).into_iter().find(|session| handle(&session.key) == named);
        let session = session.ok_or(Error::NotFound("session"))?;
        self.log.submit(Op::Revoke(vec![session.key])).await.map(|_| ())
    }

    /// Ends all of the visitor's sessions but this one; answers how many.
    ///
    /// # Errors
    /// As for [`Visitor::owner`].
    pub async fn end_others(&self, visitor: &Visitor) -> Result<u64> {
        let (user, session) = visitor.owner()?;
        let op = Op::EndUser(EndUser { user: user.id.clone(), keep: Some(session.key.clone()) });
        match self.log.submit(op).await? {
            Outcome::Ended(count) => Ok(count),
            Outcome::Gone => Err(Error::NotSignedIn),
            other => Err(Error::Broken(format!("ending sessions was answered {other:?}"))),
        }
    }
}

/// What a first write leaves in a session: the same merge into nothing as later ones are into what is there.
fn first_data(patch: Map<String, Value>, add: &[(String, i64)]) -> Result<Map<String, Value>> {
    let merged = edited(b"{}", &Value::Object(patch).to_string(), add);
    let merged = merged.ok_or_else(|| Error::Broken("an object was not merged".into()))?;
    serde_json::from_str(&merged).map_err(|e| Error::broken("a merged object", e))
}

pub(super) fn listed(session: &Session, current: Option<&Session>) -> Listed {
    let facts = session.glance();
    let (address, agent) = session.entry.facts().map(|facts| (facts.address, facts.agent)).unwrap_or_default();
    Listed {
        handle: session.handle(),
        begun: facts.begun,
        expires: session.expires(),
        address,
        agent,
        current: current.is_some_and(|current| current.key == session.key),
    }
}

fn unacceptable(message: String) -> Error {
    Error::Unacceptable { field: "data", message }
}
