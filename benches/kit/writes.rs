//! Writes: closed loops of session writes to a node, and of puts to etcd, each from a process of its own.
//!
//! As in `load`, as little as possible is done per reply. What differs is what each door makes of many at once: a node
//! is written to over as many HTTP/1.1 connections, etcd over a few of HTTP/2 with as many streams in all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::child::{self, Part};
use super::etcd;
use super::figures::Histogram;
use super::load::Found;

/// The part's name.
pub const PART: &str = "writes";
/// How long it warms up before anything counts.
pub const WARM_UP: Duration = Duration::from_millis(500);
/// A reply that takes longer is a failure of the bench.
const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a session's value, about, and of what is put into etcd.
pub const VALUE: usize = 300;
/// What a session holds of its own beside the rest, to be that long.
const FILLER: usize = 118;

/// Who writes where, and for how long.
#[derive(Clone, Serialize, Deserialize)]
pub struct Writes {
    pub address: SocketAddr,
    pub door: Door,
    pub millis: u64,
}

/// What is written to.
#[derive(Clone, Serialize, Deserialize)]
pub enum Door {
    /// A node, by the holders of these cookies, each over a connection of its own.
    Node(Vec<String>),
    /// A member of etcd, by so many writers over so many connections.
    Etcd { writers: usize, connections: usize },
}

impl Writes {
    /// Runs it in another process and waits for what it finds.
    pub fn run(&self) -> Found {
        Part::start(PART, self).hear()
    }
}

/// What the part does.
pub fn play() {
    let writes: Writes = child::told();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    child::tell(&runtime.block_on(drive(writes)));
}

/// What counts is what begins and ends between these.
#[derive(Clone, Copy)]
struct Span {
    from: Instant,
    until: Instant,
}

impl Span {
    fn note(self, found: &mut Histogram, begun: Instant) {
        let ended = Instant::now();
        if begun >= self.from && ended <= self.until {
            found.record(ended - begun);
        }
    }
}

async fn drive(writes: Writes) -> Found {
    let from = Instant::now() + WARM_UP;
    let span = Span { from, until: from + Duration::from_millis(writes.millis) };
    let mut loops = Vec::new();
    match writes.door {
        Door::Node(cookies) => {
            loops.extend(cookies.into_iter().map(|cookie| tokio::spawn(patch(writes.address, cookie, span))));
        }
        Door::Etcd { writers, connections } => {
            let mut clients = Vec::new();
            for _ in 0..connections {
                clients.push(etcd::Client::connect(writes.address).await.expect("etcd accepts"));
            }
            let client = |writer: usize| clients[writer % connections].clone();
            loops.extend((0..writers).map(|writer| tokio::spawn(put(client(writer), writer, span))));
        }
    }
    let mut all = Histogram::default();
    for each in loops {
        all.merge(&each.await.expect("every write is acknowledged"));
    }
    Found {
        per_second: all.count() as f64 * 1_000.0 / writes.millis as f64,
        p50_us: all.percentile_us(50.0),
        p99_us: all.percentile_us(99.0),
    }
}

/// A session write as it goes over the wire; as long for every number.
pub fn patching(cookie: &str, number: u64) -> String {
    let body = format!(r#"{{"n":{}}}"#, 100_000_000_000 + number);
    patch_of(cookie, &body)
}

/// The first write to a session: makes it [`VALUE`] bytes long.
pub fn filling(cookie: &str) -> String {
    patch_of(cookie, &format!(r#"{{"n":100000000000,"filler":"{}"}}"#, "x".repeat(FILLER)))
}

fn patch_of(cookie: &str, body: &str) -> String {
    format!(
        "PATCH /api/v1/session HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn patch(address: SocketAddr, cookie: String, span: Span) -> Histogram {
    let mut stream = TcpStream::connect(address).await.expect("the node accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut found = Histogram::default();
    let mut reply = Vec::with_capacity(4_096);
    for number in 0.. {
        let begun = Instant::now();
        if begun >= span.until {
            break;
        }
        stream.write_all(patching(&cookie, number).as_bytes()).await.expect("the node reads");
        let whole = timeout(REPLY_WITHIN, read_reply(&mut stream, &mut reply)).await.expect("in time");
        assert!(whole && reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
        span.note(&mut found, begun);
    }
    found
}

/// Reads one reply; answers whether it is whole.
pub async fn read_reply(stream: &mut TcpStream, reply: &mut Vec<u8>) -> bool {
    reply.clear();
    let mut length = None;
    loop {
        if !stream.read_buf(reply).await.is_ok_and(|read| read > 0) {
            return false;
        }
        length = length.or_else(|| length_of(reply));
        if length.is_some_and(|length| reply.len() >= length) {
            return true;
        }
    }
}

/// How long a reply is, once its head is there.
fn length_of(reply: &[u8]) -> Option<usize> {
    let head = reply.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let name = b"content-length: ";
    let at = reply[..head].windows(name.len()).position(|bytes| bytes.eq_ignore_ascii_case(name))?;
    let digits = reply[at + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(head + digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}

async fn put(mut client: etcd::Client, writer: usize, span: Span) -> Histogram {
    let key = format!("sess:{writer:032}");
    let mut found = Histogram::default();
    let mut value = [b'x'; VALUE];
    for number in 0_u64.. {
        let begun = Instant::now();
        if begun >= span.until {
            break;
        }
        value[..8].copy_from_slice(&number.to_le_bytes());
        let put = timeout(REPLY_WITHIN, client.put(etcd::put(&key, &value))).await.expect("in time");
        put.expect("etcd acknowledges");
        span.note(&mut found, begun);
    }
    found
}
