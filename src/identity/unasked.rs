//! Unasked: a room over an empty state and a log that refuses, for tests of doors that never get as far as asking; or
//! over one that always gives the same answer, for tests of what a refusal is called.

use std::sync::Arc;

use super::{Client, Identity, Session, Settings, SignIn, User, Visitor};
use crate::clock::Millis;
use crate::config::{Config, File, Sources};
use crate::error::{Error, Result};
use crate::log::{Answer, Belief, Log};
use crate::state::{EndUser, Entry, Key, NEVER, Op, Outcome, State, UserChange};

/// Refuses, or answers everything with this.
struct Fixed(Option<Outcome>);

impl Log for Fixed {
    fn submit(&self, _: Op) -> Answer<'_, Result<Outcome>> {
        let refused = || Error::NotDone("there is no log in this test".into());
        Box::pin(async move { self.0.clone().ok_or_else(refused) })
    }

    fn now(&self) -> Millis {
        0
    }

    fn is_still(&self, _: Belief) -> bool {
        true
    }

    fn refresh(&self) -> Answer<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn refresh_or_bear(&self) -> Answer<'_, Result<Belief>> {
        Box::pin(async { Ok(Belief::Fresh) })
    }

    fn is_alone(&self) -> bool {
        true
    }
}

impl Identity {
    /// A room that knows nobody. Wants a tokio runtime.
    pub(crate) fn unasked() -> Self {
        Self::answered(None)
    }

    fn answered(outcome: Option<Outcome>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Arc::new(State::open(dir.path()).expect("an empty state"));
        Self::over(state, Arc::new(Fixed(outcome)))
    }

    /// A room with the default settings.
    pub(super) fn over(state: Arc<State>, log: Arc<dyn Log>) -> Self {
        let file = File::IfPresent("/nonexistent".into());
        let config = Config::load(&Sources { file, environment: Vec::new(), flags: Vec::new() }).expect("the defaults");
        let settings = Settings {
            sessions: config.sessions,
            users: config.users,
            access: config.access,
            public_url: config.public_url,
            secrets: vec![b"a secret for tests alone, 32 byte".to_vec()],
            hash_threads: 1,
            events: Arc::default(),
        };
        Self::open(state, log, settings).expect("threads")
    }
}

#[tokio::test]
async fn whose_session_has_ended_meanwhile_is_not_signed_in() {
    let room = Identity::answered(Some(Outcome::Gone));
    let user = User {
        id: "ada".into(),
        email: "ada@example.com".into(),
        first_name: String::new(),
        last_name: String::new(),
        groups: Vec::new(),
        created_at: 0,
        admin: false,
        approved: true,
        verified: true,
        disabled: false,
        shown: Default::default(),
    };
    let session = Session { sid: "sid".into(), key: Key::new("sess:sid"), entry: Entry::plain(b"", NEVER, 0) };
    let keep = Some(session.key.clone());
    let visitor = Visitor { session: Some(session), user: Some(Arc::new(user)), own: true, ..Visitor::default() };
    assert!(matches!(room.end_others(&visitor).await, Err(Error::NotSignedIn)));
    let change = UserChange::SetPassword { user: "ada".into(), hash: String::new(), only_if: None };
    let changed = room.change_user(change, Some(EndUser { user: "ada".into(), keep })).await;
    assert!(matches!(changed, Err(Error::NotSignedIn)));
}

#[tokio::test]
async fn a_password_that_cannot_be_counted_is_not_tried() {
    let room = Identity::answered(Some(Outcome::Full));
    let client = Client { address: std::net::Ipv4Addr::LOCALHOST.into(), agent: String::new() };
    let form = SignIn { email: "ada@example.com".into(), password: "a password".into(), remember: false };
    assert!(matches!(room.sign_in(form, &Visitor::default(), &client).await, Err(Error::Full)));
}
