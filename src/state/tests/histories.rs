//! Random histories: what holds whatever is asked, in whichever order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// So few sessions and users that histories meet.
const SESSIONS: u8 = 5;
const USERS: u8 = 2;

/// One step: some time passes, then something is asked.
#[derive(Debug, Clone)]
pub struct Step {
    pub wait_ms: i64,
    pub ask: Ask,
}

/// What is asked; which epoch a sign-in read is chosen too, so that stale ones come.
#[derive(Debug, Clone)]
pub enum Ask {
    Begin { session: u8, user: Option<u8>, behind: u64, replaces: Option<u8> },
    Edit { session: u8, merge: &'static str },
    Touch(Vec<u8>),
    End(Vec<u8>),
    EndUser { user: u8, keep: Option<u8> },
    Try(u8),
    Forgive(u8),
}

pub fn any_step() -> impl Strategy<Value = Step> {
    let session = || 0..SESSIONS;
    let user = || 0..USERS;
    let ask = prop_oneof![
        4 => (session(), prop::option::of(user()), 0..2u64, prop::option::of(session()))
            .prop_map(|(session, user, behind, replaces)| Ask::Begin { session, user, behind, replaces }),
        3 => (session(), prop::sample::select(&["{}", r#"{"a":1}"#, r#"{"a":null}"#, "[]"][..]))
            .prop_map(|(session, merge)| Ask::Edit { session, merge }),
        3 => prop::collection::vec(session(), 0..4).prop_map(Ask::Touch),
        2 => prop::collection::vec(session(), 0..3).prop_map(Ask::End),
        1 => (user(), prop::option::of(session())).prop_map(|(user, keep)| Ask::EndUser { user, keep }),
        1 => user().prop_map(Ask::Try),
        1 => user().prop_map(Ask::Forgive),
    ];
    let wait = prop_oneof![Just(0), 0..MINUTE, 0..IDLE * 2, Just(IDLE), Just(LIFETIME)];
    (wait, ask).prop_map(|(wait_ms, ask)| Step { wait_ms, ask })
}

impl Ask {
    /// The Op, as somebody who knows the present epochs would ask it.
    pub fn op(&self, epoch: impl Fn(&str) -> u64) -> Op {
        let user = |n: &u8| format!("user{n}");
        match self {
            Self::Begin { session, user: who, behind, replaces } => {
                let who = who.as_ref().map(user);
                let signed = who.map(|who| signed(&who, epoch(&who).saturating_sub(*behind)));
                op(Begin { signed, replaces: replaces.map(named), ..begin(&session.to_string(), "") })
            }
            Self::Edit { session, merge } => Op::Edit(edit(&session.to_string(), merge)),
            Self::Touch(sessions) => Op::Touch(sessions.iter().copied().map(named).collect()),
            Self::End(sessions) => Op::End(sessions.iter().copied().map(named).collect()),
            Self::EndUser { user: who, keep } => Op::EndUser(EndUser { user: user(who), keep: keep.map(named) }),
            Self::Try(who) => Op::Try(vec![budget(&user(who))]),
            Self::Forgive(who) => Op::Forgive(Forgiven { all: vec![budget(&user(who)).key], one: Vec::new() }),
        }
    }
}

fn named(session: u8) -> Key {
    key(&session.to_string())
}

/// Everything held, comparable.
fn held(entries: &Entries) -> BTreeMap<Key, Vec<u8>> {
    entries.iter().map(|(key, entry)| (key, super::super::codec::encode(&entry))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The tombstones' promise: no Op, early or late, brings an ended session back.
    #[test]
    fn what_was_ended_stays_dead_as_long_as_it_could_have_lived(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut world = World::new();
        let mut dead: BTreeMap<u8, Millis> = BTreeMap::new();
        for Step { wait_ms, ask } in steps {
            world.now += wait_ms;
            dead.retain(|_, until| world.now < *until);
            let before: Vec<Option<Entry>> = (0..SESSIONS).map(|n| world.get(&n.to_string())).collect();
            let live: Vec<bool> = (0..SESSIONS).map(|n| world.is_live(&n.to_string())).collect();
            world.run(&ask.op(|user| world.epoch(user)));
            for n in 0..SESSIONS {
                let is_live = world.is_live(&n.to_string());
                prop_assert!(!(is_live && dead.contains_key(&n)), "{} came back by {:?}", n, ask);
                let facts = before[n as usize].as_ref().and_then(|entry| entry.facts());
                if let (true, false, Some(facts)) = (live[n as usize], is_live, facts) {
                    dead.insert(n, facts.absolute);
                }
            }
        }
    }

    /// No Op lets a session outlive what its facts say, and none is live past idle and slack without use.
    #[test]
    fn no_deadline_is_past_the_absolute_one(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut world = World::new();
        for Step { wait_ms, ask } in steps {
            world.now += wait_ms;
            world.run(&ask.op(|user| world.epoch(user)));
            for entry in (0..SESSIONS).filter_map(|n| world.get(&n.to_string())) {
                if let Some(facts) = entry.facts() {
                    prop_assert!(entry.deadline() <= facts.absolute);
                    prop_assert!(entry.deadline() <= entry.stamp() + facts.idle_ms + 60_000.min(facts.idle_ms / 10));
                    prop_assert!(facts.absolute == facts.begun + LIFETIME);
                }
            }
        }
    }

    /// Ops that are decided together do what they do one after another.
    #[test]
    fn a_batch_is_its_ops_in_order(steps in prop::collection::vec(any_step(), 1..40), cut in 1..8usize) {
        let (mut one_by_one, mut together) = (World::new(), World::new());
        for batch in steps.chunks(cut) {
            let wait = batch[0].wait_ms;
            (one_by_one.now, together.now) = (one_by_one.now + wait, together.now + wait);
            // what is asked was asked before any of it was done
            let ops: Vec<Op> = batch.iter().map(|step| step.ask.op(|user| together.epoch(user))).collect();
            let singly: Vec<Outcome> = ops.iter().map(|op| one_by_one.run(op)).collect();
            let mut view = View::new(&together.entries, together.now);
            let decided: Vec<(Change, Outcome)> = ops.iter().map(|op| decide(&mut view, op)).collect();
            drop(view);
            for ((change, outcome), alone) in decided.iter().zip(&singly) {
                prop_assert_eq!(outcome, alone);
                together.apply(change);
            }
        }
        prop_assert_eq!(held(&one_by_one.entries), held(&together.entries));
    }
}
