//! Node: the real binary in a process of its own, and what the system says of a process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::load::Person;

/// How long a node may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// The password of everybody in the benches.
pub const PASSWORD: &str = "correct horse battery";

/// A running node; killed when dropped.
pub struct Node {
    process: Child,
    pub address: SocketAddr,
    /// From starting the process to its being ready.
    pub ready_after: Duration,
}

impl Node {
    /// Starts the binary on `data` and waits until it says that it is ready.
    pub fn start(data: &Path) -> Self {
        Self::with(data, &[])
    }

    /// The same, with settings from the environment.
    pub fn with(data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::at(data, free_address(), settings, &[])
    }

    /// The same, with its HTTP door at an address, and with more arguments.
    pub fn at(data: &Path, address: SocketAddr, settings: &[(&str, &str)], args: &[&str]) -> Self {
        let begun = Instant::now();
        let log = fs::File::create(data.with_extension("log")).expect("a file for the node's log");
        let process = Command::new(env!("CARGO_BIN_EXE_sojourn"))
            .args(["serve", "--data", &data.display().to_string(), "--listen", &address.to_string()])
            .args(args)
            .env("SOJOURN_METRICS_LISTEN", free_address().to_string())
            .env("SOJOURN_CLUSTER_LISTEN", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut node = Self { process, address, ready_after: Duration::ZERO };
        node.wait_until_ready(begun, data);
        node
    }

    fn wait_until_ready(&mut self, begun: Instant, data: &Path) {
        while !is_ready(self.address) {
            let ended = self.process.try_wait().expect("the process can be asked");
            if ended.is_some() || begun.elapsed() > READY_WITHIN {
                let log = fs::read_to_string(data.with_extension("log")).unwrap_or_default();
                panic!("the node does not come up: {ended:?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.ready_after = begun.elapsed();
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it on the spot.
    pub fn kill(mut self) {
        self.process.kill().expect("SIGKILL");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // one that was killed before cannot be killed again
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address on this machine that nobody listens on at the moment.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has an address")
}

fn is_ready(address: SocketAddr) -> bool {
    reply(address, "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .is_some_and(|reply| reply.starts_with("HTTP/1.1 200"))
}

/// The whole reply to a request that asks for the connection to be closed.
pub fn reply(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}

/// A `POST` of JSON, as it goes over the wire.
pub fn post(path: &str, body: &str, connection: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: {connection}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Makes an account.
pub fn sign_up(address: SocketAddr, email: &str) {
    let body = format!(r#"{{"email":"{email}","password":"{PASSWORD}","first_name":"Ada","last_name":"Stout"}}"#);
    let reply = reply(address, &post("/api/v1/signup", &body, "close")).expect("the node answers");
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
}

/// Signs in; answers what the `Cookie` header must hold from now on.
pub fn sign_in(address: SocketAddr, email: &str) -> String {
    let body = format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#);
    let reply = reply(address, &post("/api/v1/signin", &body, "close")).expect("the node answers");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let lines = reply.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
    lines.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ")
}

/// So many people with accounts who have signed in: what each sends to see their profile, and what must come back.
pub fn readers(address: SocketAddr, count: usize) -> Vec<Person> {
    let reader = |number: usize| {
        let email = format!("reader{number:02}@example.com");
        sign_up(address, &email);
        reader(address, &sign_in(address, &email)).0
    };
    (0..count).map(reader).collect()
}

/// Whoever has this cookie, and the reply they get.
pub fn reader(address: SocketAddr, cookie: &str) -> (Person, String) {
    // what a browser or a service sends, neither more nor less
    let request = |connection: &str| {
        format!(
            "GET /profile HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\naccept: */*\r\n{connection}cookie: \
             {cookie}\r\n\r\n"
        )
    };
    let closing = reply(address, &request("connection: close\r\n")).expect("the node answers");
    let reply = closing.replace("connection: close\r\n", "");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let ends = reply.split_once("\r\n\r\n").expect("a reply has a head").1.to_owned();
    (Person { request: request(""), ends, length: reply.len() }, reply)
}

/// Bytes of memory that a process holds.
pub fn rss_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmRSS:")
}

/// The most that it held since [`forget_peak`].
pub fn peak_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmHWM:")
}

/// What a process holds now is the most that it ever held.
pub fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is ours");
}

fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says how much");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

/// Processor time that a process has used, user and system: what the scheduler measured for its threads, not what
/// its ticks guessed.
pub fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives").flatten();
    let ns = |stat: String| stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
    Duration::from_nanos(threads.filter_map(|t| fs::read_to_string(t.path().join("schedstat")).ok()).map(ns).sum())
}

/// A directory for the data of one bench, removed at its end. Under the target directory: on a disk, not in memory.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
