//! Forward-auth: what proxies are answered that ask who may pass to a service, in each of their dialects.

use reqwest::header::{ACCEPT, HOST, LOCATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use sojourn::control::protocol::{NewAccount, Password};
use sojourn::control::{Request as Ask, Response as Answer};

use crate::harness::{Node, PASSWORD, Visitor, body};

const RULES: &str = r#"
[[access]]
host = "app.example.com"
groups = ["staff"]
[[access]]
host = "app.example.com"
path = "/admin"
groups = ["admins"]
[[access]]
host = "app.example.com"
path = "/open"
public = true
[[access]]
host = "app.example.com"
path = "/posts"
methods = ["POST"]
groups = ["writers"]
"#;

const IDENTITY: [&str; 4] = ["remote-user", "remote-email", "remote-name", "remote-groups"];
const ENDPOINTS: [&str; 4] = ["/api/authz/auth-request", "/api/authz/forward-auth", "/api/verify", "/oauth2/auth"];

async fn node() -> Node {
    let settings = [
        ("web.trusted_proxies", "127.0.0.0/8"),
        ("public_url", "https://login.example.com"),
        ("web.redirect_domains", "app.example.com,.example.org"),
    ];
    Node::with_file(RULES, &settings).await
}

/// An account that an operator made, in these groups, and its browser.
async fn person(node: &Node, email: &str, groups: &[&str]) -> Visitor {
    let account = NewAccount {
        email: email.to_owned(),
        first_name: "Ädä".to_owned(),
        last_name: "Stout".to_owned(),
        admin: false,
        password: Some(Password(PASSWORD.to_owned())),
    };
    assert!(matches!(node.ask(Ask::UserAdd(account)).await, Ok(Answer::UserAdded { .. })));
    set_groups(node, email, groups).await;
    let mut person = node.visitor();
    assert_eq!(person.sign_in(email, PASSWORD).await.status(), StatusCode::OK);
    person
}

async fn set_groups(node: &Node, email: &str, groups: &[&str]) {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    assert!(matches!(node.ask(Ask::UserGroups { email: email.to_owned(), groups }).await, Ok(Answer::User(_))));
}

/// What a proxy asks at `endpoint` with these headers.
async fn ask(who: &Visitor, endpoint: &str, headers: &[(&str, &str)]) -> Response {
    ask_by(Method::GET, who, endpoint, headers).await
}

async fn ask_by(method: Method, who: &Visitor, endpoint: &str, headers: &[(&str, &str)]) -> Response {
    let request = who.request(method, endpoint);
    // in that dialect nginx hands on the host that was asked
    let request = if endpoint == "/oauth2/auth" { request.header(HOST, "app.example.com") } else { request };
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .send()
        .await
        .expect("an answer")
}

fn caddy<'a>(method: &'a str, host: &'a str, uri: &'a str) -> [(&'a str, &'a str); 4] {
    let proto = ("X-Forwarded-Proto", "https");
    [("X-Forwarded-Method", method), proto, ("X-Forwarded-Host", host), ("X-Forwarded-Uri", uri)]
}

/// The status for a request to the app, by Caddy's words.
async fn status(who: &Visitor, method: &str, uri: &str) -> u16 {
    ask(who, "/api/authz/forward-auth", &caddy(method, "app.example.com", uri)).await.status().as_u16()
}

fn identity(answer: &Response) -> [Option<&str>; 4] {
    IDENTITY.map(|name| {
        assert!(answer.headers().get_all(name).iter().count() <= 1);
        answer.headers().get(name).map(|value| value.to_str().expect("ASCII"))
    })
}

fn location(answer: &Response) -> &str {
    answer.headers().get(LOCATION).map_or("", |value| value.to_str().expect("ASCII"))
}

#[tokio::test]
async fn whoever_may_pass_is_vouched_for_in_every_dialect() {
    let node = node().await;
    let ada = person(&node, "ada@example.com", &["staff", "brewers"]).await;
    let id = body(ada.clone().get("/profile").await).await["id"].as_str().expect("an id").to_owned();
    let told = [Some(id.as_str()), Some("ada@example.com"), Some("%C3%84d%C3%A4 Stout"), Some("brewers,staff")];
    for endpoint in ENDPOINTS {
        let expected = if endpoint == "/oauth2/auth" { 202 } else { 200 };
        for headers in [
            &caddy("GET", "app.example.com", "/x?y=../z")[..],
            &[("X-Original-URL", "https://app.example.com/x"), ("X-Original-Method", "GET")],
            &[("X-Original-URI", "/x"), ("X-Forwarded-Host", "app.example.com"), ("X-Original-Method", "GET")],
        ] {
            let answer = ask(&ada, endpoint, headers).await;
            assert_eq!((answer.status().as_u16(), identity(&answer)), (expected, told), "{endpoint} {headers:?}");
            assert!(
                !answer.headers().contains_key(SET_COOKIE) && !answer.headers().contains_key(STRICT_TRANSPORT_SECURITY)
            );
            assert_eq!(answer.text().await.expect("a body"), "");
        }
    }
    let answer = ask(&ada, "/oauth2/auth", &caddy("GET", "app.example.com", "/x")).await;
    assert_eq!(answer.headers()["x-auth-request-email"], "ada@example.com");
}

#[tokio::test]
async fn public_places_are_open_and_say_nobodys_name() {
    let node = node().await;
    let mut waiting = node.person("eve@example.com").await;
    for endpoint in ENDPOINTS {
        for who in [&node.visitor(), &waiting] {
            let answer = ask(who, endpoint, &caddy("GET", "app.example.com", "/open/x")).await;
            assert!(answer.status().is_success(), "{endpoint}");
            assert_eq!(identity(&answer), [Some(""); 4], "{endpoint}: empty, and there");
        }
    }
    assert!(waiting.is_signed_in().await);
}

#[tokio::test]
async fn rules_decide_by_path_method_and_group_and_a_change_counts_at_once() {
    let node = node().await;
    let ada = person(&node, "ada@example.com", &["staff"]).await;
    assert_eq!((status(&ada, "GET", "/").await, status(&ada, "GET", "/admin/x").await), (200, 403));
    assert_eq!((status(&ada, "GET", "/posts").await, status(&ada, "POST", "/posts").await), (200, 403));
    set_groups(&node, "ada@example.com", &["admins", "writers"]).await;
    assert_eq!((status(&ada, "GET", "/").await, status(&ada, "GET", "/admin/x").await), (403, 200));
    assert_eq!((status(&ada, "GET", "/posts").await, status(&ada, "POST", "/posts").await), (403, 200));
    set_groups(&node, "ada@example.com", &[]).await;
    assert_eq!((status(&ada, "GET", "/").await, status(&ada, "GET", "/admin/x").await), (403, 403));
    // a host that no rule names is open to every approved person
    let other = ask(&ada, "/api/authz/forward-auth", &caddy("GET", "wiki.example.org", "/admin")).await;
    assert_eq!(identity(&other)[3], Some(""));
    let account = node.ask(Ask::UserDisable { email: "ada@example.com".into() }).await;
    assert!(matches!(account, Ok(Answer::User(user)) if user.disabled));
    assert_eq!(status(&ada, "GET", "/").await, 401);
}

#[tokio::test]
async fn every_method_asks_and_none_changes_anything_here() {
    let node = node().await;
    let ada = person(&node, "ada@example.com", &["staff"]).await;
    let headers = caddy("DELETE", "app.example.com", "/x");
    let foreign =
        [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example"), ("Content-Type", "text/plain")];
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let all = [&headers[..], &foreign[..]].concat();
        let answer = ask_by(method.clone(), &ada, "/api/authz/forward-auth", &all).await;
        assert_eq!((answer.status().as_u16(), identity(&answer)[1]), (200, Some("ada@example.com")), "{method}");
        assert!(!answer.headers().contains_key(SET_COOKIE), "{method}");
    }
    let posted = ada.request(Method::POST, "/api/authz/forward-auth").body("x".repeat(100_000));
    let posted = headers.iter().fold(posted, |request, (name, value)| request.header(*name, *value)).send().await;
    // it may see our answer or, with a body that nobody reads, the end of the connection
    assert!(posted.map_or(true, |answer| answer.status() == StatusCode::OK));
}

#[tokio::test]
async fn browsers_are_led_to_the_sign_in_page_and_programs_are_told() {
    let node = node().await;
    let nobody = node.visitor();
    let browser = (ACCEPT.as_str(), "text/html,*/*;q=0.8");
    let request = caddy("GET", "app.example.com", "/x?a=b&c");
    let page = "https://login.example.com/login?next=https%3A%2F%2Fapp%2Eexample%2Ecom%2Fx%3Fa%3Db%26c";
    let asked = async |endpoint: &str, more: &[(&str, &str)]| {
        let answer = ask(&nobody, endpoint, &[&request[..], more].concat()).await;
        assert_eq!(identity(&answer), [None; 4]);
        (answer.status().as_u16(), location(&answer).to_owned())
    };
    assert_eq!(asked("/api/authz/forward-auth", &[browser]).await, (302, page.to_owned()));
    assert_eq!(asked("/api/authz/forward-auth", &[]).await, (401, String::new()));
    assert_eq!(asked("/api/authz/forward-auth", &[browser, ("X-Requested-With", "XMLHttpRequest")]).await.0, 401);
    for endpoint in ["/api/authz/auth-request", "/oauth2/auth"] {
        assert_eq!(asked(endpoint, &[browser]).await, (401, page.to_owned()), "{endpoint}");
        assert_eq!(asked(endpoint, &[]).await, (401, page.to_owned()), "{endpoint}");
    }
    assert_eq!(asked("/api/verify", &[browser]).await.0, 401);
    assert_eq!(asked("/api/verify?rd=https://login.example.com/", &[browser]).await, (302, page.to_owned()));
    assert_eq!(asked("/api/verify?rd=https://login.example.com/", &[]).await.0, 401);
    let elsewhere = "https://sso.example.org/in?rd=https%3A%2F%2Fapp%2Eexample%2Ecom%2Fx%3Fa%3Db%26c";
    assert_eq!(asked("/api/verify?rd=https://sso.example.org/in", &[browser]).await, (302, elsewhere.to_owned()));
    for evil in
        ["https://evil.example/", "//evil.example", "javascript:alert(1)", "https://login.example.com@evil.example/"]
    {
        assert_eq!(asked(&format!("/api/verify?rd={evil}"), &[browser]).await, (302, page.to_owned()), "{evil}");
    }
    let post = [&caddy("POST", "app.example.com", "/x")[..], &[browser]].concat();
    assert_eq!(ask(&nobody, "/api/authz/forward-auth", &post).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn next_leads_to_allowed_hosts_alone() {
    let node = node().await;
    let nobody = node.visitor();
    for (host, uri, kept) in [
        ("app.example.com", "/x", true),
        ("wiki.example.org", "/x", true),
        ("evil.example", "/x", false),
        ("app.example.com.evil.example", "/x", false),
        ("app.example.com:8443", "/x", false),
    ] {
        let headers = [&caddy("GET", host, uri)[..], &[("Accept", "text/html")]].concat();
        let answer = ask(&nobody, "/api/authz/forward-auth", &headers).await;
        let page = location(&answer);
        assert!(
            page.starts_with("https://login.example.com/login") && page.contains("next=") == kept,
            "{host}: {page}"
        );
    }
    let long = format!("/{}", "a".repeat(4_000));
    let headers = [&caddy("GET", "app.example.com", &long)[..], &[("Accept", "text/html")]].concat();
    assert_eq!(location(&ask(&nobody, "/api/authz/forward-auth", &headers).await), "https://login.example.com/login");
    // and the page follows what it was given, by either name
    let mut ada = person(&node, "ada@example.com", &[]).await;
    for name in ["next", "rd"] {
        let led = ada.get(&format!("/login?{name}=https%3A%2F%2Fapp.example.com%2Fx")).await;
        assert_eq!(location(&led), "https://app.example.com/x");
        assert_eq!(location(&ada.get(&format!("/login?{name}=https%3A%2F%2Fevil.example%2Fx")).await), "/home");
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_in_every_dialect() {
    let node = node().await;
    let ada = person(&node, "ada@example.com", &["staff", "admins"]).await;
    for uri in [
        "/x/../admin",
        "/%2e%2e/x",
        "/x%2fy",
        "//x",
        "/x%5cy",
        "/x\\y",
        "/x%00",
        "/%ff",
        "/%2561",
        "x",
        "/x#y",
        "/..;/x",
    ] {
        for endpoint in ENDPOINTS {
            let answer = ask(&ada, endpoint, &caddy("GET", "app.example.com", uri)).await;
            assert_eq!((answer.status().as_u16(), identity(&answer)), (403, [None; 4]), "{endpoint} {uri}");
        }
    }
    for host in ["u@app.example.com", "app.example.com, b", "", "a..b", "app%2eexample.com"] {
        let answer = ask(&ada, "/api/authz/forward-auth", &caddy("GET", host, "/open")).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{host}");
    }
    for host in ["APP.example.com", "app.example.com.", "app.example.com:8443"] {
        let admin = ask(&node.visitor(), "/api/authz/forward-auth", &caddy("GET", host, "/admin")).await;
        assert_eq!(admin.status(), StatusCode::UNAUTHORIZED, "{host}");
        let open = ask(&node.visitor(), "/api/authz/forward-auth", &caddy("GET", host, "/open")).await;
        assert_eq!(open.status(), StatusCode::OK, "{host}");
    }
    for more in [
        ("X-Forwarded-Uri", "/open"),
        ("X-Forwarded-Host", "app.example.com"),
        ("X-Original-URL", "https://app.example.com/open"),
        ("X-Original-URI", "/open"),
        ("X-Original-Method", "POST"),
        ("X-Forwarded-Proto", "http"),
    ] {
        let headers = [&caddy("GET", "app.example.com", "/x")[..], &[more]].concat();
        for endpoint in ENDPOINTS {
            assert_eq!(ask(&ada, endpoint, &headers).await.status(), StatusCode::FORBIDDEN, "{endpoint} {more:?}");
        }
    }
    // what a method rule hangs on must be said, by the proxy
    let unsaid = ("X-Original-URL", "https://app.example.com/posts");
    for headers in [&[unsaid][..], &[unsaid, ("X-Forwarded-Method", "GET")]] {
        let answer = ask(&ada, "/api/authz/auth-request", headers).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(body(answer).await["detail"].as_str().is_some_and(|detail| detail.contains("X-Original-Method")));
    }
}

#[tokio::test]
async fn a_host_that_nginx_handed_on_outranks_what_a_client_says() {
    let node = node().await;
    let ada = person(&node, "ada@example.com", &["staff"]).await;
    let asked = async |who: &Visitor, host: &str| {
        let headers = [("X-Forwarded-Uri", "/admin"), ("X-Forwarded-Host", host)];
        ask(who, "/oauth2/auth", &headers).await.status().as_u16()
    };
    // no rule names it: everybody who is approved would pass
    assert_eq!(asked(&ada, "unnamed.example").await, 403);
    assert_eq!(asked(&node.visitor(), "unnamed.example").await, 403);
    assert_eq!((asked(&ada, "app.example.com").await, asked(&node.visitor(), "app.example.com").await), (403, 401));
}

#[tokio::test]
async fn tokens_of_ours_speak_for_their_owner_and_others_are_the_services_own() {
    let node = node().await;
    let mut ada = person(&node, "ada@example.com", &["staff"]).await;
    let mut made = async |scope: &str| {
        let made = ada.post("/api/v1/tokens", &json!({"name": "a", "scopes": [scope]})).await;
        body(made).await["token"].as_str().expect("a token").to_owned()
    };
    let (good, narrow) = (made("profile").await, made("sessions").await);
    let headers = caddy("GET", "app.example.com", "/x");
    let asked = async |who: &Visitor, authorization: &str| {
        let headers = [&headers[..], &[("Authorization", authorization)]].concat();
        let answer = ask(who, "/api/authz/forward-auth", &headers).await;
        (answer.status().as_u16(), identity(&answer)[1].map(str::to_owned))
    };
    let passes = (200, Some("ada@example.com".to_owned()));
    let nobody = node.visitor();
    assert_eq!(asked(&nobody, &format!("Bearer {good}")).await, passes);
    assert_eq!(asked(&nobody, &format!("Bearer {narrow}")).await, (403, None));
    for bad in ["Bearer sjt_", "Bearer sjt_x", &format!("Bearer {}x", &good[..39])] {
        assert_eq!(asked(&nobody, bad).await, (401, None));
        assert_eq!(asked(&ada, bad).await, (401, None), "a token outranks cookies");
    }
    let challenge = async |authorization: &str| {
        let headers = [&headers[..], &[("Authorization", authorization)]].concat();
        let answer = ask(&nobody, "/api/authz/forward-auth", &headers).await;
        answer.headers()[reqwest::header::WWW_AUTHENTICATE].to_str().expect("ASCII").to_owned()
    };
    assert_eq!(challenge("Bearer sjt_x").await, "Bearer realm=\"sojourn\", error=\"invalid_token\"");
    assert_eq!(challenge("Bearer glpat-x").await, "Cookie realm=\"sojourn\"");
    for other in ["Bearer glpat-x", "Basic eDp5", "Negotiate x"] {
        assert_eq!(asked(&nobody, other).await, (401, None), "{other}");
        assert_eq!(asked(&ada, other).await, passes, "{other}");
    }
}

#[tokio::test]
async fn cookies_that_are_not_ours_pass_nobody() {
    let node = node().await;
    let ada = person(&node, "ada@example.com", &["staff"]).await;
    let name = ada.cookies[0].0.clone();
    let headers = caddy("GET", "app.example.com", "/x");
    for value in ["", "x", "s%3A", "s%3Ax.y", "s:a.b", "\"", "%00", "s%3A%", &ada.session_cookie()[..20]] {
        let mut forger = node.visitor();
        forger.cookies.push((name.clone(), value.to_owned()));
        for endpoint in ENDPOINTS {
            let answer = ask(&forger, endpoint, &headers).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{endpoint} {value}");
        }
    }
    let mut two = ada.clone();
    two.cookies.push((name, "another".to_owned()));
    assert_eq!(ask(&two, "/api/authz/forward-auth", &headers).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_is_refused_and_told() {
    let settings = [("web.trusted_proxies", "10.0.0.0/8")];
    let node = Node::with_file(RULES, &settings).await;
    let ada = person(&node, "ada@example.com", &["staff"]).await;
    for endpoint in ENDPOINTS {
        for uri in ["/x", "/open"] {
            let mut headers = caddy("GET", "app.example.com", uri).to_vec();
            headers.push(("X-Forwarded-For", "10.0.0.1"));
            let answer = ask(&ada, endpoint, &headers).await;
            assert_eq!((answer.status().as_u16(), identity(&answer)), (403, [None; 4]), "{endpoint} {uri}");
            assert!(answer.text().await.expect("a body").contains("web.trusted_proxies"));
        }
    }
}

#[tokio::test]
async fn whoever_signed_up_waits_and_is_told_so_until_somebody_approves() {
    let node = node().await;
    let mut eve = node.person("eve@example.com").await;
    set_groups(&node, "eve@example.com", &["staff"]).await;
    let headers = caddy("GET", "app.example.com", "/x");
    let told = ask(&eve, "/api/authz/forward-auth", &headers).await;
    assert_eq!(told.status(), StatusCode::FORBIDDEN);
    assert!(body(told).await["detail"].as_str().is_some_and(|detail| detail.contains("waits")));
    let page = ask(&eve, "/api/authz/forward-auth", &[&headers[..], &[("Accept", "text/html")]].concat()).await;
    let policy = page.headers()["content-security-policy"].to_str().expect("ASCII").to_owned();
    assert!(
        page.status() == StatusCode::FORBIDDEN && policy.contains("style-src 'sha256-") && !policy.contains("unsafe")
    );
    let page = page.text().await.expect("a page");
    assert!(
        page.contains("Waiting for approval") && page.contains("eve@example.com") && page.len() < 8 << 10,
        "{page}"
    );
    assert!(page.contains("href=\"https://login.example.com/account\""));
    for path in ["/home", "/account"] {
        let (_, page) = eve.page(path).await;
        assert!(page.contains("waiting for approval"), "{path}");
    }
    assert!(matches!(node.ask(Ask::UserApprove { email: "eve@example.com".into() }).await, Ok(Answer::User(_))));
    let passed = ask(&eve, "/api/authz/forward-auth", &headers).await;
    assert_eq!(passed.status(), StatusCode::OK);
    assert_eq!(identity(&passed)[1], Some(""), "nobody has verified the address");
    assert!(!eve.page("/home").await.1.contains("waiting for approval"));
}

#[tokio::test]
async fn nobody_waits_where_everybody_is_approved() {
    let settings = [("web.trusted_proxies", "127.0.0.0/8"), ("users.auto_approve", "true")];
    let node = Node::with_file(RULES, &settings).await;
    let mut eve = node.person("eve@example.com").await;
    let answer = ask(&eve, "/api/authz/forward-auth", &caddy("GET", "other.example", "/x")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!eve.page("/account").await.1.contains("waiting"));
}

#[tokio::test]
async fn a_page_for_whoever_may_not_pass_holds_no_markup_of_others() {
    let node = node().await;
    let ada = person(&node, "ada@example.com", &[]).await;
    let headers = [&caddy("GET", "app.example.com", "/x")[..], &[("Accept", "text/html")]].concat();
    let page = ask(&ada, "/api/authz/forward-auth", &headers).await.text().await.expect("a page");
    assert!(page.contains("Not allowed") && page.contains("ada@example.com"));
    let odd = [&caddy("GET", "app.example.com", "/%3Cscript%3E/../x")[..], &[("Accept", "text/html")]].concat();
    let page = ask(&ada, "/api/authz/forward-auth", &odd).await.text().await.expect("a page");
    assert!(page.contains("more than one way") && !page.contains("<script"));
}
