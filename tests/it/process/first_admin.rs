//! First admin: a link that only the machine's owner can read makes one, once.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use reqwest::StatusCode;

use crate::harness::{PASSWORD, Visitor};
use crate::program::{Place, Program};

const ADMIN: &[(&str, &str)] =
    &[("email", "root@example.com"), ("password", PASSWORD), ("first_name", "Ada"), ("last_name", "Stout")];

/// The path of a link, by which it is opened whatever host it names.
fn path_of(link: &str) -> String {
    let at = link.find("/link/").unwrap_or_else(|| panic!("{link} is no link"));
    link[at..].split_whitespace().next().expect("is a link").to_owned()
}

fn first_link(place: &Place) -> String {
    path_of(&fs::read_to_string(place.data().join("first-admin-link")).expect("there is a link"))
}

async fn open(node: &Program, link: &str) -> StatusCode {
    node.visitor().get(link).await.status()
}

/// Sends the form behind a link.
async fn submit(node: &Program, link: &str, fields: &[(&str, &str)]) -> StatusCode {
    let mut browser: Visitor = node.visitor();
    browser.form(link, fields).await.status()
}

#[tokio::test]
async fn the_link_lies_in_a_private_file_and_in_no_log() {
    let place = Place::new();
    let mut node = place.start();
    let file = place.data().join("first-admin-link");
    assert_eq!(fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.data()).expect("is there").permissions().mode() & 0o777, 0o700);
    let text = fs::read_to_string(&file).expect("is there");
    let port = node.url.rsplit(':').next().expect("has a port");
    assert!(text.starts_with(&format!("http://localhost:{port}/link/")), "it leads to where the node is");
    let link = path_of(&text);
    assert_eq!(open(&node, &link).await, StatusCode::OK);
    assert_eq!(submit(&node, &link, ADMIN).await, StatusCode::SEE_OTHER);
    node.signal(rustix::process::Signal::TERM);
    node.wait();
    let token = link.trim_start_matches("/link/");
    assert!(token.len() >= 32 && !node.log().contains(token), "the link is in the log");
    assert!(node.log().contains("first-admin-link"), "the log says where to look");
}

#[tokio::test]
async fn it_makes_the_admin_once() {
    let place = Place::new();
    let node = place.start();
    let link = first_link(&place);
    assert_eq!(open(&node, &link).await, StatusCode::OK, "looking");
    assert_eq!(open(&node, &link).await, StatusCode::OK, "spends nothing");
    assert_eq!(submit(&node, &link, &[("email", ""), ("password", "")]).await, StatusCode::BAD_REQUEST);
    assert_eq!(submit(&node, &link, ADMIN).await, StatusCode::SEE_OTHER);
    let admin = place.json(&["user", "show", "root@example.com"]);
    assert_eq!((&admin["admin"], &admin["approved"], &admin["verified"]), (&true.into(), &true.into(), &true.into()));
    assert_eq!(node.visitor().sign_in("root@example.com", PASSWORD).await.status(), StatusCode::OK);

    let second = [("email", "eve@example.com"), ("password", PASSWORD)];
    assert_eq!(open(&node, &link).await, StatusCode::NOT_FOUND);
    assert_eq!(submit(&node, &link, &second).await, StatusCode::NOT_FOUND);
    assert_eq!(place.run(&["user", "show", "eve@example.com"]).status, 1);
}

#[tokio::test]
async fn it_is_refused_once_there_is_an_admin() {
    let place = Place::new();
    let node = place.start();
    let link = first_link(&place);
    place.done(&["user", "add", "root@example.com", "--admin"]);
    let second = [("email", "eve@example.com"), ("password", PASSWORD)];
    let refused = submit(&node, &link, &second).await;
    assert!(refused.is_client_error(), "{refused}");
    assert_eq!(place.run(&["user", "show", "eve@example.com"]).status, 1);
}

#[tokio::test]
async fn a_restart_keeps_a_link_that_is_good_so_that_a_copied_one_works() {
    let place = Place::new();
    let node = place.start();
    let link = first_link(&place);
    // people may sign up meanwhile: it is an admin that ends it
    node.visitor().sign_up("bob@example.com").await;
    drop(node);
    let node = place.start();
    assert_eq!(first_link(&place), link);
    let port = node.url.rsplit(':').next().expect("has a port");
    let text = fs::read_to_string(place.data().join("first-admin-link")).expect("is there");
    assert!(text.starts_with(&format!("http://localhost:{port}/link/")), "it leads to where the node is now: {text}");
    assert_eq!(submit(&node, &link, ADMIN).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_file_that_holds_no_link_of_ours_is_replaced() {
    let place = Place::new();
    drop(place.start());
    let until = "good once, until 2100-01-01T00:00:00Z\n";
    for text in ["", "hello\n", &format!("http://localhost:3000/link/abcdef\n{until}"), &format!("\0/link/\n{until}")] {
        fs::write(place.data().join("first-admin-link"), text).expect("is written");
        let node = place.start();
        assert_eq!(open(&node, &first_link(&place)).await, StatusCode::OK, "{text:?}");
    }
}

#[tokio::test]
async fn a_restart_takes_a_spent_link_s_file_away() {
    let place = Place::new();
    let node = place.start();
    assert_eq!(submit(&node, &first_link(&place), ADMIN).await, StatusCode::SEE_OTHER);
    drop(node);
    let _node = place.start();
    assert!(!place.data().join("first-admin-link").exists());
}

#[tokio::test]
async fn the_operator_may_ask_for_a_link_at_any_time() {
    let place = Place::new();
    let node = place.start();
    // nobody has this address and nobody is admin: a new link for the first one, which is said loudly
    let told = place.done(&["user", "link", "root@example.com"]);
    assert!(
        told.starts_with("CAUTION: nobody has the address root@example.com") && told.contains("FIRST ADMIN"),
        "{told}"
    );
    let link = path_of(&told);
    // who has an address gets a link to a password, admin or not
    place.done(&["user", "add", "bob@example.com"]);
    assert!(!place.done(&["user", "link", "bob@example.com"]).contains("ADMIN"));
    assert_eq!(place.json(&["user", "link", "bob@example.com"])["purpose"], "set_password");
    assert_eq!(submit(&node, &link, ADMIN).await, StatusCode::SEE_OTHER);
    // now there is one, and it is a link that sets the password
    let told = place.json(&["user", "link", "root@example.com"]);
    assert!(told["expires"].as_str().is_some_and(|at| at.ends_with('Z')), "{told}");
    let link = path_of(told["url"].as_str().expect("has an address"));
    let mut admin = node.visitor();
    assert_eq!(admin.sign_in("root@example.com", PASSWORD).await.status(), StatusCode::OK);
    assert_eq!(submit(&node, &link, &[("password", "another horse battery")]).await, StatusCode::SEE_OTHER);
    assert!(!admin.is_signed_in().await, "a new password ends all sessions");
    assert_eq!(admin.sign_in("root@example.com", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(admin.sign_in("root@example.com", "another horse battery").await.status(), StatusCode::OK);
    assert_eq!(submit(&node, &link, &[("password", "a third horse battery")]).await, StatusCode::NOT_FOUND);
    let unknown = place.run(&["user", "link", "eve@example.com"]);
    assert_eq!((unknown.status, unknown.err.contains("user not found")), (1, true), "{}", unknown.err);
}
