//! Deadlines: which entries end next, while somebody wants to know.
//!
//! moka forgets late and tells nobody, so that whoever is to be told of an end in time needs an order of them. It is
//! made of everything that is held when it is first asked for, and costs nothing before. An entry stands in it once: one
//! whose deadline was moved further away is put back when its old one has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::entry::NEVER;
use super::name::Name;
use crate::clock::Millis;

type Order = BinaryHeap<Reverse<(Millis, Name)>>;

/// The order of deadlines, if anybody wants to know.
#[derive(Default)]
pub struct Deadlines {
    order: Mutex<Option<Order>>,
    is_watched: AtomicBool,
}

impl Deadlines {
    /// An entry comes at `now`, in the place of one that ends then, if there is one.
    pub fn come(&self, name: Name, (deadline, now): (Millis, Millis), held: impl FnOnce() -> Option<Millis>) {
        if deadline == NEVER || !self.is_watched.load(Ordering::Acquire) {
            return;
        }
        // one that has ended may have been taken out of the order
        if held().is_none_or(|held| deadline < held || held <= now || held == NEVER)
            && let Some(order) = &mut *self.order.lock()
        {
            order.push(Reverse((deadline, name)));
        }
    }

    /// The names whose deadlines have come by `now`, at most `max`.
    pub fn due(
        &self,
        (now, max): (Millis, usize),
        all: impl FnOnce() -> Vec<(Name, Millis)>,
        deadline: impl Fn(Name) -> Option<Millis>,
    ) -> Vec<Name> {
        let mut order = self.order.lock();
        let order = order.get_or_insert_with(|| {
            // before it is made: what comes meanwhile waits for the lock
            self.is_watched.store(true, Ordering::Release);
            let with_end = all().into_iter().filter(|(_, deadline)| *deadline != NEVER);
            with_end.map(|(name, deadline)| Reverse((deadline, name))).collect()
        });
        let mut due = Vec::new();
        while due.len() < max
            && let Some(Reverse((at, name))) = order.peek().copied()
            && at <= now
        {
            order.pop();
            match deadline(name) {
                Some(later) if later > now && later != NEVER => order.push(Reverse((later, name))),
                // one that came more than once stands side by side
                Some(later) if later <= now && due.last() != Some(&name) => due.push(name),
                _ => {}
            }
        }
        due
    }

    /// Nobody wants to know any more.
    pub fn forget(&self) {
        self.is_watched.store(false, Ordering::Release);
        *self.order.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn name(n: u64) -> Name {
        Name([n, n])
    }

    #[test]
    fn each_end_is_told_once_and_when_it_comes() {
        let deadlines = Deadlines::default();
        let mut held: HashMap<u64, Millis> = [(1, 10), (2, 20), (3, NEVER), (4, 15)].into();
        let due = |held: &HashMap<u64, Millis>, now| {
            let all = || held.iter().map(|(n, at)| (name(*n), *at)).collect();
            deadlines.due((now, 9), all, |name| held.get(&name.0[0]).copied())
        };
        assert!(due(&held, 9).is_empty());
        held.insert(1, 30); // moved further away
        held.remove(&4); // gone
        deadlines.come(name(5), (12, 9), || None);
        held.insert(5, 12);
        assert_eq!(due(&held, 12), [name(5)]);
        deadlines.come(name(2), (14, 12), || Some(20)); // nearer
        held.insert(2, 14);
        assert_eq!(due(&held, 15), [name(2)]);
        held.remove(&2);
        assert_eq!(due(&held, 29), []);
        assert_eq!(due(&held, 30), [name(1)]);
        // set again after it was found to have ended, and before it was forgotten
        deadlines.come(name(1), (40, 30), || Some(30));
        held.insert(1, 40);
        assert_eq!(due(&held, 39), []);
        deadlines.come(name(1), (41, 40), || Some(40));
        held.insert(1, 41);
        assert_eq!(due(&held, 41), [name(1)]);
    }
}
