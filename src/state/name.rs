//! Name: what an entry is found by, in the cache and in the index of users.

use std::hash::{Hash, Hasher};

/// What an entry is found by: two hashes of its key under seeds of this process. That two keys share one is less
/// likely than any fault of the machine, and nobody can aim at it without the seeds; a reader compares keys all the
/// same, and is told that there is no such entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub(super) [u64; 2]);

impl Name {
    pub(super) const FIRST: Self = Self([0; 2]);
    pub(super) const LAST: Self = Self([u64::MAX; 2]);
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// A name is a hash already.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // names write one number; anything else is folded in, never lost
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
