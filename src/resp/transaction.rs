//! Transaction: `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.
//!
//! What works on keys is decided in one piece at `EXEC`, together with whether what was watched is as it was. What does
//! not (`PING`, `INFO`) is answered here, in its place among the others.

use bytes::Bytes;

use super::conversation::Conversation;
use super::words::{self, What};
use crate::error::Error;
use crate::keyspace::{Call, Reply, selected};
use crate::limits::{REDIS_KEY_MAX, REDIS_QUEUED_MAX, REDIS_REQUEST_MAX, REDIS_WATCHED_MAX};

/// What waits for `EXEC`.
#[derive(Default)]
pub struct Queue {
    calls: Vec<Call>,
    bytes: usize,
    /// Whether something in it was refused: then nothing is run.
    pub is_spoilt: bool,
}

impl Queue {
    /// Nothing of it will be run.
    pub fn spoil(&mut self) {
        self.is_spoilt = true;
        self.calls = Vec::new();
    }

    /// How many commands wait.
    pub fn len(&self) -> usize {
        self.calls.len()
    }
}

impl Conversation {
    /// Has a command wait.
    pub(super) fn wait(&mut self, call: Call) -> Reply {
        let Some(queue) = &mut self.queue else { return Reply::err("ERR internal error") };
        queue.bytes += call.0.iter().map(|word| word.len() + 32).sum::<usize>();
        if queue.bytes > REDIS_REQUEST_MAX || queue.calls.len() >= REDIS_QUEUED_MAX {
            queue.spoil();
            return Reply::err("ERR too many commands wait for EXEC");
        }
        if !queue.is_spoilt {
            // the buffer it came in is not kept for as long as it waits
            queue.calls.push(Call::of(&call.0));
        }
        Reply::Status("QUEUED".into())
    }

    pub(super) fn multi(&mut self) -> Reply {
        if self.queue.is_some() {
            return Reply::err("ERR MULTI calls can not be nested");
        }
        self.queue = Some(Queue::default());
        Reply::OK
    }

    pub(super) fn discard(&mut self) -> Reply {
        if self.queue.take().is_none() {
            return Reply::err("ERR DISCARD without MULTI");
        }
        self.watched.clear();
        Reply::OK
    }

    pub(super) async fn watch(&mut self, keys: &[Bytes]) -> Reply {
        if self.queue.is_some() {
            return Reply::err("ERR WATCH inside MULTI is not allowed");
        }
        if !keys.iter().all(|raw| self.may_name(raw)) {
            return no_permission();
        }
        if self.watched.len() + keys.len() > REDIS_WATCHED_MAX || keys.iter().any(|raw| raw.len() > REDIS_KEY_MAX) {
            return Reply::err("ERR too many keys are watched");
        }
        // the first look counts
        let db = self.scope.db;
        let is_new = |raw: &&Bytes| !self.watched.iter().any(|held| held.db == db && held.raw == **raw);
        let new: Vec<Bytes> = keys.iter().filter(is_new).cloned().collect();
        match self.door.keyspace.watch(&self.scope, &new).await {
            Ok(mut watched) => {
                self.watched.append(&mut watched);
                Reply::OK
            }
            Err(error) => self.refused(&error),
        }
    }

    pub(super) async fn exec(&mut self) -> Reply {
        let Some(queue) = self.queue.take() else { return Reply::err("ERR EXEC without MULTI") };
        let watched = std::mem::take(&mut self.watched);
        if queue.is_spoilt {
            return Reply::err("EXECABORT Transaction discarded because of previous errors.");
        }
        // which database is selected concerns those behind it
        let is_ours = |call: &Call| {
            let word = call.0.first().and_then(|name| words::find(name));
            word.is_some_and(|word| word.what != What::Select)
        };
        let on_keys: Vec<Call> = queue.calls.iter().filter(|call| !is_ours(call)).cloned().collect();
        // what is loaded here may be run by name behind it
        queue.calls.iter().for_each(|call| self.door.keyspace.remember_loaded(call));
        let replies = match on_keys.is_empty() && watched.is_empty() {
            true => Ok(Some(Vec::new())),
            false => self.door.keyspace.transact(&self.scope, on_keys, watched).await,
        };
        let mut replies = match replies {
            Ok(Some(replies)) => replies.into_iter(),
            Ok(None) => return Reply::NullArray,
            Err(error) => return self.refused(&error),
        };
        let mut all = Vec::with_capacity(queue.calls.len());
        for call in &queue.calls {
            if is_ours(call) {
                // boxed: nothing that waits is an EXEC
                Box::pin(self.here_by_name(call, &mut all)).await;
                continue;
            }
            let reply = replies.next().unwrap_or(Reply::Null);
            if let (Some(Ok(db)), false) = (selected(&call.0), reply.is_error()) {
                self.scope.db = db;
            }
            all.push(reply);
        }
        Reply::Array(all)
    }

    /// What a command is answered that could not be run.
    pub(super) fn refused(&mut self, error: &Error) -> Reply {
        self.closes |= matches!(error, Error::FateUnknown);
        crate::keyspace::refusal(error)
    }

    /// Whether this client may name a key.
    pub(super) fn may_name(&self, raw: &[u8]) -> bool {
        self.scope.app.as_ref().is_none_or(|app| raw.starts_with(&app.prefix))
    }
}

pub(super) fn no_permission() -> Reply {
    Reply::err("NOPERM this user has no permissions to access one of the keys used as arguments")
}
