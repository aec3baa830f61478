//! Draw: members drawn by lot.
//!
//! There is no randomness in here: what decides hangs on the time and on what is drawn from. Whoever draws from the
//! same members twice within a millisecond, without changing them, draws the same.

use std::hash::BuildHasher as _;

use super::keyspace::Keyspace;
use super::reply::{Reply, wrong};
use crate::state::entry::Entry;

/// The most that are drawn at once from members that may come again.
const DRAWN_MAX: i64 = 1 << 16;

/// A lot.
pub(super) struct Draw(u64);

impl Draw {
    /// A lot among what an entry holds, now.
    pub fn of(keyspace: &Keyspace<'_, '_>, held: Option<&Entry>) -> Self {
        let hash = foldhash::quality::FixedState::with_seed(0).hash_one((keyspace.now(), held.map(Entry::value)));
        // the generator has no way out of 0
        Self(hash | 1)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        drawn as usize % bound.max(1)
    }

    /// One of them.
    pub fn one<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).copied()
    }

    /// So many of them, each at most once.
    pub fn different<T: Copy>(&mut self, all: &[T], count: usize) -> Vec<T> {
        let mut left = all.to_vec();
        let count = count.min(left.len());
        for at in 0..count {
            let other = at + self.below(left.len() - at);
            left.swap(at, other);
        }
        left.truncate(count);
        left
    }

    /// So many as `count` says: each at most once, or, when it is negative, as often as it is drawn.
    ///
    /// # Errors
    /// When the count is out of range.
    pub fn some<T: Copy>(&mut self, all: &[T], count: i64) -> Result<Vec<T>, Reply> {
        if count >= 0 {
            // all of them are in their own order
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            return Ok(if count >= all.len() { all.to_vec() } else { self.different(all, count) });
        }
        if count < -DRAWN_MAX {
            return Err(wrong::range());
        }
        Ok((count..0).filter_map(|_| self.one(all)).collect())
    }
}
