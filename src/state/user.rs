//! User: a person with an account, as every room sees them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::clock::Millis;

/// A person with an account. Never carries the password hash.
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
    /// What a door answers of them.
    pub shown: Memo,
}

/// Bytes that were made of a value once, for two purposes. A copy of the value starts without, since it may be about to
/// change.
#[derive(Debug, Default)]
pub struct Memo(OnceLock<Bytes>, OnceLock<Bytes>);

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Memo {
    /// What was made the first time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get<E>(&self, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        match self.0.get() {
            Some(made) => Ok(made.clone()),
            None => make().map(|made| self.0.get_or_init(|| made).clone()),
        }
    }

    /// The same for what is told to services behind a proxy.
    pub fn vouched(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        self.1.get_or_init(make).clone()
    }
}

/// What was made is no part of the value.
impl PartialEq for Memo {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memo {}

/// A user as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    pub user: Arc<User>,
    /// Empty: no password yet.
    pub password_hash: String,
}

/// The hash is a secret.
impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.user.fmt(f)
    }
}
