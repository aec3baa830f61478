//! etcd: the peer of whoever asks what agreeing costs. Three members on this machine, with their defaults, each on a
//! data directory of its own; every put is fsynced by a quorum before it is acknowledged.
//!
//! Spoken to as its own clients do, gRPC over HTTP/2, but by hand: a put is some bytes of protobuf behind five of gRPC,
//! and nothing that a generated client would do beside that is paid for by the cores that etcd needs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::node::{free_address, post, reply};

/// What to say where there is none.
pub const MISSING: &str = "  no etcd on this machine: without a peer\n  hint: apt-get install etcd-server\n";
/// How long the members may take to agree on a leader.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// One member.
struct Member {
    name: String,
    data: PathBuf,
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Child>,
}

/// Three members.
pub struct Etcd {
    members: Vec<Member>,
}

impl Etcd {
    /// Starts three members in `dir`; `None` where etcd is not installed.
    pub fn start(dir: &Path) -> Option<Self> {
        Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        std::fs::create_dir_all(dir).ok()?;
        let member = |n: usize| {
            let (name, data) = (format!("n{n}"), dir.join(format!("etcd-{n}")));
            Member { name, data, client: free_address(), peer: free_address(), process: None }
        };
        let mut etcd = Self { members: (1..=3).map(member).collect() };
        (0..3).for_each(|at| etcd.spawn(at));
        etcd.leader();
        Some(etcd)
    }

    fn spawn(&mut self, at: usize) {
        let all = self.members.iter().map(|m| format!("{}=http://{}", m.name, m.peer)).collect::<Vec<_>>().join(",");
        let member = &mut self.members[at];
        let (client, peer) = (format!("http://{}", member.client), format!("http://{}", member.peer));
        let log = std::fs::File::create(member.data.with_extension("log")).expect("a file for etcd's log");
        let process = Command::new("etcd")
            .args(["--name", &member.name, "--initial-cluster", &all, "--initial-cluster-state", "new"])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .arg("--data-dir")
            .arg(&member.data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        member.process = Some(process.expect("etcd starts"));
    }

    /// Where a member answers clients.
    pub fn address(&self, at: usize) -> SocketAddr {
        self.members[at].client
    }

    /// The processes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().filter_map(|member| member.process.as_ref().map(Child::id)).collect()
    }

    /// Which of them leads.
    pub fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            let running = (0..3).filter(|at| self.members[*at].process.is_some());
            if let Some(leader) = running.into_iter().find(|at| self.leads(*at)) {
                return leader;
            }
            assert!(begun.elapsed() < READY_WITHIN, "no member of etcd leads");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn leads(&self, at: usize) -> bool {
        self.status(at).is_some_and(|(own, leader)| own == leader)
    }

    /// The id of a member and that of whom it takes for the leader.
    fn status(&self, at: usize) -> Option<(String, String)> {
        let reply = reply(self.members[at].client, &post("/v3/maintenance/status", "{}", "close"))?;
        let named = |name: &str| {
            let rest = reply.split_once(&format!("\"{name}\":\""))?.1;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        Some((named("member_id")?, named("leader")?))
    }

    /// SIGKILL for one of them.
    pub fn kill(&mut self, at: usize) {
        if let Some(mut process) = self.members[at].process.take() {
            process.kill().expect("SIGKILL");
            process.wait().expect("it ends");
        }
    }

    /// Starts one again that was killed, and waits until all follow one leader.
    pub fn heal(&mut self, at: usize) {
        self.spawn(at);
        let begun = Instant::now();
        loop {
            let seen: Vec<_> = (0..3).filter_map(|at| self.status(at)).map(|(_, leader)| leader).collect();
            if seen.len() == 3 && seen[0] != "0" && seen.iter().all(|leader| *leader == seen[0]) {
                return;
            }
            assert!(begun.elapsed() < READY_WITHIN, "the members of etcd do not agree");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|at| self.kill(at));
    }
}

/// A connection to a member; clones share it.
#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    uri: hyper::Uri,
}

impl Client {
    /// Connects to a member.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let builder = Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        let uri = format!("http://{address}/etcdserverpb.KV/Put").parse().map_err(|e| format!("{e}"))?;
        Ok(Self { sender, uri })
    }

    /// Puts a value made by [`put`]; returns when it is acknowledged.
    ///
    /// # Errors
    /// When it is not.
    pub async fn put(&mut self, request: Bytes) -> Result<(), String> {
        let request = Request::post(self.uri.clone())
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(request))
            .map_err(|e| e.to_string())?;
        let response = self.sender.send_request(request).await.map_err(|e| e.to_string())?;
        let headers = response.headers().get("grpc-status").cloned();
        let body = response.into_body().collect().await.map_err(|e| e.to_string())?;
        let status = headers.or_else(|| body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned());
        match status {
            Some(status) if status == "0" => Ok(()),
            other => Err(format!("grpc-status {other:?}")),
        }
    }
}

/// A `PutRequest` of etcd's API behind gRPC's prefix: key is field 1, value is field 2, both shorter than 16 KiB.
pub fn put(key: &str, value: &[u8]) -> Bytes {
    let mut message = Vec::new();
    for (tag, bytes) in [(0x0a, key.as_bytes()), (0x12, value)] {
        message.push(tag);
        if bytes.len() >= 0x80 {
            message.push(bytes.len() as u8 | 0x80);
            message.push((bytes.len() >> 7) as u8);
        } else {
            message.push(bytes.len() as u8);
        }
        message.extend_from_slice(bytes);
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}
