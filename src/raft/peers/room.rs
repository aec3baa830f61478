//! Room: places that are bounded in all and for each who holds some. Whoever comes when there is none takes the oldest.
//!
//! Strangers who hold all places cannot keep anybody out in this way: whoever comes is let in, does what it has to do
//! in a few milliseconds, and the silent ones make way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// So many places.
pub struct Room<K: Eq + Hash + Copy> {
    each: usize,
    all: usize,
    inner: Mutex<Inner<K>>,
}

struct Inner<K> {
    next: u64,
    /// By age: the oldest first.
    taken: BTreeMap<u64, (K, Arc<Notify>)>,
    by_holder: HashMap<K, BTreeSet<u64>>,
}

/// A place, given back when dropped.
pub struct Place<K: Eq + Hash + Copy> {
    room: Arc<Room<K>>,
    number: u64,
    leave: Arc<Notify>,
}

impl<K: Eq + Hash + Copy> Room<K> {
    /// At most `all` places, and `each` for one holder.
    pub fn new(each: usize, all: usize) -> Arc<Self> {
        let inner = Inner { next: 0, taken: BTreeMap::new(), by_holder: HashMap::new() };
        Arc::new(Self { each, all, inner: Mutex::new(inner) })
    }

    /// A place for this one, which the oldest of its own may lose by it, or else the oldest of all.
    pub fn enter(self: &Arc<Self>, holder: K) -> Place<K> {
        let mut inner = self.inner.lock();
        let own =
            inner.by_holder.get(&holder).filter(|own| own.len() >= self.each).and_then(|own| own.first().copied());
        let oldest = || inner.taken.keys().next().copied().filter(|_| inner.taken.len() >= self.all);
        if let Some(number) = own.or_else(oldest)
            && let Some((_, leave)) = inner.remove(number)
        {
            leave.notify_one();
        }
        let (number, leave) = (inner.next, Arc::new(Notify::new()));
        inner.next += 1;
        inner.taken.insert(number, (holder, leave.clone()));
        inner.by_holder.entry(holder).or_default().insert(number);
        Place { room: self.clone(), number, leave }
    }

    /// Whether it has a place.
    pub fn holds(&self, holder: &K) -> bool {
        self.inner.lock().by_holder.contains_key(holder)
    }
}

impl<K: Eq + Hash + Copy> Inner<K> {
    fn remove(&mut self, number: u64) -> Option<(K, Arc<Notify>)> {
        let (holder, leave) = self.taken.remove(&number)?;
        if let Some(own) = self.by_holder.get_mut(&holder) {
            own.remove(&number);
            if own.is_empty() {
                self.by_holder.remove(&holder);
            }
        }
        Some((holder, leave))
    }
}

impl<K: Eq + Hash + Copy> Place<K> {
    /// Returns when somebody else has it.
    pub async fn lost(&self) {
        self.leave.notified().await;
    }
}

impl<K: Eq + Hash + Copy> Drop for Place<K> {
    fn drop(&mut self) {
        self.room.inner.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_lost(place: &Place<u8>) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_the_same_makes_way_and_then_the_oldest_of_all() {
        let room = Room::new(2, 4);
        let (a, b, c) = (room.enter(1), room.enter(2), room.enter(2));
        let d = room.enter(2);
        assert_eq!([&a, &b, &c, &d].map(is_lost), [false, true, false, false], "its own oldest");
        let (e, f) = (room.enter(3), room.enter(4));
        assert_eq!([&a, &c, &d, &e, &f].map(is_lost), [true, false, false, false, false], "the oldest of all");
        assert!(!room.holds(&1) && room.holds(&2));
        drop((a, b, c, d, e));
        assert!(!room.holds(&2) && room.holds(&4));
        drop(f);
        assert!(room.inner.lock().taken.is_empty() && room.inner.lock().by_holder.is_empty());
    }
}
