//! Every page, rendered with ordinary and with hostile text, and read the way a browser's policy would.

use std::collections::HashSet;
use std::sync::Arc;

use hyper::{Method, StatusCode, header};
use regex_lite::Regex;

use super::account::{Account, Profile, Row};
use super::admin::{Admin, App, Person};
use super::frame::Viewer;
use super::home::Home;
use super::landing::{Landing, SessionView};
use super::link::LinkForm;
use super::signin::SignInForm;
use super::signup::{Closed, SignUpForm};
use super::words::Moment;
use super::{Refusal, Trouble, error, logout, refused};
use crate::error::Error;
use crate::identity::{LinkPurpose, Listed, User, Visitor};
use crate::web::request::tests::{plain, with};
use crate::web::{ClusterNode, Door, Request, Settings};
use made::{fresh, refused, tokens};

mod made;

/// Text that breaks out of an element, of a quoted attribute and of a comment.
const HOSTILE: &str = "\"'><img src=x onerror=alert(1)><!-- {{ 7*7 }} </textarea>&amp;";
const NOON: i64 = 1_767_614_400_000;

fn hint() -> String {
    super::password_hint(&Settings::of("http://localhost:3000"))
}

fn visitor(text: &str) -> Visitor {
    let user = User {
        id: "u1".to_owned(),
        email: format!("{text}@example.com"),
        first_name: text.to_owned(),
        last_name: "Brewer".to_owned(),
        groups: Vec::new(),
        created_at: NOON,
        admin: false,
        approved: true,
        verified: true,
        disabled: false,
        shown: Default::default(),
    };
    Visitor { user: Some(Arc::new(user)), own: true, ..Visitor::default() }
}

fn session() -> SessionView {
    SessionView::new("q3kX0Zr9Yb1tVwLm5NcD7A".to_owned(), 3_541, 3_600)
}

fn row(text: &str, current: bool) -> Row {
    let listed = Listed {
        handle: if current { "q3kX0Zr9Yb1tVwLm5NcD7A" } else { "Hs81-pTnq0_FbXw2aEoKdQ" }.to_owned(),
        begun: NOON - 7_200_000,
        expires: NOON + 3_541_000,
        address: if current { "2001:db8:85a3:1234:5678:8a2e:370:7334".to_owned() } else { text.to_owned() },
        agent: format!("Firefox on {text}"),
        current,
    };
    Row::of(listed, NOON)
}

fn trouble(field: &'static str, text: &str) -> Option<Trouble> {
    Some(Trouble { field, message: text.to_owned() })
}

fn account(text: &str) -> Account {
    Account {
        since: Moment::day(NOON),
        notice: None,
        profile: Profile { first_name: text.to_owned(), last_name: text.to_owned(), trouble: None },
        password_hint: hint(),
        password_trouble: None,
        sessions: vec![row(text, true), row(text, false), row("Android", false)],
        tokens: tokens(text),
    }
}

fn admin(text: &str) -> Admin {
    let user = |email: &str, groups: &[&str], flags: [bool; 3]| User {
        id: format!("u-{email}"),
        email: email.to_owned(),
        first_name: text.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        admin: flags[0],
        approved: flags[1],
        disabled: flags[2],
        ..User::clone(visitor(text).user.as_deref().expect("a user"))
    };
    let people = [
        user("ada@example.com", &["staff", "brewers"], [true, true, false]),
        user("bob.with.a.rather.long.address@department.example.com", &["staff"], [false, true, false]),
        user(&format!("{text}@example.com"), &[], [false, false, false]),
        user("dan@example.com", &[], [false, true, true]),
    ];
    let app = App { name: "blog".to_owned(), prefix: text.to_owned(), may_sign_in: true };
    let node = |role, applied: Option<u64>| ClusterNode {
        id: "1234567890123456789".to_owned(),
        role,
        address: "node.department.example.com:3001".to_owned(),
        is_this: role == "leader",
        applied,
        lag: applied.map(|applied| 1_234_567 - applied),
        version: applied.map(|_| text.to_owned()),
    };
    Admin {
        notice: Some("Approved. They get in from now on."),
        accounts: 1_204,
        sessions: 389,
        waits: 7,
        waiting: people[1..3].iter().map(|user| Person::of(user, "")).collect(),
        part: text.to_owned(),
        people: people.iter().map(|user| Person::of(user, "u-ada@example.com")).collect(),
        next: Some("?q=a&after=b".to_owned()),
        apps: vec![app],
        nodes: vec![node("leader", Some(1_234_567)), node("voter", Some(1_234_560)), node("learner", None)],
    }
}

fn sign_in(text: &str) -> SignInForm {
    let mut form = SignInForm::new(format!("/home?{text}"));
    form.email = text.to_owned();
    form
}

fn sign_up(text: &str) -> SignUpForm {
    let mut form = SignUpForm::new(String::new(), hint());
    form.email = format!("{text}@example.com");
    form.first_name = text.to_owned();
    form.last_name = text.to_owned();
    form
}

/// Every page in every state, with `text` wherever somebody else's words may stand.
fn pages(text: &str) -> Vec<(String, String)> {
    let (guest, member, settings) = (Visitor::default(), visitor(text), Settings::of("http://localhost:3000"));
    let (guest, member) = (Viewer::new(&guest, &settings), Viewer::new(&member, &settings));
    let hint = hint();
    let waits = User { approved: false, admin: true, ..User::clone(visitor(text).user.as_deref().expect("a user")) };
    let waits = Visitor { user: Some(Arc::new(waits)), ..Visitor::default() };
    let waiting = Viewer::new(&waits, &settings);
    let empty = Admin {
        notice: None,
        waits: 0,
        waiting: Vec::new(),
        people: Vec::new(),
        next: None,
        apps: Vec::new(),
        ..admin(text)
    };
    let mut out = vec![
        ("landing-new", Landing::new(0, None, None).html(&guest)),
        ("landing-poured", Landing::new(1, Some(text), Some(session())).html(&guest)),
        ("landing-member", Landing::new(1_234_567, Some(text), Some(session())).html(&member)),
        ("landing-some", Landing::new(13, Some(text), Some(session())).html(&member)),
        ("signin", SignInForm::new(String::new()).html(&guest)),
        ("signin-failed", SignInForm { trouble: trouble("", "Invalid credentials."), ..sign_in(text) }.html(&guest)),
        ("signin-done", SignInForm { notice: Some("Done."), remember: true, ..sign_in(text) }.html(&guest)),
        ("signup", SignUpForm::new("/x".to_owned(), hint.clone()).html(&guest)),
        ("signup-password", SignUpForm { trouble: trouble("password", text), ..sign_up(text) }.html(&guest)),
        ("signup-taken", SignUpForm { trouble: trouble("email", text), ..sign_up(text) }.html(&guest)),
        ("signup-blank", SignUpForm { trouble: trouble("", text), ..sign_up(text) }.html(&guest)),
        ("closed", Closed::html(&guest)),
        ("home", Home { first_name: text.to_owned(), session: session() }.html(&member)),
        ("account", account(text).html(&member)),
        ("account-saved", Account { notice: Some("Saved."), ..account(text) }.html(&member)),
        ("account-wrong", Account { password_trouble: trouble("current", text), ..account(text) }.html(&member)),
        ("account-wait", Account { password_trouble: trouble("", text), ..account(text) }.html(&member)),
        ("admin", admin(text).html(&member)),
        ("admin-empty", empty.html(&member)),
        ("home-waits", Home { first_name: text.to_owned(), session: session() }.html(&waiting)),
        ("account-waits", account(text).html(&waiting)),
        ("account-token", Account { tokens: fresh(text), ..account(text) }.html(&member)),
        ("account-tokens", Account { tokens: refused(text), ..account(text) }.html(&member)),
        ("logout", logout::question(&member)),
        ("link-admin", LinkForm::of(LinkPurpose::FirstAdmin, hint.clone()).html()),
    ];
    let known = LinkPurpose::SetPassword { email: text.to_owned() };
    out.push(("link-password", LinkForm::of(known.clone(), hint.clone()).html()));
    out.push(("link-wrong", LinkForm { trouble: trouble("password", text), ..LinkForm::of(known, hint) }.html()));
    let mut pages: Vec<_> = out.into_iter().map(|(name, page)| (name.to_owned(), page.expect(name))).collect();
    pages.push(("link-dead".to_owned(), error::dead_link().expect("an error page")));
    for status in [400, 401, 403, 404, 405, 413, 415, 422, 429, 500, 503, 504] {
        let code = StatusCode::from_u16(status).expect("a status");
        let wait = matches!(status, 429 | 503).then_some(90);
        let page = error::page(code, if status == 400 { text } else { "" }, wait);
        pages.push((format!("error-{status}"), page.expect("an error page")));
    }
    pages
}

/// The start tags of a page.
fn tags(html: &str) -> Vec<String> {
    let tag = Regex::new(r#"<[a-zA-Z!/](?:[^"'<>]|"[^"]*"|'[^']*')*>"#).expect("a pattern");
    tag.find_iter(html).map(|m| m.as_str().to_owned()).collect()
}

fn name_of(tag: &str) -> &str {
    let from = tag.trim_start_matches(['<', '/']);
    &from[..from.find(|c: char| !c.is_ascii_alphanumeric() && c != '!').unwrap_or(from.len())]
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let rest = &tag[tag.find(&format!(" {name}=\""))? + name.len() + 3..];
    rest.split('"').next()
}

#[test]
fn hostile_text_stays_text() {
    for (name, html) in pages(HOSTILE) {
        assert!(!html.contains("<img"), "{name}: an element came in");
        assert!(!html.contains("<!-- "), "{name}: a comment came in");
        assert!(!html.contains("49"), "{name}: an expression was evaluated");
        assert!(!html.contains("></textarea"), "{name}: an element was closed");
    }
    let (_, landing) = pages(HOSTILE).swap_remove(1);
    assert!(landing.contains("&lt;img src=x onerror=alert(1)&gt;"), "the text is shown as it was written");
}

#[test]
fn pages_hold_nothing_that_the_policy_forbids() {
    let inline = Regex::new(r#"(?i)\s(on[a-z]+|style|srcdoc)\s*="#).expect("a pattern");
    for (name, html) in pages(HOSTILE) {
        for tag in tags(&html) {
            assert!(!inline.is_match(&strip_values(&tag)), "{name}: inline in {tag}");
            assert!(!["script", "style", "iframe", "object", "base"].contains(&name_of(&tag)), "{name}: {tag}");
            for place in ["href", "src", "action", "xlink:href"] {
                let Some(to) = attribute(&tag, place) else { continue };
                let to = to.replace("&#x2f;", "/");
                assert!(to.starts_with('#') || (to.starts_with('/') && !to.starts_with("//")), "{name}: {tag}");
            }
        }
    }
}

/// A tag with its attributes' values left out.
fn strip_values(tag: &str) -> String {
    Regex::new(r#""[^"]*""#).expect("a pattern").replace_all(tag, "\"\"").into_owned()
}

#[test]
fn every_element_is_closed_in_order() {
    let void = ["!doctype", "meta", "link", "input", "br"];
    for (name, html) in pages(HOSTILE) {
        let mut open: Vec<String> = Vec::new();
        for tag in tags(&html) {
            let element = name_of(&tag).to_ascii_lowercase();
            if tag.starts_with("</") {
                assert_eq!(open.pop().as_deref(), Some(element.as_str()), "{name}: {tag}");
            } else if !void.contains(&element.as_str()) && !tag.ends_with("/>") {
                open.push(element);
            }
        }
        assert!(open.is_empty(), "{name}: never closed: {open:?}");
    }
}

#[test]
fn ids_are_unique_and_references_find_them() {
    for (name, html) in pages("plain") {
        let tags = tags(&html);
        let ids: Vec<&str> = tags.iter().filter_map(|tag| attribute(tag, "id")).collect();
        let unique: HashSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: doubled ids in {ids:?}");
        for tag in &tags {
            for by in ["for", "aria-describedby", "aria-labelledby"] {
                let Some(wanted) = attribute(tag, by) else { continue };
                assert!(!wanted.is_empty(), "{name}: empty {by} in {tag}");
                for id in wanted.split(' ') {
                    assert!(unique.contains(id), "{name}: {by} in {tag} names {id:?}, which is not there");
                }
            }
        }
    }
}

#[test]
fn every_visible_field_has_a_label_and_says_what_it_holds() {
    for (name, html) in pages("plain") {
        let tags = tags(&html);
        let labelled: HashSet<&str> = tags.iter().filter_map(|tag| attribute(tag, "for")).collect();
        for tag in tags.iter().filter(|tag| name_of(tag) == "input") {
            let kind = attribute(tag, "type").expect("a type");
            // what is looked for is nobody's own
            let fills = attribute(tag, "autocomplete") != Some("off") || kind == "search";
            assert!(!tag.contains("onpaste") && fills, "{name}: {tag}");
            if kind == "hidden" || tag.contains("aria-hidden") {
                continue;
            }
            let id = attribute(tag, "id").expect("an id");
            assert!(labelled.contains(id), "{name}: no label for {id}");
            if kind != "checkbox" {
                assert!(attribute(tag, "autocomplete").is_some_and(|a| !a.is_empty()), "{name}: {tag}");
            }
        }
    }
}

#[test]
fn password_stores_find_their_fields() {
    let wanted = [
        ("signin", vec![("email", "username"), ("password", "current-password")]),
        ("signup", vec![("email", "username"), ("password", "new-password")]),
        ("account", vec![("username", "username"), ("current", "current-password"), ("new", "new-password")]),
        ("link-admin", vec![("email", "username"), ("password", "new-password")]),
        ("link-password", vec![("username", "username"), ("password", "new-password")]),
    ];
    let pages = pages("plain");
    for (page, fields) in wanted {
        let (_, html) = pages.iter().find(|(name, _)| name == page).expect("the page");
        for (field, autocomplete) in fields {
            let tag = tags(html).into_iter().find(|t| attribute(t, "name") == Some(field)).expect("the field");
            assert_eq!(attribute(&tag, "autocomplete"), Some(autocomplete), "{page}");
            let secret = autocomplete.ends_with("password");
            assert_eq!(attribute(&tag, "type") == Some("password"), secret, "{page}: {tag}");
            assert!(!secret || attribute(&tag, "value").is_none(), "{page}: a password came back");
        }
    }
}

#[test]
fn the_hint_tells_the_least_length_that_is_asked() {
    let asked = Settings { password_min: 15, ..Settings::of("http://localhost:3000") };
    assert!(super::password_hint(&asked).starts_with("At least 15 characters."));
}

#[test]
fn an_error_is_tied_to_its_field() {
    let pages = pages("plain");
    let (_, html) = pages.iter().find(|(name, _)| name == "signup-password").expect("the page");
    let tag = tags(html).into_iter().find(|t| attribute(t, "name") == Some("password")).expect("the field");
    assert_eq!(attribute(&tag, "aria-invalid"), Some("true"));
    assert_eq!(attribute(&tag, "aria-describedby"), Some("signup-password-error signup-password-hint"));
    let (_, html) = pages.iter().find(|(name, _)| name == "account-wait").expect("the page");
    let tag = tags(html).into_iter().find(|t| attribute(t, "name") == Some("new")).expect("the field");
    assert_eq!(attribute(&tag, "aria-describedby"), Some("password-rules password-alert"));
}

#[test]
fn every_page_for_members_can_sign_out() {
    for (name, html) in pages("plain").iter().filter(|(_, html)| html.contains("href=\"/account\"")) {
        let posts = tags(html).iter().any(|t| {
            attribute(t, "action").is_some_and(|to| to == "/logout") && attribute(t, "method") == Some("post")
        });
        assert!(posts, "{name}");
    }
}

#[test]
fn every_page_has_one_main_and_one_first_heading() {
    for (name, html) in pages("plain") {
        for element in ["main", "h1", "header", "footer", "title"] {
            let count = tags(&html).iter().filter(|t| !t.starts_with("</") && name_of(t) == element).count();
            let wanted = if element == "title" && html.contains("mat-title") { 2 } else { 1 };
            assert_eq!(count, wanted, "{name}: {element}");
        }
    }
}

#[test]
fn every_link_and_form_leads_to_a_route() {
    let routes = super::routes();
    let leads = |method: &Method, to: &str| {
        let path = to.split(['?', '#']).next().unwrap_or(to);
        let parts: Vec<&str> = path.split('/').collect();
        routes.iter().filter(|route| route.method == *method).any(|route| {
            let wanted: Vec<&str> = route.path.split('/').collect();
            wanted.len() == parts.len() && wanted.iter().zip(&parts).all(|(w, p)| w.starts_with('{') || w == p)
        })
    };
    for (name, html) in pages("plain") {
        for tag in tags(&html) {
            if let Some(to) = attribute(&tag, "action") {
                let method = if tag.contains("role=\"search\"") { Method::GET } else { Method::POST };
                let said = attribute(&tag, "method").map(str::to_uppercase);
                assert_eq!(said.as_deref(), Some(method.as_str()), "{name}: {tag}");
                assert!(leads(&method, to), "{name}: nothing answers {tag}");
            }
            let href = attribute(&tag, "href").map(|to| to.replace("&#x2f;", "/"));
            if let Some(to) = href.filter(|to| !to.starts_with('#')) {
                assert!(leads(&Method::GET, &to), "{name}: nothing answers {tag}");
            }
        }
    }
}

#[test]
fn a_refusal_always_shows_its_message_somewhere() {
    let taken = Refusal::of(Error::Conflict("taken".to_owned()), &["email", "password"]).expect("about the form");
    assert_eq!((taken.status, taken.trouble.field), (StatusCode::CONFLICT, "email"));
    let unknown = Error::Unacceptable { field: "nickname", message: "Too short.".to_owned() };
    let unknown = Refusal::of(unknown, &["email"]).expect("about the form");
    assert_eq!((unknown.trouble.field, unknown.trouble.message.as_str()), ("", "Too short."));
    let wrong = Refusal::of(Error::Credentials, &["email"]).expect("about the form");
    assert_eq!((wrong.status, wrong.trouble.message.as_str()), (StatusCode::UNAUTHORIZED, "Invalid credentials."));
    assert!(Refusal::of(Error::Full, &["email"]).is_err(), "a full store is not the form's fault");
}

#[test]
fn a_wait_is_told_in_words_and_in_the_header() {
    let refusal = Refusal::of(Error::TooMany { retry_after_secs: 61 }, &[]).expect("about the form");
    assert_eq!(refusal.trouble.message, "There were too many tries. Please wait 61 seconds.");
    let reply = refusal.reply(String::new());
    assert_eq!(reply.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.headers()["retry-after"], "61");
}

/// Not a check: writes every page where a browser can open it.
#[test]
#[ignore = "writes pages to look at into target/pages"]
fn pages_to_look_at() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join("style.css"), super::assets::STYLE).expect("the style sheet");
    std::fs::write(dir.join("favicon.svg"), super::assets::FAVICON).expect("the icon");
    for (name, html) in pages("Ada") {
        let html = Regex::new(r#""/style\.css[^"]*""#).expect("a pattern").replace(&html, "\"style.css\"");
        std::fs::write(dir.join(format!("{name}.html")), html.as_ref()).expect("a page");
    }
    for (name, page) in [("waits", refused::waits(Some("ada@example.com"))), ("forbidden", refused::forbidden(None))] {
        let html = refused::html(&Settings::of("http://localhost:3000"), &page).expect("a page");
        std::fs::write(dir.join(format!("refused-{name}.html")), html).expect("a page");
    }
}

#[tokio::test]
async fn an_account_that_was_made_is_told_even_when_no_session_begins() {
    let (room, log) = crate::identity::Identity::alone();
    let door = Door::over(room, "http://localhost:3000");
    log.refuse(|op| matches!(op, crate::state::Op::Begin(_)));
    let fields = "email=ada%40example.com&password=correct+horse+battery&first_name=A&last_name=B&next=%2Faccount";
    let request = with(plain(), header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let request = Request { method: Method::POST, body: fields.into(), ..request };
    let reply = super::signup::submit(&door, &request).await.expect("a reply");
    assert_eq!(reply.status(), StatusCode::SEE_OTHER);
    assert_eq!(reply.headers()[header::LOCATION], "/login?made&next=%2Faccount");
    assert!(!reply.headers().contains_key(header::SET_COOKIE));
    assert!(door.identity.account("ada@example.com").await.is_ok());
    let request = Request { query: "made&next=%2Faccount".to_owned(), ..plain() };
    let page = super::signin::show(&door, &request).await.expect("a page");
    assert!(String::from_utf8_lossy(page.body()).contains("Your account is made."));
}
