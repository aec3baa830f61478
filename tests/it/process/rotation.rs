//! Rotation: a cluster of processes comes to another secret while people click on.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use super::cluster::{nodes, place, ready, signed_up, three, until, votes};
use crate::harness::Visitor;
use crate::program::{Place, Program};

fn secret(place: &Place) -> String {
    fs::read_to_string(place.data().join("secret")).expect("it is there").trim().to_owned()
}

fn id(place: &Place) -> String {
    place.json(&["healthcheck"])["node"].as_str().expect("an id").to_owned()
}

/// Those that the rotation waits for, as one of them sees it.
fn waited_for(place: &Place) -> Vec<String> {
    nodes(place).iter().filter(|node| node["holds_up_rotation"] == true).map(|node| node["id"].to_string()).collect()
}

/// Whether no rotation is under way: tokens are made.
fn is_over(place: &Place) -> bool {
    place.run(&["cluster", "token"]).status == 0
}

/// Checks and writes at one node until told to stop. Answers how often, and what went wrong.
async fn click_on(mut person: Visitor, number: usize, is_over: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut done, mut wrong) = (0, Vec::new());
    while !is_over.load(Ordering::Relaxed) {
        if !person.is_signed_in().await {
            wrong.push(format!("client {number}: check {done}"));
        }
        if number.is_multiple_of(3) {
            let status = person.patch(&json!({"n": done})).await.status();
            if status != StatusCode::OK {
                wrong.push(format!("client {number}: write {done}: {status}"));
            }
        }
        done += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (done, wrong)
}

fn restart_each(places: &[Place; 3], programs: &mut Vec<Program>, args: &[&str]) {
    for (at, place) in places.iter().enumerate() {
        assert_eq!(programs.remove(at).stop(), Some(0));
        programs.insert(at, ready(place.spawn_with(args)));
        until("it votes", || votes(place, 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_under_load_comes_to_another_secret_and_nobody_notices() {
    let (places, mut programs) = three();
    let ada = signed_up(&programs[0]).await;
    let (old, unused) = (secret(&places[0]), places[1].done(&["cluster", "token"]).trim().to_owned());
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..6 {
        clients.spawn(click_on(ada.at_url(&programs[number % 3].url), number, is_over.clone()));
    }
    for round in 0..3 {
        let before = secret(&places[0]);
        let told = places[round].done(&["cluster", "rotate-secret"]);
        assert!(told.contains("the cluster has another secret"), "{told}");
        let now = secret(&places[0]);
        assert!(now != before && places.iter().all(|place| secret(place) == now), "each keeps the same new one");
        assert!(places.iter().all(|place| !place.data().join("secret.next").exists()), "nothing is left half");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    is_over.store(true, Ordering::Relaxed);
    let met = clients.join_all().await;
    let wrong: Vec<&String> = met.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(met.iter().all(|(done, _)| *done > 20) && wrong.is_empty(), "{wrong:?}");
    println!("{} checks", met.iter().map(|(done, _)| done).sum::<usize>());

    let stranger = place();
    let Err(refused) = stranger.spawn_with(&["serve", "--join", &unused]).ready() else { panic!("it was let in") };
    assert!(refused.log.contains("the cluster's secret was rotated after the token was made"), "{}", refused.log);
    // a unit file may name the token for ever
    restart_each(&places, &mut programs, &["serve", "--join", &unused]);
    assert_eq!(ada.at_url(&programs[2].url).patch(&json!({"n": 1})).await.status(), StatusCode::OK);
    let token = places[2].done(&["cluster", "token"]).trim().to_owned();
    let fourth = place();
    let four = ready(fourth.spawn_with(&["serve", "--join", &token]));
    assert!(ada.at_url(&four.url).is_signed_in().await);
    assert_eq!(secret(&fourth), secret(&places[0]));
    for node in &programs {
        assert!(!node.log().contains(&old) && !node.log().contains(&secret(&places[0])), "a secret is in a log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_waits_for_a_node_that_is_down_and_ends_by_itself() {
    let (places, mut programs) = three();
    let ada = signed_up(&programs[0]).await;
    let (old, down) = (secret(&places[0]), id(&places[2]));
    programs.remove(2).kill();
    let told = places[0].done(&["cluster", "rotate-secret"]);
    assert!(told.contains(&format!("waits for node {down}")) && told.contains("by itself"), "{told}");
    assert_eq!(waited_for(&places[1]), std::slice::from_ref(&down));
    let refused = places[0].run(&["cluster", "token"]);
    assert!(refused.status != 0 && refused.err.contains("is being rotated"), "{}", refused.err);
    // whoever leads may change in the middle, and a node may end wherever it is
    for (at, place) in places[..2].iter().enumerate() {
        assert_eq!(programs.remove(at).stop(), Some(0));
        programs.insert(at, place.start());
        until("it votes", || votes(place, 2));
    }
    assert_eq!(ada.at_url(&programs[1].url).patch(&json!({"n": 1})).await.status(), StatusCode::OK);
    assert!(places.iter().all(|place| secret(place) == old), "it has not gone on");
    programs.push(places[2].start());
    until("it is through", || places.iter().all(|place| secret(place) != old) && is_over(&places[0]));
    assert!(waited_for(&places[0]).is_empty());
    let new = secret(&places[2]);
    until("all keep the same", || places.iter().all(|place| secret(place) == new));
    until("all vote", || votes(&places[0], 3));

    // the same, and the node that is down is lost for good
    programs.remove(2).kill();
    assert!(places[1].done(&["cluster", "rotate-secret"]).contains(&down));
    places[0].done(&["cluster", "remove", &down]);
    until("it is through", || secret(&places[0]) != new && secret(&places[0]) == secret(&places[1]));
    until("it is over", || is_over(&places[0]));
    assert!(ada.at_url(&programs[0].url).is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_killed_wherever_a_rotation_is_go_on_with_it() {
    let (places, mut programs) = three();
    let ada = signed_up(&programs[0]).await;
    for wait_ms in [0, 100, 250, 400, 550, 700, 900, 1_200] {
        let old = secret(&places[0]);
        let asked = std::thread::scope(|scope| {
            let asking = scope.spawn(|| places[0].run(&["cluster", "rotate-secret"]));
            std::thread::sleep(Duration::from_millis(wait_ms));
            for at in [1, 2] {
                programs.remove(at).kill();
                programs.insert(at, places[at].start());
            }
            asking.join().expect("it ends")
        });
        let is_new = || {
            let new = secret(&places[0]);
            new != old && places.iter().all(|place| secret(place) == new)
        };
        // it may have found no majority, and then it has not begun
        if asked.status != 0 && !is_new() {
            places[0].run(&["cluster", "rotate-secret"]);
        }
        until("it is through", is_new);
        until("all vote", || votes(&places[0], 3) && is_over(&places[0]));
        for node in &programs {
            until("it answers", || node.log().contains("ready"));
            assert!(ada.at_url(&node.url).is_signed_in().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_alone_has_its_secret_rotated_and_says_when_the_settings_name_an_old_one() {
    const GIVEN: &str = "a secret that was given in the settings";
    let place = Place::new().with("SOJOURN_SECRET", GIVEN);
    let node = place.start();
    let done = place.run(&["cluster", "rotate-secret"]);
    assert!(done.status == 0 && done.err.contains("take it out before that node is restarted"), "{}", done.err);
    assert_ne!(secret(&place), GIVEN);
    assert!(node.log().contains("take it out of them"), "{}", node.log());
    assert_eq!(node.stop(), Some(0));
    let refused = place.refused().log;
    assert!(refused.contains("hint: the cluster's secret was rotated; take it out of the settings"), "{refused}");
    let place = place.with("SOJOURN_SECRET", "");
    assert_eq!(place.start().stop(), Some(0));
}
