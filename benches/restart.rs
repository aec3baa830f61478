//! How long is a node with a million sessions away when it is killed, and what does a session cost in memory?
//!
//! Sessions are begun through the log itself, signed in, one for each of as many people, each with a value of 300
//! bytes. Then the real binary is started on them, killed with SIGKILL and started again, and the time counts from
//! starting the process to the first 200 of `/readyz`. Memory is what the process holds beyond an empty one's, beside
//! a Redis that holds as many values of 300 bytes under keys of the same form, with a deadline each.

mod kit;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kit::child;
use kit::figures::median;
use kit::fill::{self, ROOMY, sid, value};
use kit::node::{Node, Scratch, free_address, rss_bytes};
use kit::table::{Bound, Table, aim, thousands, title};

const SIZES: [usize; 2] = [100_000, 1_000_000];
const STARTS: usize = 3;
/// How long after being ready a process has settled.
const SETTLED: Duration = Duration::from_secs(3);

fn main() {
    match child::part().as_deref() {
        Some(fill::PART) => fill::play(),
        _ => measure(),
    }
}

/// What was measured for one number of sessions.
struct Found {
    sessions: usize,
    ready_ms: f64,
    bytes_each: f64,
    redis_bytes_each: Option<f64>,
    snapshot_bytes: u64,
    log_bytes: u64,
}

fn measure() {
    title("restart: from exec to ready after SIGKILL, memory of a session of 300 bytes beside Redis, footprint");
    let scratch = Scratch::new("restart");
    let idle = footprint(&scratch);
    let redis = Redis::start(&scratch.path("redis"));
    if redis.is_none() {
        println!("  no redis-server on this machine: without a peer (Debian: apt-get install redis-server)\n");
    }
    drop(redis);
    let found: Vec<Found> = SIZES.iter().map(|sessions| restarted(&scratch, *sessions, idle)).collect();
    let mut table =
        Table::new(&["sessions", "exec to ready", "bytes/session", "Redis", "ratio", "snapshot", "log file"]);
    for f in &found {
        let redis = f.redis_bytes_each;
        table.row([
            thousands(f.sessions as f64),
            format!("{:.0} ms", f.ready_ms),
            thousands(f.bytes_each),
            redis.map_or("-".to_owned(), thousands),
            redis.map_or("-".to_owned(), |r| format!("{:.2}", f.bytes_each / r)),
            mib(f.snapshot_bytes as f64),
            mib(f.log_bytes as f64),
        ]);
    }
    table.print();
    let most = &found[found.len() - 1];
    aim("seconds to ready, a million sessions", most.ready_ms / 1_000.0, Bound::AtMost(3.0));
    if let Some(redis) = most.redis_bytes_each {
        aim("memory of a session / Redis's", most.bytes_each / redis, Bound::AtMost(1.7));
    }
    aim("idle memory, MiB", idle / 1_048_576.0, Bound::AtMost(25.0));
    let binary = fs::metadata(env!("CARGO_BIN_EXE_sojourn")).map_or(0.0, |m| m.len() as f64);
    aim("binary, MiB", binary / 1_048_576.0, Bound::AtMost(20.0));
}

fn mib(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / 1_048_576.0)
}

/// Memory of a new node that nobody uses, bytes.
fn footprint(scratch: &Scratch) -> f64 {
    let node = Node::start(&scratch.path("empty"));
    std::thread::sleep(SETTLED);
    rss_bytes(node.pid()) as f64
}

fn restarted(scratch: &Scratch, sessions: usize, idle: f64) -> Found {
    let dir = scratch.path(&format!("node-{sessions}"));
    let begun = Instant::now();
    fill::begin(&dir, sessions);
    eprintln!("  {} sessions begun in {:.1} s", thousands(sessions as f64), begun.elapsed().as_secs_f64());
    let mut ready = Vec::new();
    let mut rss = Vec::new();
    Node::with(&dir, &[ROOMY]).kill();
    for _ in 0..STARTS {
        let node = Node::with(&dir, &[ROOMY]);
        ready.push(node.ready_after.as_secs_f64() * 1_000.0);
        std::thread::sleep(SETTLED);
        rss.push(rss_bytes(node.pid()) as f64);
        node.kill();
    }
    let snapshots = fs::read_dir(dir.join("snapshots")).into_iter().flatten().flatten();
    let found = Found {
        sessions,
        ready_ms: median(ready),
        bytes_each: (median(rss) - idle) / sessions as f64,
        redis_bytes_each: Redis::start(&scratch.path("redis")).map(|redis| redis.bytes_each(sessions)),
        snapshot_bytes: snapshots.filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum(),
        log_bytes: fs::metadata(dir.join("log.redb")).map_or(0, |m| m.len()),
    };
    let _ = fs::remove_dir_all(&dir);
    found
}

/// The peer: a Redis that keeps nothing on disk.
struct Redis {
    process: Child,
    address: SocketAddr,
}

impl Redis {
    fn start(dir: &Path) -> Option<Self> {
        fs::create_dir_all(dir).ok()?;
        let address = free_address();
        let mut command = Command::new("redis-server");
        command.args(["--port", &address.port().to_string(), "--save", "", "--appendonly", "no"]).current_dir(dir);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let redis = Self { process, address };
        let begun = Instant::now();
        while TcpStream::connect(redis.address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(redis)
    }

    /// What a value costs, once `count` are there.
    fn bytes_each(&self, count: usize) -> f64 {
        const PIPELINE: usize = 1_000;
        std::thread::sleep(Duration::from_millis(200));
        let before = rss_bytes(self.process.id());
        let mut stream = TcpStream::connect(self.address).expect("Redis accepts");
        let mut replies = BufReader::new(stream.try_clone().expect("a second handle"));
        for first in (0..count).step_by(PIPELINE) {
            let numbers = first..count.min(first + PIPELINE);
            let commands: String = numbers.clone().map(|number| setex(&sid(number))).collect();
            stream.write_all(commands.as_bytes()).expect("Redis reads");
            for _ in numbers {
                let mut line = String::new();
                replies.read_line(&mut line).expect("Redis answers");
                assert_eq!(line, "+OK\r\n");
            }
        }
        std::thread::sleep(SETTLED);
        (rss_bytes(self.process.id()) - before) as f64 / count as f64
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn setex(sid: &str) -> String {
    let value = value("0199a1b2-c3d4-7000-8abc-000000000000");
    format!("*4\r\n$5\r\nSETEX\r\n$37\r\nsess:{sid}\r\n$7\r\n2592000\r\n${}\r\n{value}\r\n", value.len())
}
