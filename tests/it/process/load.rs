//! Load: people who pour and look all the time, while something happens to a node.
//!
//! A pour adds one, so what was done twice shows, and so does what was acknowledged and lost: the count must lie
//! between what was acknowledged and that plus whatever is of unknown fate. A refusal (503) is none: it says "not done".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{PASSWORD, Visitor};
use crate::program::Program;

/// How long anybody rests between two requests.
const REST: Duration = Duration::from_millis(10);
/// How long a node may take to answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What became of a pour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Done,
    NotDone,
    Unknown,
}

/// Somebody who pours.
pub struct Pourer {
    pub visitor: Visitor,
    done: u64,
    unknown: u64,
    last: Instant,
    /// The longest time without an acknowledgement.
    pub longest: Duration,
}

impl Pourer {
    /// Somebody who has signed up and in there, with so many bytes in the session that every pour writes again.
    pub async fn new(node: &Program, name: &str, bytes: usize) -> Self {
        let mut visitor = node.visitor();
        let email = format!("{name}@example.com");
        visitor.sign_up(&email).await;
        assert_eq!(visitor.sign_in(&email, PASSWORD).await.status(), StatusCode::OK);
        assert_eq!(visitor.patch(&json!({"ballast": "x".repeat(bytes)})).await.status(), StatusCode::OK);
        Self { visitor, done: 0, unknown: 0, last: Instant::now(), longest: Duration::ZERO }
    }

    /// Pours once at this node.
    pub async fn pour(&mut self, url: &str) -> Fate {
        let request = self.visitor.at_url(url).request(Method::POST, "/pour").form(&[("", ""); 0]);
        let fate = match request.timeout(ANSWER_WITHIN).send().await {
            Ok(answer) => {
                self.visitor.keep(answer.headers());
                match answer.status() {
                    StatusCode::SEE_OTHER => Fate::Done,
                    StatusCode::SERVICE_UNAVAILABLE => Fate::NotDone,
                    StatusCode::GATEWAY_TIMEOUT => Fate::Unknown,
                    other => panic!("a pour was answered {other}"),
                }
            }
            Err(e) if e.is_connect() => Fate::NotDone,
            Err(e) => {
                assert!(!e.is_timeout(), "a pour was not answered at all: {e}");
                Fate::Unknown
            }
        };
        match fate {
            Fate::Done => {
                self.done += 1;
                self.longest = self.longest.max(self.last.elapsed());
                self.last = Instant::now();
            }
            Fate::NotDone => {}
            Fate::Unknown => self.unknown += 1,
        }
        fate
    }

    /// How often it was poured, as this node says.
    ///
    /// # Panics
    /// When something acknowledged is missing, or something was done twice.
    pub async fn look(&self, url: &str) -> u64 {
        let session = self.visitor.at_url(url).session().await.expect("the session is there");
        let poured = session["data"]["beers"].as_u64().unwrap_or(0);
        let may_be = self.done..=self.done + self.unknown;
        assert!(may_be.contains(&poured), "{poured} were poured, and it should be {may_be:?}");
        poured
    }

    async fn run(mut self, url: String, shared: Arc<Shared>) -> Self {
        (self.last, self.longest) = (Instant::now(), Duration::ZERO);
        while !shared.is_over.load(Ordering::Relaxed) {
            if self.pour(&url).await == Fate::Done {
                shared.done.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(REST).await;
        }
        self.longest = self.longest.max(self.last.elapsed());
        self
    }
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    done: AtomicU64,
}

/// Several of them at once, and somebody who looks whether they are signed in.
pub struct Load {
    shared: Arc<Shared>,
    pourers: Vec<JoinHandle<Pourer>>,
    looks: Vec<JoinHandle<u64>>,
}

impl Load {
    /// Each pours at the node beside; `who` looks at each of `at`, where no look may fail.
    pub fn start<'a>(pourers: impl IntoIterator<Item = (Pourer, &'a str)>, who: &Visitor, at: &[&str]) -> Self {
        let shared = Arc::new(Shared::default());
        let run = |(pourer, url): (Pourer, &str)| tokio::spawn(pourer.run(url.to_owned(), shared.clone()));
        let pourers = pourers.into_iter().map(run).collect();
        let looks = at.iter().map(|url| tokio::spawn(look(who.at_url(url), shared.clone()))).collect();
        Self { shared, pourers, looks }
    }

    /// How many pours were acknowledged so far.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Ends it. Answers the pourers in their order, and how often somebody looked.
    pub async fn end(self) -> (Vec<Pourer>, u64) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut pourers = Vec::new();
        for pourer in self.pourers {
            pourers.push(pourer.await.expect("pours"));
        }
        let mut count = 0;
        for looked in self.looks {
            count += looked.await.expect("looks");
        }
        (pourers, count)
    }
}

async fn look(visitor: Visitor, shared: Arc<Shared>) -> u64 {
    let mut count = 0;
    while !shared.is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = visitor.request(Method::GET, "/profile").timeout(ANSWER_WITHIN).send().await;
        let status = answer.expect("the node answers").status();
        assert_eq!(status, StatusCode::OK, "a check failed, after {:?} and {count} good ones", asked.elapsed());
        count += 1;
        tokio::time::sleep(REST).await;
    }
    count
}
