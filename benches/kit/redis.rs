//! Redis: the peer of whoever asks what the Redis door costs, and redis-benchmark, which asks both.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::load::Found;
use super::node::free_address;

/// What to say where there is none.
pub const MISSING: &str =
    "  no redis-server or redis-benchmark on this machine\n  hint: apt-get install redis-server\n";
/// How long it may take to listen.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What a server keeps on its disk.
#[derive(Clone, Copy)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// Every write, fsynced before it is acknowledged.
    Always,
}

/// A redis-server; killed when dropped.
pub struct Redis {
    process: Child,
    pub address: SocketAddr,
}

impl Redis {
    /// Starts one in `dir`; `None` where it is not installed.
    pub fn start(dir: &Path, keeps: Keeps) -> Option<Self> {
        std::fs::create_dir_all(dir).expect("a directory");
        let address = free_address();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
        command.arg("--dir").arg(dir);
        match keeps {
            Keeps::Nothing => command.args(["--appendonly", "no"]),
            Keeps::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
        };
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
        let redis = Self { process, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < READY_WITHIN, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Some(redis)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // one that ended by itself cannot be killed, and need not be
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What redis-benchmark is to do.
#[derive(Clone, Copy)]
pub struct Asks {
    /// `get` or `set`.
    pub test: &'static str,
    pub connections: usize,
    /// How many commands each connection sends at once.
    pub pipeline: usize,
    pub requests: u64,
}

impl Asks {
    /// Runs it with values of 300 bytes under ten thousand keys; `None` where there is no redis-benchmark.
    pub fn run(&self, address: SocketAddr) -> Option<Found> {
        let numbers = [self.connections as u64, self.pipeline as u64, self.requests].map(|number| number.to_string());
        let done = Command::new("redis-benchmark")
            .args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-t", self.test, "--csv"])
            .args(["-d", "300", "-r", "10000", "-c", &numbers[0], "-P", &numbers[1], "-n", &numbers[2]])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max…"
        let row = said.lines().find(|line| line.to_lowercase().starts_with(&format!("\"{}\"", self.test)));
        let cells: Vec<f64> = row
            .unwrap_or_else(|| panic!("redis-benchmark says no rate: {said}"))
            .split(',')
            .filter_map(|cell| cell.trim_matches('"').parse().ok())
            .collect();
        Some(Found { per_second: cells[0], p50_us: cells[3] * 1_000.0, p99_us: cells[5] * 1_000.0 })
    }
}
