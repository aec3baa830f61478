//! Entry: a value with a deadline, packed into one allocation.
//!
//! A node holds millions of these, so an entry is a single shared byte string: a fixed header, the facts (sessions
//! only), the value. The same bytes travel in the log and lie in snapshots; only `index` is filled in by each node
//! when it applies the write.
//!
//! Layout, little-endian: deadline i64 · stamp i64 · index u64 · kind u8 · facts length u16 · facts · value.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::codec;
use crate::clock::Millis;

/// The deadline of an entry that has none.
pub const NEVER: Millis = Millis::MAX;

const HEADER: usize = 27;
const KIND_PLAIN: u8 = 0;
const KIND_SESSION: u8 = 1;
const KIND_DEAD: u8 = 2;

/// How a person proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// With their password.
    Password,
    /// By signing up in this very session.
    SignUp,
    /// With a one-time link.
    Link,
}

/// Who is signed in, as far as the session knows. Set by `identity` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// User id.
    pub user: String,
    /// The user's session epoch when they signed in; under an older epoch than the current one the session is dead.
    pub epoch: u64,
    /// How they proved it.
    pub proof: Proof,
    /// Digest of the second, host-only cookie that `/account` and `/admin` want to see.
    pub own: [u8; 16],
}

/// What stands beside a session's value, out of reach of whoever may write the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// `None` in an anonymous session.
    pub signed: Option<Signed>,
    /// When the session began, log time.
    pub begun: Millis,
    /// The moment the session ends whatever happens, log time.
    pub absolute: Millis,
    /// Idle timeout in milliseconds.
    pub idle_ms: i64,
    /// Whether the cookie outlives the browser.
    pub remember: bool,
    /// Where it began: an IP address.
    pub address: String,
    /// What it began in: a short name of the browser or client.
    pub agent: String,
}

impl Facts {
    /// How far past the idle timeout a deadline is written, so that most touches need no commit: a tenth of the
    /// timeout, at most a minute.
    pub fn slack_ms(&self) -> i64 {
        (self.idle_ms / 10).min(60_000)
    }

    /// The deadline that use of the session at `now` asks for, slack included.
    pub fn slid(&self, now: Millis) -> Millis {
        now.saturating_add(self.idle_ms).saturating_add(self.slack_ms()).min(self.absolute)
    }

    /// Whether use at `now` would move a deadline by more than the slack that is in it already.
    pub fn wants_touch(&self, deadline: Millis, now: Millis) -> bool {
        deadline < self.absolute && now.saturating_add(self.idle_ms) > deadline
    }
}

/// One entry. Cheap to clone; never changed, only replaced.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry(Arc<[u8]>);

impl Entry {
    /// A plain value, written at `stamp`.
    pub fn plain(value: &[u8], deadline: Millis, stamp: Millis) -> Self {
        Self::pack(KIND_PLAIN, &[], value, deadline, stamp)
    }

    /// A session: facts beside a value.
    pub fn session(facts: &Facts, value: &[u8], deadline: Millis, stamp: Millis) -> Self {
        Self::pack(KIND_SESSION, &codec::encode(facts), value, deadline, stamp)
    }

    /// A tombstone: the key stays dead until `deadline`, whatever is written to it.
    pub fn dead(deadline: Millis, stamp: Millis) -> Self {
        Self::pack(KIND_DEAD, &[], &[], deadline, stamp)
    }

    fn pack(kind: u8, facts: &[u8], value: &[u8], deadline: Millis, stamp: Millis) -> Self {
        let facts_len = u16::try_from(facts.len()).expect("facts are bounded by identity to a few hundred bytes");
        let mut out = Vec::with_capacity(HEADER + facts.len() + value.len());
        out.extend_from_slice(&deadline.to_le_bytes());
        out.extend_from_slice(&stamp.to_le_bytes());
        out.extend_from_slice(&0u64.to_le_bytes());
        out.push(kind);
        out.extend_from_slice(&facts_len.to_le_bytes());
        out.extend_from_slice(facts);
        out.extend_from_slice(value);
        Self(Arc::from(out))
    }

    /// The same entry, written by the log entry at `index`.
    pub fn at(self, index: u64) -> Self {
        let mut out = self.0.to_vec();
        out[16..24].copy_from_slice(&index.to_le_bytes());
        Self(Arc::from(out))
    }

    /// When the entry ends, log time; [`NEVER`] without a deadline.
    pub fn deadline(&self) -> Millis {
        self.i64_at(0)
    }

    /// The log time of the write.
    pub fn stamp(&self) -> Millis {
        self.i64_at(8)
    }

    /// The log index of the write; 0 until applied.
    pub fn index(&self) -> u64 {
        self.i64_at(16) as u64
    }

    /// Whether this is a tombstone.
    pub fn is_dead(&self) -> bool {
        self.0[24] == KIND_DEAD
    }

    /// Whether the entry exists at `now`: its deadline has not come and it is no tombstone.
    pub fn is_live(&self, now: Millis) -> bool {
        !self.is_dead() && now < self.deadline()
    }

    /// The facts, for a session.
    pub fn facts(&self) -> Option<Facts> {
        if self.0[24] != KIND_SESSION {
            return None;
        }
        codec::decode(&self.0[HEADER..HEADER + self.facts_len()]).ok()
    }

    /// The user of a signed-in session, read without unpacking the other facts.
    pub fn user(&self) -> Option<&str> {
        if self.0[24] != KIND_SESSION {
            return None;
        }
        codec::peek(&self.0[HEADER..HEADER + self.facts_len()])
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.0[HEADER + self.facts_len()..]
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: an entry has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The packed bytes, as they lie in snapshots.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// An entry of packed bytes.
    ///
    /// # Errors
    /// When the bytes are no entry; says which part.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < HEADER {
            return Err("entry shorter than its header");
        }
        let entry = Self(Arc::from(bytes));
        if entry.0[24] > KIND_DEAD {
            return Err("entry of an unknown kind");
        }
        if bytes.len() < HEADER + entry.facts_len() {
            return Err("entry shorter than its facts");
        }
        Ok(entry)
    }

    fn facts_len(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[25], self.0[26]]))
    }

    fn i64_at(&self, at: usize) -> i64 {
        let mut eight = [0; 8];
        eight.copy_from_slice(&self.0[at..at + 8]);
        i64::from_le_bytes(eight)
    }
}

/// Values are secrets: only the header is ever printed.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({} bytes, deadline {}, dead {})", self.0.len(), self.deadline(), self.is_dead())
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&*self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}
