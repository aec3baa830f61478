//! One-time links: good once, good for an hour, and then for nobody.

use reqwest::StatusCode;
use reqwest::header::{LOCATION, REFERRER_POLICY};
use serde_json::json;
use sojourn::control::protocol::NewAccount;
use sojourn::control::{Request, Response};

use crate::harness::{Node, PASSWORD, body};

const ADA: &str = "ada@example.com";
const NEW: &str = "a brand new password";
const HOUR: i64 = 3_600;

fn path(url: &str) -> String {
    format!("/link/{}", url.rsplit('/').next().expect("a token"))
}

async fn link(node: &Node, email: &str) -> String {
    match node.ask(Request::UserLink { email: email.into() }).await {
        Ok(Response::Link(link)) => path(&link.url),
        other => panic!("a link was asked for: {other:?}"),
    }
}

async fn spend(node: &Node, path: &str, password: &str) -> StatusCode {
    node.visitor().form(path, &[("password", password)]).await.status()
}

#[tokio::test]
async fn a_link_sets_the_password_once_and_ends_all_sessions() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let path = link(&node, ADA).await;
    let (status, page) = node.visitor().page(&path).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains(ADA) && page.contains("autocomplete=\"new-password\""), "{page}");
    assert!(ada.is_signed_in().await, "looking spends nothing");

    let response = node.visitor().form(&path, &[("password", NEW)]).await;
    assert_eq!(
        (response.status(), &response.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/login?done".parse().unwrap())
    );
    assert!(!ada.is_signed_in().await);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(node.visitor().sign_in(ADA, NEW).await.status(), StatusCode::OK);

    assert_eq!(spend(&node, &path, "yet another password").await, StatusCode::NOT_FOUND);
    assert_eq!(node.visitor().page(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(node.visitor().sign_in(ADA, NEW).await.status(), StatusCode::OK, "nothing came of it");
}

#[tokio::test]
async fn a_link_is_good_for_an_hour() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let (early, late) = (link(&node, ADA).await, link(&node, ADA).await);
    node.pass(HOUR - 1);
    assert_eq!(node.visitor().page(&early).await.0, StatusCode::OK);
    node.pass(1);
    assert_eq!(node.visitor().page(&late).await.0, StatusCode::NOT_FOUND);
    assert_eq!(spend(&node, &late, NEW).await, StatusCode::NOT_FOUND);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    let again = link(&node, ADA).await;
    node.pass(HOUR - 1);
    assert_eq!(spend(&node, &again, NEW).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_spent_link_takes_the_others_of_the_account_with_it() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    node.visitor().sign_up("bob@example.com").await;
    let (first, second, bobs) = (link(&node, ADA).await, link(&node, ADA).await, link(&node, "bob@example.com").await);
    assert_eq!(spend(&node, &second, NEW).await, StatusCode::SEE_OTHER);
    assert_eq!(spend(&node, &first, PASSWORD).await, StatusCode::NOT_FOUND);
    assert_eq!(spend(&node, &bobs, NEW).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_password_that_will_not_do_does_not_spend_the_link() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let path = link(&node, ADA).await;
    for (password, status) in [("", 400), ("short", 422), ("password1", 422), (ADA, 422), (&"x y".repeat(400), 422)] {
        let response = node.visitor().form(&path, &[("password", password)]).await;
        assert_eq!(response.status(), status, "{password:?}");
    }
    assert!(ada.is_signed_in().await);
    assert_eq!(spend(&node, &path, NEW).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn of_many_who_spend_one_link_at_once_one_does() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let path = link(&node, ADA).await;
    let tries = (0..8).map(|n| {
        let (node, path) = (&node, &path);
        async move { spend(node, path, &format!("the password of try {n}")).await }
    });
    let statuses = futures_util::future::join_all(tries).await;
    let won: Vec<usize> = (0..8).filter(|n| statuses[*n] == StatusCode::SEE_OTHER).collect();
    assert_eq!(won.len(), 1, "{statuses:?}");
    let password = format!("the password of try {}", won[0]);
    assert_eq!(node.visitor().sign_in(ADA, &password).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_token_that_is_not_one_is_not_found() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let good = link(&node, ADA).await;
    let shorter = &good[..good.len() - 1];
    for bad in [
        "/link/x",
        "/link/%00",
        "/link/%27%20or%201=1",
        &format!("{good}A"),
        shorter,
        &format!("/link/{}", "x".repeat(4_000)),
    ] {
        assert_eq!(node.visitor().page(bad).await.0, StatusCode::NOT_FOUND, "{bad}");
        assert_eq!(spend(&node, bad, NEW).await, StatusCode::NOT_FOUND, "{bad}");
    }
}

#[tokio::test]
async fn a_link_tells_its_token_to_nobody_else() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let path = link(&node, ADA).await;
    let response = node.visitor().get(&path).await;
    assert_eq!(response.headers()[REFERRER_POLICY], "same-origin");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let token = path.rsplit('/').next().expect("a token");
    assert!(token.len() >= 43, "256 bits");
    assert!(!response.text().await.expect("a page").contains(token), "the form posts to where it came from");
}

#[tokio::test]
async fn the_host_of_a_link_is_never_the_one_that_a_request_named() {
    let node = Node::with(&[("public_url", "https://login.example.com")]).await;
    let request = node.visitor().request(reqwest::Method::GET, "/").header("x-forwarded-host", "evil.example");
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::OK);
    node.visitor().sign_up(ADA).await;
    let made = node.ask(Request::UserLink { email: ADA.into() }).await;
    let Ok(Response::Link(made)) = made else { panic!("{made:?}") };
    assert!(made.url.starts_with("https://login.example.com/link/"), "{}", made.url);
}

#[tokio::test]
async fn the_first_start_makes_a_link_to_the_first_admin_and_no_other_does() {
    let mut node = Node::start().await;
    let path = node.first_admin_path();
    let fields = [("email", ADA), ("password", PASSWORD), ("first_name", "Ada"), ("last_name", "Stout")];
    let response = node.visitor().form(&path, &fields).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let shown = node.ask(Request::UserShow { email: ADA.into() }).await;
    assert!(matches!(&shown, Ok(Response::User(u)) if u.admin && u.approved && u.verified), "{shown:?}");
    let again = [("email", "eve@example.com"), ("password", PASSWORD), ("first_name", "E"), ("last_name", "V")];
    assert_eq!(node.visitor().form(&path, &again).await.status(), StatusCode::NOT_FOUND, "spent");
    let refused = node.ask(Request::UserLink { email: "eve@example.com".into() }).await;
    assert!(refused.is_err(), "with an admin there is no second first one: {refused:?}");
    node.restart().await;
    assert_eq!(node.visitor().page(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(node.status().await.users, 1);
}

#[tokio::test]
async fn a_restart_gives_the_link_that_lies_there_while_it_is_good_and_then_another() {
    let mut node = Node::start().await;
    let first = node.first_admin_path();
    let file = node.data().join("first-admin-link");
    let leave = |path: &str| std::fs::write(&file, format!("http://x{path}\ngood once, until 2100-01-01T00:00:00Z\n"));
    leave(&first).expect("is written");
    node.pass(HOUR - 1);
    node.restart().await;
    assert_eq!(node.first_admin_path(), first);
    assert_eq!(node.visitor().page(&first).await.0, StatusCode::OK);
    node.pass(1);
    node.restart().await;
    let second = node.first_admin_path();
    assert_ne!(second, first, "it is too old");
    assert!(!file.exists(), "and its file is gone");
    assert_eq!(node.visitor().page(&second).await.0, StatusCode::OK);

    leave(&second).expect("is written");
    let (first_name, last_name) = (String::new(), String::new());
    let account = NewAccount { email: ADA.into(), first_name, last_name, admin: true, password: None };
    node.ask(Request::UserAdd(account)).await.expect("is made");
    node.restart().await;
    assert!(node.first_admin().is_none() && !file.exists(), "there is an admin");
}

#[tokio::test]
async fn an_account_without_a_password_is_made_however_long_passwords_must_be() {
    for least in ["8", "15", "64"] {
        let node = Node::with(&[("users.password_min", least)]).await;
        let (first_name, last_name) = (String::new(), String::new());
        let account = NewAccount { email: ADA.into(), first_name, last_name, admin: false, password: None };
        let made = node.ask(Request::UserAdd(account)).await;
        let Ok(Response::UserAdded { link: Some(made), .. }) = made else { panic!("{least}: {made:?}") };
        let long: String = "pour another one ".chars().cycle().take(64).collect();
        assert_eq!(spend(&node, &self::path(&made.url), &long).await, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn a_first_admin_link_ends_when_there_is_an_admin_by_another_way() {
    let node = Node::start().await;
    let path = node.first_admin_path();
    let other = match node.ask(Request::UserLink { email: "new@example.com".into() }).await {
        Ok(Response::Link(made)) => self::path(&made.url),
        other => panic!("{other:?}"),
    };
    let (first_name, last_name) = (String::new(), String::new());
    let account = NewAccount { email: ADA.into(), first_name, last_name, admin: true, password: None };
    let made = node.ask(Request::UserAdd(account)).await;
    let Ok(Response::UserAdded { link: Some(set_password), .. }) = made else { panic!("{made:?}") };
    let fields = [("email", "eve@example.com"), ("password", PASSWORD), ("first_name", "E"), ("last_name", "V")];
    for path in [path, other] {
        let status = node.visitor().form(&path, &fields).await.status();
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT), "{status}");
    }
    assert_eq!(node.status().await.users, 1);
    assert_eq!(spend(&node, &self::path(&set_password.url), NEW).await, StatusCode::SEE_OTHER);
    let mut ada = node.visitor();
    assert_eq!(ada.sign_in(ADA, NEW).await.status(), StatusCode::OK);
    assert_eq!(body(ada.get("/profile").await).await["email"], json!(ADA));
}
