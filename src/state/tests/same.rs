//! The same records give the same state, however a node came by them: one by one, in lumps, over a restart, or by way
//! of a snapshot that was taken while they came.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::super::{LinkUse, NewUser, Record, State, UserChange, UserOutcome, snapshot};
use super::histories::{Step, any_step};
use super::*;

type Records = Vec<(u64, Record)>;

/// What is asked of users.
#[derive(Debug, Clone)]
enum Asked {
    Add { id: u8, email: u8 },
    SetPassword { id: u8, hash: u8, only_if: Option<u8> },
    SetDisabled { id: u8, disabled: bool },
    SetNames { id: u8, name: u8 },
    Delete { id: u8 },
    AddLink { id: Option<u8>, link: u8 },
    SpendLink { id: u8, link: u8 },
    SpendAdminLink { id: u8, link: u8 },
}

fn any_user_change() -> impl Strategy<Value = Asked> {
    let n = || 0..4u8;
    prop_oneof![
        4 => (n(), n()).prop_map(|(id, email)| Asked::Add { id, email }),
        2 => (n(), n(), prop::option::of(n())).prop_map(|(id, hash, only_if)| Asked::SetPassword { id, hash, only_if }),
        1 => (n(), any::<bool>()).prop_map(|(id, disabled)| Asked::SetDisabled { id, disabled }),
        1 => (n(), n()).prop_map(|(id, name)| Asked::SetNames { id, name }),
        1 => n().prop_map(|id| Asked::Delete { id }),
        2 => (prop::option::of(n()), n()).prop_map(|(id, link)| Asked::AddLink { id, link }),
        1 => (n(), n()).prop_map(|(id, link)| Asked::SpendLink { id, link }),
        1 => (n(), n()).prop_map(|(id, link)| Asked::SpendAdminLink { id, link }),
    ]
}

fn new_user(id: u8, email: u8) -> NewUser {
    NewUser {
        id: format!("user{id}"),
        email: format!("{email}@example.com"),
        first_name: String::new(),
        last_name: "Stout".into(),
        password_hash: format!("hash{id}"),
        created_at: NOW,
        admin: false,
        approved: true,
        verified: false,
    }
}

impl Asked {
    fn change(&self, now: Millis) -> UserChange {
        let user = |id: &u8| format!("user{id}");
        let hash = |n: &u8| format!("hash{n}");
        match self {
            Self::Add { id, email } => UserChange::Add(new_user(*id, *email)),
            Self::SetPassword { id, hash: new, only_if } => {
                UserChange::SetPassword { user: user(id), hash: hash(new), only_if: only_if.as_ref().map(hash) }
            }
            Self::SetDisabled { id, disabled } => UserChange::SetDisabled { user: user(id), disabled: *disabled },
            Self::SetNames { id, name } => {
                UserChange::SetNames { user: user(id), first_name: format!("name{name}"), last_name: String::new() }
            }
            Self::Delete { id } => UserChange::Delete { user: user(id) },
            Self::AddLink { id, link } => UserChange::AddLink {
                digest: [*link; 32],
                usage: id.as_ref().map_or(LinkUse::FirstAdmin, |id| LinkUse::SetPassword(user(id))),
                expires_at: now + IDLE,
                now,
            },
            Self::SpendLink { id, link } => {
                UserChange::SpendLink { digest: [*link; 32], user: user(id), hash: "spent".into(), now }
            }
            Self::SpendAdminLink { id, link } => {
                let user = NewUser { admin: true, ..new_user(*id, *id) };
                UserChange::SpendAdminLink { digest: [*link; 32], user, now }
            }
        }
    }
}

/// A state in a directory of its own.
struct Node {
    state: State,
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { state: State::open(dir.path()).expect("the state opens"), dir }
    }

    fn apply(&self, records: &[(u64, Record)]) -> Vec<Vec<Option<UserOutcome>>> {
        let records: Vec<(u64, &Record)> = records.iter().map(|(index, record)| (*index, record)).collect();
        self.state.apply(&records).expect("the state applies")
    }

    /// Comes up again with what is on its disk, and no entries.
    fn reopened(self) -> Self {
        let Self { state, dir } = self;
        drop(state);
        Self { state: State::open(dir.path()).expect("the state opens again"), dir }
    }

    fn snapshot(&self, index: u64, stamp: Millis, path: &Path) {
        let head = snapshot::Head { index, stamp, label: vec![7] };
        snapshot::write(&self.state.generation(), &head, path).expect("the snapshot is written");
    }

    /// Everything that anybody could ask about, as of `now`.
    fn told(&self, now: Millis) -> impl PartialEq + std::fmt::Debug + use<> {
        let generation = self.state.generation();
        let kept = |entry: &Entry| now < entry.deadline();
        let entries: BTreeMap<Key, Vec<u8>> = generation
            .entries
            .iter()
            .filter(|(_, entry)| kept(entry))
            .map(|(key, entry)| (key, super::super::codec::encode(&entry)))
            .collect();
        let users = generation.users.list("", 1_000).expect("a list");
        let links: Vec<_> = (0..4).map(|n| generation.users.link(&[n; 32], now).expect("a link")).collect();
        let mut mine: Vec<Vec<Key>> = Vec::new();
        for user in ["user0", "user1"] {
            let mut keys: Vec<Key> = generation.entries.of_user(user, now).into_iter().map(|(key, _)| key).collect();
            keys.sort();
            mine.push(keys);
        }
        (entries, users, links, mine, generation.users.has_admin().expect("an answer"))
    }
}

/// Decides a history on a leader of its own, and answers what its log holds, and what it then is.
fn decided(history: &[(Step, Option<Asked>)]) -> (Records, Node, Vec<Vec<Option<UserOutcome>>>) {
    let leader = Node::new();
    let (mut records, mut answers, mut now) = (Records::new(), Vec::new(), NOW);
    for (step, asked) in history {
        now += step.wait_ms;
        let epoch = |user: &str| leader.state.epoch(user, now);
        let mut ops = vec![step.ask.op(epoch)];
        if let Some(asked) = asked {
            let end = matches!(asked, Asked::Delete { .. }).then(|| EndUser { user: "user0".into(), keep: None });
            ops.push(Op::User { change: asked.change(now), end });
        }
        let generation = leader.state.generation();
        let mut view = View::new(&generation.entries, now);
        let changes = ops.iter().map(|op| decide(&mut view, op).0).filter(|change| !change.is_empty()).collect();
        // some log entries carry no record: membership, a new term's first
        let index = records.last().map_or(1, |(index, _)| index + 1 + (now as u64 % 2));
        let record = vec![(index, Record { stamp: now, changes })];
        answers.extend(leader.apply(&record));
        records.extend(record);
    }
    (records, leader, answers)
}

fn any_history() -> impl Strategy<Value = Vec<(Step, Option<Asked>)>> {
    prop::collection::vec((any_step(), prop::option::of(any_user_change())), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_in_lumps_are_records_one_by_one(history in any_history(), lump in 1..9usize) {
        let (records, leader, answers) = decided(&history);
        let follower = Node::new();
        let told: Vec<_> = records.chunks(lump).flat_map(|lump| follower.apply(lump)).collect();
        prop_assert_eq!(told, answers, "what SQLite says is the same everywhere");
        let now = follower.state.stamp();
        prop_assert_eq!(now, leader.state.stamp());
        prop_assert!(follower.told(now) == leader.told(now));
    }

    #[test]
    fn a_snapshot_taken_while_records_come_and_the_records_since_are_the_whole(
        history in any_history(),
        label in any::<prop::sample::Index>(),
        seen in any::<prop::sample::Index>(),
    ) {
        let (records, leader, _) = decided(&history);
        // the label is older than what is in the file: writes went on while it was made
        let (a, b) = (label.index(records.len() + 1), seen.index(records.len() + 1));
        let (label, seen) = (a.min(b), a.max(b));
        let busy = Node::new();
        busy.apply(&records[..seen]);
        let (index, stamp) = records[..label].last().map_or((0, 0), |(index, record)| (*index, record.stamp));
        let file = busy.dir.path().join("s.snapshot");
        busy.snapshot(index, stamp, &file);

        let fresh = Node::new();
        let head = fresh.state.install(&file).expect("the snapshot is installed");
        prop_assert_eq!((head.index, fresh.state.stamp()), (index, stamp));
        fresh.apply(&records[label..]);
        let now = leader.state.stamp();
        prop_assert!(fresh.told(now) == leader.told(now), "label {}, seen {}", label, seen);

        // the same file under the database that the node had when it stopped
        let again = busy.reopened();
        again.state.load(&file).expect("the snapshot is loaded");
        again.apply(&records[label..]);
        prop_assert!(again.told(now) == leader.told(now), "label {}, seen {}", label, seen);
    }

    #[test]
    fn a_node_that_comes_up_again_replays_the_log_over_users_it_has(history in any_history(), stop in any::<prop::sample::Index>()) {
        let (records, leader, _) = decided(&history);
        let stop = stop.index(records.len() + 1);
        let node = Node::new();
        node.apply(&records[..stop]);
        let node = node.reopened();
        node.apply(&records);
        let now = leader.state.stamp();
        prop_assert!(node.told(now) == leader.told(now), "stopped after {}", stop);
    }
}

#[test]
fn users_skip_what_they_have_and_do_not_answer_for_it_again() {
    let node = Node::new();
    let add = |index, id, email| {
        let change = Change { effects: Vec::new(), user: Some(UserChange::Add(new_user(id, email))) };
        (index, Record { stamp: NOW, changes: vec![change] })
    };
    let first = [add(5, 1, 1)];
    assert_eq!(node.apply(&first), [[Some(UserOutcome::Done)]]);
    assert_eq!(node.apply(&[add(6, 2, 1)]), [[Some(UserOutcome::Conflict)]], "the address is taken");
    let node = node.reopened();
    assert_eq!(node.state.generation().users.applied(), 6);
    // a replay brings the same entries again: nothing is done twice, nothing conflicts with itself
    assert_eq!(node.apply(&first), [[Some(UserOutcome::Done)]]);
    assert_eq!(node.apply(&[add(6, 2, 1)]), [[Some(UserOutcome::Done)]]);
    assert_eq!(node.apply(&[add(7, 3, 3)]), [[Some(UserOutcome::Done)]]);
    let users = node.state.generation().users.list("", 10).expect("a list");
    let ids: Vec<&str> = users.iter().map(|row| row.user.id.as_str()).collect();
    assert_eq!(ids, ["user1", "user3"]);
}

#[test]
fn a_snapshot_leaves_out_what_is_past_its_deadline() {
    let node = Node::new();
    let put = |name: &str, deadline| Effect::Put(key(name), Entry::plain(b"x", deadline, NOW));
    let effects = vec![put("past", NOW), put("live", NOW + 1)];
    let record = Record { stamp: NOW, changes: vec![Change { effects, user: None }] };
    node.apply(&[(1, record)]);
    let file = node.dir.path().join("s.snapshot");
    node.snapshot(1, NOW, &file);
    let fresh = Node::new();
    fresh.state.install(&file).expect("the snapshot is installed");
    let keys: Vec<Key> = fresh.state.generation().entries.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [key("live")]);
}

#[test]
fn a_snapshot_written_while_another_thread_applies_is_made_whole_by_the_log() {
    const LABEL: usize = 500;
    let record = |index: u64| {
        let key = key(&(index % 50).to_string());
        let effect = match index % 7 {
            0 => Effect::Remove(key),
            _ => Effect::Put(key, Entry::plain(&index.to_le_bytes(), Millis::MAX, NOW)),
        };
        let user =
            index.is_multiple_of(100).then(|| UserChange::Add(new_user((index / 100) as u8, (index / 100) as u8)));
        (index, Record { stamp: NOW, changes: vec![Change { effects: vec![effect], user }] })
    };
    let records: Records = (1..=4_000).map(record).collect();
    let (direct, busy, fresh) = (Node::new(), Node::new(), Node::new());
    direct.apply(&records);
    busy.apply(&records[..LABEL]);
    let file = busy.dir.path().join("s.snapshot");
    std::thread::scope(|threads| {
        threads.spawn(|| records[LABEL..].chunks(3).for_each(|few| drop(busy.apply(few))));
        busy.snapshot(LABEL as u64, NOW, &file);
    });
    fresh.state.install(&file).expect("the snapshot is installed");
    fresh.apply(&records[LABEL..]);
    assert!(fresh.told(NOW) == direct.told(NOW));
}
