//! Load: a closed loop of one request over connections that are kept alive, from a process of its own.
//!
//! As little as possible is done per reply, since the load shares the cores with what it measures: bytes are counted
//! until the reply is whole, its status and its body are compared with what is expected, nothing is parsed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::child::{self, Part};
use super::figures::Histogram;

/// The part's name.
pub const PART: &str = "load";
/// How long the connections warm up before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);
/// A reply that takes longer is a failure of the bench.
const REPLY_WITHIN: Duration = Duration::from_secs(10);

/// What to send and for how long.
#[derive(Clone, Serialize, Deserialize)]
pub struct Load {
    pub address: SocketAddr,
    /// Who asks, one after another for each connection, and from the beginning when there are more connections.
    pub people: Vec<Person>,
    pub connections: usize,
    pub millis: u64,
}

/// Somebody who asks the same again and again.
#[derive(Clone, Serialize, Deserialize)]
pub struct Person {
    /// The request as it goes over the wire.
    pub request: String,
    /// How every reply must end.
    pub ends: String,
    /// How long every reply is, bytes.
    pub length: usize,
}

/// What came of it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Found {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

impl Load {
    /// Runs it in another process and waits for what it finds.
    pub fn run(&self) -> Found {
        Part::start(PART, self).hear()
    }
}

/// What the part does.
pub fn play() {
    let load: Load = child::told();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    child::tell(&runtime.block_on(drive(load)));
}

async fn drive(load: Load) -> Found {
    let from = Instant::now() + WARM_UP;
    let until = from + Duration::from_millis(load.millis);
    let people = load.people.iter().cycle().take(load.connections);
    let loops: Vec<_> = people.map(|person| tokio::spawn(ask(load.address, person.clone(), from, until))).collect();
    let mut all = Histogram::default();
    for each in loops {
        all.merge(&each.await.expect("every reply is as expected"));
    }
    Found {
        per_second: all.count() as f64 * 1_000.0 / load.millis as f64,
        p50_us: all.percentile_us(50.0),
        p99_us: all.percentile_us(99.0),
    }
}

async fn ask(address: SocketAddr, person: Person, from: Instant, until: Instant) -> Histogram {
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let mut found = Histogram::default();
    let mut reply = vec![0; person.length];
    loop {
        let begun = Instant::now();
        if begun >= until {
            return found;
        }
        stream.write_all(person.request.as_bytes()).await.expect("the server reads");
        timeout(REPLY_WITHIN, stream.read_exact(&mut reply)).await.expect("in time").expect("the server answers");
        let ended = Instant::now();
        let right = reply.starts_with(b"HTTP/1.1 200") && reply.ends_with(person.ends.as_bytes());
        assert!(right, "{}", String::from_utf8_lossy(&reply));
        if begun >= from && ended <= until {
            found.record(ended - begun);
        }
    }
}
