//! The Craft Beer panel: a counter in the session, for everybody who pours and nobody who looks.

use reqwest::StatusCode;
use reqwest::header::{LOCATION, SET_COOKIE};
use sojourn::control::Request;

use crate::harness::{Node, Visitor};

async fn pour(visitor: &mut Visitor) {
    let response = visitor.form("/pour", &[]).await;
    assert_eq!((response.status(), &response.headers()[LOCATION]), (StatusCode::SEE_OTHER, &"/".parse().unwrap()));
}

async fn panel(visitor: &mut Visitor) -> String {
    let (status, page) = visitor.page("/").await;
    assert_eq!(status, StatusCode::OK);
    page
}

#[tokio::test]
async fn looking_makes_no_session() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    let response = visitor.get("/").await;
    assert!(!response.headers().contains_key(SET_COOKIE));
    let page = panel(&mut visitor).await;
    assert!(page.contains("id=\"no-session\"") && page.contains("<span id=\"beers\">0</span>"), "{page}");
    assert_eq!(node.status().await.sessions, 0);
}

#[tokio::test]
async fn every_pour_is_counted_in_the_one_session() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    for poured in 1..=7 {
        pour(&mut visitor).await;
        let page = panel(&mut visitor).await;
        assert!(page.contains(&format!("<span id=\"beers\">{poured}</span>")), "{page}");
        assert!(page.contains("<strong id=\"beer\">"), "it has a name");
    }
    assert_eq!(node.status().await.sessions, 1);
    let session = visitor.session().await.expect("an anonymous session");
    assert_eq!((&session["authenticated"], &session["data"]["beers"]), (&false.into(), &7.into()));
}

#[tokio::test]
async fn the_panel_tells_the_handle_and_the_seconds_and_never_the_id() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    pour(&mut visitor).await;
    node.pass(10);
    let page = panel(&mut visitor).await;
    let session = visitor.session().await.expect("a session");
    assert!(page.contains(session["id"].as_str().expect("a handle")) && page.contains("3590"), "{page}");
    assert!(!page.contains(visitor.sid()));
}

#[tokio::test]
async fn whoever_is_signed_in_pours_into_their_own_session() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    let before = ada.sid().to_owned();
    pour(&mut ada).await;
    assert_eq!(ada.sid(), before);
    let page = panel(&mut ada).await;
    assert!(page.contains("Ada Stout") && page.contains("<span id=\"beers\">1</span>"), "{page}");
}

#[tokio::test]
async fn pours_at_once_are_all_counted() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    pour(&mut visitor).await;
    let pours = (0..30).map(|_| {
        let mut visitor = visitor.clone();
        async move { pour(&mut visitor).await }
    });
    futures_util::future::join_all(pours).await;
    assert_eq!(visitor.session().await.expect("a session")["data"]["beers"], 31);
}

#[tokio::test]
async fn a_pour_with_a_session_that_ended_begins_another_that_is_nobodys() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    pour(&mut ada).await;
    let ended = node.ask(Request::SessionRevokeUser { email: "ada@example.com".into() }).await;
    assert!(ended.is_ok(), "{ended:?}");
    let before = ada.sid().to_owned();
    pour(&mut ada).await;
    assert_ne!(ada.sid(), before);
    let session = ada.session().await.expect("a session");
    assert_eq!((&session["authenticated"], &session["data"]["beers"]), (&false.into(), &1.into()));
}
