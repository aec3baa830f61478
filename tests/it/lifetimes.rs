//! How long sessions last: idle, at most, and when the browser is to remember.

use reqwest::StatusCode;
use reqwest::header::SET_COOKIE;
use serde_json::json;

use crate::harness::{Node, PASSWORD, Visitor, body, eventually};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// How much longer than the idle timeout a session may live, at the default of an hour.
const SLACK: i64 = 60;

async fn expires_in(visitor: &mut Visitor) -> i64 {
    visitor.session().await.expect("a live session")["expires_in"].as_i64().expect("seconds")
}

/// Uses a session, and waits until that has moved its deadline.
async fn used(visitor: &mut Visitor, expected: i64) {
    eventually("the deadline moves", async || expires_in(visitor).await == expected).await;
}

async fn is_live(visitor: &Visitor) -> bool {
    visitor.clone().session().await.is_some()
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_after_the_idle_timeout() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    assert_eq!(expires_in(&mut ada).await, HOUR);
    node.pass(HOUR + SLACK - 1);
    let mut bob = node.person("bob@example.com").await;
    node.pass(1);
    assert!(!is_live(&ada).await);
    assert_eq!(ada.get("/profile").await.status(), StatusCode::UNAUTHORIZED);
    node.pass(HOUR - 1);
    assert!(bob.is_signed_in().await, "idle for less than the timeout");
}

#[tokio::test]
async fn it_ends_between_idle_and_idle_plus_slack() {
    let node = Node::start().await;
    let people = [node.person("ada@example.com").await, node.person("bob@example.com").await];
    node.pass(HOUR - 1);
    assert!(is_live(&people[0]).await);
    node.pass(SLACK);
    assert!(is_live(&people[1]).await, "one second before the end of the slack");
    let other = Node::start().await;
    let carol = other.person("carol@example.com").await;
    other.pass(HOUR + SLACK);
    assert!(!is_live(&carol).await, "never past the slack");
}

#[tokio::test]
async fn use_moves_the_deadline() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    for _ in 0..4 {
        node.pass(HOUR / 2);
        used(&mut ada, HOUR).await;
    }
    node.pass(HOUR - 1);
    assert!(ada.is_signed_in().await, "three hours after sign-in");
    let mut anonymous = node.visitor();
    anonymous.patch(&json!({"a": 1})).await;
    node.pass(HOUR / 2);
    used(&mut anonymous, HOUR).await;
    node.pass(HOUR - 1);
    assert!(is_live(&anonymous).await);
}

#[tokio::test]
async fn a_moved_deadline_outlives_a_restart() {
    let mut node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    node.pass(HOUR / 2);
    used(&mut ada, HOUR).await;
    node.restart().await;
    node.pass(HOUR - 1);
    assert!(is_live(&ada.moved_to(&node)).await);
}

#[tokio::test]
async fn use_inside_the_slack_costs_no_write() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    let before = node.status().await.applied;
    node.pass(SLACK - 1);
    for _ in 0..200 {
        assert!(ada.is_signed_in().await);
    }
    assert_eq!(expires_in(&mut ada).await, HOUR - SLACK + 1);
    node.pass(2);
    for _ in 0..200 {
        assert!(ada.is_signed_in().await);
    }
    used(&mut ada, HOUR).await;
    let writes = node.status().await.applied - before;
    // one touch, or two if the first was decided while requests still asked; and log time itself, once a minute
    assert!((1..=4).contains(&writes), "{writes} writes for 400 requests");
}

#[tokio::test]
async fn nothing_outlives_the_absolute_lifetime() {
    let node = Node::with(&[("sessions.lifetime", "2h")]).await;
    let mut ada = node.person("ada@example.com").await;
    node.pass(HOUR - 600);
    used(&mut ada, HOUR).await;
    node.pass(HOUR - 600);
    used(&mut ada, 1_200).await;
    node.pass(1_199);
    assert_eq!(expires_in(&mut ada).await, 1);
    assert!(ada.is_signed_in().await, "the lifetime is no shorter");
    ada.patch(&json!({"still": "here"})).await;
    ada.form("/pour", &[]).await;
    assert_eq!(expires_in(&mut ada).await, 1, "no write lengthens it");
    node.pass(1);
    assert!(!ada.is_signed_in().await, "to the second");
    assert!(!is_live(&ada).await);
}

#[tokio::test]
async fn with_remember_me_a_session_outlives_the_browser_and_days_without_use() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    let mut ada = node.visitor();
    let form = json!({"email": "ada@example.com", "password": PASSWORD, "remember": true});
    let response = ada.post("/api/v1/signin", &form).await;
    for cookie in response.headers().get_all(SET_COOKIE) {
        assert!(cookie.to_str().expect("ASCII").contains("; Max-Age=2592000;"), "{cookie:?}");
    }
    assert_eq!(body(response).await["session"]["expires_in"], 30 * DAY);
    node.pass(30 * DAY - 1);
    assert!(ada.is_signed_in().await);
    node.pass(1);
    assert!(!ada.is_signed_in().await);
}

#[tokio::test]
async fn the_box_on_the_page_means_the_same() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    let fields = [("email", "ada@example.com"), ("password", PASSWORD), ("remember", "yes")];
    let response = node.visitor().form("/login", &fields).await;
    let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
    assert!(cookies.len() == 2 && cookies.iter().all(|c| c.to_str().expect("ASCII").contains("; Max-Age=2592000;")));
    let response = node.visitor().form("/login", &fields[..2]).await;
    assert!(response.headers().get_all(SET_COOKIE).iter().all(|c| !c.to_str().expect("ASCII").contains("Max-Age")));
}

#[tokio::test]
async fn one_person_has_so_many_sessions_and_the_oldest_makes_room() {
    let node = Node::with(&[("sessions.per_user_max", "3")]).await;
    let mut bob = node.person("bob@example.com").await;
    node.visitor().sign_up("ada@example.com").await;
    let mut browsers = Vec::new();
    for _ in 0..5 {
        node.pass(1);
        let mut browser = node.visitor();
        browser.sign_in("ada@example.com", PASSWORD).await;
        browsers.push(browser);
    }
    for (n, browser) in browsers.iter_mut().enumerate() {
        assert_eq!(browser.is_signed_in().await, n >= 2, "{n}");
    }
    // the browser that signs in again gives up its own, and nobody else's
    node.pass(1);
    browsers[4].sign_in("ada@example.com", PASSWORD).await;
    assert!(browsers[2].is_signed_in().await && browsers[3].is_signed_in().await);
    assert!(bob.is_signed_in().await, "other people's are not counted");
}

#[tokio::test]
async fn the_cap_holds_when_many_sign_in_at_once() {
    let node = Node::with(&[("sessions.per_user_max", "3")]).await;
    node.visitor().sign_up("ada@example.com").await;
    let tries = (0..9).map(|_| {
        let mut browser = node.visitor();
        async move {
            let status = browser.sign_in("ada@example.com", PASSWORD).await.status();
            (status, browser)
        }
    });
    let mut live = 0;
    for (status, mut browser) in futures_util::future::join_all(tries).await {
        assert_eq!(status, StatusCode::OK);
        live += usize::from(browser.is_signed_in().await);
    }
    assert_eq!(live, 3);
}
