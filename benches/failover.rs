//! How long does nobody take a write when the leader is killed, and what do session checks notice of it?
//!
//! The leader of three nodes is killed with SIGKILL, again and again. From then on a write is begun every 20 ms through
//! one of the others, each over a connection of its own, and the time counts from the kill to the first that is
//! acknowledged. All the while both others are asked `GET /profile` in a steady stream, and none may fail. etcd with
//! three members and its default timeouts loses its leader in the same way, fewer times; puts are begun as often.
//! `ROUNDS=200 cargo bench --bench failover` kills more often.

mod kit;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kit::cluster::Cluster;
use kit::etcd::{self, Client, Etcd};
use kit::figures::Histogram;
use kit::load::Person;
use kit::node::{self, Scratch};
use kit::table::{Bound, Table, aim, thousands, title};
use kit::writes;
use tokio::sync::mpsc;
use tokio::time::timeout;

const ROUNDS: usize = 50;
/// One round of etcd for so many of ours.
const ROUNDS_EACH: usize = 3;
/// How often a write is begun while none is acknowledged.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// How long it may take.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// How often each node is asked who is there, and how long it may take to answer.
const CHECK_EVERY: Duration = Duration::from_millis(5);
const CHECKED_WITHIN: Duration = Duration::from_secs(2);
/// How long all is well between two kills.
const PEACE: Duration = Duration::from_millis(500);

fn main() {
    title("failover: from SIGKILL of the leader to the next acknowledged write, beside etcd; session checks meanwhile");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let rounds = std::env::var("ROUNDS").ok().and_then(|said| said.parse().ok()).unwrap_or(ROUNDS);
    let scratch = Scratch::new("failover");
    let mut cluster = Cluster::start(&scratch.path("sojourn"));
    let mut etcd = Etcd::start(&scratch.path("etcd"));
    if etcd.is_none() {
        println!("{}", etcd::MISSING);
    }
    let address = cluster.places[0].address;
    node::sign_up(address, "ada@example.com");
    let writer = node::sign_in(address, "ada@example.com");
    let (checker, _) = node::reader(address, &node::sign_in(address, "ada@example.com"));
    let checks: Vec<Checks> = cluster.places.iter().map(|place| Checks::start(place.address, &checker)).collect();
    let (mut ours, mut theirs) = (Histogram::default(), Histogram::default());
    for round in 0..rounds {
        ours.record(lose_leader(&runtime, &mut cluster, &checks, &writer));
        if let Some(etcd) = etcd.as_mut().filter(|_| round % ROUNDS_EACH == 0) {
            theirs.record(lose_etcd(&runtime, etcd));
        }
    }
    let (made, failed) = checks.into_iter().map(Checks::stop).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    report(&ours, &theirs, (made, failed));
}

fn report(ours: &Histogram, theirs: &Histogram, (made, failed): (u64, u64)) {
    let mut table = Table::new(&["", "kills", "p50", "p99", "longest"]);
    let secs = |took: &Histogram, percent: f64| took.percentile_us(percent) / 1_000_000.0;
    for (name, took) in [("sojourn", ours), ("etcd", theirs)].into_iter().filter(|(_, took)| took.count() > 0) {
        let cell = |percent| format!("{:.2} s", secs(took, percent));
        table.row([name.to_owned(), took.count().to_string(), cell(50.0), cell(99.0), cell(100.0)]);
    }
    table.print();
    aim("seconds without writes, p50", secs(ours, 50.0), Bound::AtMost(0.5));
    aim("seconds without writes, p99", secs(ours, 99.0), Bound::AtMost(1.0));
    aim("seconds without writes, longest", secs(ours, 100.0), Bound::AtMost(2.0));
    let checks = thousands(made as f64);
    aim(&format!("checks that failed, of {checks} on the two that lived"), failed as f64, Bound::AtMost(0.0));
}

/// Kills the leader; answers how long no write was acknowledged, when all three are back.
fn lose_leader(runtime: &tokio::runtime::Runtime, cluster: &mut Cluster, checks: &[Checks], cookie: &str) -> Duration {
    let leader = cluster.leader();
    let through = cluster.places[(leader + 1) % 3].address;
    let request = writes::patching(cookie, 1).replace("\r\ncookie: ", "\r\nconnection: close\r\ncookie: ");
    checks[leader].counts.store(false, Ordering::SeqCst);
    let killed = Instant::now();
    cluster.nodes[leader].take().expect("it runs").kill();
    let took = runtime.block_on(first(killed, || {
        let request = request.clone();
        async move { write_through(through, &request).await.is_some_and(|reply| reply.starts_with(b"HTTP/1.1 200")) }
    }));
    cluster.heal(leader);
    checks[leader].counts.store(true, Ordering::SeqCst);
    std::thread::sleep(PEACE);
    took
}

async fn write_through(address: SocketAddr, request: &str) -> Option<Vec<u8>> {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut reply = Vec::new();
    writes::read_reply(&mut stream, &mut reply).await.then_some(reply)
}

/// The same for etcd.
fn lose_etcd(runtime: &tokio::runtime::Runtime, etcd: &mut Etcd) -> Duration {
    let leader = etcd.leader();
    let through = etcd.address((leader + 1) % 3);
    let client = runtime.block_on(Client::connect(through)).expect("etcd accepts");
    let request = etcd::put("sess:failover", &[b'x'; writes::VALUE]);
    let killed = Instant::now();
    etcd.kill(leader);
    let took = runtime.block_on(first(killed, || {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.put(request).await.is_ok() }
    }));
    etcd.heal(leader);
    std::thread::sleep(PEACE);
    took
}

/// How long after `killed` the first of many tries succeeded, one begun every [`TRY_EVERY`].
async fn first<F: Future<Output = bool> + Send + 'static>(killed: Instant, attempt: impl Fn() -> F) -> Duration {
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut ticks = tokio::time::interval(TRY_EVERY);
    while killed.elapsed() < BACK_WITHIN {
        ticks.tick().await;
        let (tell, attempt) = (tell.clone(), attempt());
        tokio::spawn(async move {
            if attempt.await {
                // only the first is listened to
                let _ = tell.send(killed.elapsed());
            }
        });
        if let Ok(Some(took)) = timeout(TRY_EVERY, told.recv()).await {
            return took;
        }
    }
    panic!("no write is acknowledged any more");
}

/// A steady stream of questions to one node: who is there?
struct Checks {
    /// Whether the node lives: only then a check counts, if it still does when it is answered.
    counts: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Checks {
    fn start(address: SocketAddr, person: &Person) -> Self {
        let (counts, stop) = (Arc::new(AtomicBool::new(true)), Arc::<AtomicBool>::default());
        let (made, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let told = (counts.clone(), stop.clone(), made.clone(), failed.clone());
        let person = person.clone();
        let thread = std::thread::spawn(move || {
            let (counts, stop, made, failed) = told;
            let mut open = None;
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(CHECK_EVERY);
                if !counts.load(Ordering::SeqCst) {
                    open = None;
                    continue;
                }
                let is_right = check(&mut open, address, &person);
                if counts.load(Ordering::SeqCst) {
                    made.fetch_add(1, Ordering::SeqCst);
                    failed.fetch_add(u64::from(!is_right), Ordering::SeqCst);
                }
            }
        });
        Self { counts, stop, made, failed, thread }
    }

    /// How many were made and how many of them failed.
    fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the checks end");
        (self.made.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst))
    }
}

/// Asks once, over a connection that is kept as long as all is well.
fn check(open: &mut Option<TcpStream>, address: SocketAddr, person: &Person) -> bool {
    let mut asked = || {
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).ok()?,
        };
        stream.set_read_timeout(Some(CHECKED_WITHIN)).ok()?;
        stream.write_all(person.request.as_bytes()).ok()?;
        let mut reply = vec![0; person.length];
        stream.read_exact(&mut reply).ok()?;
        let is_right = reply.starts_with(b"HTTP/1.1 200") && reply.ends_with(person.ends.as_bytes());
        is_right.then_some(stream)
    };
    let answered = asked();
    let is_right = answered.is_some();
    *open = answered;
    is_right
}
