//! Touches: sliding deadlines, gathered so that use of a session does not cost a commit per request; and on which day a
//! token was used last.
//!
//! A request whose session is inside its slack asks for nothing. The others leave the session's key here, and a few
//! times a second all of them become one Op; what a touch does is decided then, and it only ever extends. A touch that
//! is lost with the process costs nothing: the deadline on disk still covers the idle timeout.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Millis;
use crate::log::Log;
use crate::state::{Key, Op, UserChange};

/// How long touches are gathered.
const GATHER: Duration = Duration::from_millis(200);
/// Sessions that one Op touches.
const OP_MAX: usize = 512;
/// Sessions that may wait; one that finds no room asks again with its next request.
const WAITING_MAX: usize = 100_000;

/// Sessions that want a later deadline.
#[derive(Default)]
pub struct Touches {
    waiting: Mutex<HashSet<Key>>,
    /// Tokens that were used, and the day.
    used: Mutex<HashMap<String, Millis>>,
    some: Notify,
}

impl Touches {
    /// Starts the task that flushes; it ends when the touches are dropped.
    pub fn start(log: Arc<dyn Log>) -> Arc<Self> {
        let touches = Arc::new(Self::default());
        tokio::spawn(flush_for_ever(Arc::downgrade(&touches), log));
        touches
    }

    /// Asks for a later deadline for this session.
    pub fn touch(&self, key: &Key) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < WAITING_MAX && waiting.insert(key.clone()) && waiting.len() == 1 {
            self.some.notify_one();
        }
    }

    /// Asks that it be noted on which day this token was used.
    pub fn use_token(&self, id: &str, day: Millis) {
        let mut used = self.used.lock();
        if used.len() < WAITING_MAX && used.insert(id.to_owned(), day).is_none() && used.len() == 1 {
            self.some.notify_one();
        }
    }
}

impl Drop for Touches {
    fn drop(&mut self) {
        self.some.notify_one();
    }
}

async fn flush_for_ever(touches: Weak<Touches>, log: Arc<dyn Log>) {
    while let Some(held) = touches.upgrade() {
        // a bounded wait, so that the task notices when the room is gone
        let _ = tokio::time::timeout(GATHER * 5, held.some.notified()).await;
        drop(held);
        tokio::time::sleep(GATHER).await;
        let Some(held) = touches.upgrade() else { return };
        let keys: Vec<Key> = held.waiting.lock().drain().collect();
        let used: Vec<(String, Millis)> = held.used.lock().drain().collect();
        drop(held);
        for keys in keys.chunks(OP_MAX) {
            if let Err(e) = log.submit(Op::Touch(keys.to_vec())).await {
                tracing::warn!(error = %e, sessions = keys.len(), "deadlines were not moved; their next use asks again");
            }
        }
        for used in used.chunks(OP_MAX) {
            let op = Op::User { change: UserChange::TouchTokens(used.to_vec()), end: None };
            if let Err(e) = log.submit(op).await {
                tracing::warn!(error = %e, tokens = used.len(), "use was not noted; the next one asks again");
            }
        }
    }
}
