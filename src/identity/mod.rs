//! Identity: who you are and what you may reach.
//!
//! The doors ask questions here in the words of people (sign up, sign in, my sessions); the answers come from `state`,
//! and every change goes through the `log`. Nothing is believed that a session's value says about its user: the facts
//! beside it decide. No HTTP and no Redis in here.

pub mod access;
mod accounts;
mod administration;
pub mod agent;
#[cfg(test)]
mod alone;
pub mod apps;
mod attempts;
mod beers;
pub mod cookie;
pub mod email;
mod events;
pub mod express;
pub mod import;
mod introspection;
mod links;
mod name;
pub mod password_rules;
pub mod passwords;
mod registry;
mod sessions;
mod signin;
mod token_text;
mod tokens;
mod touches;
#[cfg(test)]
mod unasked;
mod visitor;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Millis;
use crate::config;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::state::{EndUser, Key, Op, Outcome, State, UserChange, UserRow};
pub use crate::state::{Proof, Scopes, SessionEvent, Token, User, UserOutcome};
pub use accounts::{Imported, NewAccount, SessionView};
pub use administration::{Administered, Found};
pub use events::{Event, EventId, Events, Listening, News};
pub use introspection::Introspected;
pub use links::{LinkPurpose, OneTimeLink};
pub use registry::{AppView, NewApp};
pub use sessions::{Granted, Listed};
pub use signin::{SignIn, SignUp};
pub use token_text::BEGINNING as TOKEN_PREFIX;
pub use tokens::{IssuedToken, WantedToken};
pub use visitor::{Cookies, Session, Visitor};

use access::{Rules, Target, Verdict};
use cookie::Signer;
use passwords::HashPool;
use touches::Touches;

/// The target of log lines about who came in, who was kept out and what changed the ways in. They name users by id and
/// clients by address; what somebody typed (an e-mail address may be a password in the wrong field) is never in them.
pub const SECURITY: &str = "sojourn::security";

/// Who is asking, as far as a door can tell.
#[derive(Debug, Clone)]
pub struct Client {
    /// The peer's address, or the one a trusted proxy vouches for.
    pub address: IpAddr,
    /// The `User-Agent`, empty without one.
    pub agent: String,
}

/// What the room is told at start.
pub struct Settings {
    pub sessions: config::Sessions,
    pub users: config::Users,
    pub access: Vec<config::AccessRule>,
    pub public_url: config::Origin,
    /// Secrets of the session cookie: the first signs, all verify.
    pub secrets: Vec<Vec<u8>>,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// What the state tells of sessions.
    pub events: Arc<Events>,
}

/// The room. Shared by all doors.
pub struct Identity {
    state: Arc<State>,
    log: Arc<dyn Log>,
    settings: Settings,
    signer: Signer,
    hashes: HashPool,
    touches: Arc<Touches>,
    events: Arc<Events>,
    rules: Rules,
    /// Whether the node is about to stop.
    is_closing: AtomicBool,
}

impl Identity {
    /// Opens the room over a state and the log that feeds it.
    ///
    /// # Errors
    /// When the threads that hash passwords cannot be started.
    pub fn open(state: Arc<State>, log: Arc<dyn Log>, settings: Settings) -> Result<Self> {
        let signer = Signer::new(&settings.secrets);
        let hashes = HashPool::new(settings.hash_threads)?;
        let touches = Touches::start(log.clone());
        let events = settings.events.clone();
        let rules = Rules::new(&settings.access);
        Ok(Self { state, log, settings, signer, hashes, touches, events, rules, is_closing: AtomicBool::new(false) })
    }

    /// Log time now.
    pub fn now(&self) -> Millis {
        self.log.now()
    }

    /// Whether this node may answer: it has heard of everything acknowledged, from a leader that it knows.
    ///
    /// # Errors
    /// `NotDone` with the reason.
    pub async fn ready(&self) -> Result<()> {
        if self.is_closing.load(Ordering::Relaxed) {
            return Err(Error::NotDone("this node is about to stop".into()));
        }
        if self.log.is_fresh() { Ok(()) } else { self.log.refresh().await }
    }

    /// Whether somebody may pass to a service behind a proxy.
    pub fn verdict(&self, target: &Target<'_>, who: Option<&User>) -> Verdict {
        access::verdict(&self.rules, target, who)
    }

    /// From now on the node is not ready, though it answers still: it is about to stop.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    /// Sees to it that everything acknowledged so far, on whichever node, is here.
    ///
    /// # Errors
    /// `NotDone` when nobody can tell.
    pub async fn catch_up(&self) -> Result<()> {
        self.log.refresh().await
    }

    /// Whether this node is its whole cluster, where nothing is ever behind.
    pub fn is_alone(&self) -> bool {
        self.log.is_alone()
    }

    fn session_key(&self, sid: &str) -> Key {
        Key::session(&self.settings.sessions.prefix, sid)
    }

    async fn change_user(&self, change: UserChange, end: Option<EndUser>) -> Result<UserOutcome> {
        match self.log.submit(Op::User { change, end }).await? {
            Outcome::User(outcome) => Ok(outcome),
            // the session that was to live on has ended
            Outcome::Gone => Err(Error::NotSignedIn),
            other => Err(Error::Broken(format!("a change to users was answered {other:?}"))),
        }
    }

    /// Reads users off the async threads.
    async fn users<T: Send + 'static>(
        &self,
        query: impl FnOnce(&crate::state::Users) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let generation = self.state.generation();
        let read = tokio::task::spawn_blocking(move || query(&generation.users)).await;
        read.map_err(|e| Error::broken("reading users", e))?.map_err(|e| Error::broken("reading users", e))
    }

    async fn row_by_email(&self, email: String) -> Result<Option<Arc<UserRow>>> {
        self.users(move |users| users.by_email(&email)).await
    }

    async fn row_by_id(&self, id: String) -> Result<Option<Arc<UserRow>>> {
        self.users(move |users| users.by_id(&id)).await
    }
}

#[cfg(test)]
mod tests;
