//! Clocks: what a cluster believes when it starts with a wall clock that is wrong.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::super::{Bounds, RaftLog, Settings, Wish};
use super::cluster::{SECRET, three};
use super::{NOW, Running, begin};
use crate::clock::ManualClock;
use crate::log::Log as _;
use crate::state::State;

const YEARS_10_MS: i64 = 3_652 * 86_400_000;
/// How often the one with the wrong clock may fail to become the leader.
const ROUNDS: usize = 20;

async fn open(dir: &tempfile::TempDir, address: &str, wall_ms: i64) -> Running {
    let listener = TcpListener::bind(address).await.expect("its port is free again");
    let state = Arc::new(State::open(dir.path()).expect("the state opens"));
    let settings = Settings {
        bounds: Bounds { max_staleness: Duration::from_secs(1), stale_reads: Duration::ZERO },
        secret: SECRET.into(),
        secret_is_set: false,
        port: Some((listener, address.to_owned())),
        join: None,
        reader: false,
    };
    let clock = Arc::new(ManualClock::at(wall_ms));
    let log = RaftLog::open(dir.path(), state.clone(), clock.clone(), settings).await.expect("the log opens");
    Running { log, state, clock }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_is_wrong_believes_nothing_before_it_knows_the_time() {
    let mut places = Vec::new();
    let nodes = three().await;
    nodes[0].log.submit(begin("a", "ada", 0)).await.expect("begun");
    for node in nodes {
        let address = node.log.members.get(node.log.node_id()).expect("a member").address;
        node.log.shutdown().await;
        places.push((node.dir, address));
    }
    // the third takes its time, so that the others wait for what its clock says
    let _silent = TcpListener::bind(&places[2].1).await.expect("its port is free again");
    for _ in 0..ROUNDS {
        let wrong = open(&places[0].0, &places[0].1, NOW + YEARS_10_MS).await;
        let right = open(&places[1].0, &places[1].1, NOW).await;
        wrong.log.raft.trigger().elect(false).await.expect("it stands for election");
        while wrong.log.refresh().await.is_err() {}
        assert!(wrong.is_live("a"), "it is {} at the node whose clock is wrong", wrong.log.now());
        if wrong.log.leads() {
            return;
        }
        tokio::join!(wrong.log.shutdown(), right.log.shutdown());
    }
    panic!("it never led");
}

/// Has it lead, so that its log is as long as the others', and ends it before it can hand over.
async fn die_leading(node: Running, other: &Running) {
    if !node.log.leads() {
        other.log.grant(Wish::Transfer { id: node.log.node_id() }).await.expect("handed over");
    }
    node.log.raft.shutdown().await.expect("it ends");
    node.log.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_comes_up_goes_on_from_a_voter_that_knows_the_time() {
    let mut places = Vec::new();
    let nodes = three().await;
    nodes[0].log.submit(begin("a", "ada", 0)).await.expect("begun");
    for node in nodes {
        let address = node.log.members.get(node.log.node_id()).expect("a member").address;
        node.log.shutdown().await;
        places.push((node.dir, address));
    }
    let _silent = TcpListener::bind(&places[2].1).await.expect("its port is free again");
    let stays = open(&places[1].0, &places[1].1, NOW).await;
    let first = open(&places[0].0, &places[0].1, NOW).await;
    while stays.log.refresh().await.is_err() {}
    die_leading(first, &stays).await;
    assert!(stays.log.time.is_set());
    // all wall clocks are set wrong, and none the less it is told what time it is
    stays.clock.jump_wall(YEARS_10_MS);
    for _ in 0..ROUNDS {
        let comes = open(&places[0].0, &places[0].1, NOW + YEARS_10_MS).await;
        comes.log.raft.trigger().elect(false).await.expect("it stands for election");
        while comes.log.refresh().await.is_err() {}
        let off_ms = comes.log.now() - NOW;
        assert!(off_ms < 60_000, "it is {off_ms} ms too late");
        if comes.log.leads() {
            return;
        }
        die_leading(comes, &stays).await;
    }
    panic!("it never led");
}
