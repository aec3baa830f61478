//! Claims: what an app counts for that says who is signed in.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sojourn::control::protocol::{NewAccount, NewApp, Password};
use sojourn::control::{Request, Response as Answer};
use sojourn::identity::cookie::Signer;

use crate::harness::{Node, PASSWORD, Visitor, body};
use crate::wire::Wire;

const SECRET: &str = "a secret that apps and nodes share";
const ADA: &str = "ada@example.com";

async fn node() -> Node {
    let settings =
        [("redis.listen", "127.0.0.1:0"), ("sessions.secrets", SECRET), ("web.trusted_proxies", "127.0.0.0/8")];
    Node::with(&settings).await
}

/// An account that an operator made; answers its id.
async fn account(node: &Node, email: &str, admin: bool) -> String {
    let (first_name, last_name) = ("Ada".to_owned(), "Stout".to_owned());
    let password = Some(Password(PASSWORD.to_owned()));
    let account = NewAccount { email: email.to_owned(), first_name, last_name, admin, password };
    match node.ask(Request::UserAdd(account)).await {
        Ok(Answer::UserAdded { user, .. }) => user.id,
        other => panic!("an account was to be added: {other:?}"),
    }
}

async fn app(node: &Node, may_sign_in: bool) -> String {
    let new = NewApp { name: "blog".into(), prefix: "sess:".into(), may_sign_in, share: 50 };
    match node.ask(Request::AppAdd(new)).await {
        Ok(Answer::AppSecret { password, .. }) => password.0,
        other => panic!("an app was to be added: {other:?}"),
    }
}

/// A browser in a session that the app begins and in which it says that this is its user.
async fn said(node: &Node, password: &str, (sid, user): (&str, &str)) -> Visitor {
    let mut wire = Wire::to(node.redis()).await;
    assert_eq!(wire.ask(&["AUTH", "blog", password]).await, "+OK");
    let value = json!({"cookie": {"path": "/"}, "passport": {"user": user}}).to_string();
    assert_eq!(wire.ask(&["SET", &format!("sess:{sid}"), &value, "EX", "600"]).await, "+OK");
    let mut visitor = node.visitor();
    visitor.cookies.push(("sojourn".to_owned(), Signer::new(&[SECRET]).sign(sid)));
    visitor
}

/// What a proxy is told of whoever sends this cookie.
async fn passes(who: &Visitor) -> StatusCode {
    let request = who.request(Method::GET, "/api/authz/forward-auth");
    let request = request.header("X-Forwarded-Host", "app.example.com").header("X-Forwarded-Uri", "/");
    request.send().await.expect("an answer").status()
}

async fn introspected(node: &Node, password: &str, token: &str) -> Value {
    let request = node.visitor().request(Method::POST, "/oauth/introspect").basic_auth("blog", Some(password));
    body(request.form(&[("token", token)]).send().await.expect("an answer")).await
}

#[tokio::test]
async fn it_counts_for_the_profile_and_the_proxy_check_as_long_as_the_app_may_say_so() {
    let node = node().await;
    let (id, password) = (account(&node, ADA, false).await, app(&node, true).await);
    let mut ada = said(&node, &password, ("one", &id)).await;
    assert_eq!((passes(&ada).await, ada.is_signed_in().await), (StatusCode::OK, true));
    assert_eq!(introspected(&node, &password, ada.session_cookie()).await, json!({"active": false}));
    node.ask(Request::AppRemove { name: "blog".into() }).await.expect("is removed");
    assert_eq!((passes(&ada).await, ada.is_signed_in().await), (StatusCode::UNAUTHORIZED, false));
    assert!(ada.session().await.is_some(), "the session is there still, and nobody's");
    app(&node, false).await;
    assert_eq!(passes(&ada).await, StatusCode::UNAUTHORIZED, "another of that name may not say so");
}

#[tokio::test]
async fn it_never_counts_for_an_admin() {
    let node = node().await;
    let (id, password) = (account(&node, ADA, true).await, app(&node, true).await);
    let mut ada = said(&node, &password, ("one", &id)).await;
    assert_eq!((passes(&ada).await, ada.is_signed_in().await), (StatusCode::UNAUTHORIZED, false));
}
