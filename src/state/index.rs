//! Index: the sessions of each user by name, for listing and ending only; the epoch decides who is signed in.
//!
//! Notices of what moka forgot may overtake a later put, so a name too few or too many is possible for a moment and
//! harmless: whoever ends sessions holds the user's epoch, and whoever lists looks each one up. Ordered sets in shards
//! take half of what a hash map of lists does, whose room doubles.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use parking_lot::Mutex;

use super::entry::Entry;
use super::name::Name;

/// So that threads that fill an empty cache rarely wait for each other.
const SHARDS: usize = 64;

/// Users are listed under a hash: a collision only means that somebody else's sessions are looked at and passed over.
type User = u64;

/// The index.
pub struct UserIndex {
    shards: [Mutex<BTreeSet<(User, Name)>>; SHARDS],
}

impl Default for UserIndex {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl UserIndex {
    /// Notes whose session this is, if it is somebody's.
    pub fn add(&self, name: Name, entry: &Entry) {
        if let Some(user) = user_of(entry) {
            self.shard(user).lock().insert((user, name));
        }
    }

    /// Forgets it again.
    pub fn remove(&self, name: Name, entry: &Entry) {
        if let Some(user) = user_of(entry) {
            self.shard(user).lock().remove(&(user, name));
        }
    }

    /// The names of a user's sessions.
    pub fn names(&self, user: &str) -> Vec<Name> {
        let user = hash(user);
        let shard = self.shard(user).lock();
        shard.range((user, Name::FIRST)..=(user, Name::LAST)).map(|(_, name)| *name).collect()
    }

    fn shard(&self, user: User) -> &Mutex<BTreeSet<(User, Name)>> {
        &self.shards[user as usize % SHARDS]
    }
}

fn user_of(entry: &Entry) -> Option<User> {
    entry.glance()?.user().map(|user| hash(&user))
}

fn hash(user: &str) -> User {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(user)
}
