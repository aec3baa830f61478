//! Wall clocks that jump: no session is lost, and none outlives its deadline.

use sojourn::clock::Clock as _;

use crate::harness::{Node, PASSWORD, START, Visitor, eventually};

const YEAR_MS: i64 = 365 * 86_400_000;
const HOUR: i64 = 3_600;
const SLACK: i64 = 60;

async fn expires_in(visitor: &mut Visitor) -> i64 {
    visitor.session().await.expect("a live session")["expires_in"].as_i64().expect("seconds")
}

/// Jumps as broken time servers and operators make them.
const JUMPS: [i64; 8] = [10, -10, -10, 10, 20, -30, 15, -5];

#[tokio::test]
async fn jumps_while_it_runs_lose_nothing_and_lengthen_nothing() {
    let node = Node::with(&[("sessions.lifetime", "2h")]).await;
    let mut ada = node.person("ada@example.com").await;
    for years in JUMPS {
        node.clock.jump_wall(years * YEAR_MS);
        node.pass(1);
        assert!(ada.is_signed_in().await, "after {years} years");
    }
    // log time may be bent by half a thousandth, no more
    let passed = JUMPS.len() as i64;
    assert!((HOUR - passed - 1..=HOUR).contains(&expires_in(&mut ada).await));

    for years in JUMPS {
        node.clock.jump_wall(years * YEAR_MS);
        node.pass(600);
        assert!(ada.is_signed_in().await, "after {years} years, in use");
        eventually("the deadline moves", async || {
            expires_in(&mut ada).await >= HOUR.min(7_200 - 5 - elapsed(&node)) - 5
        })
        .await;
    }
    let left = 7_200 - elapsed(&node);
    assert!((expires_in(&mut ada).await - left).abs() <= 4, "{left}");
    node.clock.jump_wall(-50 * YEAR_MS);
    node.pass(left + 4);
    assert!(!ada.is_signed_in().await, "its lifetime is over, whatever the wall says");
}

/// Seconds since the test began, by the clock that nobody can set.
fn elapsed(node: &Node) -> i64 {
    node.clock.boot_us() / 1_000_000 - HOUR
}

#[tokio::test]
async fn an_idle_session_ends_on_time_under_any_wall() {
    for years in [10, -10] {
        let node = Node::start().await;
        let mut ada = node.person("ada@example.com").await;
        let bob = node.person("bob@example.com").await;
        node.clock.jump_wall(years * YEAR_MS);
        node.pass(HOUR - 2);
        assert!(ada.is_signed_in().await, "{years}");
        node.pass(SLACK + 4);
        assert!(!bob.clone().is_signed_in().await, "{years}");
    }
}

#[tokio::test]
async fn sessions_that_begin_under_a_wrong_wall_last_as_long_as_others() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    for years in JUMPS {
        node.clock.jump_wall(years * YEAR_MS);
        let mut ada = node.visitor();
        ada.sign_in("ada@example.com", PASSWORD).await;
        assert_eq!(expires_in(&mut ada).await, HOUR, "{years}");
        node.clock.jump_wall(-years * YEAR_MS);
        assert_eq!(expires_in(&mut ada).await, HOUR, "{years}");
    }
}

#[tokio::test]
async fn a_node_that_comes_up_in_the_past_goes_on_where_it_was() {
    let mut node = Node::start().await;
    let mut ended = node.person("ended@example.com").await;
    node.pass(HOUR);
    let mut ada = node.person("ada@example.com").await;
    // the last write is older than the moment at which the one session ends
    node.pass(SLACK);
    assert!(!ended.is_signed_in().await);
    node.stop().await;
    node.clock.jump_wall(-10 * YEAR_MS);
    node.restart().await;
    (ended, ada) = (ended.moved_to(&node), ada.moved_to(&node));
    assert!(!ended.is_signed_in().await, "what had ended stays ended");
    assert!((HOUR - SLACK - 1..=HOUR - SLACK).contains(&expires_in(&mut ada).await));
    let bob = node.person("bob@example.com").await;
    node.pass(HOUR + SLACK + 2);
    assert!(!ada.is_signed_in().await && !bob.clone().is_signed_in().await);
    assert!(node.wall_ms() < START, "all of this in the past");
}

#[tokio::test]
async fn restarts_between_jumps_bring_nobody_back() {
    let mut node = Node::start().await;
    let mut gone = node.person("ada@example.com").await;
    node.pass(HOUR + SLACK);
    assert!(!gone.is_signed_in().await);
    for years in [-10, -10, 5, -20, 3] {
        node.stop().await;
        node.clock.jump_wall(years * YEAR_MS);
        node.restart().await;
        gone = gone.moved_to(&node);
        assert!(!gone.is_signed_in().await, "{years}");
        let mut bob = node.visitor();
        assert_eq!(bob.sign_in("ada@example.com", PASSWORD).await.status(), 200, "{years}");
        assert!(bob.is_signed_in().await);
    }
}
