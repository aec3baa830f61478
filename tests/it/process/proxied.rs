//! Proxied: three processes behind nginx without stickiness, restarted one after the other while people click on.
//! Without `TEST_PROXY=1` nothing here runs.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{PASSWORD, Visitor};
use crate::program::{Ended, PATIENCE, Place, Program};

/// The configuration that the project ships, at these addresses.
const NGINX: &str = include_str!("../../../cluster/nginx.conf");
/// People who click.
const PEOPLE: usize = 8;

fn free() -> String {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("a free port").to_string()
}

/// A place whose ports stay the same over restarts, and its HTTP door.
fn place() -> (Place, String) {
    let web = free();
    (Place::new().with("SOJOURN_WEB_LISTEN", &web).with("SOJOURN_CLUSTER_LISTEN", &free()), web)
}

/// nginx in front of these doors; killed when dropped.
struct Nginx {
    process: Child,
    url: String,
    _dir: tempfile::TempDir,
}

impl Nginx {
    fn start(doors: &[String]) -> Self {
        let (dir, address) = (tempfile::tempdir().expect("a directory"), free());
        let places = [("127.0.0.1:3000", &doors[0]), ("127.0.0.1:3010", &doors[1]), ("127.0.0.1:3020", &doors[2])];
        let conf = places.iter().fold(NGINX.replace("127.0.0.1:8080", &address), |conf, (shipped, here)| {
            assert!(conf.contains(shipped));
            conf.replace(shipped, here)
        });
        let own = dir.path().join("sojourn-nginx").display().to_string();
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, conf.replace("/tmp/sojourn-nginx", &own)).expect("is written");
        let mut nginx = Command::new("nginx");
        nginx.args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(&file).stderr(Stdio::null());
        let process = nginx.spawn().expect("nginx runs; tests/all installs it");
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < until, "nginx does not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { process, url: format!("http://{address}"), _dir: dir }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // its workers go with it: TERM, which KILL would not tell them
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let _ = self.process.wait();
    }
}

/// What the people saw.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    checks: AtomicU64,
    writes: AtomicU64,
    /// Writes that were refused, or lost with a connection: said so, and done or not done.
    unsure: AtomicU64,
}

/// Clicks until it is over: whoever signed in stays so, and reads what they wrote.
async fn click(mut person: Visitor, seen: Arc<Seen>) {
    let mut n = 0;
    while !seen.over.load(Ordering::Relaxed) {
        for _ in 0..4 {
            assert_eq!(person.get("/profile").await.status(), StatusCode::OK, "a check failed");
            seen.checks.fetch_add(1, Ordering::Relaxed);
        }
        n += 1;
        match person.patch(&json!({"n": n})).await.status() {
            StatusCode::OK => {
                seen.writes.fetch_add(1, Ordering::Relaxed);
                assert_eq!(person.session().await.expect("signed in")["data"]["n"], n, "whoever wrote reads it");
            }
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                seen.unsure.fetch_add(1, Ordering::Relaxed);
            }
            other => panic!("a write was answered {other}"),
        }
    }
}

fn joined(places: &[(Place, String)]) -> Vec<Program> {
    let mut programs = vec![places[0].0.start()];
    for (place, _) in &places[1..] {
        let token = places[0].0.done(&["cluster", "token"]).trim().to_owned();
        let node = place.spawn_with(&["serve", "--join", &token]).ready();
        programs.push(node.unwrap_or_else(|Ended { log, .. }| panic!("{log}")));
    }
    let until = Instant::now() + PATIENCE;
    while places[0].0.done(&["cluster", "status"]).contains("learner") {
        assert!(Instant::now() < until, "they do not vote");
        std::thread::sleep(Duration::from_millis(50));
    }
    programs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_behind_a_proxy_fails_no_check() {
    if std::env::var_os("TEST_PROXY").is_none() {
        return;
    }
    let places = [place(), place(), place()];
    let mut programs = joined(&places);
    let doors: Vec<String> = places.iter().map(|(_, door)| door.clone()).collect();
    let nginx = Nginx::start(&doors);
    let seen = Arc::new(Seen::default());
    let mut people = Vec::new();
    for n in 0..PEOPLE {
        let (email, mut person) = (format!("ada{n}@example.com"), Visitor::at(&nginx.url));
        person.sign_up(&email).await;
        assert_eq!(person.sign_in(&email, PASSWORD).await.status(), StatusCode::OK);
        people.push(tokio::spawn(click(person, seen.clone())));
    }
    for (at, (place, _)) in places.iter().enumerate() {
        let before = seen.checks.load(Ordering::Relaxed);
        assert_eq!(programs.remove(at).stop(), Some(0));
        programs.insert(at, place.start());
        while place.run(&["healthcheck"]).status != 0 || seen.checks.load(Ordering::Relaxed) < before + 400 {
            assert!(people.iter().all(|person| !person.is_finished()), "somebody gave up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    seen.over.store(true, Ordering::Relaxed);
    for person in people {
        person.await.expect("nobody was signed out");
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (checks, writes, unsure) = (count(&seen.checks), count(&seen.writes), count(&seen.unsure));
    println!("{checks} checks, {writes} writes, {unsure} writes that were refused or lost with a connection");
    assert!(writes > 20 * unsure, "{writes} writes were done and {unsure} were not, or nobody knows");
}
