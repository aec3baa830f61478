//! My sessions: seeing them, ending them, and what an operator does to them.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sojourn::control::protocol::Password;
use sojourn::control::{Request, Response};

use crate::harness::{Node, PASSWORD, Visitor, body};

const ADA: &str = "ada@example.com";
const OTHER: &str = "another horse battery";

async fn listed(visitor: &mut Visitor) -> Vec<Value> {
    let response = visitor.get("/api/v1/sessions").await;
    assert_eq!(response.status(), StatusCode::OK);
    body(response).await.as_array().expect("a list").clone()
}

/// Ada in so many browsers, a second apart.
async fn browsers<const N: usize>(node: &Node) -> [Visitor; N] {
    node.visitor().sign_up(ADA).await;
    let mut browsers = Vec::new();
    for _ in 0..N {
        node.pass(1);
        let mut browser = node.visitor();
        assert_eq!(browser.sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
        browsers.push(browser);
    }
    browsers.try_into().unwrap_or_else(|_| unreachable!("so many were pushed"))
}

async fn live(browsers: &mut [Visitor]) -> Vec<bool> {
    let mut live = Vec::new();
    for browser in browsers {
        live.push(browser.is_signed_in().await);
    }
    live
}

#[tokio::test]
async fn my_sessions_are_listed_newest_first_and_mine_is_marked() {
    let node = Node::start().await;
    let mut mine = browsers::<3>(&node).await;
    node.person("bob@example.com").await;
    let list = listed(&mut mine[1]).await;
    let current: Vec<bool> = list.iter().map(|s| s["current"].as_bool().expect("a bool")).collect();
    assert_eq!(current, [false, true, false]);
    let begun: Vec<&str> = list.iter().map(|s| s["begun"].as_str().expect("a moment")).collect();
    assert_eq!(begun, ["2026-09-21T14:13:23.000Z", "2026-09-21T14:13:22.000Z", "2026-09-21T14:13:21.000Z"]);
    assert_eq!(list[1]["handle"], mine[1].session().await.expect("a session")["id"]);
    assert_eq!((&list[0]["expires"], &list[0]["address"]), (&json!("2026-09-21T15:13:23.000Z"), &json!("127.0.0.1")));
    for session in &list {
        let members: Vec<&str> = session.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["address", "agent", "begun", "current", "expires", "handle"]);
    }
    assert_eq!(node.visitor().get("/api/v1/sessions").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn one_session_is_ended_by_its_handle() {
    let node = Node::start().await;
    let mut mine = browsers::<3>(&node).await;
    let handle = mine[0].session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let path = format!("/api/v1/sessions/{handle}");
    assert_eq!(mine[2].delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(live(&mut mine).await, [false, true, true]);
    assert_eq!(mine[2].delete(&path).await.status(), StatusCode::NOT_FOUND, "it is gone");
    assert_eq!(listed(&mut mine[1]).await.len(), 2);
    // ending one's own takes the cookies back
    let own = mine[2].session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let before = mine[2].clone();
    assert_eq!(mine[2].delete(&format!("/api/v1/sessions/{own}")).await.status(), StatusCode::NO_CONTENT);
    assert!(mine[2].cookies.is_empty());
    assert!(!before.clone().is_signed_in().await);
}

#[tokio::test]
async fn nobody_ends_what_is_not_theirs() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut bob = node.person("bob@example.com").await;
    let mut nobody = node.visitor();
    nobody.patch(&json!({"a": 1})).await;
    let handle = ada.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let anonymous = nobody.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    for named in [handle.as_str(), &anonymous, ada.sid(), "nonsense", "%00", "..%2f", &"x".repeat(4_000)] {
        let status = bob.delete(&format!("/api/v1/sessions/{named}")).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{named}");
    }
    for mut visitor in [node.visitor(), nobody.clone()] {
        assert_eq!(visitor.delete(&format!("/api/v1/sessions/{handle}")).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(visitor.delete("/api/v1/sessions?others=true").await.status(), StatusCode::UNAUTHORIZED);
    }
    assert!(ada.is_signed_in().await && nobody.session().await.is_some());
}

/// An app on the same domain is sent the session cookie, and not the second one.
#[tokio::test]
async fn the_session_cookie_alone_reaches_no_further_than_its_session() {
    let node = Node::start().await;
    let mut mine = browsers::<2>(&node).await;
    let handle = mine[0].session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let mut app = mine[1].clone();
    app.cookies.retain(|(name, _)| name == "sojourn");
    let mut mixed = mine[1].clone();
    mixed.cookies[1] = mine[0].cookies[1].clone();
    for visitor in [&mut app, &mut mixed] {
        assert!(visitor.is_signed_in().await && visitor.session().await.is_some());
        assert_eq!(visitor.patch(&json!({"cart": 1})).await.status(), StatusCode::OK);
        assert_eq!(visitor.get("/api/v1/sessions").await.status(), StatusCode::FORBIDDEN);
        assert_eq!(visitor.delete(&format!("/api/v1/sessions/{handle}")).await.status(), StatusCode::FORBIDDEN);
        assert_eq!(visitor.delete("/api/v1/sessions?others=true").await.status(), StatusCode::FORBIDDEN);
        let change = json!({"current_password": PASSWORD, "new_password": OTHER});
        let response = visitor.post("/api/v1/password", &change).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(body(response).await["detail"].as_str().is_some_and(|why| why.contains("second cookie")));
    }
    assert_eq!(live(&mut mine).await, [true, true]);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK, "nothing was done");
    assert_eq!(listed(&mut mine[1]).await.len(), 3);
    app.post("/api/v1/signout", &json!({})).await;
    assert_eq!(live(&mut mine).await, [true, false], "its own session it may end");
}

#[tokio::test]
async fn all_others_are_ended_and_mine_lives_on() {
    let mut node = Node::start().await;
    let mut mine = browsers::<4>(&node).await;
    let mut bob = node.person("bob@example.com").await;
    mine[1].patch(&json!({"cart": 1})).await;
    for refused in
        ["/api/v1/sessions", "/api/v1/sessions?others=false", "/api/v1/sessions?others=", "/api/v1/sessions?other=true"]
    {
        assert_eq!(mine[1].delete(refused).await.status(), StatusCode::BAD_REQUEST, "{refused}");
    }
    assert_eq!(live(&mut mine).await, [true; 4]);
    let response = mine[1].delete("/api/v1/sessions?others=true").await;
    assert_eq!((response.status(), body(response).await), (StatusCode::OK, json!({"ended": 3})));
    assert_eq!(live(&mut mine).await, [false, true, false, false]);
    assert!(bob.is_signed_in().await);
    assert_eq!(mine[1].session().await.expect("a session")["data"], json!({"cart": 1}));
    assert_eq!(mine[1].get("/account").await.status(), StatusCode::OK, "the second cookie still fits");
    let again = mine[1].delete("/api/v1/sessions?others=true").await;
    assert_eq!(body(again).await, json!({"ended": 0}));
    node.restart().await;
    let moved: Vec<Visitor> = mine.iter().map(|v| v.moved_to(&node)).collect();
    assert_eq!(live(&mut { moved }).await, [false, true, false, false]);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK, "the next sign-in is fine");
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let node = Node::start().await;
    let mut mine = browsers::<3>(&node).await;
    let change = json!({"current_password": PASSWORD, "new_password": OTHER});
    assert_eq!(mine[0].post("/api/v1/password", &change).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(live(&mut mine).await, [true, false, false]);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(node.visitor().sign_in(ADA, OTHER).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_password_is_changed_only_by_whoever_knows_it() {
    let node = Node::start().await;
    let mut mine = browsers::<2>(&node).await;
    for (current, new, status) in [
        ("wrong horse battery", OTHER, 403),
        ("", OTHER, 400),
        (PASSWORD, "", 400),
        (PASSWORD, "short", 422),
        (PASSWORD, "password1", 422),
    ] {
        let change = json!({"current_password": current, "new_password": new});
        assert_eq!(mine[0].post("/api/v1/password", &change).await.status(), status, "{current:?} {new:?}");
    }
    let change = json!({"current_password": PASSWORD, "new_password": OTHER});
    assert_eq!(node.visitor().post("/api/v1/password", &change).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(live(&mut mine).await, [true, true]);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn guessing_the_current_password_is_throttled_like_signing_in() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let change = json!({"current_password": "wrong horse battery", "new_password": OTHER});
    for _ in 0..10 {
        assert_eq!(ada.post("/api/v1/password", &change).await.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(ada.post("/api/v1/password", &change).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let right = json!({"current_password": PASSWORD, "new_password": OTHER});
    assert_eq!(ada.post("/api/v1/password", &right).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_and_back_only_by_a_new_sign_in() {
    let node = Node::start().await;
    let mut mine = browsers::<2>(&node).await;
    let mut bob = node.person("bob@example.com").await;
    let email = || ADA.to_owned();
    let shown = node.ask(Request::UserDisable { email: email() }).await;
    assert!(matches!(&shown, Ok(Response::User(user)) if user.disabled), "{shown:?}");
    assert_eq!(live(&mut mine).await, [false, false]);
    assert!(mine[0].session().await.is_none());
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    let shown = node.ask(Request::UserEnable { email: email() }).await;
    assert!(matches!(&shown, Ok(Response::User(user)) if !user.disabled), "{shown:?}");
    assert_eq!(live(&mut mine).await, [false, false], "the old sessions stay dead");
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    assert!(bob.is_signed_in().await);
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_its_sessions() {
    let node = Node::start().await;
    let mut mine = browsers::<2>(&node).await;
    assert!(node.ask(Request::UserDelete { email: ADA.into() }).await.is_ok());
    assert_eq!(live(&mut mine).await, [false, false]);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    node.visitor().sign_up(ADA).await;
    assert_eq!(live(&mut mine).await, [false, false], "whoever takes the address takes no session");
    assert_eq!(node.status().await.users, 1);
}

#[tokio::test]
async fn a_password_that_an_operator_sets_ends_all_sessions() {
    let node = Node::start().await;
    let mut mine = browsers::<2>(&node).await;
    let password = Password(OTHER.into());
    assert!(node.ask(Request::UserSetPassword { email: ADA.into(), password }).await.is_ok());
    assert_eq!(live(&mut mine).await, [false, false]);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(node.visitor().sign_in(ADA, OTHER).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_operator_sees_and_ends_sessions_by_handle() {
    let node = Node::start().await;
    let mut mine = browsers::<2>(&node).await;
    let mut nobody = node.visitor();
    nobody.patch(&json!({"cart": 7})).await;
    let list = node.ask(Request::SessionList { user: None, after: None }).await;
    let Ok(Response::Sessions { sessions, next: None }) = list else { panic!("{list:?}") };
    assert_eq!(sessions.len(), 3);
    let of_ada = node.ask(Request::SessionList { user: Some("ADA@example.com".into()), after: None }).await;
    let Ok(Response::Sessions { sessions: of_ada, .. }) = of_ada else { panic!("{of_ada:?}") };
    assert!(of_ada.len() == 2 && of_ada.iter().all(|s| s.email == ADA), "{of_ada:?}");

    let named = nobody.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let shown = node.ask(Request::SessionShow { id: named.clone() }).await;
    assert!(matches!(&shown, Ok(Response::Session(s)) if s.data == Some(json!({"cart": 7})) && s.handle == named));
    assert!(node.ask(Request::SessionRevoke { id: named.clone() }).await.is_ok());
    assert!(nobody.session().await.is_none());
    assert!(node.ask(Request::SessionRevoke { id: named }).await.is_err(), "it is gone");
    let ended = node.ask(Request::SessionRevokeUser { email: ADA.into() }).await;
    assert_eq!(ended, Ok(Response::Ended { sessions: 2 }));
    assert_eq!(live(&mut mine).await, [false, false]);
    assert_eq!(node.status().await.sessions, 0);
}
