//! What every reply carries, whatever it says.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::json;

use crate::harness::{Node, PASSWORD};

fn checked(what: &str, response: &Response) {
    let headers = response.headers();
    let value = |name: &str| headers.get(name).map(|v| v.to_str().expect("ASCII").to_owned()).unwrap_or_default();
    let policy = value("content-security-policy");
    for wanted in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
        assert!(policy.contains(wanted), "{what}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{what}: {policy}");
    assert_eq!(value("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(value("referrer-policy"), "same-origin", "{what}");
    assert_eq!(value("cross-origin-opener-policy"), "same-origin", "{what}");
    assert_eq!(value("cross-origin-resource-policy"), "same-origin", "{what}");
    assert_eq!(value("x-frame-options"), "DENY", "{what}");
    assert!(!headers.contains_key("server") && !headers.contains_key("x-powered-by"), "{what}");
    assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{what}");
    let cache = value("cache-control");
    let kept = what.contains("/style.css") || what.contains("/favicon.svg");
    assert_eq!(cache == "no-store", !kept || response.status().is_client_error(), "{what}: {cache}");
    let length = value("content-length");
    if !matches!(length.as_str(), "" | "0") && !response.status().is_redirection() {
        let kind = value("content-type");
        let known =
            ["text/html; charset=utf-8", "application/json", "application/problem+json", "text/css; charset=utf-8"];
        assert!(
            known.contains(&kind.as_str()) || kind == "image/svg+xml" || kind == "text/plain; charset=utf-8",
            "{what}: {kind}"
        );
    }
}

/// Requests that get every kind of answer.
fn requests(ada: &crate::harness::Visitor, nobody: &crate::harness::Visitor) -> Vec<RequestBuilder> {
    let get = |path: &str| nobody.request(Method::GET, path);
    let mine = |path: &str| ada.request(Method::GET, path);
    let mut all: Vec<RequestBuilder> =
        ["/", "/login", "/signup", "/home", "/account", "/logout", "/link/x", "/style.css", "/favicon.svg"]
            .into_iter()
            .chain([
                "/healthz",
                "/readyz",
                "/profile",
                "/api/v1/openapi.json",
                "/nothing",
                "/api/v1/nothing",
                "/%ff",
                "/a/../b",
            ])
            .map(get)
            .collect();
    all.extend(["/", "/home", "/account", "/profile", "/api/v1/session", "/api/v1/sessions"].map(mine));
    for html in ["text/html", "*/*"] {
        all.push(nobody.request(Method::PUT, "/").header("accept", html));
        all.push(nobody.request(Method::from_bytes(b"FOO").expect("a method"), "/login").header("accept", html));
        all.push(get("/nothing").header("accept", html));
        all.push(get("/login?next=%ff").header("accept", html));
        all.push(nobody.request(Method::POST, "/login").header("accept", html).header("sec-fetch-site", "cross-site"));
        all.push(nobody.request(Method::POST, "/login").header("accept", html).body("x".repeat(70_000)));
        all.push(
            nobody
                .request(Method::POST, "/login")
                .header("accept", html)
                .header("content-type", "text/plain")
                .body("x"),
        );
    }
    all.extend([
        nobody.request(Method::OPTIONS, "/").header("origin", "https://evil.example"),
        nobody.request(Method::OPTIONS, "/api/v1/signin").header("origin", "https://evil.example"),
        get("/profile").header("origin", "https://evil.example"),
        get("/api/v1/session").header("origin", "null"),
        nobody.request(Method::HEAD, "/"),
        nobody
            .request(Method::POST, "/api/v1/signin")
            .json(&json!({"email": "x@example.com", "password": "wrong one"})),
        nobody.request(Method::POST, "/api/v1/signin").json(&json!({})),
        nobody.request(Method::POST, "/api/v1/signup").json(&json!({"email": "ada@example.com", "password": PASSWORD})),
        nobody.request(Method::POST, "/api/v1/signup").json(&json!({"email": "x", "password": PASSWORD})),
        nobody.request(Method::POST, "/pour").form(&[("a", "b")]),
        nobody.request(Method::PATCH, "/api/v1/session").json(&json!({"a": 1})),
        nobody.request(Method::POST, "/api/v1/signout").json(&json!({})),
        nobody.request(Method::DELETE, "/api/v1/sessions/x"),
    ]);
    all
}

#[tokio::test]
async fn every_reply_has_them() {
    let node = Node::start().await;
    let ada = node.person("ada@example.com").await;
    let mut statuses = std::collections::BTreeSet::new();
    for request in requests(&ada, &node.visitor()) {
        let request = request.build().expect("a request");
        let what = format!("{} {}", request.method(), request.url());
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let response = client.execute(request).await.expect("an answer");
        assert!(!response.headers().contains_key("strict-transport-security"), "{what}: not on http");
        checked(&format!("{what}: {}", response.status()), &response);
        statuses.insert(response.status().as_u16());
    }
    for status in [200, 201, 204, 303, 400, 401, 403, 404, 405, 409, 413, 415, 422] {
        assert!(statuses.contains(&status) || status == 201, "nothing was answered {status}: {statuses:?}");
    }
}

#[tokio::test]
async fn on_https_browsers_are_told_to_stay_there() {
    let node = Node::with(&[("public_url", "https://login.example.com")]).await;
    for path in ["/", "/nothing", "/profile", "/style.css", "/healthz"] {
        let response = node.visitor().get(path).await;
        let value = response.headers()["strict-transport-security"].to_str().expect("ASCII").to_owned();
        let seconds: u64 = value
            .strip_prefix("max-age=")
            .and_then(|v| v.split(';').next())
            .expect("an age")
            .parse()
            .expect("a number");
        assert!(seconds >= 31_536_000 && value.contains("includeSubDomains"), "{path}: {value}");
    }
}

#[tokio::test]
async fn allowed_methods_are_told_without_opening_the_door_to_others() {
    let node = Node::start().await;
    let request = node.visitor().request(Method::OPTIONS, "/api/v1/session");
    let request = request.header("origin", "https://evil.example").header("access-control-request-method", "PATCH");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS, PATCH");
    checked("OPTIONS", &response);
}

#[tokio::test]
async fn pages_hold_no_script_and_no_style_of_their_own() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    for path in ["/", "/home", "/account", "/nothing"] {
        let (_, page) = ada.page(path).await;
        for forbidden in ["<script", "<style", " style=", " onclick", " onload", "javascript:", "http://", "https://"] {
            assert!(!page.contains(forbidden), "{path} has {forbidden}");
        }
    }
    for path in ["/login", "/signup"] {
        let (status, page) = node.visitor().page(path).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!page.contains("<script") && !page.contains(" style="), "{path}");
    }
}
