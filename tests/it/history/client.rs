//! Client: one person's requests, each recorded with what is known of its fate.
//!
//! A connection that was never made and a 503 are refusals: surely not done. A 504, an answer that did not come and a
//! connection that broke leave the fate unknown. Anything else that is never answered is odd, and counts as a violation.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::net::SLOTS;
use super::record::{Act, Event, Held, Record, Said};
use crate::harness::PASSWORD;

/// How long a client waits for an answer.
const WAITS: Duration = Duration::from_secs(4);
/// What says that somebody wrote a moment ago.
const WROTE: &str = "sojourn-fresh=1";

/// Somebody at an address of their own.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    urls: Arc<Vec<String>>,
    pauses: Arc<[AtomicU64; SLOTS]>,
    record: Arc<Record>,
}

/// When a request was made, and the pauses of the node until then.
type Began = (i64, u64);

/// The cookies of a session, and its number in the record.
#[derive(Debug, Clone)]
pub struct Cookies {
    pub session: usize,
    cookies: Vec<(String, String)>,
}

/// An answer that came, or why none did.
type Answer = Result<(StatusCode, Vec<(String, String)>, Value), Said>;

impl Client {
    pub fn new(person: u32, cluster: &Cluster, record: Arc<Record>) -> Self {
        let [_, a, b, c] = person.to_be_bytes();
        let address = Ipv4Addr::new(127, a.wrapping_add(16), b, c.max(2));
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(WAITS);
        let http = builder.local_address(std::net::IpAddr::from(address)).pool_max_idle_per_host(2).build();
        let urls = Arc::new(cluster.urls.clone());
        Self { http: http.expect("a client"), urls, pauses: cluster.pauses.clone(), record }
    }

    pub async fn sign_up(&self, slot: usize, email: &str) -> Said {
        let body = json!({"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "Stout"});
        let request = self.request(Method::POST, slot, "/api/v1/signup").json(&body);
        let began = self.begin(slot);
        let said = match answer(request).await {
            Ok((StatusCode::CREATED, ..)) => Said::Done,
            Ok((StatusCode::CONFLICT, ..)) => Said::Taken,
            other => otherwise(other),
        };
        self.note((None, slot), Act::SignUp(email.into()), said.clone(), began);
        said
    }

    /// Signs in as whoever has just signed up somewhere else.
    pub async fn sign_in(&self, slot: usize, email: &str, session: usize) -> Option<Cookies> {
        let request = self.request(Method::POST, slot, "/api/v1/signin").header(COOKIE, WROTE);
        let request = request.json(&json!({"email": email, "password": PASSWORD}));
        let began = self.begin(slot);
        let (said, cookies) = match answer(request).await {
            Ok((StatusCode::OK, cookies, _)) => (Said::Done, Some(Cookies { session, cookies })),
            Ok((StatusCode::UNAUTHORIZED, ..)) => (Said::Gone, None),
            other => (otherwise(other), None),
        };
        self.note((Some(session), slot), Act::SignIn(email.into()), said, began);
        cookies
    }

    /// Does one of the things that are done with a session.
    pub async fn act(&self, slot: usize, who: &Cookies, act: Act) -> Said {
        let request = match &act {
            Act::Add => self.request(Method::POST, slot, "/pour").form(&[("", "")]),
            Act::Write(n) => self.request(Method::PATCH, slot, "/api/v1/session").json(&json!({"n": n})),
            Act::Read | Act::Glance => self.request(Method::GET, slot, "/api/v1/session"),
            Act::End => self.request(Method::POST, slot, "/api/v1/signout"),
            Act::SignUp(_) | Act::SignIn(_) | Act::EndByOther => unreachable!("it is done elsewhere"),
        };
        let request = request.header(COOKIE, who.header_for(&act));
        let began = self.begin(slot);
        let said = match answer(request).await {
            Ok((StatusCode::NO_CONTENT, ..)) if act == Act::End => Said::Done,
            Ok((StatusCode::UNAUTHORIZED, ..)) => Said::Gone,
            // what was meant for this session went into another, because this one is gone
            Ok((_, cookies, _)) if cookies.iter().any(|(name, _)| is_session(name)) => Said::Gone,
            Ok((StatusCode::SEE_OTHER, ..)) if act == Act::Add => Said::Done,
            Ok((StatusCode::OK, _, body)) => Said::Held(held(&body["data"])),
            other => otherwise(other),
        };
        self.note((Some(who.session), slot), act, said.clone(), began);
        said
    }

    /// Ends `other` by another session of the same person.
    pub async fn end_by(&self, slot: usize, (by, other): (&Cookies, &Cookies)) -> Said {
        let request = self.request(Method::DELETE, slot, "/api/v1/sessions?others=true");
        let request = request.header(COOKIE, by.header_for(&Act::EndByOther));
        let began = self.begin(slot);
        let said = match answer(request).await {
            Ok((StatusCode::OK, ..)) => Said::Done,
            Ok((StatusCode::UNAUTHORIZED, ..)) => {
                self.note((Some(by.session), slot), Act::Read, Said::Gone, began);
                Said::Refused
            }
            other => otherwise(other),
        };
        self.note((Some(other.session), slot), Act::EndByOther, said.clone(), began);
        said
    }

    fn request(&self, method: Method, slot: usize, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.urls[slot]))
    }

    fn begin(&self, slot: usize) -> Began {
        let pauses = self.pauses[slot].load(Ordering::SeqCst);
        (self.record.now_us(), pauses)
    }

    fn note(&self, (session, slot): (Option<usize>, usize), act: Act, said: Said, began: Began) {
        let ended_us = self.record.now_us();
        let (began_us, pauses) = began;
        let is_steady = pauses % 2 == 0 && pauses == self.pauses[slot].load(Ordering::SeqCst);
        self.record.events.lock().push(Event { session, slot, act, said, began_us, ended_us, is_steady });
    }
}

impl Cookies {
    /// What is sent with this: only a glance does not say that somebody wrote a moment ago.
    fn header_for(&self, act: &Act) -> String {
        let mut pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.extend((*act != Act::Glance).then(|| WROTE.to_owned()));
        pairs.join("; ")
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.map_err(|e| if e.is_connect() { Said::Refused } else { Said::Unknown })?;
    let (status, cookies) = (response.status(), cookies(&response));
    let text = response.text().await.map_err(|_| Said::Unknown)?;
    Ok((status, cookies, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// What any request may be answered.
fn otherwise(answer: Answer) -> Said {
    match answer {
        Err(said) => said,
        Ok((StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, ..)) => Said::Refused,
        Ok((StatusCode::GATEWAY_TIMEOUT, ..)) => Said::Unknown,
        Ok((status, _, body)) => Said::Odd(format!("{status}: {body}")),
    }
}

fn held(data: &Value) -> Held {
    let number = |name: &str| data[name].as_i64().unwrap_or_default();
    Held { beers: number("beers"), n: number("n") }
}

/// The cookies that are set and are about the session.
fn cookies(response: &Response) -> Vec<(String, String)> {
    let texts = response.headers().get_all(SET_COOKIE).iter().filter_map(|header| header.to_str().ok());
    let set = texts.filter(|text| !text.contains("Max-Age=0"));
    let pairs = set.filter_map(|text| text.split(';').next()?.split_once('='));
    let pairs = pairs.filter(|(name, _)| !name.ends_with("fresh"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn is_session(name: &str) -> bool {
    name.ends_with("sojourn")
}
