//! Health and metrics: for machines that watch machines, and nobody else's business in them.

use reqwest::{Method, StatusCode};

use crate::harness::{Node, Visitor};

#[tokio::test]
async fn a_node_that_leads_is_alive_and_ready() {
    let node = Node::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(node.visitor().get(path).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_on_a_listener_of_their_own_and_name_nobody() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    ada.get("/home?next=secret-query").await;
    ada.get("/nothing/secret-path").await;
    let response = Visitor::at(&node.metrics_url()).request(Method::GET, "").send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let text = response.text().await.expect("text");
    assert!(text.contains("# TYPE") && text.contains("/home"), "{text}");
    for secret in ["ada@", "secret-query", "secret-path", ada.sid()] {
        assert!(!text.contains(secret), "{secret} is in the metrics");
    }
    assert_eq!(node.visitor().get("/metrics").await.status(), StatusCode::NOT_FOUND);
}
