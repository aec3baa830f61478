//! The account page: for whoever holds both cookies, and only about themselves.

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};

use crate::harness::{Node, PASSWORD, Visitor, body};

const ADA: &str = "ada@example.com";
const NEW: &str = "another horse battery";

/// Every address of the page, with a form that would do something.
const FORMS: [(&str, &[(&str, &str)]); 4] = [
    ("/account/profile", &[("first_name", "Eve"), ("last_name", "Porter")]),
    ("/account/password", &[("current", PASSWORD), ("new", NEW)]),
    ("/account/sessions/end-others", &[]),
    ("/account/sessions/anything/end", &[]),
];

/// Where a reply leads. Slashes in a query may be escaped or not.
fn location(response: &Response) -> String {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    response.headers()[LOCATION].to_str().expect("ASCII").replace("%2F", "/")
}

async fn refused(visitor: &mut Visitor) {
    assert_eq!(location(&visitor.get("/account").await), "/login?next=/account");
    for (path, fields) in FORMS {
        assert_eq!(location(&visitor.form(path, fields).await), "/login?next=/account", "{path}");
    }
}

async fn sign_in_by_page(node: &Node) -> Visitor {
    let mut visitor = node.visitor();
    let fields = [("email", ADA), ("password", PASSWORD), ("next", "/account")];
    let response = visitor.form("/login", &fields).await;
    assert_eq!(
        (response.status(), &response.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/account".parse().unwrap())
    );
    visitor
}

#[tokio::test]
async fn it_wants_both_cookies() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let mut ada = sign_in_by_page(&node).await;
    let mut other = sign_in_by_page(&node).await;
    assert_eq!(ada.get("/account").await.status(), StatusCode::OK);

    refused(&mut node.visitor()).await;
    // an app on the same domain sees the session cookie, and not the second one
    let mut app = ada.clone();
    app.cookies.retain(|(name, _)| name == "sojourn");
    assert!(app.is_signed_in().await);
    refused(&mut app).await;
    let mut tampered = ada.clone();
    tampered.cookies[1].1.replace_range(..1, "~");
    refused(&mut tampered).await;
    let mut mixed = ada.clone();
    mixed.cookies[1] = other.cookies[1].clone();
    refused(&mut mixed).await;
    let mut alone = ada.clone();
    alone.cookies.retain(|(name, _)| name == "sojourn-own");
    refused(&mut alone).await;

    assert_eq!(body(ada.get("/profile").await).await["first_name"], "Ada");
    assert!(other.is_signed_in().await, "nothing was done");
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    let (status, page) = app.page("/login?next=/account").await;
    assert!(status == StatusCode::OK && page.contains("name=\"password\""), "whoever is sent there sees the form");
}

#[tokio::test]
async fn names_are_changed_and_shown_everywhere_at_once() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut elsewhere = node.visitor();
    elsewhere.sign_in(ADA, PASSWORD).await;
    let response = ada.form("/account/profile", &[("first_name", " Augusta "), ("last_name", "O'<b>Neil</b>")]).await;
    assert_eq!(
        (response.status(), &response.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/account?did=names".parse().unwrap())
    );
    for visitor in [&mut ada, &mut elsewhere] {
        let profile = body(visitor.get("/profile").await).await;
        assert_eq!((&profile["first_name"], &profile["last_name"]), (&"Augusta".into(), &"O'<b>Neil</b>".into()));
        let (_, page) = visitor.page("/account").await;
        assert!(page.contains("Augusta") && !page.contains("<b>Neil"), "{page}");
    }
    let response = ada.form("/account/profile", &[("first_name", "a\u{202e}b"), ("last_name", "x")]).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body(ada.get("/profile").await).await["first_name"], "Augusta");
}

#[tokio::test]
async fn the_password_is_changed_here_and_mine_lives_on() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let (mut mine, mut other) = (sign_in_by_page(&node).await, sign_in_by_page(&node).await);
    for (current, new, status) in
        [("wrong horse battery", NEW, 403), (PASSWORD, "short", 422), ("", NEW, 400), (PASSWORD, "", 400)]
    {
        let response = mine.form("/account/password", &[("current", current), ("new", new)]).await;
        assert_eq!(response.status(), status, "{current:?} {new:?}");
    }
    assert!(other.is_signed_in().await);
    let response = mine.form("/account/password", &[("current", PASSWORD), ("new", NEW)]).await;
    assert_eq!(response.headers()[LOCATION], "/account?did=password");
    assert_eq!(mine.get("/account").await.status(), StatusCode::OK, "both of my cookies still fit");
    assert!(!other.is_signed_in().await);
    assert_eq!(node.visitor().sign_in(ADA, NEW).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_here() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let (mut mine, mut other) = (sign_in_by_page(&node).await, sign_in_by_page(&node).await);
    let mut third = sign_in_by_page(&node).await;
    let mut bob = node.person("bob@example.com").await;
    let handle = other.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let bobs = bob.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let (_, page) = mine.page("/account").await;
    assert!(page.contains(&handle) && !page.contains(&bobs) && page.contains("This one"), "{page}");

    let end = |handle: &str| format!("/account/sessions/{handle}/end");
    assert_eq!(mine.form(&end(&bobs), &[]).await.headers()[LOCATION], "/account?did=gone");
    assert!(bob.is_signed_in().await, "other people's cannot be named");
    assert_eq!(mine.form(&end(&handle), &[]).await.headers()[LOCATION], "/account?did=end");
    assert!(!other.is_signed_in().await && third.is_signed_in().await);
    assert_eq!(mine.form(&end(&handle), &[]).await.headers()[LOCATION], "/account?did=gone");
    assert_eq!(mine.form("/account/sessions/end-others", &[]).await.headers()[LOCATION], "/account?did=others");
    assert!(!third.is_signed_in().await && mine.is_signed_in().await && bob.is_signed_in().await);

    let own = mine.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let before = mine.clone();
    assert_eq!(mine.form(&end(&own), &[]).await.headers()[LOCATION], "/");
    assert!(mine.cookies.is_empty() && !before.clone().is_signed_in().await);
}

#[tokio::test]
async fn home_leads_through_the_sign_in_page_and_back() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let mut visitor = node.visitor();
    assert_eq!(location(&visitor.get("/home").await), "/login?next=/home");
    let mut ada = sign_in_by_page(&node).await;
    let (status, page) = ada.page("/home").await;
    assert_eq!(status, StatusCode::OK);
    let handle = ada.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    assert!(page.contains("Welcome, Ada") && page.contains(ADA) && page.contains(&handle), "{page}");
    for form in ["/login", "/signup", "/register"] {
        let response = ada.get(form).await;
        assert_eq!(
            (response.status(), &response.headers()[LOCATION]),
            (StatusCode::SEE_OTHER, &"/home".parse().unwrap()),
            "{form}"
        );
    }
    let (_, page) = ada.page("/account").await;
    for wanted in [
        "autocomplete=\"current-password\"",
        "autocomplete=\"new-password\"",
        "type=\"password\"",
        "action=\"/logout\"",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("onpaste") && !page.contains("autocomplete=\"off\""));
}
