//! Backups: the whole state, out of a running node and into a new one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::dice::Dice;
use super::witness::Witness;
use crate::harness::Visitor;
use crate::program::{Place, Program};

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn back_up(place: &Place, name: &str) -> PathBuf {
    let file = place.file(name);
    place.done(&["backup", &text(&file)]);
    file
}

fn cluster(place: &Place) -> String {
    place.json(&["healthcheck"])["cluster"].as_str().expect("a node says its cluster").to_owned()
}

/// Counts in a session until told to stop, so that a backup never finds the node at rest.
async fn busy(mut visitor: Visitor, stop: Arc<AtomicBool>) -> u64 {
    let mut count = 1_000;
    while !stop.load(Ordering::Relaxed) {
        let request = visitor.request(Method::PATCH, "/api/v1/session").json(&json!({"count": count}));
        assert_eq!(visitor.send(request).await.status(), StatusCode::OK);
        count += 1;
    }
    count - 1_000
}

/// A node with some life in it, and a backup of it that was made while it was at work.
async fn backed_up(place: &Place) -> (Program, Witness, PathBuf) {
    let node = place.start();
    let mut witness = Witness::of_some_life(&node).await;
    let mut others = Witness::default();
    for name in ["carl", "dora", "emil"] {
        others.person(&node, &format!("{name}@example.com")).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = others.live.iter().map(|(one, _)| tokio::spawn(busy(one.clone(), stop.clone()))).collect();
    let first = back_up(place, "first");
    // the second one finds a snapshot, and records after it
    witness.count().await;
    let file = back_up(place, "second");
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        assert!(task.await.expect("was answered") > 0, "the node was idle");
    }
    assert_eq!(fs::metadata(&first).expect("is there").permissions().mode() & 0o777, 0o600);
    (node, witness, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_before_a_backup_is_in_it() {
    let place = Place::new();
    let (node, witness, file) = backed_up(&place).await;
    let new = Place::new();
    let told = new.done(&["restore", &text(&file), "--keep-sessions"]);
    assert!(told.starts_with("restored into ") && told.contains("sojourn serve"), "{told}");
    let restored = new.start();
    witness.finds_all(&restored).await;
    assert_ne!(cluster(&new), cluster(&place), "nodes of the old cluster must not take it for theirs");
    // and it is a node like any other
    let mut more = witness;
    for (visitor, _) in &mut more.live {
        *visitor = visitor.at_url(&restored.url);
    }
    more.person(&restored, "frida@example.com").await;
    more.count().await;
    restored.kill();
    more.finds_all(&new.start()).await;
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_ends_all_sessions_unless_it_is_told_to_keep_them() {
    let place = Place::new();
    let (_node, mut witness, file) = backed_up(&place).await;
    let new = Place::new();
    new.done(&["restore", &text(&file)]);
    let restored = new.start();
    witness.dead.extend(witness.live.drain(..).map(|(visitor, _)| visitor));
    witness.finds_all(&restored).await;
    let listed = new.json(&["session", "list"]);
    // those who were just let in again, and nobody else
    assert_eq!(listed.as_array().map(Vec::len), Some(witness.people.len()), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_by_name_and_leaves_nothing_behind() {
    let place = Place::new();
    let (_node, witness, file) = backed_up(&place).await;
    let whole = fs::read(&file).expect("is read");
    let (mut dice, seed) = Dice::seeded();
    let mut damages = vec![Vec::new(), whole[..7].to_vec(), whole[..whole.len() / 2].to_vec()];
    damages.push(whole[..whole.len() - 1].to_vec());
    for _ in 0..12 {
        let mut flipped = whole.clone();
        flipped[dice.below(whole.len() as u64) as usize] ^= 1 << dice.below(8);
        damages.push(flipped);
    }
    let new = Place::new();
    let damaged = new.file("damaged");
    for (at, bytes) in damages.iter().enumerate() {
        fs::write(&damaged, bytes).expect("is written");
        let refused = new.run(&["restore", &text(&damaged)]);
        assert_eq!(refused.status, 1, "damage {at}, TEST_SEED={seed}: {}", refused.out);
        assert!(refused.err.contains(&text(&damaged)), "damage {at}: {}", refused.err);
        assert!(refused.err.contains("damaged") && refused.err.contains("hint: "), "damage {at}: {}", refused.err);
        let left = fs::read_dir(new.data()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "damage {at}: something is left in the data directory");
    }
    let missing = new.run(&["restore", "/nowhere"]);
    assert!(missing.status == 1 && missing.err.contains("/nowhere"), "{}", missing.err);
    new.done(&["restore", &text(&file), "--keep-sessions"]);
    witness.finds_all(&new.start()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_did_not_finish_does_not_start() {
    let place = Place::new();
    let (_node, witness, file) = backed_up(&place).await;
    let (mut dice, seed) = Dice::seeded();
    let mut cut_short = 0;
    for round in 0..10 {
        let new = Place::new();
        let mut restoring = new.command(&["restore", &text(&file), "--keep-sessions"]).spawn().expect("runs");
        std::thread::sleep(std::time::Duration::from_millis(dice.below(60)));
        restoring.kill().expect("is ours");
        restoring.wait().expect("ends");
        let empty = fs::read_dir(new.data()).map_or(0, Iterator::count) == 0;
        match new.spawn().ready() {
            // nothing of it had come about: a new node
            Ok(_) if empty => {}
            // it was killed when all was done
            Ok(node) => witness.finds_all(&node).await,
            Err(ended) => {
                cut_short += 1;
                assert_eq!(ended.status, Some(1), "round {round}, TEST_SEED={seed}: {}", ended.log);
                assert!(ended.log.contains("restore") && ended.log.contains("hint: "), "{}", ended.log);
                assert!(ended.log.contains(&text(&new.data())), "{}", ended.log);
                assert_eq!(new.run(&["restore", &text(&file)]).status, 1, "it is not empty");
            }
        }
    }
    println!("{cut_short} of 10 restores were cut short");
}

#[test]
fn a_restore_wants_an_empty_directory() {
    let place = Place::new();
    assert_eq!(
        {
            let node = place.start();
            back_up(&place, "backup");
            node.stop()
        },
        Some(0)
    );
    let refused = place.run(&["restore", &text(&place.file("backup"))]);
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("is not empty") && refused.err.contains("hint: "), "{}", refused.err);
    assert_eq!(place.start().stop(), Some(0), "and nothing was done to it");
}

#[test]
fn a_backup_that_cannot_be_written_leaves_no_file() {
    let place = Place::new();
    let _node = place.start();
    for target in ["/nowhere/backup".to_owned(), text(&place.data())] {
        let refused = place.run(&["backup", &target]);
        assert_eq!(refused.status, 1, "{target}");
        assert!(refused.err.contains("cannot write") && refused.err.contains("hint: "), "{}", refused.err);
    }
    let partial = fs::read_dir(place.data()).expect("is read").flatten();
    assert_eq!(partial.filter(|item| item.file_name().to_string_lossy().starts_with("backup")).count(), 0);
}
