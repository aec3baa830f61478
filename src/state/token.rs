//! Token: what is remembered of a personal access token, by which a program acts for one person.
//!
//! The token itself is random and long, and is known to its owner alone: what is kept is its digest.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// What a token is good for: a set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(u8);

/// All scopes by name, in the order in which they are said.
const NAMES: [(&str, Scopes); 3] =
    [("profile", Scopes::PROFILE), ("sessions", Scopes::SESSIONS), ("admin", Scopes::ADMIN)];

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// To read who its owner is.
    pub const PROFILE: Self = Self(1);
    /// To list and end its owner's sessions.
    pub const SESSIONS: Self = Self(1 << 1);
    /// To hear of everybody's; counts for admins alone.
    pub const ADMIN: Self = Self(1 << 2);

    /// The scope of this name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(held, _)| *held == name).map(|(_, scope)| *scope)
    }

    /// The names, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, scope)| self.has(*scope)).map(|(name, _)| *name)
    }

    /// Whether all of `other` is in here.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These, but none of those.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// As a database holds them.
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// The same back.
    pub(super) fn of_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// A personal access token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its public name: a UUID.
    pub id: String,
    /// Whose it is: a user id.
    pub user: String,
    /// What its owner calls it.
    pub name: String,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    pub scopes: Scopes,
    /// When it was made, log time.
    pub created_at: Millis,
    /// The beginning of the day (UTC) on which it was used last, log time.
    pub last_used: Option<Millis>,
    /// From when on it is good no more, log time; `None`: until it is ended.
    pub expires_at: Option<Millis>,
}

impl Token {
    /// Whether its time has not come.
    pub fn is_good(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// The digest finds it: it is printed nowhere.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_named_in_a_fixed_order_and_nothing_else_is_one() {
        let both = Scopes::SESSIONS.with(Scopes::PROFILE);
        assert_eq!(both.names().collect::<Vec<_>>(), ["profile", "sessions"]);
        assert!(both.has(Scopes::PROFILE) && !both.has(Scopes::ADMIN) && !Scopes::NONE.has(Scopes::PROFILE));
        assert!(!both.has(Scopes::PROFILE.with(Scopes::ADMIN)), "all of them");
        assert_eq!(both.without(Scopes::PROFILE), Scopes::SESSIONS);
        assert!(NAMES.iter().all(|(name, scope)| Scopes::named(name) == Some(*scope)));
        assert!(["", "Profile", "everything"].iter().all(|name| Scopes::named(name).is_none()));
    }
}
