//! Upstream: a stand-in for the service, which remembers the head of every request and answers "ok".

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cli::Failure;

/// Most bytes of a head.
const HEAD_MAX: usize = 64 << 10;
/// Requests that are remembered: those of one doctor and some health checks.
const SEEN_MAX: usize = 1_000;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(10);

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Path and query.
    pub target: String,
    /// Names as they were written.
    pub headers: Vec<(String, String)>,
}

/// The stand-in. Its thread ends with the process.
pub(super) struct Upstream(Arc<Mutex<VecDeque<Seen>>>);

impl Upstream {
    /// Listens.
    pub(super) fn listen(address: SocketAddr) -> Result<Self, Failure> {
        let listener = TcpListener::bind(address).map_err(|e| {
            Failure::because(format!("cannot listen on {address}"), e, "stop the service that listens there, for now")
        })?;
        let seen = Arc::new(Mutex::new(VecDeque::new()));
        let kept = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                // a proxy that opens connections ahead must not hold up the others
                std::thread::spawn(move || answer(stream, &kept));
            }
        });
        Ok(Self(seen))
    }

    /// The last request with this mark in its query.
    pub(super) fn seen(&self, mark: &str) -> Option<Seen> {
        self.0.lock().iter().rev().find(|seen| seen.target.contains(mark)).cloned()
    }
}

fn answer(mut stream: TcpStream, kept: &Mutex<VecDeque<Seen>>) {
    // whoever goes away early is no concern of ours
    let _ = stream.set_read_timeout(Some(SILENCE));
    let Some(head) = head(&mut stream) else { return };
    let mut lines = head.split("\r\n");
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let seen = Seen { target, headers: lines.filter_map(header).collect() };
    {
        let mut kept = kept.lock();
        if kept.len() == SEEN_MAX {
            kept.pop_front();
        }
        kept.push_back(seen);
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let got = stream.read(&mut piece).ok().filter(|got| *got > 0)?;
        head.extend_from_slice(&piece[..got]);
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            head.truncate(end);
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        if head.len() > HEAD_MAX {
            return None;
        }
    }
}
