//! App: what is remembered of a service that keeps things here.
//!
//! An entry without a deadline, under a key of ours: every node knows every app as soon as it holds the log. The
//! password is random and long, and is kept as its digest.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::clock::Millis;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRecord {
    /// Its user name.
    pub name: String,
    /// What its keys begin with.
    #[serde(with = "serde_bytes")]
    pub prefix: Vec<u8>,
    /// SHA-256 of its password.
    pub digest: [u8; 32],
    /// Whether what it says about who is signed in counts.
    pub may_sign_in: bool,
    /// How much of `memory_max` its entries may use, percent.
    pub share: u8,
    /// When it was added, log time.
    pub created_at: Millis,
}

impl AppRecord {
    /// The record in the value of an entry.
    pub fn read(value: &[u8]) -> Option<Self> {
        codec::decode(value).ok()
    }

    /// The value of its entry.
    pub fn written(&self) -> Vec<u8> {
        codec::encode(self)
    }
}
