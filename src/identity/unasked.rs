//! Unasked: a room over an empty state and a log that refuses, for tests of doors that never get as far as asking.

use std::sync::Arc;

use super::{Identity, Settings};
use crate::clock::Millis;
use crate::config::{Config, File, Sources};
use crate::error::{Error, Result};
use crate::log::{Answer, Log};
use crate::state::{Op, Outcome, State};

struct Refusing;

impl Log for Refusing {
    fn submit(&self, _: Op) -> Answer<'_, Result<Outcome>> {
        Box::pin(async { Err(Error::NotDone("there is no log in this test".into())) })
    }

    fn now(&self) -> Millis {
        0
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn refresh(&self) -> Answer<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

impl Identity {
    /// A room that knows nobody. Wants a tokio runtime.
    pub(crate) fn unasked() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Arc::new(State::open(dir.path()).expect("an empty state"));
        Self::over(state, Arc::new(Refusing))
    }

    /// A room with the default settings.
    pub(super) fn over(state: Arc<State>, log: Arc<dyn Log>) -> Self {
        let file = File::IfPresent("/nonexistent".into());
        let config = Config::load(&Sources { file, environment: Vec::new(), flags: Vec::new() }).expect("the defaults");
        let settings = Settings {
            sessions: config.sessions,
            users: config.users,
            public_url: config.public_url,
            secrets: vec![b"a secret for tests alone, 32 byte".to_vec()],
            hash_threads: 1,
        };
        Self::open(state, log, settings).expect("threads")
    }
}
