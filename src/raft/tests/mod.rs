//! The log and the state together, without doors: what is acknowledged is there after the process is gone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{RaftLog, Settings};
use crate::clock::ManualClock;
use crate::log::Log;
use crate::state::{
    Begin, Edit, EndUser, Entry, Forgiven, Key, NEVER, NewUser, Op, Outcome, Proof, SignedIn, State, UserChange,
    UserOutcome,
};

mod clocks;
mod cluster;

const NOW: i64 = 1_800_000_000_000;

struct Running {
    log: Arc<RaftLog>,
    state: Arc<State>,
    clock: Arc<ManualClock>,
}

impl Running {
    async fn open(dir: &Path) -> Self {
        Self::open_at(NOW, dir).await
    }

    async fn open_at(wall_ms: i64, dir: &Path) -> Self {
        let state = Arc::new(State::open(dir).expect("the state opens"));
        let clock = Arc::new(ManualClock::at(wall_ms));
        let settings = Settings::alone("0123456789abcdef0123456789abcdef");
        let log = RaftLog::open(dir, state.clone(), clock.clone(), settings).await.expect("the log opens");
        Self { log, state, clock }
    }

    async fn submit(&self, op: Op) -> Outcome {
        self.log.submit(op).await.expect("the op is decided")
    }

    async fn begin(&self, sid: &str, user: &str) -> Outcome {
        self.submit(begin(sid, user, self.state.epoch(user, self.log.now()))).await
    }

    fn is_live(&self, sid: &str) -> bool {
        self.state.live(&Key::session("sess:", sid), self.log.now()).is_some()
    }
}

fn begin(sid: &str, user: &str, epoch: u64) -> Op {
    Op::Begin(Box::new(Begin {
        key: Key::session("sess:", sid),
        value: Bytes::from_static(b"{\"cookie\":{}}"),
        signed: Some(SignedIn { user: user.into(), epoch, proof: Proof::Password, own: [7; 16] }),
        idle_ms: 3_600_000,
        lifetime_ms: 86_400_000,
        remember: false,
        address: "127.0.0.1".into(),
        agent: "test".into(),
        replaces: None,
        per_user_max: 3,
        budget: None,
        forgiven: Forgiven::default(),
    }))
}

fn user(id: &str, email: &str) -> NewUser {
    NewUser {
        id: id.into(),
        email: email.into(),
        first_name: String::new(),
        last_name: String::new(),
        password_hash: String::new(),
        created_at: NOW,
        admin: false,
        approved: true,
        verified: true,
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let node = Running::open(dir.path()).await;
        let added = node.submit(Op::User { change: UserChange::Add(user("u1", "a@example.com")), end: None }).await;
        assert_eq!(added, Outcome::User(UserOutcome::Done));
        assert!(matches!(node.begin("one", "u1").await, Outcome::Session(_)));
        assert!(matches!(node.begin("two", "u1").await, Outcome::Session(_)));
        assert_eq!(node.submit(Op::End(vec![Key::session("sess:", "two")])).await, Outcome::Ended(1));
        node.log.shutdown().await;
    }
    let node = Running::open(dir.path()).await;
    assert!(node.is_live("one"));
    assert!(!node.is_live("two"));
    let row = node.state.generation().users.by_id("u1").expect("users are read").expect("the user is there");
    assert_eq!(row.user.email, "a@example.com");
}

#[tokio::test]
async fn a_snapshot_and_the_log_after_it_make_the_same_state() {
    let dir = tempfile::tempdir().expect("a directory");
    {
        let node = Running::open(dir.path()).await;
        node.begin("before", "u1").await;
        node.log.snapshot().await.expect("a snapshot is written");
        node.begin("after", "u1").await;
        node.log.shutdown().await;
    }
    let node = Running::open(dir.path()).await;
    assert!(node.is_live("before") && node.is_live("after"));
    node.log.snapshot().await.expect("another snapshot is written");
    assert_eq!(std::fs::read_dir(dir.path().join("snapshots")).expect("the folder is there").count(), 1);
    assert!(dir.path().join("users-1.db").exists(), "users that are not behind the snapshot stay as they are");
}

#[tokio::test]
async fn ending_a_users_sessions_raises_the_epoch_and_leaves_tombstones() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Running::open(dir.path()).await;
    node.begin("mine", "u1").await;
    node.begin("other", "u1").await;
    let keep = Some(Key::session("sess:", "mine"));
    assert_eq!(node.submit(Op::EndUser(EndUser { user: "u1".into(), keep })).await, Outcome::Ended(1));
    assert!(node.is_live("mine") && !node.is_live("other"));
    assert_eq!(node.submit(begin("other", "u1", 1)).await, Outcome::Taken, "a tombstone keeps its key");
    assert_eq!(node.submit(begin("late", "u1", 0)).await, Outcome::StaleEpoch);
    assert_eq!(node.state.epoch("u1", node.log.now()), 1);
}

#[tokio::test]
async fn the_oldest_session_ends_when_a_user_has_too_many() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Running::open(dir.path()).await;
    for sid in ["a", "b", "c", "d"] {
        node.begin(sid, "u1").await;
        node.clock.advance(1_000);
    }
    assert_eq!(["a", "b", "c", "d"].map(|sid| node.is_live(sid)), [false, true, true, true]);
}

#[tokio::test]
async fn writes_to_one_key_are_all_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Arc::new(Running::open(dir.path()).await);
    node.begin("counter", "u1").await;
    let add = |node: Arc<Running>| async move {
        let add = vec![("n".to_owned(), 1)];
        let edit = Edit { key: Key::session("sess:", "counter"), merge: "{}".into(), add, value_max: 1_000 };
        node.submit(Op::Edit(edit)).await
    };
    let tasks: Vec<_> = (0..200).map(|_| tokio::spawn(add(node.clone()))).collect();
    for task in tasks {
        assert!(matches!(task.await.expect("no panic"), Outcome::Session(_)));
    }
    let entry = node.state.live(&Key::session("sess:", "counter"), node.log.now()).expect("it is live");
    assert_eq!(std::str::from_utf8(entry.value()).expect("JSON"), r#"{"cookie":{},"n":200}"#);
}

#[tokio::test]
async fn log_time_is_written_down_while_nobody_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Running::open(dir.path()).await;
    node.clock.advance(super::upkeep::STAMP_EVERY_MS * 90);
    let due = node.log.now();
    for _ in 0..200 {
        if node.state.stamp() >= due {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no stamp came");
}

#[tokio::test]
async fn a_session_that_ended_stays_ended_when_the_node_comes_up_in_the_past() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Running::open(dir.path()).await;
    node.begin("a", "ada").await;
    node.clock.advance(3_600_000 + 60_000);
    assert!(!node.is_live("a"));
    node.log.shutdown().await;
    drop(node);
    // `open` starts from the same wall clock as the first time: more than an hour back
    let node = Running::open(dir.path()).await;
    assert!(!node.is_live("a"));
}

#[tokio::test]
async fn what_a_start_has_to_read_again_counts_towards_the_next_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    let owed = |running: &Running| running.log.owed.load(std::sync::atomic::Ordering::Relaxed);
    let before = {
        let running = Running::open(dir.path()).await;
        for n in 0..50 {
            running.begin(&format!("sid{n}"), &format!("user{n}")).await;
        }
        let before = owed(&running);
        running.log.shutdown().await;
        before
    };
    let running = Running::open(dir.path()).await;
    assert!(before > 50 * 64 && owed(&running) >= before, "{before} before, {} after", owed(&running));
    running.log.snapshot().await.expect("a snapshot");
    assert!(owed(&running) < 64, "a snapshot pays for all of it");
    running.log.shutdown().await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_stops_nothing_and_is_told_to_whoever_waits() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Running::open(dir.path()).await;
    node.begin("before", "u1").await;
    let (snapshots, away) = (dir.path().join("snapshots"), dir.path().join("away"));
    std::fs::rename(&snapshots, &away).expect("the folder is moved");
    let failure = node.log.snapshot().await.expect_err("there is nowhere to write to").to_string();
    assert!(failure.contains("No such file"), "{failure}");
    assert!(node.log.attempts.borrow().failed_lately());
    assert!(matches!(node.begin("after", "u1").await, Outcome::Session(_)), "the node goes on");
    std::fs::rename(&away, &snapshots).expect("the folder is back");
    node.log.snapshot().await.expect("a snapshot is written");
    assert!(!node.log.attempts.borrow().failed_lately());
    node.log.shutdown().await;
    drop(node);
    let node = Running::open(dir.path()).await;
    assert!(node.is_live("before") && node.is_live("after"));
}

#[tokio::test]
async fn whoever_asks_while_a_snapshot_is_written_gets_a_later_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Arc::new(Running::open(dir.path()).await);
    // so that the first one takes a while
    for n in 0..30_000 {
        let entry = Entry::plain(&[0; 1_000], NEVER, NOW);
        node.state.generation().entries.put(&Key::session("bulk:", &n.to_string()), &entry, 1);
    }
    let first = node.clone();
    let first = tokio::spawn(async move { first.log.snapshot().await.expect("a snapshot is written") });
    let draft = dir.path().join("snapshots").join(format!("{:020}.partial", node.log.applied_index()));
    while !draft.exists() && !first.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!first.is_finished(), "the first one was too quick");
    node.begin("late", "u1").await;
    let wrote = node.log.applied_index();
    let late = tokio::time::timeout(Duration::from_secs(30), node.log.snapshot()).await;
    let path = late.expect("nobody waits for ever").expect("a snapshot is written");
    assert!(crate::state::snapshot::head(&path).expect("it is whole").index >= wrote);
    first.await.expect("no panic");
}

#[tokio::test]
async fn what_ended_during_a_stop_is_forgotten_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let held = |node: &Running| {
        let mut keys: Vec<Key> = node.state.generation().entries.iter().map(|(key, _)| key).collect();
        keys.retain(|key| !key.is_internal());
        keys
    };
    let node = Running::open(dir.path()).await;
    node.begin("in the snapshot", "u1").await;
    node.log.snapshot().await.expect("a snapshot");
    node.begin("in the log", "u1").await;
    node.log.shutdown().await;
    drop(node);
    let node = Running::open_at(NOW + 1_000, dir.path()).await;
    assert_eq!(held(&node).len(), 2);
    node.log.shutdown().await;
    drop(node);
    let node = Running::open_at(NOW + 2 * 3_600_000, dir.path()).await;
    assert_eq!(held(&node), []);
    assert_eq!(node.state.stamp(), NOW + 2 * 3_600_000, "and no clock brings them back");
}

#[tokio::test]
async fn what_is_decided_together_fits_into_a_record_of_bounded_size() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Running::open(dir.path()).await;
    let names: Vec<String> = (0..300).map(|n| format!("sid{n}")).collect();
    futures_util::future::join_all(names.iter().map(|name| node.begin(name, name))).await;
    let merge = format!("{{\"x\":\"{}\"}}", "x".repeat(60_000));
    let edits = names.iter().map(|name| {
        let key = Key::session("sess:", name);
        node.submit(Op::Edit(Edit { key, merge: merge.clone(), add: Vec::new(), value_max: 65_536 }))
    });
    let outcomes = futures_util::future::join_all(edits).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Session(_))));
    node.clock.advance(30 * 60_000);
    let keys: Vec<Key> = names.iter().map(|name| Key::session("sess:", name)).collect();
    assert_eq!(node.submit(Op::Touch(keys)).await, Outcome::Done);
    let moved = |name: &String| {
        let entry = node.state.live(&Key::session("sess:", name), node.log.now());
        entry.is_some_and(|entry| entry.deadline() > NOW + 3_600_000 + 60_000)
    };
    assert!(names.iter().all(moved), "each of them was touched");
    let last = node.log.applied_index();
    let weights = node.log.store.records(last - 20..=last).map(|entry| super::store::weight(&entry.expect("is read")));
    let largest = weights.max().unwrap_or_default();
    assert!((1 << 20..(4 << 20) + (128 << 10)).contains(&largest), "{largest} bytes");
}

#[tokio::test]
async fn a_log_that_has_stopped_says_that_nothing_was_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let node = Running::open(dir.path()).await;
    node.log.shutdown().await;
    let mut told = String::new();
    for _ in 0..100 {
        match node.log.submit(begin("a", "ada", 0)).await {
            Err(crate::error::Error::NotDone(why)) => told = why,
            other => assert!(matches!(other, Err(crate::error::Error::FateUnknown)), "{other:?}"),
        }
        if told == "the log has stopped" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{told:?}");
}
