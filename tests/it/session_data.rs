//! What apps keep in a session: merged atomically, bounded, and begun only when there is something to keep.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Node, PASSWORD, body};

/// A member so large that a dozen of them fill the smallest store.
fn large() -> Value {
    json!({"large": "x".repeat(60_000)})
}

#[tokio::test]
async fn a_patch_is_merged_as_rfc_7396_says() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    let steps = [
        (json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"}), json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"})),
        (json!({"a": {"b": null, "e": {"f": null, "g": 1}}}), json!({"a": {"c": [1, 2], "e": {"g": 1}}, "d": "x"})),
        (json!({"a": {"c": [3]}, "d": null, "none": null}), json!({"a": {"c": [3], "e": {"g": 1}}})),
        (json!({"a": 5}), json!({"a": 5})),
        (json!({}), json!({"a": 5})),
        (json!({"a": null}), json!({})),
    ];
    for (patch, expected) in steps {
        let response = visitor.patch(&patch).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(body(response).await["data"], expected, "{patch}");
        assert_eq!(visitor.session().await.expect("a session")["data"], expected);
    }
    assert_eq!(node.status().await.sessions, 1);
}

#[tokio::test]
async fn the_first_patch_is_merged_by_the_same_rule_and_sets_the_only_cookie() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    let patch = json!({"a": {"b": 1, "c": null, "d": {"e": null}}, "f": null, "g": [null]});
    let response = visitor.patch(&patch).await;
    assert_eq!(response.headers().get_all(SET_COOKIE).iter().count(), 1, "the session's, since nobody signed in");
    assert_eq!(body(response).await["data"], json!({"a": {"b": 1, "d": {}}, "g": [null]}));
    for again in [json!({"h": 1}), json!({})] {
        let response = visitor.patch(&again).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key(SET_COOKIE), "the browser has it");
    }
    assert!(!visitor.form("/pour", &[]).await.headers().contains_key(SET_COOKIE));
    let mut ada = node.visitor();
    ada.sign_up("ada@example.com").await;
    ada.post("/api/v1/signin", &json!({"email": "ada@example.com", "password": PASSWORD, "remember": true})).await;
    node.pass(3_600);
    assert!(!ada.patch(&json!({"h": 1})).await.headers().contains_key(SET_COOKIE), "its end does not slide");
}

#[tokio::test]
async fn both_media_types_of_a_patch_are_taken_and_no_other() {
    let node = Node::start().await;
    for (media, status) in [
        ("application/json", 200),
        ("application/merge-patch+json", 200),
        ("application/json-patch+json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
    ] {
        let request = node.visitor().request(Method::PATCH, "/api/v1/session").header(CONTENT_TYPE, media);
        let response = request.body(r#"{"a":1}"#).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{media}");
    }
}

#[tokio::test]
async fn fifty_patches_at_once_are_all_there() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    let patches = (0..50).map(|n| {
        let mut ada = ada.clone();
        async move { ada.patch(&json!({format!("member{n}"): n, "deep": {format!("{n}"): true}})).await.status() }
    });
    assert!(join_all(patches).await.iter().all(|status| *status == StatusCode::OK));
    let data = ada.session().await.expect("a session")["data"].clone();
    for n in 0..50 {
        assert_eq!((&data[format!("member{n}")], &data["deep"][n.to_string()]), (&json!(n), &json!(true)));
    }
}

#[tokio::test]
async fn what_a_session_keeps_is_bounded() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    assert_eq!(visitor.patch(&json!({"a": "x".repeat(40_000)})).await.status(), StatusCode::OK);
    let response = visitor.patch(&json!({"b": "x".repeat(40_000)})).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(body(response).await["field"], "data");
    let data = visitor.session().await.expect("a session")["data"].clone();
    assert!(data["a"].as_str().is_some_and(|a| a.len() == 40_000) && data.get("b").is_none(), "nothing was changed");
    assert_eq!(visitor.patch(&json!({"a": 1, "b": "x".repeat(40_000)})).await.status(), StatusCode::OK);
    let response = visitor.patch(&json!({"c": "x".repeat(70_000)})).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn what_an_app_stored_that_is_no_object_is_not_said_to_be_too_large() {
    let node = crate::redis::open().await;
    let mut ada = node.visitor();
    assert_eq!(ada.patch(&json!({"a": 1})).await.status(), StatusCode::OK);
    let mut app = crate::redis::talk(&node).await;
    assert_eq!(app.ask(&["SET", &format!("sess:{}", ada.sid()), "[1]"]).await, "+OK");
    let refused = ada.patch(&json!({"a": 2})).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let detail = body(refused).await["detail"].as_str().expect("a reason").to_owned();
    assert!(detail.contains("no JSON object"), "{detail}");
}

#[tokio::test]
async fn nobody_writes_who_they_are() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    let id =
        body(node.visitor().post("/api/v1/signup", &json!({"email": "bob@example.com", "password": PASSWORD})).await)
            .await["user"]["id"]
            .clone();
    for mut visitor in [ada.clone(), node.visitor()] {
        for patch in [
            json!({"passport": {"user": id}}),
            json!({"passport": null}),
            json!({"cookie": {"maxAge": 1}}),
            json!({"cookie": null, "a": 1}),
            json!({"user_id": id}),
            json!({"_user_id": id, "a": 1}),
            json!({"_auth_user_id": null}),
        ] {
            let response = visitor.patch(&patch).await;
            assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{patch}");
            assert!(!response.headers().contains_key(SET_COOKIE));
        }
    }
    // members of the same names elsewhere are the app's own
    ada.patch(&json!({"user": id, "own": {"passport": {"user": id}, "cookie": 1}})).await;
    assert_eq!(body(ada.get("/profile").await).await["email"], "ada@example.com");
    assert_eq!(ada.session().await.expect("a session")["data"]["own"]["cookie"], 1);
}

#[tokio::test]
async fn a_session_begins_only_when_something_is_stored() {
    let node = Node::start().await;
    let before = node.status().await.applied;
    let paths = ["/", "/login", "/signup", "/home", "/account", "/profile", "/api/v1/session", "/logout", "/style.css"];
    let visitor = node.visitor();
    let looks = stream::iter(0..10_000).for_each_concurrent(50, |n| {
        let mut visitor = visitor.clone();
        async move {
            let response = visitor.get(paths[n % paths.len()]).await;
            let kept = response
                .headers()
                .get_all(SET_COOKIE)
                .iter()
                .all(|c| c.to_str().is_ok_and(|c| c.contains("Max-Age=0")));
            assert!(kept, "{}", paths[n % paths.len()]);
        }
    });
    looks.await;
    for nothing in [json!({}), json!({"a": null})] {
        let response = node.visitor().patch(&nothing).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{nothing}");
        assert!(!response.headers().contains_key(SET_COOKIE));
    }
    let status = node.status().await;
    assert_eq!((status.sessions, status.applied), (0, before), "nothing was written at all");
    assert_eq!(node.visitor().patch(&json!({"a": 1})).await.status(), StatusCode::OK);
    assert_eq!(node.status().await.sessions, 1);
}

#[tokio::test]
async fn a_full_store_refuses_and_forgets_nobody() {
    let mut node = Node::with(&[("sessions.memory_max", "1MiB")]).await;
    node.visitor().sign_up("bob@example.com").await;
    let mut ada = node.person("ada@example.com").await;
    let mut held = Vec::new();
    let refused = loop {
        let mut visitor = node.visitor();
        let response = visitor.patch(&large()).await;
        if response.status() != StatusCode::OK {
            break response;
        }
        held.push(visitor);
        assert!(held.len() < 30, "it never fills");
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(RETRY_AFTER) && !refused.headers().contains_key(SET_COOKIE));
    assert_eq!(body(refused).await["detail"], "The session store is full. Nothing was changed.");

    let mut bob = node.visitor();
    assert_eq!(bob.sign_in("bob@example.com", PASSWORD).await.status(), StatusCode::OK, "people still can sign in");
    assert_eq!(ada.patch(&json!({"small": 1})).await.status(), StatusCode::OK);
    for visitor in &mut held {
        assert!(visitor.session().await.is_some_and(|s| s["data"]["large"].is_string()), "none was evicted");
    }
    // signed-in people fill the rest
    let mut refused = None;
    for _ in 0..10 {
        let mut browser = node.visitor();
        let response = browser.sign_in("bob@example.com", PASSWORD).await;
        let status = if response.status() == StatusCode::OK {
            browser.patch(&large()).await.status()
        } else {
            response.status()
        };
        if status != StatusCode::OK {
            refused = Some(status);
            break;
        }
        held.push(browser);
    }
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(ada.patch(&json!({"small": null})).await.status(), StatusCode::OK, "shrinking always passes");
    assert!(ada.is_signed_in().await && bob.is_signed_in().await);
    assert_eq!(bob.post("/api/v1/signout", &json!({})).await.status(), StatusCode::NO_CONTENT, "and so does leaving");

    node.restart().await;
    for visitor in &held {
        assert!(visitor.moved_to(&node).session().await.is_some(), "none was lost on the way");
    }
}

#[tokio::test]
async fn room_comes_back_when_sessions_end() {
    let node = Node::with(&[("sessions.memory_max", "1MiB")]).await;
    let mut held = Vec::new();
    loop {
        let mut visitor = node.visitor();
        if visitor.patch(&large()).await.status() != StatusCode::OK {
            break;
        }
        held.push(visitor);
    }
    for visitor in &mut held {
        visitor.post("/api/v1/signout", &json!({})).await;
    }
    // what was replaced is given back by the cache's own housekeeping
    let mut visitor = node.visitor();
    crate::harness::eventually("there is room", async || visitor.patch(&large()).await.status() == StatusCode::OK)
        .await;
}

#[tokio::test]
async fn one_address_begins_so_many_anonymous_sessions() {
    let node = Node::start().await;
    let visitor = node.visitor();
    let begin = |n: usize| {
        let mut visitor = visitor.clone();
        async move { visitor.patch(&json!({"n": n})).await.status().as_u16() }
    };
    let statuses: Vec<u16> = stream::iter(0..300).map(begin).buffer_unordered(30).collect().await;
    assert!(statuses.iter().all(|s| *s == 200), "{statuses:?}");
    let response = visitor.clone().patch(&json!({"n": 300})).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert_eq!(visitor.clone().form("/pour", &[]).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let mut neighbour = node.visitor().from(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(neighbour.patch(&json!({"n": 1})).await.status(), StatusCode::OK, "others are not held up");
    let mut ada = visitor.clone();
    ada.sign_up("ada@example.com").await;
    assert_eq!(ada.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK, "nor is who signs in");
    assert_eq!(ada.patch(&json!({"n": 1})).await.status(), StatusCode::OK, "nor who has a session");
    node.pass(60);
    assert_eq!(visitor.clone().patch(&json!({"n": 301})).await.status(), StatusCode::OK);
}
