//! Pages: what a browser gets from every page and form, over HTTP and without the browser.
//!
//! Here is what all pages share; signing up, in and out, and the account have files of their own.

mod account;
mod signing;

use reqwest::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use reqwest::header::{HeaderMap, ORIGIN, SET_COOKIE};
use reqwest::{Method, Response};

use crate::harness::{Node, PASSWORD, Visitor};

const ADA: &str = "ada@example.com";
const MISSING: &str = "Please fill in all the fields.";

/// A reply, read whole.
struct Page {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Page {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, text: response.text().await.expect("a body") }
    }

    fn header(&self, name: impl reqwest::header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Where a 303 leads.
    fn leads_to(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text);
        self.header(LOCATION)
    }

    /// Asserts the status and that the page says each of these.
    fn says(&self, status: u16, words: &[&str]) {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header(CONTENT_TYPE), "text/html; charset=utf-8");
        for word in words {
            assert!(self.text.contains(word), "{word:?} is not in {}", self.text);
        }
    }

    fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().expect("ASCII")).collect()
    }

    /// The text of the element with this id.
    fn element(&self, id: &str) -> &str {
        let (_, rest) =
            self.text.split_once(&format!("id=\"{id}\">")).unwrap_or_else(|| panic!("no {id}: {}", self.text));
        rest.split('<').next().expect("text").trim()
    }
}

/// Looks at a page, as a browser does.
async fn look(visitor: &mut Visitor, path: &str) -> Page {
    look_from(visitor, path, &[]).await
}

/// The same with headers.
async fn look_from(visitor: &mut Visitor, path: &str, headers: &[(&str, &str)]) -> Page {
    ask(visitor, (Method::GET, path), headers).await
}

async fn ask(visitor: &mut Visitor, (method, path): (Method, &str), headers: &[(&str, &str)]) -> Page {
    let request = visitor.request(method, path).header(ACCEPT, "text/html,*/*;q=0.8");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Page::of(visitor.send(request).await).await
}

/// Sends a form, as a browser does.
async fn send(visitor: &mut Visitor, path: &str, fields: &[(&str, &str)]) -> Page {
    let request = visitor.request(Method::POST, path).header(ACCEPT, "text/html,*/*;q=0.8").form(fields);
    Page::of(visitor.send(request).await).await
}

fn sign_up_form<'a>(email: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [("first_name", "Ada"), ("last_name", "Stout"), ("email", email), ("password", password)]
}

#[tokio::test]
async fn looking_begins_no_session() {
    let node = Node::start().await;
    let mut guest = node.visitor();
    for path in ["/", "/login", "/signup", "/register", "/style.css", "/favicon.svg", "/nothing"] {
        assert!(look(&mut guest, path).await.set_cookies().is_empty(), "{path}");
    }
    let page = look(&mut guest, "/").await;
    page.says(200, &["Craft Beer", "Pour another"]);
    assert_eq!((page.element("signed-in-as"), page.element("beers")), ("Nobody", "0"));
    assert!(page.text.contains("no-session"));
}

#[tokio::test]
async fn every_pour_is_one_more_in_the_same_session() {
    let node = Node::start().await;
    let mut guest = node.visitor();
    let poured = send(&mut guest, "/pour", &[]).await;
    assert_eq!(poured.leads_to(), "/");
    let cookies = poured.set_cookies();
    assert_eq!(cookies.len(), 1, "the second cookie is for those who signed in");
    assert!(cookies[0].starts_with("sojourn=s%3A") && cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Lax"));
    let first = look(&mut guest, "/").await;
    assert_eq!((first.element("beers"), first.element("signed-in-as")), ("1", "Nobody"));
    assert!(!first.element("beer").is_empty());
    assert_eq!(send(&mut guest, "/pour", &[]).await.leads_to(), "/");
    let second = look(&mut guest, "/").await;
    assert_eq!(second.element("beers"), "2");
    assert_eq!(first.element("session"), second.element("session"));
}

#[tokio::test]
async fn a_page_names_the_session_without_giving_its_id_away() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    for path in ["/", "/home", "/account"] {
        let page = look(&mut ada, path).await;
        page.says(200, &[]);
        for (name, value) in &ada.cookies {
            let secret = value.trim_start_matches("s%3A").split('.').next().expect("an id");
            assert!(!page.text.contains(secret), "{path} holds what is in {name}");
        }
    }
}

#[tokio::test]
async fn the_panel_counts_down_and_a_session_left_alone_ends() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let left = |page: &Page| page.element("expires-in").parse::<i64>().expect("a number");
    let before = left(&look(&mut ada, "/home").await);
    assert!((3_590..=3_600).contains(&before), "{before}");
    node.pass(30);
    let after = left(&look(&mut ada, "/home").await);
    assert!((before - 31..=before - 29).contains(&after), "{before}, then {after}");
    node.pass(2 * 3_600);
    assert_eq!(look(&mut ada, "/home").await.leads_to(), "/login?next=%2Fhome");
    assert_eq!(look(&mut ada, "/").await.element("signed-in-as"), "Nobody");
}

#[tokio::test]
async fn every_page_carries_the_headers_that_keep_browsers_safe() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    for path in ["/", "/login", "/signup", "/home", "/account", "/nothing", "/link/nothing", "/style.css"] {
        let page = look(&mut ada, path).await;
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin", "{path}");
        if path != "/style.css" {
            assert_eq!(page.header(CACHE_CONTROL), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    for path in ["/", "/login", "/home", "/account", "/style.css", "/favicon.svg", "/nothing"] {
        let get = look(&mut ada, path).await;
        let head = ask(&mut ada, (Method::HEAD, path), &[]).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CACHE_CONTROL, LOCATION, ETAG] {
            assert_eq!(head.header(&name), get.header(&name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn the_style_sheet_is_kept_by_its_version_and_sent_once() {
    let node = Node::start().await;
    let mut guest = node.visitor();
    let page = look(&mut guest, "/").await;
    let address =
        page.text.split('"').find(|part| part.starts_with("/style.css?v=")).expect("a style sheet").to_owned();
    let style = look(&mut guest, &address).await;
    assert_eq!((style.status, style.header(CONTENT_TYPE)), (200, "text/css; charset=utf-8"));
    assert_eq!(style.header(CACHE_CONTROL), "public, max-age=31536000");
    let tag = style.header(ETAG).to_owned();
    assert!(tag.len() > 8 && address.contains(tag.trim_matches('"')), "{address} and {tag}");
    let again = look_from(&mut guest, &address, &[(IF_NONE_MATCH.as_str(), &tag)]).await;
    assert_eq!((again.status, again.text.as_str(), again.header(ETAG)), (304, "", tag.as_str()));
    let other = look_from(&mut guest, &address, &[(IF_NONE_MATCH.as_str(), "\"older\"")]).await;
    assert_eq!(other.status, 200);
    for path in ["/style.css", "/style.css?v=other", "/favicon.svg"] {
        assert_eq!(look(&mut guest, path).await.header(CACHE_CONTROL), "public, max-age=60", "{path}");
    }
}

#[tokio::test]
async fn forms_from_other_sites_change_nothing() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let foreign: [(&str, &str); 4] = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        (ORIGIN.as_str(), "null"),
        (ORIGIN.as_str(), "https://evil.example"),
    ];
    for path in ["/pour", "/login", "/signup", "/logout", "/account/profile", "/account/sessions/end-others"] {
        for (name, value) in foreign {
            let request = ada.request(Method::POST, path).header(ACCEPT, "text/html").header(name, value);
            let page = Page::of(ada.send(request.form(&[("first_name", "Eve"), ("last_name", "E")])).await).await;
            page.says(403, &["Not allowed"]);
        }
    }
    assert!(ada.is_signed_in().await);
    let home = look(&mut ada, "/home").await;
    assert_eq!(home.element("name"), "Ada Stout");
    assert_eq!(look(&mut ada, "/").await.element("beers"), "0");
}

#[tokio::test]
async fn what_is_no_page_or_no_form_gets_an_error_page() {
    let node = Node::start().await;
    let mut guest = node.visitor();
    look(&mut guest, "/nothing").await.says(404, &["There is nothing at this address."]);
    let put = ask(&mut guest, (Method::PUT, "/login"), &[]).await;
    put.says(405, &[]);
    assert_eq!(put.header(ALLOW), "GET, HEAD, OPTIONS, POST");
    let poured = look(&mut guest, "/pour").await;
    poured.says(405, &[]);
    assert_eq!(poured.header(ALLOW), "OPTIONS, POST");
    let form = |body: String| guest.request(Method::POST, "/login").header(ACCEPT, "text/html").body(body);
    let plain =
        Page::of(form("email=a".to_owned()).header(CONTENT_TYPE, "text/plain").send().await.expect("an answer")).await;
    plain.says(415, &[]);
    let urlencoded = "application/x-www-form-urlencoded";
    let bodies = [
        ("email=a&email=b&password=c".to_owned(), 400, "comes more than once"),
        ("email=%ff&password=c".to_owned(), 400, "not in UTF-8"),
        ("email=a%00b&password=c".to_owned(), 400, "NUL"),
        (format!("email=a&password={}", "x".repeat(70_000)), 413, "64 KiB"),
    ];
    for (body, status, words) in bodies {
        let sent = form(body).header(CONTENT_TYPE, urlencoded).send().await.expect("an answer");
        Page::of(sent).await.says(status, &[words]);
    }
    let missing = guest.get("/nothing").await;
    assert_eq!(missing.headers()[CONTENT_TYPE], "application/problem+json", "programs are answered in their own form");
}

#[tokio::test]
async fn hostile_names_stay_text_on_every_page() {
    let node = Node::start().await;
    let mut mallory = node.visitor();
    let name = "<script>alert(1)</script>\"'{{7*7}}";
    let fields = [("first_name", name), ("last_name", name), ("email", ADA), ("password", PASSWORD)];
    assert_eq!(send(&mut mallory, "/signup", &fields).await.leads_to(), "/home");
    for path in ["/", "/home", "/account"] {
        let page = look(&mut mallory, path).await;
        page.says(200, &["&lt;script&gt;alert(1)"]);
        assert!(!page.text.contains("<script") && !page.text.contains("49}"), "{path}");
    }
}
