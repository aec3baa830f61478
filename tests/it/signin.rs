//! Signing up, in and out.

use reqwest::StatusCode;
use reqwest::header::LOCATION;
use serde_json::json;
use sojourn::control::protocol::{ImportChunk, ImportFormat};
use sojourn::control::{Request, Response};

use crate::harness::{Node, PASSWORD, body};

#[tokio::test]
async fn who_signed_in_is_known_until_they_sign_out() {
    let node = Node::start().await;
    let mut ada = node.person("Ada@Example.com").await;
    let profile = body(ada.get("/profile").await).await;
    assert_eq!(profile["email"], "ada@example.com");
    let stolen = ada.clone();
    assert_eq!(ada.post("/api/v1/signout", &serde_json::json!({})).await.status(), StatusCode::NO_CONTENT);
    assert!(!ada.is_signed_in().await);
    assert!(!stolen.clone().is_signed_in().await, "the old cookie is dead");
}

#[tokio::test]
async fn a_session_survives_a_restart() {
    let mut node = Node::start().await;
    let ada = node.person("ada@example.com").await;
    node.restart().await;
    assert!(ada.moved_to(&node).is_signed_in().await);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_bytes() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    let mut answers = Vec::new();
    for (email, password) in [("ada@example.com", "wrong horse battery"), ("bob@example.com", PASSWORD)] {
        let response = node.visitor().sign_in(email, password).await;
        answers.push((response.status(), response.text().await.expect("a body")));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn every_way_to_sign_in_ends_where_it_says() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    let mut by_json = node.visitor();
    let told = body(by_json.sign_in("ada@example.com", PASSWORD).await).await;
    assert_eq!((&told["user"]["email"], &told["session"]["expires_in"]), (&json!("ada@example.com"), &json!(3_600)));
    assert_eq!(told["session"]["id"], by_json.session().await.expect("a session")["id"]);
    let right = [("email", "ada@example.com"), ("password", PASSWORD)];
    let wrong = [("email", "ada@example.com"), ("password", "wrong horse battery")];
    for (path, next) in [("/api/v1/signin", "/home"), ("/login", "/home")] {
        let mut visitor = node.visitor();
        let response = visitor.form(path, &right).await;
        assert_eq!(
            (response.status(), response.headers()[LOCATION].to_str().ok()),
            (StatusCode::SEE_OTHER, Some(next))
        );
        assert!(visitor.is_signed_in().await, "{path}");
    }
    let response = node.visitor().form("/api/v1/signin", &wrong).await;
    assert_eq!(
        (response.status(), &response.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/login?failed".parse().unwrap())
    );
    let (status, page) = node.visitor().page("/login?failed").await;
    assert!(status == StatusCode::OK && page.contains("Invalid credentials."), "{page}");
    for given in [json!({}), json!({"email": "ada@example.com"}), json!({"email": "", "password": "x"})] {
        let response = node.visitor().post("/api/v1/signin", &given).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(body(response).await["detail"], "Please fill in all the fields.", "{given}");
    }
}

#[tokio::test]
async fn a_password_is_good_for_as_long_as_nobody_changes_it() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    node.pass(400 * 86_400);
    assert_eq!(node.visitor().sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
}

/// The scheme of an account's password, as an operator sees it.
async fn scheme(node: &Node, email: &str) -> String {
    match node.ask(Request::UserShow { email: email.into() }).await {
        Ok(Response::User(account)) => account.password_scheme,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_imported_password_signs_in_and_is_then_hashed_anew() {
    let node = Node::start().await;
    let hash = "$2y$12$7Mj1fG3bdlpmRcXtZpwimOI4pItCQcj5x2.ZqydPbR5wWlKGVaQVe";
    let rows = ["test@example.com", "other@example.com"]
        .map(|email| json!({"email": email, "password_hash": hash, "first_name": "Test"}).to_string() + "\n")
        .concat();
    let chunk = ImportChunk { format: ImportFormat::JsonLines, header: String::new(), rows, first_line: 1 };
    let imported = node.ask(Request::UserImport(chunk.clone())).await;
    assert!(matches!(&imported, Ok(Response::Imported(i)) if i.added == 2 && i.refused.is_empty()), "{imported:?}");
    let again = node.ask(Request::UserImport(chunk)).await;
    assert!(matches!(&again, Ok(Response::Imported(i)) if i.added == 0 && i.taken == 2), "{again:?}");

    assert_eq!(scheme(&node, "test@example.com").await, "bcrypt");
    assert_eq!(node.visitor().sign_in("test@example.com", "Password").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(scheme(&node, "test@example.com").await, "bcrypt", "only the right one makes it new");
    let mut test = node.visitor();
    assert_eq!(test.sign_in("test@example.com", "password").await.status(), StatusCode::OK);
    assert_eq!(scheme(&node, "test@example.com").await, "argon2id");
    assert!(test.is_signed_in().await, "a new hash of the same password ends nothing");
    assert_eq!(node.visitor().sign_in("test@example.com", "password").await.status(), StatusCode::OK);

    let mut other = node.visitor();
    assert_eq!(other.sign_in("other@example.com", "password").await.status(), StatusCode::OK);
    let change = json!({"current_password": "password", "new_password": PASSWORD});
    assert_eq!(other.post("/api/v1/password", &change).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(node.visitor().sign_in("other@example.com", PASSWORD).await.status(), StatusCode::OK);
    assert_eq!(node.visitor().sign_in("other@example.com", "password").await.status(), StatusCode::UNAUTHORIZED);
}
