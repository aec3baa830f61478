//! Proxies: real ones in front of real services, set up by the files in `cluster/examples` as they are shipped but for
//! addresses and places.
//!
//! Services are a bare echo, WSGI, PHP and Node, since each takes headers in another way. Runs only where `TEST_PROXY=1`
//! asks for it; there, a program that is missing is a failure and not an excuse.

mod front;
mod services;

use std::io::Write as _;

use reqwest::header::{ACCEPT, HOST, LOCATION};
use reqwest::{Method, RequestBuilder, StatusCode};

use super::cluster::{free_address, place};
use crate::harness::{PASSWORD, Visitor};
use crate::program::{Place, Program};
use front::Front;
use services::Service;

const APP: &str = "app.example.com";
const RULES: &str = r#"
[web]
redirect_domains = ["app.example.com"]
[[access]]
host = "app.example.com"
groups = ["staff"]
[[access]]
host = "app.example.com"
path = "/admin"
groups = ["admins"]
[[access]]
host = "app.example.com"
path = "/orders"
methods = ["POST"]
groups = ["admins"]
[[access]]
host = "app.example.com"
path = "/open"
public = true
[[access]]
host = "127.0.0.1"
public = true
"#;

/// Every spelling of a header that some service takes for `Remote-User`, and so for the others.
fn forgeries() -> Vec<(String, &'static str)> {
    let names = ["Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups"];
    let spelt = |name: &str| [name.to_owned(), name.replace('-', "_"), name.replace('-', "."), name.to_uppercase()];
    names.iter().flat_map(|name| spelt(name)).map(|name| (name, "forged")).collect()
}

fn is_wanted() -> bool {
    let is_wanted = std::env::var("TEST_PROXY").as_deref() == Ok("1");
    if !is_wanted {
        // past the capture of output: that something was left out should be seen
        _ = std::io::stderr().write_all(b"skipped: services behind nginx and Caddy; TEST_PROXY=1 runs it\n");
    }
    is_wanted
}

/// A node with rules, and ada of the staff.
fn node() -> (Place, Program) {
    let place = place();
    std::fs::write(place.file("sojourn.toml"), RULES).expect("is written");
    let program = place.start();
    let added = ["user", "add", "ada@example.com", "--password-stdin", "--name", "Jürgen Stout"];
    let done = place.run_with(&added, PASSWORD.as_bytes());
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(
        place.done(&["user", "groups", "ada@example.com", "staff", "brewers"]),
        "ada@example.com is in brewers, staff\n"
    );
    (place, program)
}

async fn signed_in(program: &Program) -> Visitor {
    let mut ada = program.visitor();
    assert_eq!(ada.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
    ada
}

/// A request to the service through a proxy.
fn ask(who: &Visitor, front: &Front, path: &str) -> RequestBuilder {
    who.at_url(&front.url).request(Method::GET, path).header(HOST, APP)
}

/// The status, where it leads, and the body.
async fn sent(request: RequestBuilder) -> (u16, String, String) {
    let answer = request.send().await.expect("the proxy answers");
    let location = answer.headers().get(LOCATION).map_or("", |value| value.to_str().expect("ASCII")).to_owned();
    (answer.status().as_u16(), location, answer.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_see_one_of_each_identity_header_and_never_a_clients_own() {
    if !is_wanted() {
        return;
    }
    let (place, program) = node();
    let ada = signed_in(&program).await;
    let id = place.json(&["user", "show", "ada@example.com"])["id"].as_str().expect("an id").to_owned();
    let told = [
        ("remote-email", "ada@example.com"),
        ("remote-groups", "brewers,staff"),
        ("remote-name", "J%C3%BCrgen Stout"),
        ("remote-user", id.as_str()),
    ];
    for service in [Service::echo(), Service::wsgi(), Service::php(), Service::node()] {
        for front in [Front::nginx(&program, &service.address), Front::caddy(&program, &service.address)] {
            let what = format!("{} behind {}", service.name, front.name);
            let forged = |request| forgeries().into_iter().fold(request, |r: RequestBuilder, (n, v)| r.header(n, v));
            let mut body = String::new();
            for request in [ask(&ada, &front, "/x"), forged(ask(&ada, &front, "/x"))] {
                let status;
                (status, _, body) = sent(request).await;
                assert_eq!(
                    (status, services::remote(&body)),
                    (200, told.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec()),
                    "{what}: {body}"
                );
                assert!(!body.contains("forged"), "{what}: {body}");
            }
            // nobody has the proxy take away what it says itself
            let away = front.raw(&format!(
                "GET /x HTTP/1.1\r\nHost: {APP}\r\nCookie: {}\r\nConnection: close, Remote-User\r\n\r\n",
                ada.cookie_header()
            ));
            let refused = away.starts_with("HTTP/1.1 400");
            assert!(refused || services::remote(&away) == services::remote(&body), "{what}: {away}");
            // whoever is nobody is nobody, whatever they say
            let (status, _, body) = sent(forged(ask(&program.visitor(), &front, "/open/x"))).await;
            assert_eq!(status, 200, "{what}");
            let said: Vec<_> = services::remote(&body).into_iter().filter(|(_, value)| !value.is_empty()).collect();
            assert!(said.is_empty() && !body.contains("forged"), "{what}: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_let_pass_whom_the_rules_let_pass() {
    if !is_wanted() {
        return;
    }
    let (place, program) = node();
    let ada = signed_in(&program).await;
    let mut eve = program.visitor();
    eve.sign_up("eve@example.com").await;
    assert_eq!(eve.sign_in("eve@example.com", PASSWORD).await.status(), StatusCode::OK);
    let service = Service::echo();
    for front in [Front::nginx(&program, &service.address), Front::caddy(&program, &service.address)] {
        let (name, nobody) = (front.name, program.visitor());
        let page = |request: RequestBuilder| request.header(ACCEPT, "text/html,*/*;q=0.8");
        assert_eq!(sent(ask(&ada, &front, "/admin/x")).await.0, 403, "{name}");
        let (status, _, body) = sent(page(ask(&ada, &front, "/admin/x"))).await;
        assert!(status == 403 && body.contains("Not allowed"), "{name}: {body}");
        // what a rule says of a method is said of the request that came, not of one that a proxy makes of it
        let order = || ada.at_url(&front.url).request(Method::POST, "/orders").header(HOST, APP).body("a=b");
        for order in [order(), page(order())] {
            let answer = order.send().await.expect("the proxy answers");
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}");
            assert!(
                !answer.headers().keys().any(|header| header.as_str().starts_with("remote-")),
                "{name}: {answer:?}"
            );
            let body = answer.text().await.expect("a body");
            assert!(body.contains("Not allowed") || body.contains("may not open this"), "{name}: {body}");
        }
        assert_eq!(sent(ask(&nobody, &front, "/x")).await.0, 401, "{name}");
        let (status, location, _) = sent(page(ask(&nobody, &front, "/x?a=b"))).await;
        let login = program.url.replace("127.0.0.1", "localhost") + "/login";
        let next = format!("{login}?next=http%3A%2F%2Fapp%2Eexample%2Ecom%2Fx%3Fa%3Db");
        assert_eq!((status, location), (302, next), "{name}");
        // no rule names these, so that ada would pass
        for evil in ["evil.example", "app.example.com.evil.example", "app.example.com:99"] {
            for target in ["/admin", "http://app.example.com/admin"] {
                let cookies = ada.cookie_header();
                let told = front.raw(&format!(
                    "GET {target} HTTP/1.1\r\nHost: {evil}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n"
                ));
                assert!(!told.to_lowercase().contains("cookie: sojourn"), "{name} {evil} {target}: {told}");
            }
        }
        let (status, _, body) = sent(page(ask(&eve, &front, "/x"))).await;
        assert!(status == 403 && body.contains("Waiting for approval"), "{name}: {status} {body}");
        assert_eq!(sent(ask(&eve, &front, "/x")).await.0, 403, "{name}");
        for path in ["/x%2fy", "/x%5cy", "/%2561dmin", "/..;/admin", "/open/..;/admin"] {
            assert_eq!(sent(ask(&ada, &front, path)).await.0, 403, "{name} {path}");
        }
        for (header, value) in [
            ("X-Original-URL", "http://app.example.com/open"),
            ("X-Original-URI", "/open"),
            ("X-Forwarded-Uri", "/open"),
            ("X-Forwarded-Host", "unnamed.example"),
            ("X-Original-Method", "GET"),
        ] {
            assert_eq!(sent(ask(&nobody, &front, "/admin").header(header, value)).await.0, 401, "{name} {header}");
        }
    }
    assert_eq!(place.run(&["user", "approve", "eve@example.com"]).status, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_trust_its_proxy_lets_nobody_pass() {
    if !is_wanted() {
        return;
    }
    let place = place().with("SOJOURN_WEB_TRUSTED_PROXIES", "10.0.0.0/8");
    std::fs::write(place.file("sojourn.toml"), RULES).expect("is written");
    let program = place.start();
    let service = Service::echo();
    for front in [Front::nginx(&program, &service.address), Front::caddy(&program, &service.address)] {
        for path in ["/x", "/open/x"] {
            assert_eq!(sent(ask(&program.visitor(), &front, path)).await.0, 403, "{} {path}", front.name);
        }
    }
    assert!(program.log().contains("web.trusted_proxies"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_finds_nothing_in_the_files_as_they_are_shipped() {
    if !is_wanted() {
        return;
    }
    let (place, program) = node();
    for make in [Front::nginx, Front::caddy] {
        let stand_in = free_address();
        let front = make(&program, &stand_in);
        let done = place.run(&["doctor", &front.url, "--upstream", &stand_in]);
        assert_eq!(done.status, 0, "{}: {}{}", front.name, done.out, done.err);
        assert!(done.out.contains("Remote_User") && done.out.contains("X-Original-URL"), "{}", done.out);
        assert!(!done.out.contains("GOT THROUGH") && !done.out.contains("not seen"), "{}", done.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_finds_what_a_careless_proxy_lets_through() {
    if !is_wanted() {
        return;
    }
    let (place, program) = node();
    let stand_in = free_address();
    let careless = |config: String| {
        config
            .replace("underscores_in_headers off", "underscores_in_headers on")
            .replace("proxy_set_header Remote-Email $sojourn_email;", "")
            .replace("proxy_set_header X-Original-Method $request_method;", "")
            .replace("proxy_set_header X-Original-URI \"\";", "")
            .replace("$scheme://$host", "$scheme://$http_host")
    };
    let front = Front::nginx_with(&program, &stand_in, careless);
    let done = place.run(&["doctor", &front.url, "--upstream", &stand_in, "--json"]);
    assert_eq!(done.status, 1, "{}{}", done.out, done.err);
    let found: serde_json::Value = serde_json::from_str(&done.out).expect("JSON");
    let outcome = |what: &str| {
        let of = found.as_array().expect("a list").iter().find(|finding| finding["what"] == what);
        of.unwrap_or_else(|| panic!("{what} is not in {found}"))["outcome"].as_str().expect("a word").to_owned()
    };
    for (what, expected) in [
        ("Remote-User", "stopped"),
        ("Remote_User", "got_through"),
        ("Remote-Email", "got_through"),
        ("Remote-Email, twice", "got_through"),
        ("X-Original-Method", "got_through"),
        ("X-Original-URI", "stopped"),
        ("X-Original-URL", "stopped"),
        ("X-Forwarded-For", "stopped"),
        ("//sojourn-doctor/x", "stopped"),
        ("Host", "stopped"),
        ("Host beside a whole URL", "got_through"),
    ] {
        assert_eq!(outcome(what), expected, "{what}: {found}");
    }
    let told = place.run(&["doctor", &front.url, "--upstream", &stand_in]);
    assert!(
        told.out.contains("proxy_set_header Remote-User $sojourn_user") && told.err.contains("got through"),
        "{}",
        told.out
    );
    // without the stand-in a service that echoes shows the same
    let service = Service::echo();
    let front = Front::nginx_with(&program, &service.address, careless);
    let done = place.run(&["doctor", &format!("{}/open", front.url)]);
    assert_eq!(done.status, 1, "{}{}", done.out, done.err);
    assert!(
        done.out.lines().any(|line| line.starts_with("Remote_User ") && line.contains("GOT THROUGH")),
        "{}",
        done.out
    );
    // and where nobody passes, it says so instead of calling that well
    let closed = place.run(&["doctor", &front.url.replace("127.0.0.1", "localhost"), "--upstream", &free_address()]);
    assert!(closed.status == 1 && closed.err.contains("hint:"), "{}{}", closed.out, closed.err);
}
