//! Scripts: their bodies by SHA-1, so that `EVALSHA` need not bring them.
//!
//! Each node remembers what it has run, the newest so many; the leader is always given the body. What `SCRIPT LOAD` was
//! given is in the state, so that every node finds it, and so that it outlives a restart: in one entry, the newest so
//! many. All of that is a convenience: a client that is told `NOSCRIPT` sends the body.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use sha1::{Digest as _, Sha1};

use super::{Call, Keyspace, Reply};
use crate::error::{Error, Result};
use crate::limits::{REDIS_LOADED_BYTES, REDIS_LOADED_MAX, REDIS_SCRIPTS_BYTES, REDIS_SCRIPTS_MAX};
use crate::state::change::Exchange;
use crate::state::{Key, Op, Outcome};

/// The setting that holds what was loaded: each body with its length in front, the oldest first.
const LOADED: &str = "scripts";

/// How often loading is tried while others load, too.
const TRIES: usize = 8;

type Sha = [u8; 40];

/// What a node remembers.
#[derive(Default)]
pub struct Scripts(Mutex<Held>);

#[derive(Default)]
struct Held {
    bodies: HashMap<Sha, Bytes>,
    /// In the order in which they came.
    order: VecDeque<Sha>,
    bytes: usize,
}

impl Scripts {
    fn get(&self, sha: &Sha) -> Option<Bytes> {
        self.0.lock().bodies.get(sha).cloned()
    }

    fn put(&self, sha: Sha, body: &[u8]) {
        let mut held = self.0.lock();
        if body.len() > REDIS_SCRIPTS_BYTES || held.bodies.contains_key(&sha) {
            return;
        }
        held.bytes += body.len();
        held.bodies.insert(sha, Bytes::copy_from_slice(body));
        held.order.push_back(sha);
        while held.bytes > REDIS_SCRIPTS_BYTES || held.order.len() > REDIS_SCRIPTS_MAX {
            let Some(oldest) = held.order.pop_front() else { break };
            held.bytes -= held.bodies.remove(&oldest).map_or(0, |body| body.len());
        }
    }

    fn clear(&self) {
        *self.0.lock() = Held::default();
    }
}

impl Keyspace {
    /// Gives every `EVALSHA` among the calls the body that it names, and remembers those of `EVAL`. Answers which of them
    /// name none, and what they are answered.
    pub(super) async fn with_bodies(&self, calls: &mut [Call]) -> Vec<(usize, Reply)> {
        let mut refused = Vec::new();
        for (at, call) in calls.iter_mut().enumerate() {
            let Some(plain) = call.0.first().and_then(|name| plain(name)) else { continue };
            let Some(body) = call.0.get(1) else { continue };
            if plain.is_by_body {
                self.scripts.put(sha(body), body);
                continue;
            }
            // one with too few words is refused for that, wherever it is run
            match self.body(body).await {
                Some(found) => call.0[1] = found,
                None if call.0.len() > 2 => {
                    refused.push((at, Reply::err("NOSCRIPT No matching script. Please use EVAL.")))
                }
                None => {}
            }
            call.0[0] = Bytes::from_static(plain.name);
        }
        refused
    }

    /// Remembers the body that a call loads.
    pub fn remember_loaded(&self, call: &Call) {
        if let [name, below, body] = call.0.as_slice()
            && name.eq_ignore_ascii_case(b"script")
            && below.eq_ignore_ascii_case(b"load")
        {
            self.scripts.put(sha(body), body);
        }
    }

    /// Remembers the bodies that calls bring.
    pub(super) fn remember(&self, call: &Call) {
        if let [name, body, ..] = call.0.as_slice()
            && plain(name).is_some_and(|plain| plain.is_by_body)
        {
            self.scripts.put(sha(body), body);
        }
    }

    async fn body(&self, sha: &[u8]) -> Option<Bytes> {
        let sha = lower(sha)?;
        if let Some(body) = self.scripts.get(&sha).or_else(|| self.loaded(&sha)) {
            return Some(body);
        }
        // another node may have been given it just now
        if self.is_current() || self.log.refresh().await.is_err() {
            return None;
        }
        self.loaded(&sha)
    }

    fn loaded(&self, wanted: &Sha) -> Option<Bytes> {
        let all = self.setting(LOADED)?;
        let body = unpacked(all).into_iter().find(|body| sha(body) == *wanted)?;
        self.scripts.put(*wanted, &body);
        Some(body)
    }

    /// `SCRIPT LOAD`: has every node remember a body; answers its SHA-1.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`.
    pub async fn load_script(&self, body: &[u8]) -> Result<Reply> {
        let name = sha(body);
        self.scripts.put(name, body);
        for _ in 0..TRIES {
            let held = self.setting(LOADED);
            let mut all = held.clone().map(unpacked).unwrap_or_default();
            if body.len() + 4 > REDIS_LOADED_BYTES || all.iter().any(|held| held == body) {
                return Ok(Reply::bulk(name));
            }
            all.push_back(Bytes::copy_from_slice(body));
            while all.len() > REDIS_LOADED_MAX || packed(&all).len() > REDIS_LOADED_BYTES {
                all.pop_front();
            }
            let exchange = Exchange { key: Key::setting(LOADED), held, value: Some(packed(&all)) };
            match self.log.submit(Op::Exchange(exchange)).await? {
                // somebody was first, perhaps somewhere else
                Outcome::Gone => self.log.refresh().await?,
                _ => return Ok(Reply::bulk(name)),
            }
        }
        Err(Error::NotDone("others load scripts all the time".into()))
    }

    /// `SCRIPT FLUSH`: forgets all of them, here and in the state.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`.
    pub async fn flush_scripts(&self) -> Result<()> {
        self.scripts.clear();
        if self.setting(LOADED).is_some() {
            let value = Bytes::new();
            self.log.submit(Op::Setting { name: LOADED.into(), value, only_if_absent: false }).await?;
        }
        Ok(())
    }

    /// `SCRIPT EXISTS`: whether a script is remembered.
    pub async fn knows_script(&self, sha: &[u8]) -> bool {
        self.body(sha).await.is_some()
    }
}

struct Plain {
    name: &'static [u8],
    is_by_body: bool,
}

/// The command that is given the body.
fn plain(name: &[u8]) -> Option<Plain> {
    let by_body = |name| Some(Plain { name, is_by_body: true });
    let by_sha = |name| Some(Plain { name, is_by_body: false });
    match &*name.to_ascii_lowercase() {
        b"eval" => by_body(b"eval"),
        b"eval_ro" => by_body(b"eval_ro"),
        b"evalsha" => by_sha(b"eval"),
        b"evalsha_ro" => by_sha(b"eval_ro"),
        _ => None,
    }
}

/// SHA-1 in hexadecimal.
fn sha(body: &[u8]) -> Sha {
    let mut text = [0; 40];
    for (pair, byte) in text.chunks_mut(2).zip(Sha1::digest(body)) {
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

fn lower(sha: &[u8]) -> Option<Sha> {
    let mut sha: Sha = sha.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

fn packed(all: &VecDeque<Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    for body in all {
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(body);
    }
    out.freeze()
}

fn unpacked(mut all: Bytes) -> VecDeque<Bytes> {
    let mut bodies = VecDeque::new();
    while let Some(length) = all.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize) {
        if all.len() < 4 + length {
            break;
        }
        bodies.push_back(all.slice(4..4 + length));
        all = all.slice(4 + length..);
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_named_by_their_sha_1() {
        assert_eq!(sha(b"return 1"), *b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
        assert_eq!(lower(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(sha(b"return 1")));
        assert_eq!(lower(b"e0e1"), None);
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let all: VecDeque<Bytes> = [&b"a"[..], b"", b"ccc"].into_iter().map(Bytes::from_static).collect();
        assert_eq!(unpacked(packed(&all)), all);
        assert_eq!(unpacked(Bytes::from_static(b"\x05\0\0\0abc")), VecDeque::new());
    }

    #[test]
    fn a_node_remembers_so_many_scripts_and_no_more() {
        let scripts = Scripts::default();
        for n in 0..REDIS_SCRIPTS_MAX + 10 {
            let body = format!("return {n}");
            scripts.put(sha(body.as_bytes()), body.as_bytes());
        }
        assert_eq!(scripts.get(&sha(b"return 0")), None);
        assert!(scripts.get(&sha(b"return 10")).is_some());
        assert_eq!(scripts.0.lock().bodies.len(), REDIS_SCRIPTS_MAX);
    }
}
