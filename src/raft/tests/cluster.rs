//! Several nodes in one process, over real sockets: what one acknowledged, all have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use openraft::raft::{VoteRequest, VoteResponse};
use openraft::storage::RaftLogStorage as _;
use tokio::net::TcpListener;

use super::super::join::{Candidate, ask_in};
use super::super::peers::keys::{Authority, PrivateKey};
use super::super::peers::link::{Failed, Link, Target};
use super::super::peers::links::{Lane, Links};
use super::super::peers::messages::Status;
use super::super::peers::papers::Papers;
use super::super::peers::{routes, tls};
use super::super::store::Store;
use super::super::types::{Member, TypeConfig, Vote};
use super::super::{Bounds, RaftLog, Settings, Token, Welcome, Wish, prepare, welcome};
use super::{NOW, begin, user};
use crate::clock::ManualClock;
use crate::error::Error;
use crate::log::Log as _;
use crate::state::{Key, Op, Outcome, State, UserChange, UserOutcome};

/// The secret of the cluster.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub struct Node {
    pub log: Arc<RaftLog>,
    state: Arc<State>,
    pub dir: tempfile::TempDir,
}

impl Node {
    async fn open(dir: tempfile::TempDir, secret: &str, join: Option<Token>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(State::open(dir.path()).expect("the state opens"));
        let settings = Settings {
            bounds: Bounds { max_staleness: Duration::from_secs(1), stale_reads: Duration::ZERO },
            secret: secret.into(),
            secret_is_set: false,
            port: Some((listener, address)),
            join,
            reader: false,
        };
        let clock = Arc::new(ManualClock::at(NOW));
        let log = RaftLog::open(dir.path(), state.clone(), clock, settings).await.expect("the log opens");
        Self { log, state, dir }
    }

    async fn found() -> Self {
        Self::open(directory(), SECRET, None).await
    }

    async fn join(&self) -> Self {
        self.join_in(directory()).await
    }

    async fn join_in(&self, dir: tempfile::TempDir) -> Self {
        let token = self.log.invite(1, Duration::from_secs(60)).await.expect("a token");
        let welcome = welcome(&token).await.expect("a welcome");
        prepare(dir.path(), welcome.cluster).await.expect("prepared");
        Self::come(dir, &welcome.secret, token).await
    }

    async fn come(dir: tempfile::TempDir, secret: &str, token: Token) -> Self {
        let node = Self::open(dir, secret, Some(token)).await;
        node.until("it votes", |node| node.log.members.voters().contains(&node.log.node_id())).await;
        node.log.refresh().await.expect("fresh");
        node
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: never");
    }

    /// What somebody with this key and the cluster's secret speaks to it with.
    fn called_by(&self, seed: u8) -> Arc<Link> {
        let authority = Authority::of(self.log.secrets.secret().as_bytes());
        let papers = Papers::of(&authority, PrivateKey::of_seed(&[seed; 32])).expect("papers");
        let links = Links::new(tls::connector(&papers).expect("TLS"), &self.log.store.identity().cluster);
        links.to(self.log.node_id(), &self.log.own, Lane::Quick)
    }

    /// Whether the last change of the members is through, as the leader knows it.
    fn is_settled(&self) -> bool {
        let seen = self.log.raft.metrics().borrow_watched().clone();
        let members = &seen.membership_config;
        let through = members.log_id().as_ref().map(|id| id.index) <= seen.last_applied.map(|id| id.index);
        members.membership().get_joint_config().len() == 1 && through
    }

    fn is_live(&self, sid: &str) -> bool {
        self.state.live(&Key::session("sess:", sid), self.log.now()).is_some()
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

pub async fn three() -> [Node; 3] {
    let one = Node::found().await;
    let two = one.join().await;
    let three = two.join().await;
    [one, two, three]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_any_node_acknowledged_every_node_has() {
    let nodes = three().await;
    for (n, node) in nodes.iter().enumerate() {
        let sid = format!("sid{n}");
        assert!(matches!(node.log.submit(begin(&sid, "ada", 0)).await, Ok(Outcome::Session(_))));
        assert!(node.is_live(&sid), "whoever wrote reads it");
        for other in &nodes {
            other.log.refresh().await.expect("fresh");
            assert!(other.is_live(&sid));
        }
    }
    let add = |id: &str| Op::User { change: UserChange::Add(user(id, "a@example.com")), end: None };
    assert_eq!(nodes[1].log.submit(add("u1")).await.expect("done"), Outcome::User(UserOutcome::Done));
    let second = nodes[2].log.submit(add("u2")).await.expect("decided");
    assert_ne!(second, Outcome::User(UserOutcome::Done), "one address, one account");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_goes_on_without_its_leader() {
    let mut nodes = Vec::from(three().await);
    assert!(matches!(nodes[1].log.submit(begin("before", "ada", 0)).await, Ok(Outcome::Session(_))));
    let leader = nodes.iter().position(|node| node.log.leads()).expect("somebody leads");
    let gone = nodes.remove(leader);
    gone.log.shutdown().await;
    drop(gone);
    for node in &nodes {
        node.log.refresh().await.expect("fresh again");
        assert!(node.is_live("before"));
    }
    assert!(matches!(nodes[0].log.submit(begin("after", "ada", 0)).await, Ok(Outcome::Session(_))));
    nodes[1].log.refresh().await.expect("fresh");
    assert!(nodes[1].is_live("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_majority_does_not_wait_for_ever_to_write_log_time_down() {
    let one = Node::found().await;
    let two = one.join().await;
    two.log.shutdown().await;
    let written = super::super::upkeep::write_stamp(&one.log.raft, &one.log.time);
    let written = tokio::time::timeout(Duration::from_secs(30), written).await.expect("an end");
    assert!(!written, "nobody else has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_is_answered_no_more() {
    let nodes = three().await;
    let gone = nodes[1].log.node_id();
    nodes[2].log.grant(Wish::Remove { id: gone }).await.expect("removed");
    nodes[0].until("two are left", |node| node.log.members.all().len() == 2).await;
    assert!(nodes[1].log.refresh().await.is_err(), "nobody tells it what is true");
    assert!(nodes[0].log.submit(begin("after", "ada", 0)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_once_and_a_directory_joins_one_cluster() {
    let one = Node::found().await;
    let token = one.log.invite(1, Duration::from_secs(60)).await.expect("a token");
    let again: Token = token.text().parse().expect("the same token");
    let told = welcome(&token).await.expect("a welcome");
    let dir = directory();
    prepare(dir.path(), told.cluster).await.expect("prepared");
    let _two = Node::open(dir, &told.secret, Some(token)).await;
    assert!(welcome(&again).await.is_err(), "it was used");
    let other = directory();
    prepare(other.path(), [1; 16]).await.expect("prepared");
    assert!(prepare(other.path(), told.cluster).await.is_err(), "it was made to join another cluster");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_does_not_know_the_leader_keeps_nobody_from_joining() {
    let one = Node::found().await;
    assert!(matches!(one.log.submit(begin("a", "ada", 0)).await, Ok(Outcome::Session(_))));
    for n in 0..2_000 {
        one.log.submit(begin(&format!("sid{n}"), &format!("user{n}"), 0)).await.expect("begun");
    }
    one.log.snapshot().await.expect("a snapshot");
    one.until("the log was purged", |node| node.log.store.ends().0.is_some()).await;
    let two = one.join().await;
    one.log.grant(Wish::Transfer { id: two.log.node_id() }).await.expect("handed over");
    two.until("it decides", |node| node.log.leads()).await;
    let three = two.join().await;
    assert!(three.is_live("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_gets_a_snapshot_of_what_the_log_has_forgotten() {
    let one = Node::found().await;
    for n in 0..2_000 {
        one.log.submit(begin(&format!("sid{n}"), &format!("user{n}"), 0)).await.expect("begun");
    }
    one.log.snapshot().await.expect("a snapshot");
    one.until("the log was purged", |node| node.log.store.ends().0.is_some()).await;
    let two = one.join().await;
    assert!((0..2_000).all(|n| two.is_live(&format!("sid{n}"))));
    let left: Vec<_> = std::fs::read_dir(two.dir.path().join("snapshots")).expect("read").collect();
    assert_eq!(left.len(), 1, "nothing is left of how it came: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_damaged_where_it_lies_harms_nobody_it_is_sent_to() {
    let one = Node::found().await;
    for n in 0..2_000 {
        one.log.submit(begin(&format!("sid{n}"), &format!("user{n}"), 0)).await.expect("begun");
    }
    let path = one.log.snapshot().await.expect("a snapshot");
    one.until("the log was purged", |node| node.log.store.ends().0.is_some()).await;
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");

    let dir = directory();
    let place = dir.path().join("snapshots");
    let joins = one.join_in(dir);
    let mends = async {
        // it is there for a few milliseconds every few seconds
        let comes = || std::fs::read_dir(&place).is_ok_and(|mut files| files.next().is_some());
        let begun = Instant::now();
        while !comes() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the damaged one never comes");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        one.log.submit(begin("last", "ada", 0)).await.expect("begun");
        one.log.snapshot().await.expect("another snapshot");
    };
    let (two, ()) = tokio::join!(joins, mends);
    assert!(two.is_live("sid0") && two.is_live("last"));
    two.log.submit(begin("more", "ada", 0)).await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_secret_and_is_no_member_is_not_followed_by_a_node_that_lost_touch() {
    const STRANGER: u64 = 9;
    let mut nodes = Vec::from(three().await);
    nodes.push(nodes[0].join().await);
    let leader = nodes.iter().position(|node| node.log.leads()).expect("somebody leads");
    nodes.swap(0, leader);
    for gone in nodes.drain(..2) {
        gone.log.shutdown().await;
    }
    let lost = &nodes[0];
    lost.until("it is lost", |node| node.log.members.is_lost()).await;
    let vote = VoteRequest::<TypeConfig>::new(Vote::new(1_000, STRANGER), None);
    let link = lost.called_by(77);
    for _ in 0..3 {
        for route in [routes::VOTE, routes::PRE_VOTE] {
            let asked = link.call::<_, VoteResponse<TypeConfig>>(route, &vote).await;
            let told = asked.expect_err("it is not answered").to_string();
            assert!(!told.starts_with("refused"), "it is told nothing: {told}");
        }
    }
    assert!(lost.log.raft.metrics().borrow_watched().current_term < 1_000, "nobody followed");
    assert!(lost.called_by(78).call::<_, u64>(routes::STATUS, &()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_too_long_is_refused_though_a_member_asks_it() {
    let nodes = three().await;
    let link = nodes[1].log.links.to(nodes[0].log.node_id(), &nodes[0].log.own, Lane::Quick);
    for (route, bytes) in [(routes::OPS, 65 << 20), (routes::READ, 9 << 20), (routes::KNOWS, 65 << 10)] {
        let told = link.call::<_, ()>(route, &vec![7_u8; bytes]).await.expect_err("it is not answered").to_string();
        assert!(told.starts_with("refused: a question of more than "), "{told}");
    }
    assert!(nodes[1].log.submit(begin("after", "ada", 0)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_what_hangs_on_the_old_secret_opens_nothing() {
    let nodes = three().await;
    let old = nodes[0].log.secrets.secret();
    let token = nodes[0].log.invite(1, Duration::from_secs(60)).await.expect("a token");
    let rotated = nodes[1].log.rotate_secret().await.expect("rotated");
    assert_eq!((rotated.waits_for, rotated.set_on), (Vec::new(), Vec::new()));
    let new = nodes[0].log.secrets.secret();
    assert!(new != old && nodes.iter().all(|node| node.log.secrets.secret() == new));
    let knock = async |secret: &str| {
        let (store, target) = (&nodes[2].log.store, &nodes[0].log);
        let own = PrivateKey::of_seed(&store.identity().seed);
        let papers = Papers::of(&Authority::of(secret.as_bytes()), own).expect("papers");
        // whoever has the old secret does not care whom it speaks to
        papers.turn(&Authority::of(secret.as_bytes()), vec![target.secrets.authority()]).expect("a turn");
        let links = Links::new(tls::connector(&papers).expect("TLS"), &store.identity().cluster);
        links.to(target.node_id(), &target.own, Lane::Quick).call::<_, Status>(routes::STATUS, &()).await
    };
    let told = knock(&old).await.expect_err("pinned, but of the old authority").to_string();
    assert!(!told.starts_with("refused"), "it is told nothing: {told}");
    knock(&new).await.expect("the same key under the new one");
    let target = Target { address: token.address.clone(), key: None };
    let dialer = tls::joiner(&nodes[0].log.secrets.authority(), &token.key()).expect("TLS");
    let link = Link::new(target, dialer, hyper::HeaderMap::new());
    let told = link.call::<_, Welcome>(routes::WELCOME, &()).await;
    assert!(matches!(told, Err(Failed::Lost(_) | Failed::Unsent(_))), "a token from before opens nothing");
    assert!(nodes[2].log.submit(begin("after", "ada", 0)).await.is_ok());
    nodes[2].join().await;
}

/// The nodes of three, whoever leads first.
async fn led() -> Vec<Node> {
    let mut nodes = Vec::from(three().await);
    let leader = nodes.iter().position(|node| node.log.leads()).expect("somebody leads");
    nodes.swap(0, leader);
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn many_large_writes_at_once_through_a_follower_all_land() {
    let nodes = led().await;
    let write = async |n: usize| {
        let Op::Begin(mut op) = begin(&format!("sid{n}"), &format!("user{n}"), 0) else { unreachable!() };
        op.value = vec![b' '; 60 << 10].into();
        let begun = Instant::now();
        loop {
            match nodes[1].log.submit(Op::Begin(op.clone())).await {
                // on a slow machine the last of them wait for longer than anybody has to
                Err(Error::NotDone(_)) if begun.elapsed() < Duration::from_secs(30) => {}
                written => return written,
            }
        }
    };
    for written in futures_util::future::join_all((0..400).map(write)).await {
        written.expect("it is written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_hands_over_to_nobody_who_is_gone() {
    let mut nodes = led().await;
    let gone = nodes.pop().expect("the third");
    let here = nodes[1].log.node_id();
    gone.log.shutdown().await;
    nodes[0].until("the one that is gone is not chosen", |node| node.log.membership.nearest() == Some(here)).await;
    nodes[1].log.shutdown().await;
    nodes[0].until("nobody is", |node| node.log.membership.nearest().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_where_there_is_no_majority_hears_it_before_long() {
    let nodes = led().await;
    tokio::join!(nodes[1].log.shutdown(), nodes[2].log.shutdown());
    let written = nodes[0].log.submit(begin("sid", "ada", 0));
    let heard = tokio::time::timeout(Duration::from_secs(15), written).await.expect("before long");
    assert!(matches!(heard, Err(Error::NotDone(_) | Error::FateUnknown)), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_place_or_the_key_of_a_member() {
    let nodes = three().await;
    let leader = nodes.iter().find(|node| node.log.leads()).expect("somebody leads");
    let other = nodes.iter().find(|node| !node.log.leads()).expect("somebody does not");
    let token = other.log.invite(9, Duration::from_secs(60)).await.expect("a token");
    let before = nodes[0].log.members.all();
    let authority = other.log.secrets.authority();
    let join = async |id, key: &[u8]| {
        let member = Member { address: "127.0.0.1:1".into(), key: key.to_vec(), reader: false };
        ask_in(&token, &Candidate { id, member, authority }).await
    };
    let (id, key) = (leader.log.node_id(), leader.log.own.key.clone());
    let begun = Instant::now();
    for (id, key) in [(id, &[7; 32][..]), (77, &key[..]), (77, &[7; 31][..])] {
        let told = join(id, key).await.expect_err("it is not let in").to_string();
        assert!(told.contains("refused") && told.contains("key"), "{told}");
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "it is told at once");
    join(id, &key).await.expect("it is a member");
    let member = Member { address: "127.0.0.1:1".into(), ..leader.log.own.clone() };
    let link = other.log.links.to(id, &leader.log.own, Lane::Log);
    let moved = link.call::<_, ()>(routes::WISH, &Wish::Move { id, member }).await;
    assert!(matches!(moved, Err(Failed::Refused(_))), "{moved:?}");
    assert_eq!(leader.log.members.all(), before);
    other.log.submit(begin("after", "ada", 0)).await.expect("all is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_is_waited_for_is_found_where_it_is_now() {
    let one = Node::found().await;
    let two = one.join().await;
    let id = two.log.node_id();
    one.until("no change is under way", Node::is_settled).await;
    two.log.shutdown().await;
    // a change that needs the one that is away: no other can be made before it is through
    let (raft, member) = (one.log.raft.clone(), Member { address: "127.0.0.1:1".into(), ..two.log.own.clone() });
    let change = ChangeMembers::SetNodes(BTreeMap::from([(id, member)]));
    let changed = tokio::spawn(async move { raft.change_membership(change, false).await });
    one.until("the change is under way", |one| one.log.members.get(id).is_some_and(|two| two.address.ends_with(":1")))
        .await;
    let Node { dir, log, state } = two;
    drop((log, state));
    let two = Node::open(dir, SECRET, None).await;
    one.until("it is known where it is", |one| one.log.members.get(id).as_ref() == Some(&two.log.own)).await;
    changed.await.expect("it ends").expect("it is through");
    two.log.submit(begin("after", "ada", 0)).await.expect("both write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_stopped_when_it_knew_a_leader_and_no_member_joins() {
    let one = Node::found().await;
    let token = one.log.invite(1, Duration::from_secs(60)).await.expect("a token");
    let told = welcome(&token).await.expect("a welcome");
    let dir = directory();
    prepare(dir.path(), told.cluster).await.expect("prepared");
    let mut store = Store::open(dir.path().join("log.redb")).expect("it opens");
    store.save_vote(&Vote::new_committed(1, one.log.node_id())).await.expect("saved");
    store.close().await.expect("closed");
    let two = Node::come(dir, &told.secret, token).await;
    two.log.submit(begin("after", "ada", 0)).await.expect("it takes part");
}
