//! Whether an address has an account is not told by signing in: all refusals are the same bytes.

use std::collections::BTreeMap;

use reqwest::{Response, StatusCode};
use sojourn::control::Request;
use sojourn::control::protocol::NewAccount;

use crate::harness::{Node, PASSWORD, Visitor};

/// Addresses of one length, so that a page that repeats one is as long.
const KNOWN: &str = "known@example.com";
const UNKNOWN: &str = "wonky@example.com";
const DISABLED: &str = "ended@example.com";
const WITHOUT: &str = "empty@example.com";
/// No address at all, as long as the others.
const NONSENSE: &str = "nobody at example";

/// All that is told: status, headers but the date, body with the address taken out.
async fn told(response: Response, email: &str) -> (StatusCode, BTreeMap<String, String>, String) {
    let status = response.status();
    let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = response.text().await.expect("a body").replace(email, "(the address)");
    (status, headers, body)
}

async fn node() -> Node {
    let node = Node::start().await;
    node.visitor().sign_up(KNOWN).await;
    node.visitor().sign_up(DISABLED).await;
    assert!(node.ask(Request::UserDisable { email: DISABLED.into() }).await.is_ok());
    let (first_name, last_name) = (String::new(), String::new());
    let account = NewAccount { email: WITHOUT.into(), first_name, last_name, admin: false, password: None };
    assert!(node.ask(Request::UserAdd(account)).await.is_ok());
    node
}

async fn by_json(visitor: &mut Visitor, email: &str, password: &str) -> Response {
    visitor.sign_in(email, password).await
}

async fn by_form(visitor: &mut Visitor, email: &str, password: &str) -> Response {
    visitor.form("/api/v1/signin", &[("email", email), ("password", password)]).await
}

async fn by_page(visitor: &mut Visitor, email: &str, password: &str) -> Response {
    visitor.form("/login", &[("email", email), ("password", password)]).await
}

#[tokio::test]
async fn every_refused_sign_in_is_told_in_the_same_bytes() {
    let node = node().await;
    let pairs = [
        (KNOWN, "wrong horse battery"),
        (UNKNOWN, PASSWORD),
        (DISABLED, PASSWORD),
        (DISABLED, "wrong horse battery"),
        (WITHOUT, PASSWORD),
        (NONSENSE, PASSWORD),
    ];
    let mut answers: [Vec<_>; 3] = Default::default();
    for (email, password) in pairs {
        let mut visitor = node.visitor();
        answers[0].push(told(by_json(&mut visitor, email, password).await, email).await);
        answers[1].push(told(by_form(&mut visitor, email, password).await, email).await);
        answers[2].push(told(by_page(&mut visitor, email, password).await, email).await);
        assert!(visitor.cookies.is_empty());
    }
    let statuses = [StatusCode::UNAUTHORIZED, StatusCode::SEE_OTHER, StatusCode::UNAUTHORIZED];
    for (answers, status) in answers.iter().zip(statuses) {
        assert_eq!(answers[0].0, status);
        for (answer, pair) in answers.iter().zip(pairs) {
            assert_eq!(answer, &answers[0], "{pair:?}");
        }
    }
    assert!(answers[0][0].2.contains("Invalid credentials.") && answers[2][0].2.contains("Invalid credentials."));
    assert_eq!(answers[1][0].1["location"], "/login?failed");
}

#[tokio::test]
async fn unknown_addresses_are_throttled_like_known_ones() {
    let node = node().await;
    let mut refusals = Vec::new();
    for email in [KNOWN, UNKNOWN, DISABLED, WITHOUT, NONSENSE] {
        let mut visitor = node.visitor();
        let before = node.status().await.applied;
        for _ in 0..10 {
            assert_eq!(by_json(&mut visitor, email, "wrong horse battery").await.status(), StatusCode::UNAUTHORIZED);
        }
        assert_eq!(node.status().await.applied - before, 10, "{email}: each try is one write");
        refusals.push(told(by_json(&mut visitor, email, "wrong horse battery").await, email).await);
    }
    assert_eq!(refusals[0].0, StatusCode::TOO_MANY_REQUESTS);
    assert!(refusals.iter().all(|refusal| refusal == &refusals[0]), "{refusals:#?}");
}
