//! Credentials: how apps and personal access tokens are spoken of on the control socket.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// An app to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewApp {
    pub name: String,
    /// What its keys begin with.
    pub prefix: String,
    /// Whether what it says about who is signed in counts.
    pub may_sign_in: bool,
    /// How much of `memory_max` its entries may use, percent.
    pub share: u8,
}

/// An app, as operators see it: never its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub name: String,
    /// What its keys begin with.
    pub prefix: String,
    /// Whether what it says about who is signed in counts.
    pub may_sign_in: bool,
    /// How much of `memory_max` its entries may use, percent.
    pub share: u8,
    /// Bytes that its entries use, as `memory_max` counts them.
    pub used_bytes: u64,
    /// Whether its prefix reaches what people's sessions are kept under.
    pub sees_sessions: bool,
    pub created_at: Millis,
}

/// A token to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// Address of the account that it speaks for.
    pub email: String,
    pub name: String,
    pub scopes: Vec<String>,
    /// How long it is good; `None`: until it is ended.
    pub lifetime_ms: Option<u64>,
}

/// A token, as operators see it: never the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub scopes: Vec<String>,
    pub created_at: Millis,
    /// The day on which it was used last.
    pub last_used: Option<Millis>,
    pub expires_at: Option<Millis>,
}
