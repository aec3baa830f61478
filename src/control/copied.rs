//! Copied: keys of another store on their way into the node, a piece at a time.
//!
//! Bytes travel as base64, since a line is JSON. Each key says what may be there already: whoever copies must not undo
//! what an app wrote here meanwhile.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are somebody's secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw(pub Vec<u8>);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Some keys of another store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChunk {
    /// The database that they go into.
    pub db: u8,
    /// Whether what their values say about who is signed in counts.
    pub may_sign_in: bool,
    pub keys: Vec<CopiedKey>,
}

/// A key of another store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedKey {
    pub key: Raw,
    pub holds: Held,
    /// How long it has to live from now, milliseconds; `None`: for ever.
    pub ttl_ms: Option<i64>,
    pub over: Over,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    Text(Raw),
    /// Fields and their values.
    Hash(Vec<(Raw, Raw)>),
    /// Nothing any more: the key is to go here too.
    Nothing,
}

/// What the key may hold here to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Nothing, or the very same.
    Nothing,
    /// What was written by the log entry of this index.
    Version(u64),
    /// Anything.
    Anything,
}

/// What came of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Copied {
    /// It is here now; by the log entry of this index.
    Written { version: u64 },
    /// It was here, the very same; by the log entry of this index.
    Same { version: u64 },
    /// Something else is here, and stays.
    Kept,
    /// It cannot be here, for this reason.
    Refused { why: String },
}
