//! What is decided, what it does to a state, and what it looks like in bytes.

mod apps;
mod as_redis;
mod bounds;
mod collections;
mod decided;
mod golden;
mod histories;
mod same;
mod scripts;

use bytes::Bytes;

use super::View;
use super::decide::decide;
use super::{
    AppRecord, Begin, Budget, Change, Edit, Effect, EndUser, Entries, Entry, Exchange, Forgiven, Key, Op, Outcome,
    Proof, SignedIn, epoch_of,
};
use crate::clock::Millis;

const NOW: Millis = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
const IDLE: i64 = 60 * MINUTE;
const LIFETIME: i64 = 24 * 60 * MINUTE;

fn key(name: &str) -> Key {
    Key::session("sess:", name)
}

/// A sign-in of `user` under epoch 0, or an anonymous session of `""`.
fn begin(name: &str, user: &str) -> Begin {
    Begin {
        key: key(name),
        value: Bytes::from_static(br#"{"cookie":{}}"#),
        signed: (!user.is_empty()).then(|| signed(user, 0)),
        idle_ms: IDLE,
        lifetime_ms: LIFETIME,
        remember: false,
        address: "192.0.2.1".into(),
        agent: "Firefox on Linux".into(),
        replaces: None,
        per_user_max: 3,
        budget: None,
        forgiven: Forgiven::default(),
    }
}

fn signed(user: &str, epoch: u64) -> SignedIn {
    SignedIn { user: user.into(), epoch, proof: Proof::Password, own: [9; 16] }
}

fn op(begin: Begin) -> Op {
    Op::Begin(Box::new(begin))
}

fn edit(name: &str, merge: &str) -> Edit {
    Edit { key: key(name), merge: merge.into(), add: Vec::new(), value_max: 1_000 }
}

fn end_user(user: &str, keep: Option<&str>) -> Op {
    Op::EndUser(EndUser { user: user.into(), keep: keep.map(key) })
}

fn budget(who: &str) -> Budget {
    Budget { key: Key::tries("test", who), free: 3, wait_ms: 1_000, wait_max_ms: 4_000, memory_ms: 60_000 }
}

/// Entries and the time: what a leader has.
struct World {
    entries: Entries,
    now: Millis,
}

impl World {
    fn new() -> Self {
        Self { entries: Entries::new(), now: NOW }
    }

    fn decide(&self, op: &Op) -> (Change, Outcome) {
        decide(&mut View::new(&self.entries, self.now), op)
    }

    /// Decides and applies.
    fn run(&self, op: &Op) -> Outcome {
        let (change, outcome) = self.decide(op);
        self.apply(&change);
        outcome
    }

    fn apply(&self, change: &Change) {
        for effect in change.effects.clone() {
            match effect {
                Effect::Put(key, entry) => self.entries.put(&key, &entry, 1),
                Effect::Remove(key) => self.entries.remove(&key),
                Effect::Tell(_) => {}
            }
        }
    }

    fn begin(&self, name: &str, user: &str) -> Entry {
        match self.run(&op(begin(name, user))) {
            Outcome::Session(entry) => entry,
            other => panic!("no session: {other:?}"),
        }
    }

    fn get(&self, name: &str) -> Option<Entry> {
        self.entries.get(&key(name))
    }

    fn epoch(&self, user: &str) -> u64 {
        epoch_of(self.entries.get(&Key::epoch(user)).filter(|entry| entry.is_live(self.now)))
    }

    /// Whether a door would honour the session: live, and of its user's present epoch.
    fn is_live(&self, name: &str) -> bool {
        let facts = self.get(name).filter(|entry| entry.is_live(self.now)).and_then(|entry| entry.facts());
        facts.is_some_and(|facts| facts.signed.is_none_or(|signed| signed.epoch == self.epoch(&signed.user)))
    }
}
