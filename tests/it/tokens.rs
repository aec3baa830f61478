//! Personal access tokens: made by their owner or an operator, shown once, good for what was said, and good no more the
//! moment they are ended, on whichever node.

use reqwest::header::{AUTHORIZATION, ORIGIN, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sojourn::control::protocol::{NewToken, Password};
use sojourn::control::{Request, Response as Answer};

use crate::harness::{Cluster, Node, PASSWORD, Visitor, body, eventually};

const ADA: &str = "ada@example.com";

/// A token of a person's own making.
async fn made(person: &mut Visitor, scopes: &[&str]) -> (String, Value) {
    let response = person.post("/api/v1/tokens", &json!({"name": "laptop", "scopes": scopes})).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let made = body(response).await;
    (made["token"].as_str().expect("a token").to_owned(), made)
}

async fn by(node: &Node, method: Method, path: &str, token: &str) -> Response {
    let request = node.visitor().request(method, path).header(AUTHORIZATION, format!("Bearer {token}"));
    request.send().await.expect("the node answers")
}

async fn profile(node: &Node, token: &str) -> StatusCode {
    by(node, Method::GET, "/profile", token).await.status()
}

#[tokio::test]
async fn a_token_says_who_its_owner_is_wherever_the_profile_is_asked_for() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let (token, made) = made(&mut ada, &["profile"]).await;
    assert!(token.starts_with("sjt_") && token.len() == 40, "{token}");
    assert_eq!((&made["name"], &made["scopes"]), (&json!("laptop"), &json!(["profile"])));
    assert_eq!((&made["last_used"], &made["expires_at"]), (&Value::Null, &Value::Null));
    for path in ["/profile", "/api/v1/profile"] {
        let response = by(&node, Method::GET, path, &token).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(body(response).await["email"], ADA);
    }
    let listed = body(ada.get("/api/v1/tokens").await).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert!(listed[0].get("token").is_none() && !listed.to_string().contains(&token), "it is shown once");
}

#[tokio::test]
async fn what_is_no_token_is_refused_in_the_words_of_the_scheme() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let (token, _) = made(&mut ada, &["profile"]).await;
    let other = if token.ends_with('a') { "b" } else { "a" };
    for bad in [format!("{}{other}", &token[..39]), "nonsense".into(), String::new(), token.to_uppercase()] {
        let response = by(&node, Method::GET, "/profile", &format!("{bad}x")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{bad}");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"sojourn\", error=\"invalid_token\"");
    }
    let cookie_only = node.visitor().get("/profile").await;
    assert_eq!(cookie_only.headers()[WWW_AUTHENTICATE], "Cookie realm=\"sojourn\"");
    let two = node.visitor().request(Method::GET, "/profile");
    let two = two.header(AUTHORIZATION, format!("Bearer {token}")).header(AUTHORIZATION, "Bearer x");
    assert_eq!(two.send().await.expect("the node answers").status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_outranks_cookies() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let bob = node.person("bob@example.com").await;
    let (token, _) = made(&mut ada, &["profile"]).await;
    let ask = async |header: String| {
        let request = bob.request(Method::GET, "/profile").header(AUTHORIZATION, header);
        request.send().await.expect("the node answers")
    };
    assert_eq!(body(ask(format!("bearer {token}")).await).await["email"], ADA);
    assert_eq!(ask("Bearer sjt_nonsense".into()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(body(ask("Basic eDp5".into()).await).await["email"], "bob@example.com", "another scheme says nothing");
}

#[tokio::test]
async fn a_token_is_good_for_its_scopes_alone() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let (reader, _) = made(&mut ada, &["profile"]).await;
    let (ender, _) = made(&mut ada, &["sessions"]).await;
    assert_eq!(profile(&node, &ender).await, StatusCode::FORBIDDEN);
    for (method, path) in [
        (Method::GET, "/api/v1/sessions"),
        (Method::DELETE, "/api/v1/sessions/x"),
        (Method::DELETE, "/api/v1/sessions?others=true"),
    ] {
        assert_eq!(by(&node, method, path, &reader).await.status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert!(ada.is_signed_in().await);
    let response = ada.post("/api/v1/tokens", &json!({"name": "x", "scopes": ["admin"]})).await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "she is no admin");
}

#[tokio::test]
async fn a_token_of_the_scope_lists_and_ends_sessions() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut other = node.visitor();
    assert_eq!(other.sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    let mut bob = node.person("bob@example.com").await;
    let theirs = bob.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let (token, _) = made(&mut ada, &["sessions"]).await;
    let listed = body(by(&node, Method::GET, "/api/v1/sessions", &token).await).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert!(listed.as_array().expect("a list").iter().all(|one| one["current"] == json!(false)));
    let mine = ada.session().await.expect("a session")["id"].as_str().expect("a handle").to_owned();
    let end =
        async |handle: &str| by(&node, Method::DELETE, &format!("/api/v1/sessions/{handle}"), &token).await.status();
    assert_eq!(end(&theirs).await, StatusCode::NOT_FOUND);
    assert_eq!(end(&mine).await, StatusCode::NO_CONTENT);
    assert_eq!((ada.is_signed_in().await, other.is_signed_in().await), (false, true));
    let all = by(&node, Method::DELETE, "/api/v1/sessions?others=true", &token).await;
    assert_eq!(body(all).await, json!({"ended": 1}));
    assert!(!other.is_signed_in().await && bob.is_signed_in().await);
}

#[tokio::test]
async fn programs_that_say_where_they_come_from_are_not_taken_for_other_sites() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let (token, _) = made(&mut ada, &["sessions"]).await;
    let foreign = |visitor: &Visitor| {
        visitor.request(Method::DELETE, "/api/v1/sessions/x").header(ORIGIN, "moz-extension://0123")
    };
    let sent = foreign(&ada).header(AUTHORIZATION, format!("Bearer {token}")).send().await.expect("an answer");
    assert_eq!(sent.status(), StatusCode::NOT_FOUND, "the token decides");
    assert_eq!(foreign(&ada).send().await.expect("an answer").status(), StatusCode::FORBIDDEN, "cookies do not");
    let signin = node.visitor().request(Method::POST, "/api/v1/signin").header(ORIGIN, "https://evil.example");
    let signin =
        signin.header(AUTHORIZATION, format!("Bearer {token}")).json(&json!({"email": ADA, "password": PASSWORD}));
    assert_eq!(signin.send().await.expect("an answer").status(), StatusCode::FORBIDDEN, "nor where no token counts");
}

#[tokio::test]
async fn a_token_makes_no_tokens_and_opens_no_account_page() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let (token, made) = made(&mut ada, &["profile", "sessions"]).await;
    let id = made["id"].as_str().expect("an id");
    assert_eq!(by(&node, Method::GET, "/api/v1/tokens", &token).await.status(), StatusCode::UNAUTHORIZED);
    let path = format!("/api/v1/tokens/{id}");
    assert_eq!(by(&node, Method::DELETE, &path, &token).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(by(&node, Method::GET, "/account", &token).await.status(), StatusCode::SEE_OTHER);
    // the session cookie alone does not either
    let mut app = ada.clone();
    app.cookies.retain(|(name, _)| name == "sojourn");
    assert_eq!(app.get("/api/v1/tokens").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(app.post("/api/v1/tokens", &json!({"name": "x"})).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(app.delete(&path).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(profile(&node, &token).await, StatusCode::OK);
}

#[tokio::test]
async fn a_token_ends_when_its_owner_ends_it_or_its_time_comes_or_they_are_shut_out() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let mut bob = node.person("bob@example.com").await;
    let (first, told) = made(&mut ada, &["profile"]).await;
    let path = format!("/api/v1/tokens/{}", told["id"].as_str().expect("an id"));
    assert_eq!(profile(&node, &first).await, StatusCode::OK);
    assert_eq!(bob.delete(&path).await.status(), StatusCode::NOT_FOUND, "it is not his");
    assert_eq!(ada.delete(&path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(profile(&node, &first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ada.delete(&path).await.status(), StatusCode::NOT_FOUND);

    let response = ada.post("/api/v1/tokens", &json!({"name": "hour", "expires_in": 3_600})).await;
    let short = body(response).await;
    assert_eq!(short["expires_at"], "2026-09-21T15:13:20.000Z");
    let short = short["token"].as_str().expect("a token").to_owned();
    node.pass(3_599);
    assert_eq!(profile(&node, &short).await, StatusCode::OK);
    node.pass(1);
    assert_eq!(profile(&node, &short).await, StatusCode::UNAUTHORIZED);

    let mut ada = node.visitor();
    ada.sign_in(ADA, PASSWORD).await;
    let (last, _) = made(&mut ada, &["profile"]).await;
    assert_eq!(profile(&node, &last).await, StatusCode::OK);
    node.ask(Request::UserDisable { email: ADA.into() }).await.expect("is disabled");
    assert_eq!(profile(&node, &last).await, StatusCode::UNAUTHORIZED);
    node.ask(Request::UserEnable { email: ADA.into() }).await.expect("is enabled");
    assert_eq!(profile(&node, &last).await, StatusCode::UNAUTHORIZED, "it was ended");
}

#[tokio::test]
async fn a_token_outlives_sessions_a_changed_password_and_a_restart() {
    let mut node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let (token, _) = made(&mut ada, &["profile"]).await;
    let change = json!({"current_password": PASSWORD, "new_password": "another fine phrase"});
    assert_eq!(ada.post("/api/v1/password", &change).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(ada.post("/api/v1/signout", &json!({})).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(profile(&node, &token).await, StatusCode::OK);
    node.restart().await;
    assert_eq!(profile(&node, &token).await, StatusCode::OK);
}

#[tokio::test]
async fn what_a_token_is_to_be_is_checked() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    for (bad, field) in [
        (json!({}), "name"),
        (json!({"name": " "}), "name"),
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "scopes": ["root"]}), "scopes"),
        (json!({"name": "x", "expires_in": 0}), "expires"),
        (json!({"name": "x", "expires_in": i64::MAX}), "expires"),
    ] {
        let response = ada.post("/api/v1/tokens", &bad).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        assert_eq!(body(response).await["field"], field, "{bad}");
    }
    for bad in [json!({"name": 1}), json!({"name": "x", "scopes": "profile"}), json!({"name": "x", "expires_in": "1h"})]
    {
        assert_eq!(ada.post("/api/v1/tokens", &bad).await.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(body(ada.get("/api/v1/tokens").await).await, json!([]));
}

#[tokio::test]
async fn use_is_told_by_the_day() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let (token, _) = made(&mut ada, &["profile"]).await;
    assert_eq!(profile(&node, &token).await, StatusCode::OK);
    let told = async |day: &str| body(ada.clone().get("/api/v1/tokens").await).await[0]["last_used"] == day;
    eventually("the day is noted", async || told("2026-09-21").await).await;
    let before = node.status().await.applied;
    for _ in 0..50 {
        assert_eq!(profile(&node, &token).await, StatusCode::OK);
    }
    assert_eq!(node.status().await.applied, before, "a check costs no commit");
}

#[tokio::test]
async fn a_token_ended_on_one_node_is_good_on_no_other() {
    let cluster = Cluster::start(3).await;
    let mut ada = cluster.nodes[0].person(ADA).await;
    let (token, told) = made(&mut ada, &["profile"]).await;
    for node in &cluster.nodes {
        assert_eq!(profile(node, &token).await, StatusCode::OK, "made on another node just now");
    }
    let path = format!("/api/v1/tokens/{}", told["id"].as_str().expect("an id"));
    assert_eq!(ada.moved_to(&cluster.nodes[1]).delete(&path).await.status(), StatusCode::NO_CONTENT);
    for node in &cluster.nodes {
        // at most max_staleness later, and each node had it in memory
        eventually("it is good no more", async || profile(node, &token).await == StatusCode::UNAUTHORIZED).await;
    }
}

#[tokio::test]
async fn operators_make_list_and_end_tokens_for_others() {
    let node = Node::start().await;
    node.person(ADA).await;
    let new =
        NewToken { email: ADA.into(), name: "ci".into(), scopes: vec!["profile".into()], lifetime_ms: Some(60_000) };
    let Ok(Answer::TokenAdded { token, secret: Password(secret) }) = node.ask(Request::TokenAdd(new)).await else {
        panic!("a token was to be made");
    };
    assert_eq!(profile(&node, &secret).await, StatusCode::OK);
    let list = async || match node.ask(Request::TokenList { email: ADA.into() }).await {
        Ok(Answer::Tokens(tokens)) => tokens,
        other => panic!("tokens were asked for: {other:?}"),
    };
    let ids: Vec<String> = list().await.into_iter().map(|token| token.id).collect();
    assert_eq!(ids, std::slice::from_ref(&token.id));
    node.ask(Request::TokenRemove { id: token.id.clone() }).await.expect("is ended");
    assert_eq!(profile(&node, &secret).await, StatusCode::UNAUTHORIZED);
    assert_eq!(node.ask(Request::TokenRemove { id: token.id }).await, Err("token not found".into()));
    assert!(list().await.is_empty());
}

#[tokio::test]
async fn the_account_page_makes_a_token_shows_it_once_and_ends_it() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let fields = [("name", "laptop"), ("scope_profile", "yes"), ("expires", "90")];
    let response = ada.form("/account/tokens", &fields).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let page = response.text().await.expect("a page");
    let at = page.find("sjt_").expect("the token is shown");
    let token = page[at..at + 40].to_owned();
    assert_eq!(profile(&node, &token).await, StatusCode::OK);
    let (_, page) = ada.page("/account").await;
    assert!(page.contains("laptop") && !page.contains("sjt_"));
    let id = page.split("data-token=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("its id").to_owned();
    let response = ada.form(&format!("/account/tokens/{id}/end"), &[]).await;
    assert_eq!(response.headers()["location"], "/account?did=token");
    assert_eq!(profile(&node, &token).await, StatusCode::UNAUTHORIZED);
    for (fields, said) in [
        (&[("name", ""), ("scope_profile", "yes")][..], "Give the token a name"),
        (&[("name", "x<b>")][..], "one scope at least"),
        (&[("name", "x"), ("scope_admin", "yes")][..], "for admins"),
        (&[("name", "x"), ("scope_profile", "yes"), ("expires", "5")][..], "Choose one of the times"),
    ] {
        let response = ada.form("/account/tokens", fields).await;
        assert!(response.status().is_client_error(), "{said}");
        let page = response.text().await.expect("a page");
        assert!(page.contains(said) && !page.contains("x<b>"), "{said}");
    }
    assert_eq!(node.visitor().form("/account/tokens", &fields).await.headers()["location"], "/login?next=%2Faccount");
}

#[tokio::test]
async fn a_token_passes_a_proxy_and_one_of_another_make_is_the_services_own_affair() {
    let node = Node::with(&[("web.trusted_proxies", "127.0.0.0/8")]).await;
    let mut ada = node.person(ADA).await;
    let (token, _) = made(&mut ada, &["profile"]).await;
    let (other_scope, _) = made(&mut ada, &["sessions"]).await;
    node.ask(Request::UserApprove { email: ADA.into() }).await.expect("is approved");
    let ask = async |visitor: &Visitor, token: &str| {
        let request = visitor.request(Method::GET, "/api/authz/auth-request");
        let request = request.header("X-Original-URL", "https://wiki.example/x");
        request.header(AUTHORIZATION, format!("Bearer {token}")).send().await.expect("an answer")
    };
    let nobody = node.visitor();
    let passed = ask(&nobody, &token).await;
    assert_eq!((passed.status(), passed.headers().contains_key("remote-user")), (StatusCode::OK, true));
    assert_eq!(ask(&nobody, &other_scope).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(ask(&nobody, "sjt_nonsense").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        ask(&nobody, "eyJhbGciOiJub25lIn0.e30.").await.status(),
        StatusCode::UNAUTHORIZED,
        "nobody is signed in"
    );
    assert_eq!(ask(&ada, "eyJhbGciOiJub25lIn0.e30.").await.status(), StatusCode::OK, "the cookie decides");
}
