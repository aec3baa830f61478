//! Alone: a room over a state of its own, and a log that decides and applies at once, for tests of what people do.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Client, Identity};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::log::{Answer, Belief, Log};
use crate::state::decide::decide;
use crate::state::{Op, Outcome, Record, State, View};

/// When every test begins, log time.
const START: Millis = 1_790_000_000_000;

/// A log without a disk.
pub struct Alone {
    state: Arc<State>,
    index: AtomicU64,
    now: AtomicI64,
    refuses: Mutex<fn(&Op) -> bool>,
}

impl Alone {
    /// Answers `NotDone` to such Ops from now on.
    pub fn refuse(&self, such: fn(&Op) -> bool) {
        *self.refuses.lock() = such;
    }

    /// Ops that were decided so far.
    pub fn decided(&self) -> u64 {
        self.index.load(Ordering::SeqCst)
    }

    fn run(&self, op: &Op) -> Result<Outcome> {
        if (self.refuses.lock())(op) {
            return Err(Error::NotDone("the log is not to be had".into()));
        }
        let generation = self.state.generation();
        let (change, outcome) = decide(&mut View::new(&generation.entries, self.now()), op);
        let index = self.index.fetch_add(1, Ordering::SeqCst) + 1;
        let record = Record { stamp: self.now(), changes: vec![change] };
        let said = self.state.apply(&[(index, &record)]).map_err(|e| Error::broken("applying", e))?;
        Ok(said.into_iter().flatten().next().flatten().map_or(outcome, Outcome::User))
    }
}

impl Log for Alone {
    fn submit(&self, op: Op) -> Answer<'_, Result<Outcome>> {
        Box::pin(async move { self.run(&op) })
    }

    fn now(&self) -> Millis {
        self.now.load(Ordering::SeqCst)
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
    /// An empty room and its log. Wants a tokio runtime.
    pub fn alone() -> (Self, Arc<Alone>) {
        let dir = tempfile::tempdir().expect("a directory");
        let state = Arc::new(State::open(dir.path()).expect("an empty state"));
        let (index, now) = (AtomicU64::new(0), AtomicI64::new(START));
        let log = Arc::new(Alone { state: state.clone(), index, now, refuses: Mutex::new(|_| false) });
        (Self::over(state, log.clone()), log)
    }
}

/// Somebody at an address.
pub fn client() -> Client {
    Client { address: [192, 0, 2, 7].into(), agent: String::new() }
}
