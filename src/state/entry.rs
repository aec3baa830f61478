//! Entry: a value with a deadline, packed into one allocation.
//!
//! A node holds millions of these, so an entry is a single shared byte string: a fixed header, its key, the facts
//! (sessions only), the value. The same bytes without the key travel in the log and lie in snapshots; key and `index`
//! are filled in by each node when it applies the write.
//!
//! Layout, little-endian: deadline i64 · stamp i64 · index u64 · kind u8 · facts length u16 · (in memory: key length
//! u32 · key) · facts · value.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::facts::{Facts, Glance};
use super::key::Key;
use crate::clock::Millis;

/// The deadline of an entry that has none.
pub const NEVER: Millis = Millis::MAX;

/// Bytes of the header as it travels.
const HEADER: usize = 27;
/// Where the key begins in memory, after its length.
const KEY: usize = HEADER + 4;
const KIND_PLAIN: u8 = 0;
const KIND_SESSION: u8 = 1;
const KIND_DEAD: u8 = 2;
const KIND_HASH: u8 = 3;
const KIND_SET: u8 = 4;
const KIND_SORTED_SET: u8 = 5;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Plain,
    /// A value with facts beside it.
    Session,
    /// A tombstone.
    Dead,
    /// Fields and their values.
    Hash,
    /// Members.
    Set,
    /// Members with scores.
    SortedSet,
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
        let mut packed = Vec::with_capacity(128);
        facts.pack(&mut packed);
        Self::pack(KIND_SESSION, &packed, value, deadline, stamp)
    }

    /// A tombstone: the key stays dead until `deadline`, whatever is written to it.
    pub fn dead(deadline: Millis, stamp: Millis) -> Self {
        Self::pack(KIND_DEAD, &[], &[], deadline, stamp)
    }

    /// The packed members of a hash, a set or a sorted set, written at `stamp`.
    pub fn collection(kind: Kind, packed: &[u8], deadline: Millis, stamp: Millis) -> Self {
        let kind = match kind {
            Kind::Hash => KIND_HASH,
            Kind::Set => KIND_SET,
            Kind::SortedSet => KIND_SORTED_SET,
            Kind::Plain | Kind::Session | Kind::Dead => KIND_PLAIN,
        };
        Self::pack(kind, &[], packed, deadline, stamp)
    }

    fn pack(kind: u8, facts: &[u8], value: &[u8], deadline: Millis, stamp: Millis) -> Self {
        let facts_len = u16::try_from(facts.len()).expect("facts are bounded by identity to a few hundred bytes");
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&deadline.to_le_bytes());
        header[8..16].copy_from_slice(&stamp.to_le_bytes());
        header[24] = kind;
        header[25..].copy_from_slice(&facts_len.to_le_bytes());
        Self::joined(&header, &[], &[facts, value])
    }

    /// One allocation of all these pieces.
    fn joined(header: &[u8; HEADER], key: &[u8], rest: &[&[u8]]) -> Self {
        // gathered where it costs nothing: most entries are smaller
        let mut bytes = SmallVec::<[u8; 1_024]>::from_slice(header);
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key);
        rest.iter().for_each(|piece| bytes.extend_from_slice(piece));
        Self(Arc::from(&*bytes))
    }

    /// The same entry as a node holds it: under `key`, written by the log entry at `index`.
    pub(super) fn held(&self, key: &Key, index: u64) -> Self {
        let (header, rest) = self.packed();
        let mut header = *header;
        header[16..24].copy_from_slice(&index.to_le_bytes());
        Self::joined(&header, key.as_bytes(), &[rest])
    }

    /// The key under which a node holds it; empty before.
    pub(super) fn key(&self) -> &[u8] {
        &self.0[KEY..self.after_key()]
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

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.0[24] {
            KIND_SESSION => Kind::Session,
            KIND_DEAD => Kind::Dead,
            KIND_HASH => Kind::Hash,
            KIND_SET => Kind::Set,
            KIND_SORTED_SET => Kind::SortedSet,
            _ => Kind::Plain,
        }
    }

    /// The same entry with another deadline, written at `stamp`.
    pub fn until(&self, deadline: Millis, stamp: Millis) -> Self {
        let (header, rest) = self.packed();
        let mut header = *header;
        header[..8].copy_from_slice(&deadline.to_le_bytes());
        header[8..16].copy_from_slice(&stamp.to_le_bytes());
        header[16..24].fill(0);
        Self::joined(&header, &[], &[rest])
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
        self.glance()?.facts()
    }

    /// The facts that an answer hangs on, for a session, read in place.
    pub fn glance(&self) -> Option<Glance<'_>> {
        if self.0[24] != KIND_SESSION {
            return None;
        }
        let from = self.after_key();
        Glance::of(&self.0[from..from + self.facts_len()])
    }

    /// Whether this may be a session that an app keeps, which names nobody: a JSON object without facts.
    pub fn is_apps_session(&self) -> bool {
        self.kind() == Kind::Plain && self.value().first() == Some(&b'{')
    }

    /// Whether this is a session that somebody signed in to.
    pub fn is_signed(&self) -> bool {
        self.glance().is_some_and(|glance| glance.epoch().is_some())
    }

    /// Whether this is a session of the user.
    pub fn is_of(&self, user: &str) -> bool {
        self.glance().and_then(|glance| glance.user()).is_some_and(|id| *id == *user)
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        &self.0[self.after_key() + self.facts_len()..]
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: an entry has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The packed bytes as they travel, without the key: header, then facts and value.
    pub(super) fn packed(&self) -> (&[u8; HEADER], &[u8]) {
        let header = self.0.first_chunk().expect("an entry has a header");
        (header, &self.0[self.after_key()..])
    }

    /// An entry of packed bytes, held under `key`.
    ///
    /// # Errors
    /// When the bytes are no entry; says which part.
    pub(super) fn unpacked(key: &[u8], bytes: &[u8]) -> Result<Self, &'static str> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or("entry shorter than its header")?;
        if header[24] > KIND_SORTED_SET {
            return Err("entry of an unknown kind");
        }
        if rest.len() < usize::from(u16::from_le_bytes([header[25], header[26]])) {
            return Err("entry shorter than its facts");
        }
        Ok(Self::joined(header, key, &[rest]))
    }

    fn after_key(&self) -> usize {
        let mut four = [0; 4];
        four.copy_from_slice(&self.0[HEADER..KEY]);
        KEY + u32::from_le_bytes(four) as usize
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
        let (header, rest) = self.packed();
        let mut bytes = SmallVec::<[u8; 1_024]>::from_slice(header);
        bytes.extend_from_slice(rest);
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Self::unpacked(&[], &bytes).map_err(serde::de::Error::custom)
    }
}
