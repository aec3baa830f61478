//! Node: a process of its own that runs a node, by a clock that can be set from here.
//!
//! The process is this very test program, told by its environment what to be. It ends when nobody holds its standard
//! input any more, so that no run leaves one behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sojourn::clock::{Clock, Millis, SystemClock};
use sojourn::config::{Config, File, Sources};
use sojourn::control::{self, Client};
use sojourn::node::{self, Joining};

/// Where the process finds what it is to be.
const SPEC: &str = "SOJOURN_HISTORY_NODE";
/// What it says when its doors are open.
const READY: &str = "history: ready";
/// How long it may take to start on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(15);
/// How long a command may take.
const ASK_WITHIN: Duration = Duration::from_secs(8);

/// What a process is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    pub data: PathBuf,
    pub web: String,
    /// Where it listens for peers, and where they are told to come.
    pub listen: String,
    pub advertise: String,
    pub token: Option<String>,
    /// How far its wall clock is off, milliseconds.
    pub wall_off_ms: i64,
}

/// A running process.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
}

impl Process {
    /// Starts one, and waits until its doors are open.
    ///
    /// # Errors
    /// When it ends first, or takes too long.
    pub async fn start(spec: &Spec) -> Result<Self, String> {
        let spec = spec.clone();
        tokio::task::spawn_blocking(move || Self::spawn(&spec)).await.map_err(|e| e.to_string())?
    }

    fn spawn(spec: &Spec) -> Result<Self, String> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_of(&spec.data));
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["history::node::is_a_process_when_told_so", "--exact", "--nocapture", "--test-threads=1"])
            .env(SPEC, serde_json::to_string(spec).expect("it is plain"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.expect("a log"))
            .spawn()
            .map_err(|e| e.to_string())?;
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (told, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains(READY) {
                    // whoever gave up waiting does not want to know
                    let _ = told.send(());
                }
            }
        });
        match ready.recv_timeout(START_WITHIN) {
            Ok(()) => Ok(Self { child, stdin }),
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                let log = std::fs::read_to_string(log_of(&spec.data)).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(12).collect();
                Err(format!("it did not start ({why}); its log backwards: {last:#?}"))
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sets how far its wall clock is off.
    pub fn set_wall_off(&mut self, ms: i64) {
        // one that is gone is told at its next start
        let _ = writeln!(self.stdin, "wall {ms}").and_then(|()| self.stdin.flush());
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Stops it where it is, or lets it go on.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it is ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where the log of the node with this data directory goes.
pub fn log_of(data: &Path) -> PathBuf {
    data.with_extension("log")
}

/// What an operator's command is answered, or why not.
pub async fn ask(data: PathBuf, request: control::Request) -> Result<control::Response, String> {
    let asked = move || Client::connect(&data).and_then(|mut client| client.ask(&request));
    match tokio::time::timeout(ASK_WITHIN, tokio::task::spawn_blocking(asked)).await {
        Ok(Ok(answer)) => answer.map_err(|why| why.to_string()),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err("no answer".into()),
    }
}

/// The machine's boot clock, and its wall clock as somebody set it.
#[derive(Default)]
struct SetClock {
    off_ms: AtomicI64,
}

impl Clock for SetClock {
    fn wall_ms(&self) -> Millis {
        SystemClock.wall_ms() + self.off_ms.load(Ordering::SeqCst)
    }

    fn boot_us(&self) -> i64 {
        SystemClock.boot_us()
    }
}

#[test]
fn is_a_process_when_told_so() {
    let Ok(spec) = std::env::var(SPEC) else { return };
    let spec: Spec = serde_json::from_str(&spec).expect("a spec");
    let clock = Arc::new(SetClock { off_ms: AtomicI64::new(spec.wall_off_ms) });
    let told = clock.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if let Some(ms) = line.strip_prefix("wall ").and_then(|ms| ms.parse().ok()) {
                told.off_ms.store(ms, Ordering::SeqCst);
            }
        }
        std::process::exit(0);
    });
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    log.with_env_filter(std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into())).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let code = runtime.expect("a runtime").block_on(run(spec, clock));
    std::process::exit(code);
}

async fn run(spec: Spec, clock: Arc<SetClock>) -> i32 {
    let flags = vec![
        ("data", spec.data.display().to_string(), "--data"),
        ("web.listen", spec.web, "--listen"),
        ("cluster.listen", spec.listen, "--cluster-listen"),
        ("cluster.advertise", spec.advertise, "test"),
        ("metrics.listen", String::new(), "test"),
    ];
    let file = File::IfPresent("/nonexistent/sojourn.toml".into());
    let config = Config::load(&Sources { file, environment: Vec::new(), flags }).expect("the settings are sound");
    let token = spec.token.map(|token| token.parse().expect("it is a token"));
    match node::start_with(config, Joining { token, learner: false }, clock).await {
        Ok(mut node) => {
            println!("{READY}");
            let ended = node.ended().await;
            eprintln!("ended: {ended:?}");
            i32::from(ended.is_err())
        }
        Err(e) => {
            eprintln!("not started: {e}");
            2
        }
    }
}
