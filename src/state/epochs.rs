//! Epochs: the session epoch of each user who has one, at hand for every check.
//!
//! The entries themselves lie with all others and travel as they do; here is only what they say, kept as they are put
//! and removed. They have no deadline, so that nothing in here is ever forgotten on its own.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use foldhash::quality::RandomState;
use parking_lot::RwLock;

use super::entry::Entry;
use super::{epoch_of, key};

const SHARDS: usize = 16;

type Shard = RwLock<HashMap<Box<[u8]>, u64, RandomState>>;

/// Epochs by user id.
#[derive(Default)]
pub struct Epochs {
    shards: [Shard; SHARDS],
    hasher: RandomState,
}

impl Epochs {
    /// The epoch of a user; 0 for one who has none.
    pub fn get(&self, user: &str) -> u64 {
        let user = user.as_bytes();
        self.shards[self.shard(user)].read().get(user).copied().unwrap_or(0)
    }

    /// Notes what an entry under the key of an epoch says.
    pub fn put(&self, entry: &Entry) {
        if let Some(user) = entry.key().strip_prefix(key::EPOCH.as_bytes()) {
            let epoch = epoch_of(Some(entry.clone()));
            self.shards[self.shard(user)].write().insert(user.into(), epoch);
        }
    }

    /// Forgets the epoch under this key, if it is the key of one.
    pub fn remove(&self, key: &[u8]) {
        if let Some(user) = key.strip_prefix(key::EPOCH.as_bytes()) {
            self.shards[self.shard(user)].write().remove(user);
        }
    }

    fn shard(&self, user: &[u8]) -> usize {
        self.hasher.hash_one(user) as usize % SHARDS
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entries, Key, NEVER};
    use super::*;

    #[test]
    fn a_check_sees_the_epoch_that_was_put_last() {
        let entries = Entries::new();
        let put = |epoch: u64| entries.put(&Key::epoch("ada"), &Entry::plain(&epoch.to_le_bytes(), NEVER, 1), epoch);
        assert_eq!(entries.epoch("ada"), 0);
        for epoch in [1, 2, 7] {
            put(epoch);
            assert_eq!((entries.epoch("ada"), entries.epoch("ad")), (epoch, 0));
        }
        entries.put(&Key::new("epoch:ada"), &Entry::plain(&9_u64.to_le_bytes(), NEVER, 1), 8);
        assert_eq!(entries.epoch("ada"), 7, "an app's key of a similar name is another");
        entries.remove(&Key::epoch("ada"));
        assert_eq!(entries.epoch("ada"), 0);
    }

    #[test]
    fn filling_from_a_snapshot_brings_the_epochs_along() {
        let (before, after) = (Entries::new(), Entries::new());
        before.put(&Key::epoch("ada"), &Entry::plain(&3_u64.to_le_bytes(), NEVER, 1), 1);
        before.held().for_each(|entry| after.load(entry));
        assert_eq!(after.epoch("ada"), 3);
    }
}
