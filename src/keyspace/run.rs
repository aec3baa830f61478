//! Run: a stretch of commands that came together, answered in order.
//!
//! Reads before the first write are read here. From the first write to the last one everything goes to the leader in one
//! piece, as far as a record may be, so that a pipeline is proposed together and keeps its order; a piece waits for the
//! one before it. A touch of a session that would change nothing, most often because its deadline is near enough, is
//! answered here as well.

use bytes::Bytes;

use super::{Call, Keyspace, LOOKS_MAX, Reply, Scope, listing};
use crate::config::Reads;
use crate::error::{Error, Result};
use crate::limits::{REDIS_LOT_BYTES, REDIS_LOT_MAX};
use crate::state::{Commands, Op, Outcome, command};

/// Nobody can tell what became of the last command that was answered: the connection ends with it.
#[derive(Debug)]
pub struct Ended;

impl Keyspace {
    /// Runs commands one after another, and adds what each is answered.
    ///
    /// # Errors
    /// `Ended` when nobody can tell what became of one; those behind it are not run.
    pub async fn run(&self, scope: &Scope, calls: &[Call], out: &mut Vec<Reply>) -> Result<(), Ended> {
        let mut at = 0;
        while at < calls.len() {
            let plain = calls[at..].iter().position(is_odd).map_or(calls.len(), |odd| at + odd);
            if plain > at {
                self.stretch(scope, &calls[at..plain], out).await?;
                at = plain;
            } else {
                self.odd(scope, &calls[at], out).await?;
                at += 1;
            }
        }
        Ok(())
    }

    async fn stretch(&self, scope: &Scope, calls: &[Call], out: &mut Vec<Reply>) -> Result<(), Ended> {
        let mut at = 0;
        while at < calls.len() {
            at += self.here(scope, &calls[at..], out).await;
            if at < calls.len() {
                let last = calls[at..].iter().rposition(|call| !reads(call)).map_or(at, |last| at + last);
                self.there(scope, &calls[at..=last], out).await?;
                at = last + 1;
            }
        }
        Ok(())
    }

    /// Answers the reads that calls begin with; says how many these were.
    async fn here(&self, scope: &Scope, calls: &[Call], out: &mut Vec<Reply>) -> usize {
        let count = calls.iter().position(|call| !reads(call) && !touches(call)).unwrap_or(calls.len());
        let calls = &calls[..count];
        if count == 0 || self.is_current() {
            return self.look(scope, calls, out);
        }
        // a touch that will be written anyhow need not ask first
        if touches(&calls[0]) && self.look(scope, &calls[..1], &mut Vec::new()) == 0 {
            return 0;
        }
        let refreshed = match self.reads {
            Reads::Fresh => self.log.refresh().await,
            Reads::Local => {
                let before = out.len();
                for _ in 0..LOOKS_MAX {
                    out.truncate(before);
                    let looked = self.look(scope, calls, out);
                    // read first, then ask how old it is
                    if self.log.is_fresh() {
                        return looked;
                    }
                    if let Err(error) = self.log.refresh().await {
                        out.truncate(before);
                        out.extend((0..count).map(|_| refusal(&error)));
                        return count;
                    }
                }
                out.truncate(before);
                Err(Error::NotDone("what the leader says comes too late".into()))
            }
        };
        match refreshed {
            Ok(()) => self.look(scope, calls, out),
            Err(error) => {
                out.extend((0..count).map(|_| refusal(&error)));
                count
            }
        }
    }

    /// Reads in memory, up to the first touch that would change something.
    fn look(&self, scope: &Scope, calls: &[Call], out: &mut Vec<Reply>) -> usize {
        let (generation, now) = (self.state.current(), self.log.now());
        let _whole = self.state.whole();
        for (at, call) in calls.iter().enumerate() {
            let reply = match touches(call) {
                true => command::attempt(&generation.entries, scope, &call.0, now),
                false => Some(command::read(&generation.entries, scope, &call.0, now)),
            };
            let Some(reply) = reply else { return at };
            out.push(reply);
        }
        calls.len()
    }

    /// Has calls decided by the leader, in pieces of a bounded size. What was left of a piece begins the next.
    async fn there(&self, scope: &Scope, calls: &[Call], out: &mut Vec<Reply>) -> Result<(), Ended> {
        let mut rest = calls;
        while !rest.is_empty() {
            let lot = &rest[..lot_of(rest)];
            lot.iter().for_each(|call| self.remember(call));
            let (calls, published) = (lot.to_vec(), self.published(lot));
            let commands = Commands { scope: scope.clone(), calls, watched: Vec::new(), is_whole: false };
            let error = match self.log.submit(Op::Commands(Box::new(commands))).await {
                Ok(Outcome::Replies(mut replies)) if !replies.is_empty() => {
                    rest = &rest[replies.len().min(lot.len())..];
                    self.count_listeners(scope, published, &mut replies);
                    out.append(&mut replies);
                    continue;
                }
                Ok(Outcome::Full) => Error::Full,
                Ok(other) => Error::Broken(format!("commands were answered {other:?}")),
                Err(error) => error,
            };
            rest = &rest[lot.len()..];
            out.extend(lot.iter().map(|_| refusal(&error)));
            if matches!(error, Error::FateUnknown) {
                return Err(Ended);
            }
        }
        Ok(())
    }

    /// The messages among calls: where they stand, and in which channels.
    pub(super) fn published(&self, calls: &[Call]) -> Vec<(usize, Bytes)> {
        let is_message = |call: &Call| call.0.len() == 3 && call.0[0].eq_ignore_ascii_case(b"publish");
        let all = calls.iter().enumerate().filter(|(_, call)| is_message(call));
        all.map(|(at, call)| (at, call.0[1].clone())).collect()
    }

    /// Says of messages how many on this node heard them: nobody knows of the others.
    pub(super) fn count_listeners(&self, scope: &Scope, published: Vec<(usize, Bytes)>, replies: &mut [Reply]) {
        for (at, channel) in published {
            if let Some(reply @ Reply::Int(_)) = replies.get_mut(at) {
                *reply = Reply::count(self.hub.listeners(scope.app.as_ref(), &channel));
            }
        }
    }

    /// Runs a command that is more than one step here.
    async fn odd(&self, scope: &Scope, call: &Call, out: &mut Vec<Reply>) -> Result<(), Ended> {
        let name = call.0[0].to_ascii_lowercase();
        if name.starts_with(b"evalsha") {
            let mut calls = [call.clone()];
            return match self.with_bodies(&mut calls).await.pop() {
                Some((_, refusal)) => {
                    out.push(refusal);
                    Ok(())
                }
                None => self.stretch(scope, &calls, out).await,
            };
        }
        let answered = match &*name {
            b"flushdb" | b"flushall" => self.flush(scope, call).await,
            _ => self.list(scope, call).await,
        };
        let ended = matches!(answered, Err(Error::FateUnknown));
        out.push(answered.unwrap_or_else(|error| refusal(&error)));
        if ended { Err(Ended) } else { Ok(()) }
    }
}

/// How many of the calls go together; at least one.
fn lot_of(calls: &[Call]) -> usize {
    let mut bytes = 0;
    let fits = |call: &&Call| {
        bytes += call.0.iter().map(Bytes::len).sum::<usize>();
        bytes <= REDIS_LOT_BYTES
    };
    calls.iter().take(REDIS_LOT_MAX).take_while(fits).count().max(1)
}

/// Whether a call is run here; one that is no command is.
fn reads(call: &Call) -> bool {
    call.spec().is_none_or(|spec| !spec.is_decided() || !spec.takes(call.0.len()))
}

/// Whether all that a call changes is a deadline.
fn touches(call: &Call) -> bool {
    call.spec().is_some_and(|spec| matches!(spec.name, "expire" | "pexpire" | "getex") && spec.takes(call.0.len()))
}

/// Whether a call is more than one step.
fn is_odd(call: &Call) -> bool {
    let Some(name) = call.0.first() else { return false };
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    match name.len() {
        4 => listing::lists(name),
        6 => is(b"dbsize"),
        7 => is(b"flushdb") || is(b"evalsha"),
        8 => is(b"flushall"),
        9 => is(b"randomkey"),
        10 => is(b"evalsha_ro"),
        _ => false,
    }
}

/// What a command is answered that was not run, in Redis's words as far as it has any.
pub fn refusal(error: &Error) -> Reply {
    match error {
        Error::NotDone(why) => Reply::error(format!("TRYAGAIN not done: {why}")),
        Error::FateUnknown => Reply::err("ERR outcome unknown"),
        Error::Full => super::wrong::full(),
        error => {
            tracing::error!(%error, "a command failed");
            Reply::err("ERR internal error")
        }
    }
}
