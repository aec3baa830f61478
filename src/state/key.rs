//! Key: the name of an entry.
//!
//! Any bytes. Keys that begin with a NUL byte are ours alone: no door lets a client name one, so a session epoch or a
//! count of tries can never be read or overwritten by an app. Shared rather than copied: the per-user index holds the
//! same allocation as the cache.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// How the key of a user's session epoch begins.
pub(super) const EPOCH: &str = "\0epoch:";

/// How the key of an app's credentials begins.
pub(super) const APP: &str = "\0app:";

/// How keys begin that apps name in another database than the first, or with a NUL in front: a byte for the database
/// follows.
const DATABASE: &[u8] = b"\0db:";

/// An entry's key. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Arc::from(bytes.as_ref()))
    }

    /// The key of the session `sid` under `prefix`.
    pub fn session(prefix: &str, sid: &str) -> Self {
        Self::joined(prefix, sid)
    }

    /// Where the session epoch of a user is kept.
    pub fn epoch(user: &str) -> Self {
        Self::joined(EPOCH, user)
    }

    /// Where a cluster-wide setting is kept.
    pub fn setting(name: &str) -> Self {
        Self::joined("\0setting:", name)
    }

    /// Where the tries of one kind (`account`, `address`, …) against `who` are counted.
    pub fn tries(kind: &str, who: &str) -> Self {
        Self::joined(&format!("\0tries:{kind}:"), who)
    }

    /// Where the uses of a join token that are left are kept; `key` is its public key.
    pub fn join(key: &[u8; 32]) -> Self {
        let mut bytes = SmallVec::<[u8; 128]>::from_slice(b"\0join:");
        bytes.extend_from_slice(key);
        Self(Arc::from(&*bytes))
    }

    /// What an app calls `raw` in the database `db`.
    pub fn of_app(db: u8, raw: &[u8]) -> Self {
        let mut bytes = SmallVec::<[u8; 128]>::new();
        if db > 0 || raw.first() == Some(&0) {
            bytes.extend_from_slice(DATABASE);
            bytes.push(db);
        }
        bytes.extend_from_slice(raw);
        Self(Arc::from(&*bytes))
    }

    /// Where the credentials of an app are kept.
    pub fn app(name: &str) -> Self {
        Self::joined(APP, name)
    }

    fn joined(prefix: &str, rest: &str) -> Self {
        let mut bytes = SmallVec::<[u8; 128]>::from_slice(prefix.as_bytes());
        bytes.extend_from_slice(rest.as_bytes());
        Self(Arc::from(&*bytes))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this key belongs to Sojourn itself, out of reach of every door.
    pub fn is_internal(&self) -> bool {
        is_internal(&self.0)
    }
}

/// The same of a key's bytes.
pub(super) fn is_internal(key: &[u8]) -> bool {
    key.first() == Some(&0) && !key.starts_with(DATABASE)
}

/// Which database an app's key is in, and what the app calls it there; `None` of a key of ours.
pub fn named_by_app(key: &[u8]) -> Option<(u8, &[u8])> {
    match key.strip_prefix(DATABASE) {
        Some(rest) => rest.split_first().map(|(db, raw)| (*db, raw)),
        None if is_internal(key) => None,
        None => Some((0, key)),
    }
}

/// What finds an entry finds it by its bytes.
impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Session keys are secrets: only their length is ever printed.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&*self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Ok(Self(Arc::from(bytes)))
    }
}
