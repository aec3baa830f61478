//! The account page: names, password, sessions.

use reqwest::{Method, StatusCode};

use super::{ADA, MISSING, look, send};
use crate::harness::{Node, PASSWORD, Visitor};

#[tokio::test]
async fn the_account_saves_names() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let done = send(&mut ada, "/account/profile", &[("first_name", " Ada "), ("last_name", "Porter")]).await;
    assert_eq!(done.leads_to(), "/account?did=names");
    look(&mut ada, "/account?did=names").await.says(200, &["Your names are saved.", "value=\"Porter\""]);
    assert_eq!(look(&mut ada, "/home").await.element("name"), "Ada Porter");
    let long = "x".repeat(101);
    let refused = send(&mut ada, "/account/profile", &[("first_name", &long), ("last_name", "Porter")]).await;
    refused.says(422, &["aria-invalid=\"true\"", &long]);
    assert_eq!(look(&mut ada, "/home").await.element("name"), "Ada Porter");
}

#[tokio::test]
async fn a_new_password_wants_the_old_one_and_ends_the_other_sessions() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut other = node.visitor();
    other.sign_in(ADA, PASSWORD).await;
    let new = "another horse battery";
    let cases = [
        (["wrong horse battery", new], 403, "This is not your current password."),
        (["", new], 400, MISSING),
        ([PASSWORD, ""], 400, MISSING),
        ([PASSWORD, "short"], 422, "at least 8 characters"),
        ([PASSWORD, ADA], 422, "made of your e-mail address"),
    ];
    for ([current, new], status, message) in cases {
        let page = send(&mut ada, "/account/password", &[("current", current), ("new", new)]).await;
        page.says(status, &[message]);
    }
    assert!(other.is_signed_in().await);
    let done = send(&mut ada, "/account/password", &[("current", PASSWORD), ("new", new)]).await;
    assert_eq!(done.leads_to(), "/account?did=password");
    look(&mut ada, "/account?did=password").await.says(200, &["Your password is changed"]);
    assert!(!other.is_signed_in().await);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(node.visitor().sign_in(ADA, new).await.status(), StatusCode::OK);
}

/// The handles on the account page, in its order.
async fn handles(visitor: &mut Visitor) -> Vec<String> {
    let page = look(visitor, "/account").await;
    let rows = page.text.split("data-handle=\"").skip(1);
    rows.map(|row| row.split('"').next().expect("a handle").to_owned()).collect()
}

#[tokio::test]
async fn sessions_are_listed_this_one_first_and_end_one_by_one_or_together() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut others = Vec::new();
    for agent in ["Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "curl/8.5.0"] {
        let mut other = node.visitor();
        let request = other.request(Method::POST, "/login").header("user-agent", agent);
        let response = other.send(request.form(&[("email", ADA), ("password", PASSWORD)])).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        others.push(other);
    }
    look(&mut ada, "/account").await.says(200, &["Firefox on Linux", "curl 8.5", "127.0.0.1", "This one"]);
    let listed = handles(&mut ada).await;
    let of_other = look(&mut others[0], "/").await.element("session").to_owned();
    assert_eq!((listed.len(), &listed[0]), (3, &look(&mut ada, "/").await.element("session").to_owned()));

    let end = format!("/account/sessions/{of_other}/end");
    assert_eq!(send(&mut ada, &end, &[]).await.leads_to(), "/account?did=end");
    assert!(!others[0].is_signed_in().await && others[1].is_signed_in().await);
    assert_eq!(send(&mut ada, &end, &[]).await.leads_to(), "/account?did=gone");
    assert_eq!(send(&mut ada, "/account/sessions/end-others", &[]).await.leads_to(), "/account?did=others");
    assert!(!others[1].is_signed_in().await && ada.is_signed_in().await);
    assert_eq!(handles(&mut ada).await.len(), 1);
}

#[tokio::test]
async fn nobody_ends_another_persons_session() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut eve = node.person("eve@example.com").await;
    let hers = look(&mut ada, "/").await.element("session").to_owned();
    let ended = send(&mut eve, &format!("/account/sessions/{hers}/end"), &[]).await;
    assert_eq!(ended.leads_to(), "/account?did=gone", "as if there were none");
    assert!(ada.is_signed_in().await);
}

#[tokio::test]
async fn ending_this_very_session_signs_out() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mine = look(&mut ada, "/").await.element("session").to_owned();
    assert_eq!(send(&mut ada, &format!("/account/sessions/{mine}/end"), &[]).await.leads_to(), "/");
    assert!(ada.cookies.is_empty() && !ada.is_signed_in().await);
}

#[tokio::test]
async fn the_account_wants_the_second_cookie_too() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    ada.cookies.retain(|(name, _)| name == "sojourn");
    look(&mut ada, "/home").await.says(200, &[]);
    assert_eq!(look(&mut ada, "/account").await.leads_to(), "/login?next=%2Faccount");
    look(&mut ada, "/login?next=%2Faccount").await.says(200, &["Password"]);
    let fields = [("current", PASSWORD), ("new", "another horse battery")];
    assert_eq!(send(&mut ada, "/account/password", &fields).await.leads_to(), "/login?next=%2Faccount");
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK, "nothing was changed");
}
