//! Rows: users who were asked for lately, in memory, so that a check of somebody signed in needs no database.
//!
//! Plain maps in shards: nothing in here has a deadline, every check reads, hardly anything writes. A shard that is full
//! forgets all it has; what is asked for again is read again.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::RwLock;

use super::user::UserRow;

const SHARDS: usize = 16;
/// Users that are kept, about: at some 500 bytes each.
const KEPT: usize = 100_000;

type Shard = RwLock<HashMap<String, Arc<UserRow>, RandomState>>;

/// The rows, by user id.
pub struct Rows {
    shards: [Shard; SHARDS],
    hasher: RandomState,
}

impl Default for Rows {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Shard::default()), hasher: RandomState::default() }
    }
}

impl Rows {
    /// The row of a user, if it is here.
    pub fn get(&self, id: &str) -> Option<Arc<UserRow>> {
        self.shard(id).read().get(id).cloned()
    }

    /// Keeps a row.
    pub fn keep(&self, row: Arc<UserRow>) {
        let mut shard = self.shard(&row.user.id).write();
        if shard.len() >= KEPT / SHARDS {
            shard.clear();
        }
        shard.insert(row.user.id.clone(), row);
    }

    /// Forgets the row of a user.
    pub fn forget(&self, id: &str) {
        self.shard(id).write().remove(id);
    }

    /// Forgets all rows.
    pub fn forget_all(&self) {
        self.shards.iter().for_each(|shard| shard.write().clear());
    }

    fn shard(&self, id: &str) -> &Shard {
        &self.shards[self.hasher.hash_one(id) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::user::User;
    use super::*;

    fn row(n: usize) -> Arc<UserRow> {
        let user = User {
            id: format!("user{n}"),
            email: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            groups: Vec::new(),
            created_at: 0,
            admin: false,
            approved: true,
            verified: true,
            disabled: false,
            shown: Default::default(),
        };
        Arc::new(UserRow { user: Arc::new(user), password_hash: String::new() })
    }

    #[test]
    fn rows_are_kept_and_forgotten_one_by_one_and_all_at_once() {
        let rows = Rows::default();
        (0..3).for_each(|n| rows.keep(row(n)));
        assert_eq!(rows.get("user1"), Some(row(1)));
        rows.forget("user1");
        assert!(rows.get("user1").is_none() && rows.get("user2").is_some());
        rows.forget_all();
        assert!(rows.get("user2").is_none());
    }

    #[test]
    fn there_is_room_for_so_many_and_the_last_one_stays() {
        let rows = Rows::default();
        for n in 0..KEPT + KEPT / 2 {
            rows.keep(row(n));
            assert!(n % 1_000 > 0 || rows.get(&format!("user{n}")).is_some());
        }
        assert!(rows.shards.iter().map(|shard| shard.read().len()).sum::<usize>() <= KEPT);
    }
}
