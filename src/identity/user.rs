//! User: a person with an account, as everything above the store sees them.

use crate::clock::Millis;
use crate::state::UserRow;

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
    /// Whether a password is set.
    pub has_password: bool,
}

impl From<&UserRow> for User {
    fn from(row: &UserRow) -> Self {
        Self {
            id: row.id.clone(),
            email: row.email.clone(),
            first_name: row.first_name.clone(),
            last_name: row.last_name.clone(),
            groups: row.groups.clone(),
            created_at: row.created_at,
            admin: row.admin,
            approved: row.approved,
            verified: row.verified,
            disabled: row.disabled,
            has_password: !row.password_hash.is_empty(),
        }
    }
}
