//! Cluster: three processes that were joined by a token from the command line, and what happens when one is killed.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{PASSWORD, Visitor};
use crate::program::{PATIENCE, Place, Program, Starting};

/// An address where nothing listens.
pub fn free_address() -> String {
    crate::harness::free_address().to_string()
}

/// A place whose peer port stays the same over restarts.
pub fn place() -> Place {
    Place::new().with("SOJOURN_CLUSTER_LISTEN", &free_address())
}

/// The node, which is to come up.
pub fn ready(starting: Starting) -> Program {
    starting.ready().unwrap_or_else(|ended| panic!("the node did not start: {}", ended.log))
}

/// The nodes as one of them sees them.
pub fn nodes(place: &Place) -> Vec<Value> {
    place.json(&["cluster", "status"]).as_array().expect("a list").clone()
}

/// Waits for it.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether so many nodes vote and answer.
pub fn votes(place: &Place, count: usize) -> bool {
    nodes(place).iter().filter(|node| node["role"] != "learner" && node["answers"] == true).count() == count
}

/// Three places, each with a node; the second joined by a flag, the third by a file.
pub fn three() -> ([Place; 3], Vec<Program>) {
    let places = [place(), place(), place()];
    let programs = together(&places);
    (places, programs)
}

/// A node in each of these places, together a cluster.
pub fn together(places: &[Place; 3]) -> Vec<Program> {
    let one = places[0].start();
    let token = places[0].done(&["cluster", "token", "--uses", "2", "--ttl", "10m"]).trim().to_owned();
    let two = ready(places[1].spawn_with(&["serve", "--join", &token]));
    let file = places[2].file("token");
    std::fs::write(&file, &token).expect("is written");
    let three = ready(places[2].spawn_with(&["serve", "--join-file", file.to_str().expect("is text")]));
    until("all vote", || votes(&places[0], 3));
    for node in [&one, &two, &three] {
        assert!(!node.log().contains(&token[13..]), "a token is in a log");
    }
    vec![one, two, three]
}

/// Ada, who has signed in there.
pub async fn signed_up(node: &Program) -> Visitor {
    let mut ada = node.visitor();
    ada.sign_up("ada@example.com").await;
    assert_eq!(ada.sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
    ada
}

#[tokio::test(flavor = "multi_thread")]
async fn any_of_three_processes_may_be_killed() {
    let (places, mut programs) = three();
    let ada = signed_up(&programs[1]).await;
    for at in 0..3 {
        let leader = nodes(&places[at]).iter().position(|node| node["role"] == "leader").expect("somebody leads");
        let own =
            |place: &Place| nodes(place).iter().position(|node| node["is_this"] == true).expect("it lists itself");
        let leader = places.iter().position(|place| own(place) == leader).expect("it is one of them");
        let others: Vec<String> = (0..3).filter(|at| *at != leader).map(|at| programs[at].url.clone()).collect();
        programs.remove(leader).kill();
        let (killed, mut written) = (Instant::now(), None);
        while written.is_none() || killed.elapsed() < Duration::from_secs(3) {
            for url in &others {
                assert!(ada.at_url(url).is_signed_in().await, "a check failed {:?} after", killed.elapsed());
            }
            if written.is_none() && ada.at_url(&others[0]).patch(&json!({"at": at})).await.status() == StatusCode::OK {
                written = Some(killed.elapsed());
            }
            assert!(killed.elapsed() < PATIENCE, "nobody takes a write");
        }
        println!("writes came back after {written:?}");
        programs.insert(leader, places[leader].start());
        until("it is back", || votes(&places[leader], 3));
        let mut there = ada.at_url(&programs[leader].url);
        assert_eq!(there.session().await.expect("it is signed in")["data"]["at"], at);
    }
    for node in programs {
        assert_eq!(node.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_told_to_lead_to_go_and_to_leave() {
    let (places, mut programs) = three();
    let ada = signed_up(&programs[0]).await;
    let id = |at: usize| places[at].json(&["healthcheck"])["node"].as_str().expect("an id").to_owned();
    places[0].done(&["cluster", "transfer", &id(1)]);
    until("it leads", || nodes(&places[1]).iter().any(|node| node["is_this"] == true && node["role"] == "leader"));
    let told = places[1].done(&["cluster", "leave"]);
    assert!(told.contains("no member any more"), "{told}");
    let mut gone = programs.remove(1);
    assert_eq!(gone.wait().code(), Some(0), "{}", gone.log());
    let refused = places[1].refused();
    assert_eq!(refused.status, Some(1));
    assert!(refused.log.contains("this node left its cluster") && refused.log.contains("hint: "), "{}", refused.log);
    places[0].done(&["cluster", "remove", &id(2)]);
    let mut gone = programs.remove(1);
    assert_eq!(gone.wait().code(), Some(1), "{}", gone.log());
    assert!(gone.log().contains("this node was removed from its cluster"), "{}", gone.log());
    assert_eq!(nodes(&places[0]).len(), 1);
    assert!(ada.at_url(&programs[0].url).is_signed_in().await);
    let unknown = places[0].run(&["cluster", "remove", "1"]);
    assert!(unknown.status == 1 && unknown.err.contains("`sojourn cluster status`"), "{}", unknown.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_while_it_joins_is_healed_by_the_same_command() {
    let first = place();
    let one = first.start();
    let ada = signed_up(&one).await;
    for wait_ms in [0, 20, 60, 120, 200, 400] {
        let second = place();
        let token = first.done(&["cluster", "token"]).trim().to_owned();
        let starting = second.spawn_with(&["serve", "--join", &token]);
        // wherever this hits: the same command must bring it up
        std::thread::sleep(Duration::from_millis(wait_ms));
        starting.kill();
        let two = ready(second.spawn_with(&["serve", "--join", &token]));
        assert!(ada.at_url(&two.url).is_signed_in().await);
        until("it votes", || votes(&first, 2));
        second.done(&["cluster", "leave"]);
        until("it is gone", || nodes(&first).len() == 1);
    }
    assert_eq!(one.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_answers_and_votes_once_it_is_told() {
    let (first, second) = (place(), place());
    let one = first.start();
    let token = first.done(&["cluster", "token"]).trim().to_owned();
    let two = ready(second.spawn_with(&["serve", "--join", &token, "--learner"]));
    let ada = signed_up(&two).await;
    let role = |place: &Place| {
        let seen = nodes(place).into_iter().find(|node| node["is_this"] == true).expect("it lists itself");
        (seen["role"].as_str().expect("a role").to_owned(), seen["id"].to_string())
    };
    let third = place();
    let token = first.done(&["cluster", "token"]).trim().to_owned();
    let three = ready(third.spawn_with(&["serve", "--join", &token]));
    until("whoever wants to vote does", || votes(&third, 2));
    third.done(&["cluster", "leave"]);
    drop(three);
    let (learner, id) = role(&second);
    assert_eq!(learner, "learner");
    assert_eq!(two.stop(), Some(0));
    let mut there = ada.at_url(&one.url);
    assert_eq!(there.patch(&json!({"n": 1})).await.status(), StatusCode::OK, "no write waits for a learner");
    let two = second.start();
    assert_eq!(role(&second).0, "learner");
    assert_eq!(there.at_url(&two.url).session().await.expect("it is signed in")["data"]["n"], 1);
    first.done(&["cluster", "promote", &id]);
    until("it votes", || votes(&second, 2));
    for node in [one, two] {
        assert_eq!(node.stop(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_cluster_begins_a_new_one_that_grows() {
    let (places, programs) = three();
    let ada = signed_up(&programs[2]).await;
    let file = places[1].file("monday").display().to_string();
    places[1].done(&["backup", &file]);
    let fresh = place();
    fresh.done(&["restore", &file, "--keep-sessions"]);
    let one = fresh.start();
    let token = fresh.done(&["cluster", "token"]).trim().to_owned();
    let second = place();
    let two = ready(second.spawn_with(&["serve", "--join", &token]));
    until("it votes", || votes(&fresh, 2));
    assert_eq!(nodes(&second).len(), 2, "none of the old nodes came along");
    for node in [&one, &two] {
        assert!(ada.at_url(&node.url).is_signed_in().await);
    }
    assert_eq!(ada.at_url(&two.url).patch(&json!({"n": 1})).await.status(), StatusCode::OK);
    assert_ne!(fresh.json(&["healthcheck"])["cluster"], places[0].json(&["healthcheck"])["cluster"]);
}

/// Which of them leads.
fn leading(places: &[Place]) -> usize {
    let leads = |place: &Place| nodes(place).iter().any(|node| node["is_this"] == true && node["role"] == "leader");
    let mut found = None;
    until("somebody leads", || {
        found = places.iter().position(leads);
        found.is_some()
    });
    found.expect("somebody")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_at_a_node_that_lags_holds_everything_that_was_acknowledged() {
    let (places, programs) = three();
    let leader = leading(&places);
    let behind = (leader + 1) % 3;
    let mut ada = signed_up(&programs[leader]).await;
    programs[behind].signal(Signal::STOP);
    // so much that it cannot be there in a moment
    let pad = "x".repeat(50 << 10);
    for n in 0..100 {
        assert_eq!(ada.patch(&json!({"n": n, "pad": pad})).await.status(), StatusCode::OK);
    }
    ada = ada.a_while_later();
    let file = places[behind].file("behind").display().to_string();
    let asked = places[behind].command(&["backup", &file]).spawn().expect("the binary runs");
    // the question waits in its socket when it wakes up
    std::thread::sleep(Duration::from_millis(300));
    programs[behind].signal(Signal::CONT);
    let done = asked.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let fresh = place();
    fresh.done(&["restore", &file, "--keep-sessions"]);
    let one = fresh.start();
    assert_eq!(ada.at_url(&one.url).session().await.expect("it is there")["data"]["n"], 99);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_a_backup_is_made_only_of_what_a_node_has_and_if_that_is_wanted() {
    let (places, mut programs) = three();
    let ada = signed_up(&programs[0]).await;
    let left = leading(&places);
    let survivor = programs.remove(left);
    programs.into_iter().for_each(Program::kill);
    let file = places[left].file("survivor").display().to_string();
    let refused = places[left].run(&["backup", &file]);
    assert!(refused.status == 1 && refused.err.contains("no leader answers"), "{}", refused.err);
    places[left].done(&["backup", "--stale", &file]);
    let fresh = place();
    fresh.done(&["restore", &file, "--keep-sessions"]);
    assert!(ada.at_url(&fresh.start().url).is_signed_in().await);
    drop(survivor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_directory_went_back_in_time_says_so_and_stops() {
    let (places, mut programs) = three();
    let leader = leading(&places);
    let mut ada = signed_up(&programs[leader]).await;
    let (back, leader) = ((leader + 1) % 3, programs[leader].url.clone());
    let node = programs.remove(back);
    assert_eq!(node.stop(), Some(0));
    let earlier = Place::new();
    places[back].copy_to(&earlier);
    let node = places[back].start();
    let has =
        |n: u64| nodes(&places[back]).iter().any(|node| node["is_this"] == true && node["applied"].as_u64() >= Some(n));
    for n in 0..20 {
        assert_eq!(ada.patch(&json!({"n": n})).await.status(), StatusCode::OK);
    }
    let applied = nodes(&places[back]).iter().filter_map(|node| node["applied"].as_u64()).max().expect("somebody");
    until("it has them", || has(applied));
    node.kill();
    std::fs::remove_dir_all(places[back].data()).expect("is removed");
    earlier.copy_to(&places[back]);
    let (status, log) = match places[back].spawn().ready() {
        Ok(mut node) => (node.wait().code(), node.log()),
        Err(ended) => (ended.status, ended.log),
    };
    assert_eq!(status, Some(1), "{log}\n{}", programs.iter().map(Program::log).collect::<String>());
    assert!(log.contains("its directory is older than what this node has acknowledged"), "{log}");
    assert!(log.contains("hint: a node of several is replaced"), "{log}");
    assert_eq!(ada.at_url(&leader).get("/readyz").await.status(), StatusCode::OK);
}

#[test]
fn a_learner_founds_no_cluster() {
    let place = place();
    let refused = place.run(&["serve", "--learner"]);
    assert!(refused.status == 2 && refused.err.contains("--learner needs --join"), "{}", refused.err);
    assert!(!place.data().join("log.redb").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_wakes_up_and_believes_nothing_old() {
    let (places, programs) = three();
    for round in 0..2 {
        let mut ada = programs[round].visitor();
        ada.sign_up(&format!("ada{round}@example.com")).await;
        assert_eq!(ada.sign_in(&format!("ada{round}@example.com"), PASSWORD).await.status(), StatusCode::OK);
        let ada = ada.a_while_later();
        let paused = leading(&places);
        let (paused, other) = (&programs[paused], &programs[(paused + 1) % 3]);
        assert!(ada.at_url(&paused.url).is_signed_in().await);
        paused.signal(Signal::STOP);
        let began = Instant::now();
        while ada.at_url(&other.url).post("/api/v1/signout", &json!({})).await.status() != StatusCode::NO_CONTENT {
            assert!(began.elapsed() < PATIENCE, "nobody ends the session");
        }
        let ended = Instant::now();
        // what was asked before the pause may be answered for as long as it may be old
        std::thread::sleep(Duration::from_secs(1).saturating_sub(ended.elapsed()));
        paused.signal(Signal::CONT);
        for _ in 0..50 {
            let status = ada.at_url(&paused.url).get("/profile").await.status();
            assert!([StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE].contains(&status), "{status}");
        }
        until("all are back", || votes(&places[0], 3));
    }
}
