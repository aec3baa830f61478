//! Tries: how many wrong passwords anybody gets, wherever they come from and whatever is done in between.

use std::net::Ipv4Addr;

use futures_util::future::join_all;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::harness::{Node, PASSWORD, Visitor};

const ADA: &str = "ada@example.com";
const WRONG: &str = "wrong horse battery";
/// Wrong passwords for one account that cost nothing but the try.
const FREE: usize = 10;
/// The same for one address, whichever the accounts.
const ADDRESS_FREE: usize = 60;

/// What the next wrong password is answered: `Ok` when it was looked at, `Err` with the seconds to wait when not.
async fn guess(visitor: &mut Visitor, email: &str) -> Result<(), u64> {
    looked_at(visitor.sign_in(email, WRONG).await)
}

fn looked_at(response: Response) -> Result<(), u64> {
    match response.status() {
        StatusCode::UNAUTHORIZED => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = response.headers()[RETRY_AFTER].to_str().expect("ASCII");
            Err(wait.parse().expect("seconds"))
        }
        other => panic!("a wrong password was answered {other}"),
    }
}

async fn guess_free(visitor: &mut Visitor, email: &str) {
    for n in 0..FREE {
        assert_eq!(guess(visitor, email).await, Ok(()), "try {n}");
    }
}

#[tokio::test]
async fn after_ten_wrong_passwords_not_even_the_right_one_is_looked_at() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    visitor.sign_up(ADA).await;
    guess_free(&mut visitor, ADA).await;
    assert_eq!(guess(&mut visitor, ADA).await, Err(30));
    let response = visitor.sign_in(ADA, PASSWORD).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[RETRY_AFTER], "30");
    let (mut page, fields) = (node.visitor(), [("email", ADA), ("password", PASSWORD)]);
    let response = page.form("/login", &fields).await;
    assert_eq!(
        (response.status(), &response.headers()[RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"30".parse().unwrap())
    );
    assert!(page.cookies.is_empty());
    let response = page.form("/api/v1/signin", &fields).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "every way in counts");
}

#[tokio::test]
async fn waits_pass_and_double_up_to_an_hour() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    guess_free(&mut visitor, ADA).await;
    for wait in [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
        assert_eq!(guess(&mut visitor, ADA).await, Err(wait));
        node.pass(wait as i64 - 1);
        assert_eq!(guess(&mut visitor, ADA).await, Err(1), "a second too early");
        node.pass(1);
        assert_eq!(guess(&mut visitor, ADA).await, Ok(()), "after {wait} s");
    }
}

#[tokio::test]
async fn the_owner_gets_in_after_the_wait_and_starts_afresh() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    visitor.sign_up(ADA).await;
    guess_free(&mut visitor, ADA).await;
    assert_eq!(guess(&mut visitor, ADA).await, Err(30));
    node.pass(30);
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    guess_free(&mut visitor, ADA).await;
    assert_eq!(guess(&mut visitor, ADA).await, Err(30));
}

#[tokio::test]
async fn a_day_without_tries_forgets_them() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    for _ in 0..FREE - 1 {
        assert_eq!(guess(&mut visitor, ADA).await, Ok(()));
    }
    node.pass(86_400);
    guess_free(&mut visitor, ADA).await;
    assert_eq!(guess(&mut visitor, ADA).await, Err(30));
}

#[tokio::test]
async fn spellings_and_places_of_one_account_count_together() {
    let node = Node::start().await;
    let spellings = ["ada@example.com", " ADA@example.com", "Ada@EXAMPLE.com\t", "ａｄａ@example.com"];
    let mut places = [node.visitor(), node.visitor().from(Ipv4Addr::new(127, 0, 0, 2))];
    for n in 0..FREE {
        assert_eq!(guess(&mut places[n % 2], spellings[n % 4]).await, Ok(()), "try {n}");
    }
    for spelling in spellings {
        for place in &mut places {
            assert_eq!(guess(place, spelling).await, Err(30), "{spelling:?}");
        }
    }
    assert_eq!(guess(&mut places[0], "adam@example.com").await, Ok(()), "another account is another");
}

#[tokio::test]
async fn a_burst_gets_no_more_tries_than_a_trickle() {
    let node = Node::start().await;
    let tries = (0..40).map(|_| {
        let mut visitor = node.visitor();
        async move { guess(&mut visitor, ADA).await.is_ok() }
    });
    let looked_at = join_all(tries).await.into_iter().filter(|ok| *ok).count();
    assert_eq!(looked_at, FREE);
}

#[tokio::test]
async fn a_list_of_accounts_runs_dry_at_one_address_whatever_it_claims() {
    let node = Node::start().await;
    node.visitor().sign_up(ADA).await;
    let visitor = node.visitor();
    let mut refused = None;
    for n in 0..100 {
        let form = json!({"email": format!("user{n}@example.com"), "password": WRONG});
        let request = visitor.request(Method::POST, "/api/v1/signin").json(&form);
        let request = request
            .header("x-forwarded-for", format!("203.0.113.{n}"))
            .header("forwarded", format!("for=203.0.113.{n}"))
            .header("x-real-ip", format!("203.0.113.{n}"));
        if let Err(wait) = looked_at(request.send().await.expect("an answer")) {
            refused = Some((n, wait));
            break;
        }
    }
    assert_eq!(refused, Some((ADDRESS_FREE, 10)));
    let mut neighbour = node.visitor().from(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(neighbour.sign_in(ADA, PASSWORD).await.status(), StatusCode::OK, "others are not held up");
    node.pass(10);
    assert_eq!(visitor.clone().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn behind_a_trusted_proxy_people_are_counted_by_their_own_address() {
    let node = Node::with(&[("web.trusted_proxies", "127.0.0.0/8")]).await;
    let visitor = node.visitor();
    let from = async |client: &str, n: usize| {
        let form = json!({"email": format!("user{n}@example.com"), "password": WRONG});
        let request = visitor.request(Method::POST, "/api/v1/signin").json(&form).header("x-forwarded-for", client);
        looked_at(request.send().await.expect("an answer"))
    };
    for n in 0..ADDRESS_FREE {
        assert_eq!(from("203.0.113.7", n).await, Ok(()));
    }
    assert_eq!(from("203.0.113.7", 90).await, Err(10));
    assert_eq!(from("198.51.100.1, 203.0.113.7", 91).await, Err(10), "what a client writes in front is not believed");
    assert_eq!(from("203.0.113.8", 92).await, Ok(()));
    // an IPv6 customer has a whole /64
    for n in 0..ADDRESS_FREE {
        assert_eq!(from(&format!("2001:db8:1:2::{n}"), n + 100).await, Ok(()));
    }
    assert_eq!(from("2001:db8:1:2:ffff::1", 190).await, Err(10));
    assert_eq!(from("2001:db8:1:3::1", 191).await, Ok(()));
}

#[tokio::test]
async fn a_restart_forgets_no_try() {
    let mut node = Node::start().await;
    guess_free(&mut node.visitor(), ADA).await;
    node.restart().await;
    assert_eq!(guess(&mut node.visitor(), ADA).await, Err(30));
}

#[tokio::test]
async fn a_try_that_is_refused_leaves_no_trace_in_the_log() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    guess_free(&mut visitor, ADA).await;
    let before = node.status().await.applied;
    for _ in 0..50 {
        assert_eq!(guess(&mut visitor, ADA).await, Err(30));
    }
    assert_eq!(node.status().await.applied, before);
}

#[tokio::test]
async fn right_passwords_cost_an_address_nothing() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    visitor.sign_up(ADA).await;
    for _ in 0..ADDRESS_FREE + 5 {
        assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
    }
    assert_eq!(guess(&mut visitor, ADA).await, Ok(()));
}

#[tokio::test]
async fn one_address_makes_so_many_accounts() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    visitor.sign_up(ADA).await;
    let again = json!({"email": ADA, "password": PASSWORD});
    for n in 1..60 {
        assert_eq!(visitor.post("/api/v1/signup", &again).await.status(), StatusCode::CONFLICT, "{n}");
    }
    let response = visitor.post("/api/v1/signup", &json!({"email": "bob@example.com", "password": PASSWORD})).await;
    assert_eq!(
        (response.status(), &response.headers()[RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &"60".parse().unwrap())
    );
    let mut neighbour = node.visitor().from(Ipv4Addr::new(127, 0, 0, 2));
    neighbour.sign_up("bob@example.com").await;
    node.pass(60);
    visitor.sign_up("carol@example.com").await;
}

/// Hashing is bounded: whoever comes when too many wait is told to come back, and everybody else is served meanwhile.
#[tokio::test]
async fn a_storm_of_sign_ins_is_turned_away_and_those_inside_do_not_notice() {
    let node = Node::start().await;
    let mut ada = node.person(ADA).await;
    let storm = (0..240).map(|n| {
        let mut visitor = node.visitor().from(Ipv4Addr::new(127, 0, 1, (n % 6) as u8));
        async move {
            let response = visitor.sign_in(&format!("user{n}@example.com"), WRONG).await;
            assert!(
                response.status() != StatusCode::SERVICE_UNAVAILABLE || response.headers().contains_key(RETRY_AFTER)
            );
            response.status().as_u16()
        }
    });
    let inside = async {
        for _ in 0..50 {
            assert!(ada.is_signed_in().await);
        }
    };
    let (statuses, ()) = tokio::join!(join_all(storm), inside);
    assert!(statuses.iter().all(|s| matches!(s, 401 | 503)), "{statuses:?}");
    let looked_at = statuses.iter().filter(|s| **s == 401).count();
    assert!(looked_at >= 10, "{looked_at} of 240 were hashed");
    assert_eq!(node.visitor().sign_in(ADA, PASSWORD).await.status(), StatusCode::OK);
}
