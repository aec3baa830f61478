//! Sessions: the cookie, what stands behind it, and when a new one takes the place of an old one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{CACHE_CONTROL, SET_COOKIE};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use sojourn::raft::{RaftLog, Settings};
use sojourn::state::{Key, Proof, State};

use crate::harness::{Node, PASSWORD, Visitor, body};

const OLD: &str = "an old secret of thirty-two bytes";
const NEW: &str = "a new secret of thirty-three bytes";

/// The cookie that Express sets for a session id under a secret; worked out here, not by the code under test.
fn express(sid: &str, secret: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length").chain_update(sid);
    let signature = STANDARD_NO_PAD.encode(mac.finalize().into_bytes());
    format!("s%3A{sid}.{}", signature.replace('+', "%2B").replace('/', "%2F"))
}

fn set_cookies(response: &Response) -> Vec<String> {
    let text = |value: &reqwest::header::HeaderValue| value.to_str().expect("ASCII").to_owned();
    response.headers().get_all(SET_COOKIE).iter().map(text).collect()
}

fn planted(node: &Node, cookie: &str) -> Visitor {
    let mut visitor = node.visitor();
    visitor.cookies = vec![("sojourn".into(), cookie.into())];
    visitor
}

#[tokio::test]
async fn the_cookie_is_the_one_that_express_would_set() {
    let node = Node::with(&[("sessions.secrets", OLD)]).await;
    node.visitor().sign_up("ada@example.com").await;
    for _ in 0..10 {
        let mut ada = node.visitor();
        let response = ada.sign_in("ada@example.com", PASSWORD).await;
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let sid = ada.sid().to_owned();
        assert!(sid.len() == 32 && sid.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')));
        let cookies = set_cookies(&response);
        assert_eq!(cookies[0], format!("sojourn={}; Path=/; HttpOnly; SameSite=Lax", express(&sid, OLD)));
        assert!(cookies[1].starts_with("sojourn-own=") && cookies[1].ends_with("; Path=/; HttpOnly; SameSite=Strict"));
        assert_eq!(cookies.len(), 2);
    }
}

#[tokio::test]
async fn on_https_the_cookie_is_for_this_host_and_for_https_alone() {
    let node = Node::with(&[("public_url", "https://login.example.com")]).await;
    let mut ada = node.visitor();
    ada.sign_up("ada@example.com").await;
    let cookies = set_cookies(&ada.sign_in("ada@example.com", PASSWORD).await);
    assert!(cookies[0].starts_with("__Host-sojourn=s%3A"), "{cookies:?}");
    assert!(cookies[0].ends_with("; Path=/; HttpOnly; Secure; SameSite=Lax"), "{cookies:?}");
    assert!(cookies[1].starts_with("__Host-sojourn-own="), "{cookies:?}");
    assert!(cookies[1].ends_with("; Path=/; HttpOnly; Secure; SameSite=Strict"), "{cookies:?}");
    assert!(cookies.iter().all(|c| c.len() < 4096));
}

/// Opens what a stopped node left, as the next start would, and reads one entry.
async fn entry_of(node: &mut Node, sid: &str) -> sojourn::state::Entry {
    node.stop().await;
    let state = Arc::new(State::open(&node.data()).expect("the state opens"));
    let settings = Settings::alone("0123456789abcdef0123456789abcdef");
    let log = RaftLog::open(&node.data(), state.clone(), node.clock.clone(), settings).await.expect("the log opens");
    let entry = state.generation().entries.get(&Key::session("sess:", sid));
    log.shutdown().await;
    entry.expect("the session is there")
}

#[tokio::test]
async fn the_value_is_what_express_session_and_passport_write() {
    let mut node = Node::with(&[("public_url", "https://login.example.com")]).await;
    let mut ada = node.visitor();
    ada.sign_up("ada@example.com").await;
    let remembered = json!({"email": "ada@example.com", "password": PASSWORD, "remember": true});
    let told = body(ada.post("/api/v1/signin", &remembered).await).await;
    ada.patch(&json!({"cart": [1, {"two": null}], "theme": "dark"})).await;
    let (sid, id) = (ada.sid().to_owned(), &told["user"]["id"]);
    let entry = entry_of(&mut node, &sid).await;
    let value: Value = serde_json::from_slice(entry.value()).expect("JSON");
    let cookie = json!({
        "originalMaxAge": 2_592_000_000_i64, "expires": "2026-10-21T14:13:20.000Z", "secure": true, "httpOnly": true,
        "path": "/", "sameSite": "lax",
    });
    let cart = json!([1, {"two": null}]);
    assert_eq!(value, json!({"cookie": cookie, "passport": {"user": id}, "cart": cart, "theme": "dark"}));
    let facts = entry.facts().expect("a session has facts");
    let signed = facts.signed.expect("somebody is signed in");
    assert_eq!((json!(signed.user), signed.epoch, signed.proof), (id.clone(), 0, Proof::Password));
    assert_eq!((facts.address.as_str(), facts.remember), ("127.0.0.1", true));
}

#[tokio::test]
async fn signing_in_takes_a_new_id_and_ends_the_old_session() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    let mut attacker = node.visitor();
    attacker.patch(&json!({"mine": true})).await;
    let known = attacker.session_cookie().to_owned();

    let mut victim = planted(&node, &known);
    assert_eq!(victim.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
    assert_ne!(victim.session_cookie(), known);
    assert!(victim.is_signed_in().await);
    assert_eq!(victim.session().await.expect("a session")["data"], json!({}), "nothing planted came along");
    assert!(attacker.session().await.is_none(), "the id that was known before is dead");
    assert!(!attacker.is_signed_in().await);
}

#[tokio::test]
async fn signing_in_again_ends_whoever_was_signed_in_here() {
    let node = Node::start().await;
    let mut browser = node.person("ada@example.com").await;
    let before = browser.clone();
    node.visitor().sign_up("bob@example.com").await;
    browser.sign_in("bob@example.com", PASSWORD).await;
    assert_eq!(body(browser.get("/profile").await).await["email"], "bob@example.com");
    assert!(!before.clone().is_signed_in().await);
    let again = browser.clone();
    browser.sign_in("bob@example.com", PASSWORD).await;
    assert_ne!(browser.sid(), again.sid());
    assert!(!again.clone().is_signed_in().await);
}

#[tokio::test]
async fn signing_up_on_the_page_takes_a_new_id_too() {
    let node = Node::start().await;
    let mut browser = node.visitor();
    browser.patch(&json!({"mine": true})).await;
    let before = browser.clone();
    let fields = [("email", "ada@example.com"), ("password", PASSWORD), ("first_name", "A"), ("last_name", "B")];
    browser.form("/signup", &fields).await;
    assert_ne!(browser.sid(), before.sid());
    assert!(before.clone().session().await.is_none());
}

#[tokio::test]
async fn a_wrong_password_changes_nothing_about_the_session() {
    let node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    let before = ada.session_cookie().to_owned();
    let response = ada.sign_in("ada@example.com", "wrong horse battery").await;
    assert_eq!((response.status(), set_cookies(&response).len()), (StatusCode::UNAUTHORIZED, 0));
    assert_eq!(ada.session_cookie(), before);
    assert!(ada.is_signed_in().await);
}

#[tokio::test]
async fn an_id_that_we_never_drew_is_never_adopted() {
    let node = Node::with(&[("sessions.secrets", OLD)]).await;
    node.visitor().sign_up("ada@example.com").await;
    // whoever knows the secret, as apps may, can sign any id; it still names no session
    let forged = express("ChosenByTheAttacker0123456789abc", OLD);
    let mut visitor = planted(&node, &forged);
    assert!(visitor.session().await.is_none());
    assert!(!visitor.is_signed_in().await);
    assert_eq!(node.status().await.sessions, 0);
    visitor.patch(&json!({"a": 1})).await;
    assert_ne!(visitor.session_cookie(), forged);
    let mut visitor = planted(&node, &forged);
    visitor.sign_in("ada@example.com", PASSWORD).await;
    assert_ne!(visitor.session_cookie(), forged);
    assert!(planted(&node, &forged).session().await.is_none());
}

#[tokio::test]
async fn a_cookie_that_is_not_exactly_ours_is_none() {
    let node = Node::with(&[("sessions.secrets", OLD)]).await;
    let ada = node.person("ada@example.com").await;
    let cookie = ada.session_cookie().to_owned();
    let (sid, signature) = cookie.strip_prefix("s%3A").and_then(|c| c.split_once('.')).expect("signed");
    let mut forged: Vec<String> = (0..cookie.len()).map(|end| cookie[..end].to_owned()).collect();
    forged.extend([
        express(sid, NEW),
        express(sid, "keyboard cat"),
        format!("{sid}.{signature}"),
        format!("j%3A{sid}.{signature}"),
        format!("s%3A{sid}"),
        format!("s%3A{sid}."),
        format!("s%3A{sid}.{signature}%3D"),
        format!("s%3A{sid}.{signature}A"),
        format!("s%3A{sid}%00.{signature}"),
        format!("s%3A{}.{signature}", sid.to_uppercase()),
        format!("s%253A{sid}.{signature}"),
        cookie.repeat(20),
        "s%3A".repeat(1_000),
        "%".into(),
        "null".into(),
    ]);
    for forged in forged {
        let response = planted(&node, &forged).get("/api/v1/session").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{forged}");
    }
    assert!(ada.clone().is_signed_in().await);
}

#[tokio::test]
async fn two_session_cookies_are_refused_unless_they_are_the_same() {
    let node = Node::start().await;
    let ada = node.person("ada@example.com").await;
    let bob = node.person("bob@example.com").await;
    let sent = async |first: &str, second: &str| {
        let mut visitor = node.visitor();
        visitor.cookies = [first, second].map(|value| ("sojourn".to_owned(), value.to_owned())).to_vec();
        visitor.get("/profile").await.status()
    };
    assert_eq!(sent(ada.session_cookie(), bob.session_cookie()).await, StatusCode::BAD_REQUEST);
    assert_eq!(sent(bob.session_cookie(), ada.session_cookie()).await, StatusCode::BAD_REQUEST);
    assert_eq!(sent("planted", ada.session_cookie()).await, StatusCode::BAD_REQUEST);
    assert_eq!(sent(ada.session_cookie(), ada.session_cookie()).await, StatusCode::OK);
}

#[tokio::test]
async fn secrets_are_rotated_without_signing_anybody_out() {
    let mut node = Node::with(&[("sessions.secrets", OLD)]).await;
    let ada = node.person("ada@example.com").await;
    node.set("sessions.secrets", &format!("{NEW},{OLD}"));
    node.restart().await;
    let mut ada = ada.moved_to(&node);
    assert!(ada.is_signed_in().await, "the old secret still verifies");
    let mut bob = node.person("bob@example.com").await;
    assert_eq!(bob.session_cookie(), express(bob.sid(), NEW), "the first one signs");
    ada.patch(&json!({"a": 1})).await;
    assert_eq!(ada.session_cookie(), express(ada.sid(), NEW), "the same session under the new secret");

    node.set("sessions.secrets", NEW);
    node.restart().await;
    assert!(ada.moved_to(&node).is_signed_in().await);
    let mut stale = planted(&node, &express(ada.sid(), OLD));
    assert!(!stale.is_signed_in().await, "the old secret is gone");
    bob = bob.moved_to(&node);
    assert!(bob.is_signed_in().await);
}

#[tokio::test]
async fn a_secret_of_its_own_outlives_a_restart_and_is_no_other_nodes() {
    let mut node = Node::start().await;
    let ada = node.person("ada@example.com").await;
    node.restart().await;
    assert!(ada.moved_to(&node).is_signed_in().await);
    let other = Node::start().await;
    other.visitor().sign_up("ada@example.com").await;
    assert!(!ada.moved_to(&other).is_signed_in().await);
}

#[tokio::test]
async fn after_signing_out_the_session_is_dead_and_stays_dead() {
    let mut node = Node::start().await;
    let mut ada = node.person("ada@example.com").await;
    ada.patch(&json!({"cart": 1})).await;
    let old = ada.clone();
    let response = ada.post("/api/v1/signout", &json!({})).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(set_cookies(&response).iter().all(|cookie| cookie.contains("=; Path=/; Max-Age=0")), "both are taken back");
    assert!(ada.cookies.is_empty());

    let mut late = old.clone();
    assert!(late.session().await.is_none());
    let response = late.patch(&json!({"late": true})).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_ne!(late.sid(), old.sid(), "a late write begins another session");
    assert_eq!(body(response).await["data"], json!({"late": true}), "with nothing of the old one");
    late.form("/pour", &[]).await;
    assert!(old.clone().session().await.is_none());

    node.restart().await;
    assert!(old.moved_to(&node).session().await.is_none(), "a restart brings nothing back");
    assert!(!old.moved_to(&node).is_signed_in().await);
}

#[tokio::test]
async fn signing_out_without_a_session_is_fine() {
    let node = Node::start().await;
    assert_eq!(node.visitor().post("/api/v1/signout", &json!({})).await.status(), StatusCode::NO_CONTENT);
    let mut nobody = planted(&node, "nonsense");
    assert_eq!(nobody.post("/api/v1/signout", &json!({})).await.status(), StatusCode::NO_CONTENT);
    assert!(nobody.cookies.is_empty());
}

#[tokio::test]
async fn the_id_of_a_session_is_in_its_cookie_and_nowhere_else() {
    let node = Node::start().await;
    let mut ada = node.visitor();
    ada.sign_up("ada@example.com").await;
    let told = ada.sign_in("ada@example.com", PASSWORD).await.text().await.expect("a body");
    let sid = ada.sid().to_owned();
    assert!(!told.contains(&sid));
    for path in ["/", "/home", "/account", "/profile", "/api/v1/session", "/api/v1/sessions", "/logout"] {
        let response = ada.get(path).await;
        let headers = format!("{:?}", response.headers());
        if path != "/logout" {
            assert!(!headers.contains(&sid), "{path}: {headers}");
        }
        assert!(!response.text().await.expect("a body").contains(&sid), "{path}");
    }
}
