//! User: a person with an account, as everything above the store sees them.

use crate::clock::Millis;

/// An account. Never carries the password hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: String,
    /// Normalised.
    pub email: String,
    /// May be empty.
    pub first_name: String,
    /// May be empty.
    pub last_name: String,
    pub groups: Vec<String>,
    /// Milliseconds since the Unix epoch.
    pub created_at: Millis,
    pub admin: bool,
    pub approved: bool,
    pub verified: bool,
    pub disabled: bool,
}
