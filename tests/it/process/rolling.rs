//! Rolling: every node of a cluster is restarted in turn behind a real nginx without stickiness, while people click on.
//!
//! nginx runs with `cluster/nginx.conf` as it is shipped, but for addresses and places. It runs only where
//! `TEST_PROXY=1` asks for it; there, an nginx that is missing is a failure and not an excuse.

use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::cluster::{free_address, place, ready, until, votes};
use crate::browser::chromium::{Chromium, Scripts};
use crate::harness::{PASSWORD, Visitor};
use crate::program::{PATIENCE, Place, Program};

/// Signed-in clients that click on.
const CLIENTS: usize = 8;
/// How often each node is restarted in a plain run; `TEST_ROUNDS=20` looks longer for what is rare.
const ROUNDS: usize = 2;
/// How long one of them looks at what it got. Argon2 aside, a machine with two cores bears this in a debug build.
const LOOKS: Duration = Duration::from_millis(10);

/// An nginx in front of some nodes.
struct Nginx {
    master: Child,
    url: String,
    _dir: TempDir,
}

impl Nginx {
    /// `None`, said aloud, unless this run asked for one. Balances over these addresses, from this one.
    fn start(nodes: &[String], listen: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        // its workers are another user's when it is root's
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("is set");
        let mut config = include_str!("../../../cluster/nginx.conf").to_owned();
        let place = dir.path().join("nginx").display().to_string();
        let shipped = ["127.0.0.1:3000", "127.0.0.1:3010", "127.0.0.1:3020", "127.0.0.1:8080", "/tmp/sojourn-nginx"];
        let ours = [&nodes[0], &nodes[1], &nodes[2], listen, &place];
        for (shipped, ours) in shipped.into_iter().zip(ours) {
            assert!(config.contains(shipped), "cluster/nginx.conf does not say {shipped}");
            config = config.replace(shipped, ours);
        }
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config).expect("is written");
        let file = file.to_str().expect("is text");
        let mut command = Command::new("nginx");
        command.args(["-p", dir.path().to_str().expect("is text"), "-c", file, "-e", "stderr"]);
        let master = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let master =
            master.unwrap_or_else(|e| panic!("nginx: {e}\nhint: apt-get install nginx-light, as tests/all does"));
        until("nginx listens", || TcpStream::connect(listen).is_ok());
        Some(Self { master, url: format!("http://{listen}"), _dir: dir })
    }

    fn is_wanted() -> bool {
        let is_wanted = std::env::var("TEST_PROXY").as_deref() == Ok("1");
        if !is_wanted {
            // past the capture of output: that something was left out should be seen
            _ = std::io::stderr().write_all(b"skipped: a rolling restart behind nginx; TEST_PROXY=1 runs it\n");
        }
        is_wanted
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // told, not killed: its workers go with it
        let pid = Pid::from_raw(self.master.id().cast_signed()).expect("a process has an id");
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.master.wait();
    }
}

/// What the clients met.
#[derive(Default)]
struct Met {
    checks: u64,
    writes: u64,
    wrong: Vec<String>,
    slowest: Duration,
    /// How long each write took.
    took: Vec<Duration>,
}

impl Met {
    fn and(mut self, other: Self) -> Self {
        self.checks += other.checks;
        self.writes += other.writes;
        self.wrong.extend(other.wrong);
        self.took.extend(other.took);
        self.slowest = self.slowest.max(other.slowest);
        self
    }
}

/// Reads and writes until told to stop.
async fn click_on(mut person: Visitor, begun: Instant, is_over: Arc<AtomicBool>) -> Met {
    let mut met = Met::default();
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        match person.request(Method::GET, "/profile").send().await {
            Ok(answer) if answer.status() == StatusCode::OK => person.keep(answer.headers()),
            other => met.wrong.push(format!("a check {:?} after: {}", begun.elapsed(), said(other).await)),
        }
        met.checks += 1;
        met.slowest = met.slowest.max(asked.elapsed());
        tokio::time::sleep(LOOKS).await;
        met.writes += 1;
        let asked = Instant::now();
        let write = person.request(Method::PATCH, "/api/v1/session").json(&json!({"writes": met.writes}));
        match write.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                person.keep(answer.headers());
                met.took.push(asked.elapsed());
                let read = person.session().await.map(|session| session["data"]["writes"].clone());
                if read != Some(json!(met.writes)) {
                    met.wrong.push(format!("wrote {}, and read {read:?}", met.writes));
                }
            }
            other => met.wrong.push(format!("a write {:?} after: {}", begun.elapsed(), said(other).await)),
        }
        tokio::time::sleep(LOOKS).await;
    }
    met
}

async fn said(answer: reqwest::Result<reqwest::Response>) -> String {
    match answer {
        Ok(answer) => format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()),
        Err(e) => format!("{e:?}"),
    }
}

/// Three nodes whose doors stay where they are, known by the address of their balancer.
fn three_behind(listen: &str) -> ([Place; 3], Vec<Program>, [String; 3]) {
    let doors = [free_address(), free_address(), free_address()];
    let at = |door: &String| {
        place().with("SOJOURN_WEB_LISTEN", door).with("SOJOURN_PUBLIC_URL", &format!("http://{listen}"))
    };
    let places = [at(&doors[0]), at(&doors[1]), at(&doors[2])];
    let one = places[0].start();
    let token = places[0].done(&["cluster", "token", "--uses", "2"]).trim().to_owned();
    let two = ready(places[1].spawn_with(&["serve", "--join", &token]));
    let three = ready(places[2].spawn_with(&["serve", "--join", &token]));
    until("all vote", || votes(&places[0], 3));
    (places, vec![one, two, three], doors)
}

/// Signs in and clicks on, until told to stop. Answers how often.
async fn browse(chromium: &Chromium, url: &str, is_over: &AtomicBool) -> usize {
    let browser = chromium.browser_at(url, Scripts::Off).await;
    browser.open("/login").await;
    browser.fill("#signin-email", "person0@example.com").await;
    browser.fill("#signin-password", PASSWORD).await;
    browser.press("main form button[type=submit]").await;
    let mut clicks = 0;
    while !is_over.load(Ordering::Relaxed) {
        browser.open("/").await;
        browser.press("#pour").await;
        clicks += 1;
        assert_eq!(browser.text("#beers").await, clicks.to_string());
        browser.open("/home").await;
        assert_eq!(browser.path().await, "/home", "the browser was signed out");
    }
    browser.close().await;
    clicks
}

/// Each node in turn; the next when the one before votes again.
fn restart_each(places: &[Place; 3], programs: &mut Vec<Program>) {
    for (at, place) in places.iter().enumerate() {
        let stopped = Instant::now();
        assert_eq!(programs.remove(at).stop(), Some(0));
        let took = stopped.elapsed();
        programs.insert(at, place.start());
        until("it is ready", || place.run(&["healthcheck"]).status == 0);
        until("it votes", || votes(place, 3));
        println!("node {at}: stopped in {took:?}, back after {:?}", stopped.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_restart_behind_nginx_signs_nobody_out() {
    if !Nginx::is_wanted() {
        return;
    }
    let listen = free_address();
    let (places, mut programs, doors) = three_behind(&listen);
    let nginx = Nginx::start(&doors, &listen).expect("it is wanted");
    let (begun, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let mut person = Visitor::at(&nginx.url);
        let email = format!("person{number}@example.com");
        person.sign_up(&email).await;
        assert_eq!(person.sign_in(&email, PASSWORD).await.status(), StatusCode::OK);
        clients.spawn(click_on(person, begun, is_over.clone()));
    }
    let restarted = is_over.clone();
    let rounds = std::env::var("TEST_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let restarting = tokio::task::spawn_blocking(move || {
        (0..rounds).for_each(|_| restart_each(&places, &mut programs));
        restarted.store(true, Ordering::Relaxed);
        // they run until the clients have ended
        (places, programs)
    });
    if let Some(chromium) = Chromium::start().await {
        println!("{} clicks in a browser", browse(&chromium, &nginx.url, &is_over).await);
    }
    let _running = restarting.await.expect("they restart");
    let mut met = clients.join_all().await.into_iter().fold(Met::default(), Met::and);
    met.took.sort();
    let p = |share: usize| met.took[(met.took.len() - 1) * share / 1000];
    println!(
        "{} checks, slowest {:?}; {} writes, p50 {:?} p99 {:?} p99.9 {:?} slowest {:?}",
        met.checks,
        met.slowest,
        met.writes,
        p(500),
        p(990),
        p(999),
        p(1000)
    );
    assert!(begun.elapsed() < PATIENCE * 3 && met.checks > 200, "{} checks", met.checks);
    assert!(met.wrong.is_empty(), "{} of {}:\n{}", met.wrong.len(), met.checks + met.writes, met.wrong.join("\n"));
}
