//! Copying: keys of another store, written as an app would write them.
//!
//! Those that may only take the place of nothing are many, and are decided a batch at a time. The others are written if
//! what they take the place of is still what whoever copies saw last, each as one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::clock::Millis;
use crate::control::protocol::{Copied, CopiedKey, Held, KeyChunk, Over};
use crate::error::{Error, Result};
use crate::identity::apps::IMPORT;
use crate::log::Log;
use crate::state::command::{self, AppScope, Watched};
use crate::state::{Call, Commands, NEVER, Op, Outcome, Reply, Scope, State};

/// Keys that one Op writes.
const BATCH: usize = 64;
/// Ops that are under way at once.
const AT_ONCE: usize = 32;
/// What a later deadline must be later by to be written down, milliseconds.
const NOTICED_MS: i64 = 1_000;

/// Where keys go.
pub struct Copying {
    pub state: Arc<State>,
    pub log: Arc<dyn Log>,
    /// What session keys begin with.
    pub sessions: String,
}

impl Copying {
    /// Writes the keys of a chunk; answers what came of each, in order.
    ///
    /// # Errors
    /// `Full`; as the log says.
    pub async fn write(&self, chunk: KeyChunk) -> Result<Vec<Copied>> {
        let scope = self.scope(&chunk);
        let now = self.log.now();
        let mut done = vec![None; chunk.keys.len()];
        let (plain, single): (Vec<_>, Vec<_>) = (0..chunk.keys.len()).partition(|at| is_plain(&chunk.keys[*at]));
        for batches in plain.chunks(BATCH).collect::<Vec<_>>().chunks(AT_ONCE) {
            let keys = |batch: &[usize]| batch.iter().map(|at| &chunk.keys[*at]).collect::<Vec<_>>();
            let answers = join_all(batches.iter().map(|batch| self.set_absent(&scope, keys(batch), now))).await;
            for (batch, answers) in batches.iter().zip(answers) {
                batch.iter().zip(answers?).for_each(|(at, answer)| done[*at] = Some(answer));
            }
        }
        for some in single.chunks(AT_ONCE) {
            let answers = join_all(some.iter().map(|at| self.replace(&scope, &chunk.keys[*at], now))).await;
            for (at, answer) in some.iter().zip(answers) {
                done[*at] = Some(answer?);
            }
        }
        Ok(done.into_iter().map(|one| one.unwrap_or(Copied::Kept)).collect())
    }

    /// Strings that may only take the place of nothing.
    async fn set_absent(&self, scope: &Scope, keys: Vec<&CopiedKey>, now: Millis) -> Result<Vec<Copied>> {
        let calls = keys.iter().filter_map(|key| set(key, now, &["NX"])).collect();
        let replies = self.run(scope, calls, Vec::new()).await?;
        let mut done = Vec::with_capacity(keys.len());
        for (key, reply) in keys.into_iter().zip(replies.unwrap_or_default()) {
            done.push(match reply {
                Reply::Error(why) => refused(&why)?,
                Reply::Null => self.found(scope, key, now).await?,
                _ => Copied::Written { version: self.version(scope, key) },
            });
        }
        Ok(done)
    }

    /// What may be here already: the very same is as good as written, and may have to live longer.
    async fn found(&self, scope: &Scope, key: &CopiedKey, now: Millis) -> Result<Copied> {
        let version = self.version(scope, key);
        if version == 0 || !self.is_same(scope, key) {
            return Ok(Copied::Kept);
        }
        let held = self.state.live(&crate::state::Key::of_app(scope.db, &key.key.0), self.log.now());
        let is_later = held.is_some_and(|held| deadline(key, now).saturating_sub(NOTICED_MS) > held.deadline());
        if !is_later {
            return Ok(Copied::Same { version });
        }
        self.write_over(scope, key, (now, Some(version))).await
    }

    /// Takes the place of what whoever copies saw last, or of anything.
    async fn replace(&self, scope: &Scope, key: &CopiedKey, now: Millis) -> Result<Copied> {
        let over = match key.over {
            Over::Nothing => Some(0),
            Over::Version(version) => Some(version),
            Over::Anything => None,
        };
        match self.write_over(scope, key, (now, over)).await? {
            Copied::Kept => self.found(scope, key, now).await,
            done => Ok(done),
        }
    }

    async fn write_over(&self, scope: &Scope, key: &CopiedKey, (now, over): (Millis, Option<u64>)) -> Result<Copied> {
        let raw = Bytes::copy_from_slice(&key.key.0);
        let watched = over.map(|index| Watched { db: scope.db, raw, index }).into_iter().collect();
        let Some(replies) = self.run(scope, calls(key, now), watched).await? else { return Ok(Copied::Kept) };
        match replies.into_iter().find_map(|reply| if let Reply::Error(why) = reply { Some(why) } else { None }) {
            Some(why) => refused(&why),
            None => Ok(Copied::Written { version: self.version(scope, key) }),
        }
    }

    /// Runs commands as one; `None` when a key that is watched is not what it was.
    async fn run(&self, scope: &Scope, calls: Vec<Call>, watched: Vec<Watched>) -> Result<Option<Vec<Reply>>> {
        let commands = Commands { scope: scope.clone(), calls, watched, is_whole: true };
        match self.log.submit(Op::Commands(Box::new(commands))).await? {
            Outcome::Replies(replies) => Ok(Some(replies)),
            Outcome::Aborted => Ok(None),
            other => Err(Error::Broken(format!("keys that were copied were answered {other:?}"))),
        }
    }

    fn version(&self, scope: &Scope, key: &CopiedKey) -> u64 {
        command::watched(&self.state.current().entries, scope, &key.key.0, self.log.now()).index
    }

    fn is_same(&self, scope: &Scope, key: &CopiedKey) -> bool {
        let read = |name: &str| {
            let call = Call::of([name.as_bytes(), &key.key.0]);
            command::read(&self.state.current().entries, scope, &call.0, self.log.now())
        };
        match &key.holds {
            Held::Text(text) => bytes_of(&read("GET")).is_some_and(|held| *held == text.0),
            Held::Hash(fields) => {
                let mut wanted: Vec<_> = fields.iter().map(|(name, value)| (name.0.clone(), value.0.clone())).collect();
                let mut held = pairs_of(&read("HGETALL"));
                wanted.sort();
                held.sort();
                wanted == held
            }
            Held::Nothing => false,
        }
    }

    /// That of an app that sees everything, and may sign people in if it is to.
    fn scope(&self, chunk: &KeyChunk) -> Scope {
        let trusted = || AppScope { name: IMPORT.into(), prefix: Vec::new(), may_sign_in: true, share: 100 };
        Scope {
            db: chunk.db,
            app: chunk.may_sign_in.then(trusted),
            sessions: self.sessions.clone(),
            // what is gone there was ended there, and comes from nowhere else
            guard_ms: 0,
        }
    }
}

fn is_plain(key: &CopiedKey) -> bool {
    key.over == Over::Nothing && matches!(key.holds, Held::Text(_))
}

fn deadline(key: &CopiedKey, now: Millis) -> Millis {
    key.ttl_ms.map_or(NEVER, |ttl| now.saturating_add(ttl.max(1)))
}

/// `SET`, with its deadline and these words behind it.
fn set(key: &CopiedKey, now: Millis, rest: &[&str]) -> Option<Call> {
    let Held::Text(text) = &key.holds else { return None };
    let until = key.ttl_ms.map(|_| deadline(key, now).to_string());
    let mut words: Vec<&[u8]> = vec![b"SET", &key.key.0, &text.0];
    if let Some(until) = &until {
        words.extend([b"PXAT".as_slice(), until.as_bytes()]);
    }
    words.extend(rest.iter().map(|word| word.as_bytes()));
    Some(Call::of(words))
}

/// What writes the key, whatever it held.
fn calls(key: &CopiedKey, now: Millis) -> Vec<Call> {
    let raw = key.key.0.as_slice();
    match &key.holds {
        Held::Text(_) => set(key, now, &[]).into_iter().collect(),
        Held::Nothing => vec![Call::of([b"DEL", raw])],
        Held::Hash(fields) => {
            let mut words: Vec<&[u8]> = vec![b"HSET", raw];
            words.extend(fields.iter().flat_map(|(name, value)| [name.0.as_slice(), value.0.as_slice()]));
            let mut calls = vec![Call::of([b"DEL", raw]), Call::of(words)];
            if key.ttl_ms.is_some() {
                calls.push(Call::of([b"PEXPIREAT", raw, deadline(key, now).to_string().as_bytes()]));
            }
            calls
        }
    }
}

/// A key that cannot be here is told of; a store without room ends it all.
fn refused(why: &str) -> Result<Copied> {
    if why.starts_with("OOM") { Err(Error::Full) } else { Ok(Copied::Refused { why: why.to_owned() }) }
}

fn bytes_of(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Bulk(bytes) => Some(bytes),
        Reply::Value(entry) => Some(entry.value()),
        _ => None,
    }
}

fn pairs_of(reply: &Reply) -> Vec<(Vec<u8>, Vec<u8>)> {
    let owned = |reply: &Reply| bytes_of(reply).unwrap_or_default().to_vec();
    match reply {
        Reply::Map(pairs) => pairs.iter().map(|(name, value)| (owned(name), owned(value))).collect(),
        Reply::Array(items) => items.chunks_exact(2).map(|pair| (owned(&pair[0]), owned(&pair[1]))).collect(),
        _ => Vec::new(),
    }
}
