//! Import: a real Redis server's keys, copied into a node. Wants `redis-server`, and `TEST_REDIS=1`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sojourn::control::protocol::{Copied, CopiedKey, Held, KeyChunk, Over, Raw};
use sojourn::control::{Client, Request, Response};
use tempfile::TempDir;

use crate::program::{PATIENCE, Place};

/// A Redis server of our own.
struct Redis {
    child: Child,
    _dir: TempDir,
    port: u16,
}

impl Redis {
    /// `None` without `TEST_REDIS=1`.
    fn start(args: &[&str]) -> Option<Self> {
        if std::env::var_os("TEST_REDIS").is_none_or(|set| set != "1") {
            eprintln!("left out: TEST_REDIS=1 runs it, and wants redis-server");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let port = crate::harness::free_address().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(args)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self { child, _dir: dir, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "it does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(redis)
    }

    fn url(&self, db: u8) -> String {
        format!("redis://127.0.0.1:{}/{db}", self.port)
    }

    /// Sends commands, a line each; answers the first line of each answer.
    fn run(&self, lines: &[&str]) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let mut read = BufReader::new(stream.try_clone().expect("a handle"));
        let mut answers = Vec::new();
        for line in lines {
            stream.write_all(format!("{line}\r\n").as_bytes()).expect("is sent");
            let mut answer = String::new();
            read.read_line(&mut answer).expect("an answer");
            assert!(!answer.starts_with('-'), "{line}: {answer}");
            answers.push(answer.trim_end().to_owned());
        }
        answers
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the node to write one key, or to remove it.
fn write(place: &Place, (db, key): (u8, &str), text: &str, over: Over) -> Copied {
    let holds = if text.is_empty() { Held::Nothing } else { Held::Text(Raw(text.as_bytes().to_vec())) };
    // what is only looked at is to live no longer for it
    let ttl_ms = Some(if over == Over::Anything { 60_000 } else { 1 });
    let key = CopiedKey { key: Raw(key.as_bytes().to_vec()), holds, ttl_ms, over };
    let request = Request::CopyKeys(KeyChunk { db, may_sign_in: false, keys: vec![key] });
    match Client::connect(&place.data()).and_then(|mut node| node.ask(&request)) {
        Ok(Response::Copied(mut done)) => done.remove(0),
        other => panic!("a key was to be written: {other:?}"),
    }
}

/// Whether the node holds this text under the key.
fn holds(place: &Place, key: (u8, &str), text: &str) -> bool {
    // no log entry has this index, so nothing is ever written over
    matches!(write(place, key, text, Over::Version(u64::MAX - 1)), Copied::Same { .. })
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sum(out: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

#[test]
fn live_keys_are_copied_with_the_time_they_have_left() {
    let Some(redis) = Redis::start(&[]) else { return };
    let place = Place::new();
    let node = place.start();
    redis.run(&["SET sess:a one PX 3600000", "SET sess:b two", "SET other 1"]);
    redis.run(&["RPUSH sess:list 1", "SELECT 3", "SET sess:three 3"]);
    for n in 0..30 {
        let keys: Vec<String> = (0..100).map(|k| format!("SET sess:{n}-{k} value-{n}-{k} EX 600")).collect();
        redis.run(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    }
    redis.run(&["SET sess:short x PX 8000"]);
    let done = place.run(&["import", &redis.url(0), "--prefix", "sess:", "--json"]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    let told = sum(&done.out);
    assert_eq!((&told["copied"], &told["skipped"], &told["kept"]), (&json!(3_003), &json!(1), &json!(0)));
    assert!(done.err.contains("skipped sess:list: it is neither a string nor a hash"), "{}", done.err);
    assert!(holds(&place, (0, "sess:a"), "one") && holds(&place, (0, "sess:b"), "two"));
    assert!(holds(&place, (0, "sess:29-99"), "value-29-99"));
    assert!(!holds(&place, (0, "other"), "1") && !holds(&place, (0, "sess:three"), "3"));
    // its time came, here as there
    eventually("the short one ends", || !holds(&place, (0, "sess:short"), "x"));
    // again: nothing is written twice, and what is another here stays
    redis.run(&["SET sess:b changed"]);
    let told = sum(&place.done(&["import", &redis.url(0), "--prefix", "sess:", "--json"]));
    assert_eq!((&told["copied"], &told["same"], &told["kept"]), (&json!(0), &json!(3_001), &json!(1)));
    assert!(holds(&place, (0, "sess:b"), "two"));
    let told = sum(&place.done(&["import", &redis.url(0), "--prefix", "sess:b", "--overwrite", "--json"]));
    assert_eq!(told["copied"], json!(1));
    assert!(holds(&place, (0, "sess:b"), "changed"));
    place.done(&["import", &redis.url(3)]);
    assert!(holds(&place, (3, "sess:three"), "3") && !holds(&place, (0, "sess:three"), "3"));
    node.stop();
}

#[test]
fn hashes_are_copied() {
    let Some(redis) = Redis::start(&[]) else { return };
    let place = Place::new();
    let node = place.start();
    redis.run(&["HSET spring:1 a 1 b 2", "PEXPIRE spring:1 600000"]);
    let told = sum(&place.done(&["import", &redis.url(0), "--json"]));
    assert_eq!((&told["copied"], &told["skipped"]), (&json!(1), &json!(0)));
    let told = sum(&place.done(&["import", &redis.url(0), "--json"]));
    assert_eq!((&told["copied"], &told["same"]), (&json!(0), &json!(1)));
    node.stop();
}

#[test]
fn a_following_import_copies_what_changes_and_undoes_nothing_that_apps_did_here() {
    // with and without events
    for args in [&["--notify-keyspace-events", "KA"][..], &[]] {
        let Some(redis) = Redis::start(args) else { return };
        let place = Place::new();
        let node = place.start();
        redis.run(&["SET sess:a 1 EX 600", "SET sess:b 1 EX 600", "SET sess:c 1 EX 600"]);
        let mut follow = place.command(&["import", &redis.url(0), "--follow", "--json"]).spawn().expect("it runs");
        eventually("the first pass", || holds(&place, (0, "sess:c"), "1") && holds(&place, (0, "sess:a"), "1"));
        // an app writes here
        assert!(matches!(write(&place, (0, "sess:b"), "app", Over::Anything), Copied::Written { .. }));
        redis.run(&["SET sess:a 2 EX 600", "SET sess:b 2 EX 600", "DEL sess:c", "SET sess:d 1 EX 600"]);
        eventually("changes arrive", || holds(&place, (0, "sess:a"), "2") && holds(&place, (0, "sess:d"), "1"));
        eventually("what ended there ends here", || !holds(&place, (0, "sess:c"), "1"));
        // what ended here is somebody else's affair from then on
        assert!(matches!(write(&place, (0, "sess:b"), "", Over::Anything), Copied::Written { .. }));
        redis.run(&["SET sess:b 3 EX 600"]);
        redis.run(&["SET sess:d 2 EX 600"]);
        eventually("later changes arrive", || holds(&place, (0, "sess:d"), "2"));
        assert!(!holds(&place, (0, "sess:b"), "3"));
        let pid = Pid::from_raw(i32::try_from(follow.id()).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::INT).expect("it runs still");
        let status = follow.wait().expect("it ends");
        let mut out = String::new();
        std::io::Read::read_to_string(&mut follow.stdout.take().expect("is piped"), &mut out).expect("text");
        assert!(status.success(), "{out}");
        let told = sum(&out);
        assert_eq!((&told["copied"], &told["gone"], &told["kept"]), (&json!(6), &json!(1), &json!(1)));
        node.stop();
    }
}

#[test]
fn a_server_that_wants_a_password_gets_it_from_standard_input() {
    let Some(redis) = Redis::start(&["--requirepass", "open sesame"]) else { return };
    let place = Place::new();
    let node = place.start();
    let refused = place.run(&["import", &redis.url(0)]);
    assert!(refused.status == 1 && refused.err.contains("hint: "), "{}", refused.err);
    let done = place.run_with(&["import", &redis.url(0), "--password-stdin"], b"open sesame\n");
    assert_eq!(
        (done.status, done.out.as_str()),
        (0, "copied 0, found 0 the same, kept 0 that hold something else here, skipped 0, gone 0\n")
    );
    let nobody = place.run(&["import", "redis://127.0.0.1:1"]);
    assert!(nobody.status == 1 && nobody.err.contains("cannot reach the Redis server"), "{}", nobody.err);
    node.stop();
}
