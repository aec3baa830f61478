//! How many session writes a second does the log acknowledge, beside a bare loop of append and fdatasync?
//!
//! A write is an edit of a session: decided, put into the log on disk, applied, answered. The bare loop appends as
//! many bytes to a file on the same disk and waits for them, one after another: the least that any log costs. Group
//! commit shows in how many writes share one fsync.

mod kit;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kit::figures::{Histogram, median};
use kit::node::Scratch;
use kit::table::{Bound, Table, aim, thousands, title};
use sojourn::clock::SystemClock;
use sojourn::log::Log as _;
use sojourn::raft::{RaftLog, Settings};
use sojourn::state::{Begin, Edit, Forgiven, Key, Op, Outcome, State};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(1_200);
const AT_ONCE: [usize; 3] = [1, 64, 256];
/// Bytes of a session's value.
const VALUE: usize = 300;
/// Bytes that the bare loop appends: a value and a little for its name.
const APPENDED: usize = 320;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure());
}

/// One round of one side.
struct Round {
    written: Histogram,
    per_second: f64,
    per_fsync: f64,
}

async fn measure() {
    title("log_append: session writes of 300 bytes, beside a bare loop of append + fdatasync on the same disk");
    let scratch = Scratch::new("log_append");
    let dir = scratch.path("node");
    std::fs::create_dir_all(&dir).expect("a directory");
    let state = Arc::new(State::open(&dir).expect("the state opens"));
    let settings = Settings::alone("0123456789abcdef0123456789abcdef");
    let log = RaftLog::open(&dir, state, Arc::new(SystemClock), settings).await.expect("the log opens");
    let keys = begin(&log, AT_ONCE[AT_ONCE.len() - 1]).await;

    let mut bare = Vec::new();
    let mut ours: [Vec<Round>; 3] = Default::default();
    for _ in 0..ROUNDS {
        bare.push(append(&scratch.path("bare")));
        for (at_once, rounds) in AT_ONCE.iter().zip(&mut ours) {
            rounds.push(write(&log, &keys[..*at_once]).await);
        }
    }
    log.shutdown().await;
    report(&bare, &ours);
}

fn report(bare: &[Round], ours: &[Vec<Round>; 3]) {
    let mut table = Table::new(&["at once", "writes/s", "p50", "p99", "writes/fsync", "p50 / bare p50"]);
    let p50 = |round: &Round| round.written.percentile_us(50.0);
    let row = |name: String, rounds: &[Round]| {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
        [
            name,
            thousands(of(|r| r.per_second)),
            format!("{:.0} us", of(|r| r.written.percentile_us(50.0))),
            format!("{:.0} us", of(|r| r.written.percentile_us(99.0))),
            format!("{:.1}", of(|r| r.per_fsync)),
            format!("{:.2}", median(rounds.iter().zip(bare).map(|(ours, bare)| p50(ours) / p50(bare)))),
        ]
    };
    table.row(row("bare loop".to_owned(), bare));
    for (at_once, rounds) in AT_ONCE.iter().zip(ours) {
        table.row(row(format!("{at_once} node"), rounds));
    }
    table.print();
    let ratio = median(ours[0].iter().zip(bare).map(|(ours, bare)| p50(ours) / p50(bare)));
    aim("p50 at 1 at once / p50 of a bare fdatasync", ratio, Bound::AtMost(3.0));
    let shared = median(ours[2].iter().map(|r| r.per_fsync));
    aim("writes per fsync at 256 at once", shared, Bound::AtLeast(20.0));
}

/// Anonymous sessions to write to.
async fn begin(log: &RaftLog, count: usize) -> Vec<Key> {
    let mut keys = Vec::new();
    for number in 0..count {
        let key = Key::session("sess:", &format!("{number:032}"));
        let begin = Begin {
            key: key.clone(),
            value: value(0).into(),
            signed: None,
            idle_ms: 3_600_000,
            lifetime_ms: 86_400_000,
            remember: false,
            address: "127.0.0.1".to_owned(),
            agent: "bench".to_owned(),
            replaces: None,
            per_user_max: 100,
            budget: None,
            forgiven: Forgiven::default(),
        };
        let began = log.submit(Op::Begin(Box::new(begin))).await.expect("a session begins");
        assert!(matches!(began, Outcome::Session(_)));
        keys.push(key);
    }
    keys
}

/// A session's value of the usual shape, [`VALUE`] bytes long.
fn value(number: u64) -> String {
    let cookie = r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/","sameSite":"lax"}"#;
    let begins = format!(r#"{{"cookie":{cookie},"count":{number:012},"filler":""#).replace(":0", ":1");
    format!("{begins}{}\"}}", "x".repeat(VALUE - begins.len() - 2))
}

/// One writer for each key, each writing its next value when the last one is acknowledged.
async fn write(log: &Arc<RaftLog>, keys: &[Key]) -> Round {
    let stop = Arc::new(AtomicBool::new(false));
    let commits = log.counters().commits();
    let begun = Instant::now();
    let writers: Vec<_> =
        keys.iter().map(|key| tokio::spawn(write_to(log.clone(), key.clone(), stop.clone()))).collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    let mut written = Histogram::default();
    for writer in writers {
        written.merge(&writer.await.expect("a writer ends"));
    }
    let took = begun.elapsed().as_secs_f64();
    let commits = log.counters().commits() - commits;
    let count = written.count() as f64;
    Round { per_second: count / took, per_fsync: count / commits as f64, written }
}

async fn write_to(log: Arc<RaftLog>, key: Key, stop: Arc<AtomicBool>) -> Histogram {
    let mut written = Histogram::default();
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let merge = format!(r#"{{"count":{}}}"#, 100_000_000_000 + number);
        let edit = Edit { key: key.clone(), merge, add: Vec::new(), value_max: 65_536 };
        let begun = Instant::now();
        let outcome = log.submit(Op::Edit(edit)).await.expect("a write is acknowledged");
        written.record(begun.elapsed());
        assert!(matches!(outcome, Outcome::Session(entry) if entry.value().len() == VALUE));
    }
    written
}

/// The peer.
fn append(path: &Path) -> Round {
    let mut file = File::options().create(true).append(true).open(path).expect("a file");
    let bytes = [7; APPENDED];
    let mut written = Histogram::default();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let from = Instant::now();
        file.write_all(&bytes).expect("the disk takes it");
        file.sync_data().expect("the disk keeps it");
        written.record(from.elapsed());
    }
    let per_second = written.count() as f64 / begun.elapsed().as_secs_f64();
    Round { written, per_second, per_fsync: 1.0 }
}
