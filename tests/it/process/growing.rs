//! Growing: one node becomes three and five, and one again, while people go on: no read fails.
//!
//! A door that is about to close is left first, as a balancer would that asks `/readyz`; who reads and writes just then
//! is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use super::cluster::{nodes, place, ready, until, votes};
use crate::harness::{PASSWORD, Visitor};

/// How large it becomes.
const MOST: usize = 5;
const PEOPLE: usize = 4;
/// How long one of them looks at what it got.
const LOOKS: Duration = Duration::from_millis(5);

/// The doors that are open, and whether everybody may go home.
#[derive(Default)]
struct Town {
    doors: RwLock<Vec<String>>,
    is_over: AtomicBool,
}

/// Reads at every door in turn, and writes now and then. Answers how often it did either.
async fn goes_on(ada: Visitor, town: Arc<Town>) -> (u64, u64) {
    let (mut reads, mut writes) = (0, 0);
    while !town.is_over.load(Ordering::SeqCst) {
        let doors = town.doors.read().await;
        let mut there = ada.at_url(&doors[usize::try_from(reads).expect("few") % doors.len()]);
        assert_eq!(there.get("/profile").await.status(), StatusCode::OK, "a read failed with {} doors", doors.len());
        reads += 1;
        if reads % 8 == 0 {
            match there.patch(&json!({"reads": reads})).await.status() {
                StatusCode::OK => writes += 1,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {}
                other => panic!("a write was answered {other}"),
            }
        }
        drop(doors);
        tokio::time::sleep(LOOKS).await;
    }
    (reads, writes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn from_one_to_five_and_back_no_read_fails() {
    let places: Vec<_> = (0..MOST).map(|_| place()).collect();
    let mut programs = vec![places[0].start()];
    let town = Arc::new(Town::default());
    town.doors.write().await.push(programs[0].url.clone());
    let mut people = JoinSet::new();
    for number in 0..PEOPLE {
        let (mut ada, email) = (programs[0].visitor(), format!("ada{number}@example.com"));
        ada.sign_up(&email).await;
        assert_eq!(ada.sign_in(&email, PASSWORD).await.status(), StatusCode::OK);
        people.spawn(goes_on(ada.a_while_later(), town.clone()));
    }
    for at in 1..MOST {
        let token = places[at - 1].done(&["cluster", "token"]).trim().to_owned();
        programs.push(ready(places[at].spawn_with(&["serve", "--join", &token])));
        town.doors.write().await.push(programs[at].url.clone());
        until("it votes", || votes(&places[0], at + 1));
    }
    // the founder goes first
    for place in &places[..MOST - 1] {
        town.doors.write().await.remove(0);
        place.done(&["cluster", "leave"]);
        let mut gone = programs.remove(0);
        assert_eq!(gone.wait().code(), Some(0), "{}", gone.log());
    }
    assert_eq!(nodes(&places[MOST - 1]).len(), 1);
    town.is_over.store(true, Ordering::SeqCst);
    let all = people.join_all().await;
    let (reads, writes) = all.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{reads} reads, {writes} writes");
    assert!(reads > 200 && writes > 20, "too little was under way: {reads} reads, {writes} writes");
}
