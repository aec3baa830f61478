//! Signing up, in and out, and one-time links, by the forms.

use reqwest::header::{REFERER, RETRY_AFTER};
use reqwest::{Method, StatusCode};

use super::{ADA, MISSING, ask, look, look_from, send, sign_up_form};
use crate::harness::{Node, PASSWORD};

#[tokio::test]
async fn the_sign_up_form_signs_in_at_once_and_lands_on_home() {
    let node = Node::start().await;
    for (path, email) in [("/signup", ADA), ("/register", "grace@example.com")] {
        let mut visitor = node.visitor();
        look(&mut visitor, path).await.says(200, &["First name", "Last name", "Sign up"]);
        let done = send(&mut visitor, path, &sign_up_form(email, PASSWORD)).await;
        assert_eq!(done.leads_to(), "/home");
        assert_eq!(done.set_cookies().len(), 2, "the session and the second cookie");
        let home = look(&mut visitor, "/home").await;
        home.says(200, &["Welcome, Ada"]);
        assert_eq!((home.element("email"), home.element("name")), (email, "Ada Stout"));
        assert_eq!(look(&mut visitor, "/").await.element("signed-in-as"), "Ada Stout");
        assert_eq!(look(&mut visitor, path).await.leads_to(), "/home", "who is signed in needs no form");
    }
}

/// A form, and the status and words that refuse it.
type Refused<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn a_sign_up_that_is_refused_shows_the_form_again() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let grace = "grace@example.com";
    let cases: [Refused<'_>; 7] = [
        (&sign_up_form(ADA, PASSWORD), 409, "There is an account with this e-mail address already."),
        (&sign_up_form(grace, "short"), 422, "The password must have at least 8 characters."),
        (&sign_up_form(grace, "password"), 422, "This password is too common"),
        (&sign_up_form("grace", PASSWORD), 422, "The e-mail address must contain one @."),
        (&sign_up_form("", PASSWORD), 400, MISSING),
        (&sign_up_form(grace, ""), 400, MISSING),
        (&[("first_name", " "), ("last_name", "Stout"), ("email", grace), ("password", PASSWORD)], 400, MISSING),
    ];
    for (fields, status, message) in cases {
        let mut visitor = node.visitor();
        let page = send(&mut visitor, "/signup", fields).await;
        page.says(status, &[message, "value=\"Stout\"", "<form method=\"post\" action=\"/signup\">"]);
        assert!(visitor.cookies.is_empty(), "{message}");
        assert!(!page.text.contains(PASSWORD), "a password came back");
    }
    assert_eq!(send(&mut node.visitor(), "/signup", &sign_up_form(grace, PASSWORD)).await.leads_to(), "/home");
}

#[tokio::test]
async fn where_sign_up_is_closed_the_page_says_so() {
    let node = Node::with(&[("users.signup", "closed")]).await;
    for path in ["/signup", "/register"] {
        look(&mut node.visitor(), path).await.says(403, &["Sign-up is closed"]);
        send(&mut node.visitor(), path, &sign_up_form(ADA, PASSWORD)).await.says(403, &["Sign-up is closed"]);
    }
    send(&mut node.visitor(), "/login", &[("email", ADA), ("password", PASSWORD)]).await.says(401, &[]);
    for (policy, shown) in [("open", true), ("closed", false), ("invite", false)] {
        let node = Node::with(&[("users.signup", policy)]).await;
        for path in ["/", "/login", "/signup"] {
            let (_, page) = node.visitor().page(path).await;
            assert_eq!(page.contains("href=\"/signup"), shown, "{policy} {path}");
        }
    }
}

#[tokio::test]
async fn the_hint_beside_a_new_password_tells_the_least_length() {
    let node = Node::with(&[("users.password_min", "12")]).await;
    let hint = ["At least 12 characters."];
    look(&mut node.visitor(), "/signup").await.says(200, &hint);
    look(&mut node.visitor(), &node.first_admin_path()).await.says(200, &hint);
    look(&mut node.person(ADA).await, "/account").await.says(200, &hint);
    let refused = send(&mut node.visitor(), "/signup", &sign_up_form("grace@example.com", "eleven char")).await;
    refused.says(422, &["The password must have at least 12 characters."]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_page() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let mut pages = Vec::new();
    for email in [ADA, "bob@example.com"] {
        let mut visitor = node.visitor();
        let page = send(&mut visitor, "/login", &[("email", email), ("password", "wrong horse battery")]).await;
        page.says(401, &["Invalid credentials."]);
        assert!(visitor.cookies.is_empty());
        assert!(!page.text.contains("wrong horse"), "a password came back");
        pages.push(page.text.replace(email, "(who)"));
    }
    assert_eq!(pages[0], pages[1]);
    look(&mut node.visitor(), "/login?failed").await.says(200, &["Invalid credentials."]);
}

#[tokio::test]
async fn a_sign_in_with_something_left_out_says_so() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let cases: [&[(&str, &str)]; 4] =
        [&[], &[("email", ADA)], &[("password", PASSWORD)], &[("email", " "), ("password", PASSWORD)]];
    for fields in cases {
        send(&mut node.visitor(), "/login", fields).await.says(400, &[MISSING]);
    }
}

#[tokio::test]
async fn signing_in_leads_home_or_to_next() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let cases = [
        ("", "/home"),
        ("/account", "/account"),
        ("/account?did=names", "/account?did=names"),
        ("https://evil.example/", "/home"),
        ("//evil.example", "/home"),
        ("/\\evil.example", "/home"),
        ("javascript:alert(1)", "/home"),
    ];
    for (next, to) in cases {
        let mut visitor = node.visitor();
        let fields = [("email", "Ada@Example.com "), ("password", PASSWORD), ("next", next)];
        assert_eq!(send(&mut visitor, "/login", &fields).await.leads_to(), to, "{next:?}");
        assert!(visitor.is_signed_in().await);
    }
    let form = look(&mut node.visitor(), "/login?next=%2Faccount").await;
    form.says(200, &["name=\"next\"", "account"]);
    let form = look(&mut node.visitor(), "/login?next=https%3A%2F%2Fevil.example%2F").await;
    assert!(!form.text.contains("evil"), "{}", form.text);
}

#[tokio::test]
async fn only_those_who_ask_to_be_remembered_outlive_the_browser() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    for (fields, lasting) in [(vec![], false), (vec![("remember", "yes")], true)] {
        let fields = [vec![("email", ADA), ("password", PASSWORD)], fields].concat();
        let done = send(&mut node.visitor(), "/login", &fields).await;
        assert_eq!(done.set_cookies().len(), 2);
        for cookie in done.set_cookies() {
            assert_eq!(cookie.contains("; Max-Age=2592000"), lasting, "{cookie}");
        }
    }
}

#[tokio::test]
async fn too_many_tries_are_told_how_long_to_wait() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let wrong = [("email", ADA), ("password", "wrong horse battery")];
    for _ in 0..10 {
        send(&mut node.visitor(), "/login", &wrong).await.says(401, &[]);
    }
    let page = send(&mut node.visitor(), "/login", &wrong).await;
    page.says(429, &["There were too many tries. Please wait 30 seconds."]);
    assert_eq!(page.header(RETRY_AFTER), "30");
    node.pass(31);
    let right = [("email", ADA), ("password", PASSWORD)];
    assert_eq!(send(&mut node.visitor(), "/login", &right).await.leads_to(), "/home");
}

#[tokio::test]
async fn a_sign_in_ends_the_session_that_the_browser_had() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let mut visitor = node.visitor();
    send(&mut visitor, "/pour", &[]).await;
    let mut before = visitor.clone();
    send(&mut visitor, "/login", &[("email", ADA), ("password", PASSWORD)]).await;
    assert!(visitor.is_signed_in().await);
    let old = look(&mut before, "/").await;
    assert_eq!((old.element("beers"), old.element("signed-in-as")), ("0", "Nobody"), "an id planted before is dead");
}

#[tokio::test]
async fn pages_for_members_send_others_to_sign_in_first() {
    let node = Node::start().await;
    let mut guest = node.visitor();
    assert_eq!(look(&mut guest, "/home").await.leads_to(), "/login?next=%2Fhome");
    assert_eq!(look(&mut guest, "/account").await.leads_to(), "/login?next=%2Faccount");
    for path in ["/account/profile", "/account/password", "/account/sessions/end-others", "/account/sessions/x/end"] {
        assert_eq!(send(&mut guest, path, &[]).await.leads_to(), "/login?next=%2Faccount", "{path}");
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_and_takes_the_cookies_back() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let stolen = ada.clone();
    let out = send(&mut ada, "/logout", &[]).await;
    assert_eq!(out.leads_to(), "/");
    assert_eq!(out.set_cookies().len(), 2);
    assert!(out.set_cookies().iter().all(|cookie| cookie.contains("=; Path=/; Max-Age=0")));
    assert!(!stolen.clone().is_signed_in().await);
    assert_eq!(send(&mut ada, "/logout", &[]).await.leads_to(), "/", "twice is no mistake");
}

#[tokio::test]
async fn the_address_of_sign_out_works_for_those_who_mean_it() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let ours = format!("{}/home", node.public_url());
    let cases: [(&[(&str, &str)], bool); 7] = [
        (&[], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "same-origin")], true),
        (&[(REFERER.as_str(), &ours)], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[(REFERER.as_str(), "https://elsewhere.example/")], false),
    ];
    for (headers, meant) in cases {
        let mut ada = node.visitor();
        ada.sign_in(ADA, PASSWORD).await;
        let page = look_from(&mut ada, "/logout", headers).await;
        if meant {
            assert_eq!(page.leads_to(), "/", "{headers:?}");
        } else {
            page.says(200, &["Sign out?"]);
        }
        assert_eq!(ada.is_signed_in().await, !meant, "{headers:?}");
    }
    let nobody = look_from(&mut node.visitor(), "/logout", &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(nobody.leads_to(), "/", "there is nothing to ask");
}

#[tokio::test]
async fn fetching_ahead_and_asking_for_headers_sign_nobody_out() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let ahead = [("sec-fetch-site", "none"), ("sec-purpose", "prefetch;prerender")];
    look_from(&mut ada, "/logout", &ahead).await.says(200, &["Sign out?"]);
    ask(&mut ada, (Method::HEAD, "/logout"), &[]).await;
    assert!(ada.is_signed_in().await);
}

#[tokio::test]
async fn the_first_admins_link_is_spent_by_use_not_by_looking() {
    let node = Node::start().await;
    let link = node.first_admin_path();
    for _ in 0..2 {
        look(&mut node.visitor(), &link).await.says(200, &["Make the first admin"]);
    }
    send(&mut node.visitor(), &link, &sign_up_form(ADA, "short")).await.says(422, &["at least 8 characters"]);
    send(&mut node.visitor(), &link, &sign_up_form("", PASSWORD)).await.says(400, &[MISSING]);
    let mut ada = node.visitor();
    assert_eq!(send(&mut ada, &link, &sign_up_form(ADA, PASSWORD)).await.leads_to(), "/login?done");
    assert!(ada.cookies.is_empty(), "a link signs nobody in");
    look(&mut ada, "/login?done").await.says(200, &["Your password is set."]);
    assert_eq!(ada.sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    let dead = "This link does not work";
    look(&mut node.visitor(), &link).await.says(404, &[dead]);
    send(&mut node.visitor(), &link, &sign_up_form("eve@example.com", PASSWORD)).await.says(404, &[dead]);
    look(&mut node.visitor(), "/link/nothing").await.says(404, &[dead]);
}

#[tokio::test]
async fn a_link_that_nobody_used_for_an_hour_is_dead() {
    let node = Node::start().await;
    node.pass(3_601);
    look(&mut node.visitor(), &node.first_admin_path()).await.says(404, &["This link does not work"]);
}
