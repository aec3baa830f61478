//! Browser: what a person does and sees, in a real one. Without `TEST_BROWSER=1` nothing here runs.

pub mod chromium;

use std::collections::HashSet;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{Node, PASSWORD};
use chromium::{Browser, Chromium, Scripts};

const ADA: &str = "ada@example.com";
const SUBMIT: &str = "main form button[type=submit]";
/// What these keys send (WebDriver, section 17.4.2).
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

async fn sign_up(browser: &Browser, first_name: &str) {
    browser.open("/signup").await;
    browser.fill("#signup-first_name", first_name).await;
    browser.fill("#signup-last_name", "Stout").await;
    browser.fill("#signup-email", ADA).await;
    browser.fill("#signup-password", PASSWORD).await;
    browser.press(SUBMIT).await;
}

/// Fills in the form that is there.
async fn sign_in(browser: &Browser, password: &str) {
    browser.fill("#signin-email", ADA).await;
    browser.fill("#signin-password", password).await;
    browser.press(SUBMIT).await;
}

/// The whole way of a person with two browsers: in, a few beers, out, in again, and an end to the other session.
async fn walk(chromium: &Chromium, scripts: Scripts) {
    let node = Node::start().await;
    let ada = chromium.browser(&node, scripts).await;
    ada.open_page("<title>off</title><script>document.title='on'</script>").await;
    assert_eq!(ada.title().await == "on", scripts == Scripts::On);

    ada.open("/").await;
    assert_eq!((ada.text("#signed-in-as").await, ada.text("#beers").await), ("Nobody".into(), "0".into()));
    assert!(ada.cookies().await.is_empty(), "looking begins no session");
    sign_up(&ada, "Ada").await;
    assert_eq!((ada.path().await, ada.text("h1").await), ("/home".into(), "Welcome, Ada".into()));
    assert_eq!(ada.text("#email").await, ADA);
    pour(&ada).await;

    ada.open("/home").await;
    ada.press("#sign-out").await;
    assert_eq!((ada.path().await, ada.text("#signed-in-as").await), ("/".into(), "Nobody".into()));
    assert!(ada.cookies().await.is_empty(), "the cookies were taken back");
    ada.back().await;
    assert_eq!(ada.path().await, "/login?next=%2Fhome", "no page of before is shown again");
    sign_in(&ada, PASSWORD).await;
    assert_eq!((ada.path().await, ada.text("h1").await), ("/home".into(), "Welcome, Ada".into()));

    let other = chromium.browser(&node, scripts).await;
    other.open("/login").await;
    sign_in(&other, PASSWORD).await;
    assert_eq!(other.path().await, "/home");
    end_the_other(&ada, &other).await;
    ada.close().await;
    other.close().await;
}

async fn pour(browser: &Browser) {
    browser.open("/").await;
    assert_eq!(browser.text("#signed-in-as").await.lines().next(), Some("Ada Stout"));
    let session = browser.text("#session").await;
    for beers in 1..=6 {
        browser.press("#pour").await;
        assert_eq!((browser.path().await, browser.text("#beers").await), ("/".into(), beers.to_string()));
        assert!(!browser.text("#beer").await.is_empty());
    }
    assert_eq!(browser.text("#session").await, session);
    let left: i64 = browser.text("#expires-in").await.parse().expect("seconds");
    assert!((3_500..=3_600).contains(&left), "{left}");
}

/// On a phone, from the account page.
async fn end_the_other(ada: &Browser, other: &Browser) {
    ada.resize(390, 844).await;
    ada.press("nav a[href='/account']").await;
    assert_eq!(ada.count(".sessions tbody tr").await, 2);
    assert_eq!(ada.text(".sessions tr.current .badge").await, "This one");
    ada.press(".sessions tr:not(.current) button").await;
    assert_eq!(ada.path().await, "/account?did=end");
    assert_eq!(ada.text("[role=status]").await, "That session has ended.");
    assert_eq!(ada.count(".sessions tbody tr").await, 1);
    assert_eq!(ada.count("#end-others").await, 0, "there are no others");

    other.open("/home").await;
    assert_eq!(other.path().await, "/login?next=%2Fhome", "the other browser is signed out");
    other.open("/").await;
    assert_eq!(other.text("#signed-in-as").await, "Nobody");
    ada.open("/home").await;
    assert_eq!(ada.text("h1").await, "Welcome, Ada", "this one is not");
}

#[tokio::test]
async fn a_person_signs_up_pours_signs_out_and_in_and_ends_their_other_session() {
    let Some(chromium) = Chromium::start().await else { return };
    walk(&chromium, Scripts::On).await;
}

#[tokio::test]
async fn everything_works_where_scripts_are_off() {
    let Some(chromium) = Chromium::start().await else { return };
    walk(&chromium, Scripts::Off).await;
}

#[tokio::test]
async fn the_account_page_changes_names_and_password() {
    let Some(chromium) = Chromium::start().await else { return };
    let node = Node::start().await;
    let mut elsewhere = node.person(ADA).await;
    let ada = chromium.browser(&node, Scripts::On).await;
    ada.open("/account").await;
    sign_in(&ada, PASSWORD).await;
    assert_eq!(ada.path().await, "/account", "the sign-in leads back");

    ada.fill("#profile-first_name", "Augusta").await;
    ada.press("form[action='/account/profile'] button").await;
    assert_eq!(ada.text("[role=status]").await, "Your names are saved.");
    assert_eq!(ada.value("#profile-first_name").await, "Augusta");

    let new = "another horse battery";
    change_password(&ada, "wrong horse battery", new).await;
    assert_eq!(ada.text("#password-current-error").await, "This is not your current password.");
    assert_eq!(ada.value("#password-new").await, "", "no password comes back");
    change_password(&ada, PASSWORD, "football").await;
    assert!(ada.text("#password-new-error").await.contains("too common"));
    assert!(elsewhere.is_signed_in().await);
    change_password(&ada, PASSWORD, new).await;
    assert!(ada.text("[role=status]").await.starts_with("Your password is changed"));
    assert!(!elsewhere.is_signed_in().await, "the other session has ended");

    ada.press("#sign-out").await;
    ada.open("/login").await;
    sign_in(&ada, PASSWORD).await;
    assert_eq!((ada.path().await, ada.text("[role=alert]").await), ("/login".into(), "Invalid credentials.".into()));
    assert_eq!(ada.value("#signin-email").await, ADA, "the address need not be typed again");
    sign_in(&ada, new).await;
    assert_eq!(ada.text("h1").await, "Welcome, Augusta");
    ada.close().await;
}

async fn change_password(browser: &Browser, current: &str, new: &str) {
    browser.fill("#password-current", current).await;
    browser.fill("#password-new", new).await;
    browser.press("form[action='/account/password'] button").await;
}

#[tokio::test]
async fn next_leads_back_and_never_away_and_a_keyboard_is_enough() {
    let Some(chromium) = Chromium::start().await else { return };
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let ada = chromium.browser(&node, Scripts::On).await;
    ada.open("/account?did=names").await;
    assert_eq!(ada.path().await, "/login?next=%2Faccount");
    ada.press("main .aside a").await;
    assert_eq!(ada.path().await, "/signup?next=%2Faccount", "who has no account yet keeps the way");
    ada.press("main .aside a").await;
    ada.type_keys(&format!("{ADA}{TAB}{PASSWORD}{ENTER}")).await;
    assert_eq!(ada.path().await, "/account");
    ada.press("#sign-out").await;

    ada.open("/login?next=https%3A%2F%2Fevil.example%2F").await;
    ada.tick("#signin-remember").await;
    sign_in(&ada, PASSWORD).await;
    assert_eq!(ada.path().await, "/home");
    ada.close().await;
}

#[tokio::test]
async fn a_session_that_is_left_alone_ends() {
    let Some(chromium) = Chromium::start().await else { return };
    let node = Node::start().await;
    let ada = chromium.browser(&node, Scripts::On).await;
    sign_up(&ada, "Ada").await;
    node.pass(2 * 3_600);
    ada.open("/home").await;
    assert_eq!(ada.path().await, "/login?next=%2Fhome");
    ada.close().await;
}

#[tokio::test]
async fn no_page_is_wider_than_its_window() {
    let Some(chromium) = Chromium::start().await else { return };
    let node = Node::start().await;
    let (guest, member) = (chromium.browser(&node, Scripts::On).await, chromium.browser(&node, Scripts::On).await);
    // the widest letter, as many as a name may have, and no place to break them
    sign_up(&member, &"W".repeat(100)).await;
    let mut hand = node.visitor();
    hand.cookies = member.cookies().await;
    let data = json!({"beer": "W".repeat(200), "beers": u32::MAX});
    assert_eq!(hand.send(hand.request(Method::PATCH, "/api/v1/session").json(&data)).await.status(), StatusCode::OK);
    let agents = ["Mozilla/5.0 (Linux; Android 14) SamsungBrowser/25.0", "curl/8.5.0", "x"];
    for agent in agents {
        let mut visitor = node.visitor();
        let request = visitor.request(Method::POST, "/login").header("user-agent", agent);
        let response = visitor.send(request.form(&[("email", ADA), ("password", PASSWORD)])).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
    }
    let link = node.first_admin_path();
    let open = ["/", "/login?failed", "/signup", "/nothing", "/link/nothing", link.as_str()];
    for (width, height) in [(320, 640), (390, 844), (720, 900), (1_280, 800)] {
        for (browser, paths) in [(&guest, &open[..]), (&member, &["/", "/home", "/account?did=names"])] {
            browser.resize(width, height).await;
            for path in paths {
                browser.open(path).await;
                fits(browser, path, width).await;
            }
        }
    }
    guest.close().await;
    member.close().await;
}

/// Nothing sticks out, and whatever is to be touched is large enough for a finger (WCAG 2.2, 2.5.8 asks for 24).
async fn fits(browser: &Browser, path: &str, width: u32) {
    let seen = browser
        .run(
            "const root = document.documentElement, out = [], small = [];
            for (const it of document.body.querySelectorAll('*')) {
              const box = it.getBoundingClientRect();
              if (box.width > 1 && box.right > root.clientWidth + 1 && !it.closest('svg')) out.push(it.outerHTML.slice(0, 120));
            }
            for (const it of document.querySelectorAll('button, .button, nav a, input:not([type=hidden]):not(.away)')) {
              const box = (it.type === 'checkbox' ? it.closest('label') : it).getBoundingClientRect();
              if (box.height < 24 || box.width < 24) small.push(it.outerHTML.slice(0, 120));
            }
            return {wide: root.scrollWidth, window: root.clientWidth, out, small};",
        )
        .await;
    assert_eq!(seen["window"], width, "{path}: the window is as wide as was asked");
    assert_eq!(seen["wide"], width, "{path} at {width}: {:#}", seen["out"]);
    for list in ["out", "small"] {
        assert!(seen[list].as_array().is_some_and(Vec::is_empty), "{path} at {width}, {list}: {:#}", seen[list]);
    }
}

#[tokio::test]
async fn the_policy_is_enforced_and_a_breach_of_it_is_seen() {
    let Some(chromium) = Chromium::start().await else { return };
    let node = Node::start().await;
    let browser = chromium.browser(&node, Scripts::On).await;
    let plants = [
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">inline</p>')",
        "const it = document.createElement('script'); it.textContent = 'document.title = \"ran\"'; document.body.append(it)",
        "const it = new Image(); it.src = 'https://elsewhere.example/x.png'; document.body.append(it)",
    ];
    let mut seen = HashSet::new();
    for plant in plants {
        browser.open("/").await;
        assert_eq!(browser.complaints().await, [""; 0], "without it there is nothing to complain about");
        browser.run(plant).await;
        let complaints = browser.complaints().await;
        assert!(complaints.iter().any(|it| it.contains("Content Security Policy")), "{plant}: {complaints:?}");
        assert_eq!(browser.title().await, "Craft Beer · Sojourn");
        seen.extend(complaints);
    }
    assert!(seen.len() >= plants.len(), "each breach is another: {seen:?}");
    browser.close().await;
}
