//! Introspection (RFC 7662): apps ask whose token they were shown, and nobody else learns anything.

use reqwest::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sojourn::control::protocol::{NewApp, Password};
use sojourn::control::{Request, Response as Answer};

use crate::harness::{Cluster, Node, START, body};

const ADA: &str = "ada@example.com";

/// An app; answers its password.
async fn app(node: &Node, name: &str, prefix: &str) -> String {
    let new = NewApp { name: name.into(), prefix: prefix.into(), may_sign_in: false, share: 50 };
    match node.ask(Request::AppAdd(new)).await {
        Ok(Answer::AppSecret { password: Password(password), .. }) => password,
        other => panic!("an app was to be added: {other:?}"),
    }
}

async fn ask(node: &Node, app: (&str, &str), token: &str) -> Response {
    let request = node.visitor().request(Method::POST, "/oauth/introspect");
    let request = request.basic_auth(app.0, Some(app.1)).form(&[("token", token), ("token_type_hint", "access_token")]);
    request.send().await.expect("the node answers")
}

async fn told(node: &Node, password: &str, token: &str) -> Value {
    let response = ask(node, ("shop", password), token).await;
    assert_eq!(response.status(), StatusCode::OK);
    body(response).await
}

#[tokio::test]
async fn an_app_is_told_whose_token_it_was_shown() {
    let node = Node::start().await;
    let password = app(&node, "shop", "shop:").await;
    let mut ada = node.person(ADA).await;
    let id = body(ada.get("/profile").await).await["id"].clone();
    let wanted = json!({"name": "x", "scopes": ["sessions", "profile"], "expires_in": 60});
    let made = body(ada.post("/api/v1/tokens", &wanted).await).await;
    let token = made["token"].as_str().expect("a token");
    let (iat, exp) = (START / 1_000, START / 1_000 + 60);
    let wanted = json!({"active": true, "sub": id, "username": ADA, "scope": "profile sessions", "iat": iat, "exp": exp,
        "token_type": "Bearer"});
    assert_eq!(told(&node, &password, token).await, wanted);
    node.pass(60);
    assert_eq!(told(&node, &password, token).await, json!({"active": false}));
}

#[tokio::test]
async fn the_value_of_a_session_cookie_is_a_token_too_encoded_or_not() {
    let node = Node::start().await;
    let password = app(&node, "shop", "shop:").await;
    let mut ada = node.person(ADA).await;
    let id = body(ada.get("/profile").await).await["id"].clone();
    let cookie = ada.session_cookie().to_owned();
    let decoded = cookie.replace("%3A", ":").replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    let (iat, exp) = (START / 1_000, START / 1_000 + 3_600);
    let wanted = json!({"active": true, "sub": id, "username": ADA, "iat": iat, "exp": exp, "token_type": "session"});
    for value in [&cookie, &decoded] {
        assert_eq!(told(&node, &password, value).await, wanted, "{value}");
    }
    let mut nobody = node.visitor();
    nobody.patch(&json!({"cart": 1})).await;
    assert_eq!(told(&node, &password, nobody.session_cookie()).await, json!({"active": false}), "nobody is signed in");
    ada.post("/api/v1/signout", &json!({})).await;
    for none in [&cookie, ada_sid(&cookie), "x", "s%3A", "sjt_x"] {
        assert_eq!(told(&node, &password, none).await, json!({"active": false}), "{none}");
    }
}

fn ada_sid(cookie: &str) -> &str {
    cookie.strip_prefix("s%3A").and_then(|rest| rest.split('.').next()).expect("a session id")
}

#[tokio::test]
async fn whoever_is_no_app_learns_nothing() {
    let node = Node::start().await;
    let password = app(&node, "shop", "shop:").await;
    let mut ada = node.person(ADA).await;
    let made = body(ada.post("/api/v1/tokens", &json!({"name": "x"})).await).await;
    let token = made["token"].as_str().expect("a token");
    for (name, wrong) in [("shop", "wrong"), ("other", &*password), ("shop", ""), ("", &*password), (ADA, "x")] {
        let response = ask(&node, (name, wrong), token).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert!(response.headers()[WWW_AUTHENTICATE].to_str().expect("text").starts_with("Basic "));
    }
    let bare = ada.request(Method::POST, "/oauth/introspect").form(&[("token", token)]);
    assert_eq!(bare.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED, "cookies do not count here");
    let response = ask(&node, ("shop", &password), "").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let json = node.visitor().request(Method::POST, "/oauth/introspect").basic_auth("shop", Some(&password));
    let json = json.json(&json!({"token": token})).send().await.expect("an answer");
    assert_eq!(json.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn wrong_credentials_are_throttled_and_right_ones_are_not() {
    let node = Node::start().await;
    let password = app(&node, "shop", "shop:").await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let response = ask(&node, ("shop", "wrong"), "x").await;
        assert!(response.status() != StatusCode::TOO_MANY_REQUESTS || response.headers().contains_key(RETRY_AFTER));
        statuses.push(response.status());
    }
    assert_eq!(statuses[..29], vec![StatusCode::UNAUTHORIZED; 29]);
    assert_eq!(statuses[39], StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(told(&node, &password, "x").await, json!({"active": false}));
    let before = node.status().await.applied;
    for _ in 0..50 {
        told(&node, &password, "x").await;
    }
    assert_eq!(node.status().await.applied, before, "a right password costs no commit");
}

#[tokio::test]
async fn an_app_is_known_on_every_node_at_once_and_on_none_when_it_is_removed() {
    let cluster = Cluster::start(3).await;
    let password = app(&cluster.nodes[0], "shop", "shop:").await;
    for node in &cluster.nodes {
        assert_eq!(told(node, &password, "x").await, json!({"active": false}));
    }
    cluster.nodes[1].ask(Request::AppRemove { name: "shop".into() }).await.expect("is removed");
    for node in &cluster.nodes {
        let gone = async || ask(node, ("shop", &password), "x").await.status() == StatusCode::UNAUTHORIZED;
        crate::harness::eventually("it is known no more", gone).await;
    }
}
