//! State changes come from our own pages or from programs, and redirects lead nowhere else.

use reqwest::header::{ACCEPT, LOCATION, ORIGIN, REFERER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::harness::{Node, PASSWORD, Visitor};

const ADA: &str = "ada@example.com";
const SITE: &str = "sec-fetch-site";

/// Every way to change something, as a page elsewhere could send it with the cookies of whoever looks at it.
fn changes(visitor: &Visitor) -> Vec<RequestBuilder> {
    let form = |path: &str, fields: &[(&str, &str)]| visitor.request(Method::POST, path).form(fields);
    let names = [("first_name", "Eve"), ("last_name", "Porter")];
    let eve = [("email", "eve@example.com"), ("password", PASSWORD), ("first_name", "E"), ("last_name", "P")];
    vec![
        form("/login", &[("email", ADA), ("password", PASSWORD)]),
        form("/signup", &eve),
        form("/register", &eve),
        form("/logout", &[]),
        form("/pour", &[]),
        form("/account/profile", &names),
        form("/account/password", &[("current", PASSWORD), ("new", "another horse battery")]),
        form("/account/sessions/end-others", &[]),
        form("/account/sessions/x/end", &[]),
        form("/api/v1/signin", &[("email", ADA), ("password", PASSWORD)]),
        form("/api/v1/signup", &eve),
        visitor.request(Method::POST, "/api/v1/signout").json(&json!({})),
        visitor.request(Method::PATCH, "/api/v1/session").json(&json!({"evil": true})),
        visitor.request(Method::DELETE, "/api/v1/sessions?others=true"),
        visitor.request(Method::DELETE, "/api/v1/sessions/x"),
        visitor
            .request(Method::POST, "/api/v1/password")
            .json(&json!({"current_password": PASSWORD, "new_password": "another horse battery"})),
    ]
}

#[tokio::test]
async fn a_change_sent_from_elsewhere_is_refused() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut other = node.visitor();
    other.sign_in(ADA, PASSWORD).await;
    let before = node.status().await.applied;
    let port = node.url.rsplit(':').next().expect("a port");
    let marks = [
        vec![(SITE, "cross-site")],
        vec![(SITE, "same-site")],
        vec![(SITE, "cross-site"), (ORIGIN.as_str(), node.url.as_str())],
        vec![(ORIGIN.as_str(), "https://evil.example")],
        vec![(ORIGIN.as_str(), "null")],
        vec![(SITE, "same-origin"), (ORIGIN.as_str(), "null")],
    ];
    let lookalikes = [
        format!("http://localhost:{port}.evil.example"),
        format!("http://evil.example:{port}"),
        format!("https://localhost:{port}"),
        format!("http://127.0.0.1:{port}@evil.example"),
        "http://localhost:1".to_owned(),
    ];
    let lookalikes = lookalikes.iter().map(|origin| vec![(ORIGIN.as_str(), origin.as_str())]);
    for mark in marks.into_iter().chain(lookalikes) {
        for request in changes(&ada) {
            let request =
                mark.iter().fold(request, |r, (name, value)| r.header(*name, *value)).build().expect("a request");
            let shown = format!("{} {} with {mark:?}", request.method(), request.url().path());
            let response = reqwest::Client::new().execute(request).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{shown}");
            assert!(!response.headers().contains_key("set-cookie"), "{shown}");
        }
    }
    assert_eq!(node.status().await.applied, before, "nothing was written");
    assert!(ada.is_signed_in().await && other.is_signed_in().await);
}

#[tokio::test]
async fn our_own_pages_and_programs_pass() {
    let node = Node::start().await;
    let port = node.url.rsplit(':').next().expect("a port");
    let public = format!("http://localhost:{port}");
    let marks: [&[(&str, &str)]; 5] = [
        &[],
        &[(SITE, "same-origin"), ("origin", &node.url)],
        &[(SITE, "same-origin"), ("origin", &public)],
        &[("origin", &node.url)],
        &[(SITE, "none")],
    ];
    for mark in marks {
        let visitor = node.visitor();
        let request = visitor.request(Method::POST, "/pour").form(&[("a", "b")]);
        let request = mark.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        assert_eq!(request.send().await.expect("an answer").status(), StatusCode::SEE_OTHER, "{mark:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_a_page_for_browsers_and_a_problem_for_programs() {
    let node = Node::start().await;
    for (accept, kind) in [("text/html,*/*;q=0.8", "text/html; charset=utf-8"), ("*/*", "application/problem+json")] {
        let request = node.visitor().request(Method::POST, "/pour").form(&[("a", "b")]);
        let response = request.header(SITE, "cross-site").header(ACCEPT, accept).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()["content-type"], kind);
    }
}

#[tokio::test]
async fn a_sign_out_that_another_site_asks_for_is_asked_about() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let marks: [&[(&str, &str)]; 5] = [
        &[(SITE, "cross-site")],
        &[(SITE, "same-site")],
        &[(REFERER.as_str(), "https://evil.example/page")],
        &[(SITE, "none"), ("sec-purpose", "prefetch")],
        &[(SITE, "cross-site"), ("sec-fetch-dest", "image")],
    ];
    for mark in marks {
        let request = ada.request(Method::GET, "/logout").header(ACCEPT, "text/html");
        let request = mark.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        let response = ada.send(request).await;
        assert_eq!(response.status(), StatusCode::OK, "{mark:?}");
        assert!(!response.headers().contains_key("set-cookie"));
        let page = response.text().await.expect("a page");
        assert!(page.contains("method=\"post\" action=\"/logout\""), "{page}");
        assert!(ada.is_signed_in().await, "{mark:?}");
    }
    let request = ada.request(Method::GET, "/logout").header(SITE, "same-origin");
    let response = ada.send(request).await;
    assert_eq!((response.status(), &response.headers()[LOCATION]), (StatusCode::SEE_OTHER, &"/".parse().unwrap()));
    assert!(!ada.is_signed_in().await && ada.cookies.is_empty());
}

#[tokio::test]
async fn after_signing_out_the_old_cookie_is_dead_by_every_road() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    for road in 0..3 {
        let mut ada = node.visitor();
        ada.sign_in(ADA, PASSWORD).await;
        let before = ada.clone();
        match road {
            0 => ada.get("/logout").await,
            1 => ada.form("/logout", &[]).await,
            _ => ada.post("/api/v1/signout", &json!({})).await,
        };
        assert!(!before.clone().is_signed_in().await && before.clone().session().await.is_none(), "road {road}");
    }
}

/// Addresses that browsers or other parsers read as somewhere else.
const ELSEWHERE: &[&str] = &[
    "https://evil.example",
    "https://evil.example/",
    "HTTPS://evil.example",
    "http://evil.example",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "/ /evil.example",
    "\t//evil.example",
    " //evil.example",
    "/%09/evil.example",
    "/%5cevil.example",
    "/%5c%5cevil.example",
    "/%2f/evil.example",
    "/%2fevil.example",
    "%2f%2fevil.example",
    "/%252f/evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "https://login.example.com@evil.example",
    "https://login.example.com.evil.example",
    "https://evil.example#login.example.com",
    "https://evil.example?login.example.com",
    "https://evil.example/login.example.com",
    "https://login.example.com:443@evil.example",
    "https://login.example.com\\@evil.example",
    "https://login.example.com%2eevil.example",
    "https://login.example.com%00.evil.example",
    "https://evil.example\u{ff0f}login.example.com",
    "https://login\u{3002}example\u{3002}com.evil.example",
    "https://xlogin.example.com",
    "https://app.example.org.evil.example",
    "https://evilapp.example.org",
    "http://app.example.org",
    "https://app.example.org:8443",
    "https://.below.example.net",
    "https://below.example.net",
    "https://[::1]",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "blob:https://login.example.com/x",
    "mailto:x@evil.example",
    "evil.example",
    "home",
    "?next=//evil.example",
    "#",
    "/home\u{0}",
    "/\u{200b}/evil.example",
    "/\u{202e}evil",
    "/home\r\nset-cookie: a=b",
];

/// Addresses that are meant.
const HERE: &[(&str, &str)] = &[
    ("/home", "/home"),
    ("/account?did=names", "/account?did=names"),
    ("/a/b?x=//y#z", "/a/b?x=//y#z"),
    ("https://login.example.com/x", "https://login.example.com/x"),
    ("https://app.example.org/path?q=1", "https://app.example.org/path?q=1"),
    ("https://APP.example.org/", "https://APP.example.org/"),
    ("https://one.below.example.net/", "https://one.below.example.net/"),
];

const REDIRECTING: [(&str, &str); 2] =
    [("public_url", "https://login.example.com"), ("web.redirect_domains", "app.example.org,.below.example.net")];

#[tokio::test]
async fn next_leads_only_where_it_may() {
    let node = Node::with(&REDIRECTING).await;
    node.visitor().sign_up(ADA).await;
    let sign_in = async |next: &str| {
        let fields = [("email", ADA), ("password", PASSWORD), ("next", next)];
        let response = node.visitor().form("/login", &fields).await;
        (response.status().as_u16(), response.headers().get(LOCATION).map(|v| v.to_str().expect("ASCII").to_owned()))
    };
    for next in ELSEWHERE {
        let answer = sign_in(next).await;
        let refused = answer == (400, None);
        assert!(refused || answer == (303, Some("/home".to_owned())), "{next:?}: {answer:?}");
    }
    for (next, location) in HERE {
        assert_eq!(sign_in(next).await, (303, Some((*location).to_owned())), "{next}");
    }
    assert_eq!(sign_in(&format!("/{}", "x".repeat(5_000))).await, (303, Some("/home".to_owned())));
}

#[tokio::test]
async fn next_is_checked_before_the_form_carries_it() {
    let node = Node::with(&REDIRECTING).await;
    let mut ada = node.visitor();
    ada.sign_up(ADA).await;
    ada.sign_in(ADA, PASSWORD).await;
    for next in ELSEWHERE {
        let quoted: String = percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC).collect();
        for path in ["/login", "/signup"] {
            let (status, page) = node.visitor().page(&format!("{path}?next={quoted}")).await;
            assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "{next:?}: {status}");
            assert!(!page.contains("name=\"next\"") && !page.contains("evil"), "{path} {next:?}");
            let response = ada.get(&format!("{path}?next={quoted}")).await;
            let location = response.headers().get(LOCATION).map(|v| v.to_str().expect("ASCII"));
            assert!(matches!(location, None | Some("/home")), "{path} {next:?}: {location:?}");
        }
    }
    let (_, page) = node.visitor().page("/login?next=/account").await;
    let page = page.replace("&#x2f;", "/");
    assert!(page.contains("name=\"next\" value=\"/account\""), "{page}");
}
