//! How long until a wiped node has caught up with a million sessions, and what does that cost the leader?
//!
//! Three nodes hold a million sessions with values of 300 bytes. One that does not lead is killed, removed and wiped,
//! and joins anew by a token; the time counts from starting its process to the first 200 of `/readyz`, which a node
//! says when it is fresh. The floor is copying a file as long as the snapshot over a TCP connection on loopback, with an
//! fsync at the end. `SESSIONS=100000 cargo bench --bench catch_up` asks for fewer.

mod kit;

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kit::child;
use kit::cluster::{Cluster, Place, until};
use kit::figures::median;
use kit::fill::{self, ROOMY};
use kit::node::{Scratch, forget_peak, peak_bytes, rss_bytes};
use kit::table::{Bound, Table, aim, thousands, title};

const SESSIONS: usize = 1_000_000;
const ROUNDS: usize = 3;
/// How long after being ready a process has settled.
const SETTLED: Duration = Duration::from_secs(3);

fn main() {
    match child::part().as_deref() {
        Some(fill::PART) => fill::play(),
        _ => measure(),
    }
}

struct Round {
    took: Duration,
    floor: Duration,
    bytes: u64,
    /// Memory of the leader before, and at most meanwhile.
    before: u64,
    peak: u64,
}

fn measure() {
    title("catch_up: a wiped node joins a cluster with a million sessions, beside a bare copy of as many bytes");
    let sessions = std::env::var("SESSIONS").ok().and_then(|said| said.parse().ok()).unwrap_or(SESSIONS);
    let scratch = Scratch::new("catch_up");
    let places = [1, 2, 3].map(|n| Place::new(&scratch.path(&format!("node-{n}"))).with(ROOMY.0, ROOMY.1));
    let begun = Instant::now();
    fill::begin(&places[0].data, sessions);
    let mut cluster = Cluster::of(places);
    let took = begun.elapsed().as_secs_f64();
    eprintln!("  three nodes with {} sessions after {took:.1} s", thousands(sessions as f64));
    let rounds: Vec<Round> = (0..ROUNDS).map(|_| wipe_one(&mut cluster, &scratch)).collect();
    report(&rounds);
}

fn report(rounds: &[Round]) {
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    let mib = |bytes: f64| format!("{:.0} MiB", bytes / 1_048_576.0);
    let mut table = Table::new(&["", "took", "bytes", "MB/s", "leader before", "leader at most"]);
    let rate = |took: fn(&Round) -> Duration| {
        median(rounds.iter().map(|round| round.bytes as f64 / took(round).as_secs_f64() / 1e6))
    };
    table.row([
        "a wiped node is fresh".to_owned(),
        format!("{:.2} s", of(|r| r.took.as_secs_f64())),
        mib(of(|r| r.bytes as f64)),
        format!("{:.0}", rate(|r| r.took)),
        mib(of(|r| r.before as f64)),
        mib(of(|r| r.peak as f64)),
    ]);
    table.row([
        "bare copy".to_owned(),
        format!("{:.2} s", of(|r| r.floor.as_secs_f64())),
        mib(of(|r| r.bytes as f64)),
        format!("{:.0}", rate(|r| r.floor)),
        "-".to_owned(),
        "-".to_owned(),
    ]);
    table.print();
    println!("  as many times the bare copy: {:.1}", of(|r| r.took.as_secs_f64() / r.floor.as_secs_f64()));
    aim("leader's memory at most / before", of(|r| r.peak as f64 / r.before as f64), Bound::AtMost(1.25));
}

fn wipe_one(cluster: &mut Cluster, scratch: &Scratch) -> Round {
    let leader = cluster.leader();
    let at = (leader + 1) % 3;
    let id = cluster.places[at].id();
    cluster.nodes[at].take().expect("it runs").kill();
    let removed = cluster.places[leader].run(&["cluster", "remove", &id]);
    assert!(removed.is_some(), "the leader removes node {id}");
    fs::remove_dir_all(&cluster.places[at].data).expect("it can be wiped");
    std::thread::sleep(SETTLED);
    let pid = cluster.nodes[leader].as_ref().expect("it runs").pid();
    let before = rss_bytes(pid);
    forget_peak(pid);
    let node = cluster.places[at].join(&cluster.places[leader]);
    let took = node.ready_after;
    let peak = peak_bytes(pid);
    cluster.nodes[at] = Some(node);
    until("all three vote and answer", || cluster.places[leader].sees(3));
    let snapshot = sent(&cluster.places[at].data);
    let bytes = fs::metadata(&snapshot).expect("it is there").len();
    Round { took, floor: copy(&snapshot, &scratch.path("copy")), bytes, before, peak }
}

/// What a node with this data directory was sent: the newest snapshot, whose name is its index; the log, where there
/// are too few sessions for one.
fn sent(data: &Path) -> PathBuf {
    let snapshots = fs::read_dir(data.join("snapshots")).expect("a directory").flatten().map(|item| item.path());
    snapshots.max().unwrap_or_else(|| data.join("log.redb"))
}

/// The floor: how long the file takes over a connection to the disk.
fn copy(from: &Path, to: &Path) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has an address");
    let mut file = File::open(from).expect("it can be read");
    let begun = Instant::now();
    let sender = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).expect("it accepts");
        io::copy(&mut file, &mut stream).expect("it reads");
    });
    let (mut stream, _) = listener.accept().expect("somebody connects");
    let mut copied = File::create(to).expect("a file");
    io::copy(&mut stream, &mut copied).expect("the disk takes it");
    copied.sync_all().expect("the disk keeps it");
    let took = begun.elapsed();
    sender.join().expect("all was sent");
    took
}
