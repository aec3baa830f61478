//! Signing up, in and out.

use reqwest::StatusCode;

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
