//! How many authenticated `GET /profile` a second does a node answer, beside a bare warp route?
//!
//! The bare route runs in the same accept loop, on as many threads, and answers the same headers and the same bytes,
//! but looks nothing up: what it costs more than that is what cookie, session, user, route table and counters cost.

mod kit;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::service::TowerToHyperService;
use kit::child::{self, Part};
use kit::figures::median;
use kit::load::{self, Found, Load, Person};
use kit::node::{self, Node, Scratch};
use kit::table::{Bound, Table, aim, thousands, title};
use serde::{Deserialize, Serialize};
use sojourn::web::accept::{self, Port};
use warp::Filter as _;
use warp::http::{HeaderName, HeaderValue, Response};

const ROUNDS: usize = 7;
const ROUND_MILLIS: u64 = 1_200;
const CONNECTIONS: [usize; 2] = [32, 64];
const BARE: &str = "bare";

fn main() {
    match child::part().as_deref() {
        Some(load::PART) => load::play(),
        Some(BARE) => bare(),
        _ => measure(),
    }
}

/// What the bare route answers.
#[derive(Serialize, Deserialize)]
struct Answer {
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    /// The node's own reply, less what hyper adds to every reply.
    fn of(reply: &str) -> Self {
        let (head, body) = reply.split_once("\r\n\r\n").expect("a reply has a head");
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.filter(|(name, _)| !matches!(*name, "date" | "content-length"));
        Self { headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(), body: body.to_owned() }
    }
}

/// The peer: a warp route in our accept loop.
fn bare() {
    let Answer { headers, body } = child::told();
    let header = |(name, value): &(String, String)| {
        (name.parse::<HeaderName>().expect("a header"), value.parse::<HeaderValue>().expect("a header"))
    };
    let headers: Arc<Vec<_>> = Arc::new(headers.iter().map(header).collect());
    let body: Arc<str> = body.into();
    let route = warp::path!("profile").and(warp::get()).map(move || {
        let mut reply = Response::new(body.to_string());
        reply.headers_mut().reserve(headers.len());
        for (name, value) in &*headers {
            reply.headers_mut().insert(name.clone(), value.clone());
        }
        reply
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        child::tell(&listener.local_addr().expect("it has an address"));
        let port = Port::plain(listener);
        accept::serve(port, std::future::pending(), |_| TowerToHyperService::new(warp::service(route.clone()))).await;
    });
}

/// One of the two that are compared.
struct Side {
    pid: u32,
    load: Load,
    rounds: Vec<Round>,
}

struct Round {
    found: Found,
    /// Processor time of the server, microseconds a request.
    cpu_us: f64,
}

impl Side {
    fn new(pid: u32, load: Load) -> Self {
        Self { pid, load, rounds: Vec::new() }
    }

    fn run(&mut self) {
        let before = node::cpu(self.pid);
        let found = self.load.run();
        let used = node::cpu(self.pid) - before;
        // the warm-up is paid for too
        let answered = found.per_second * (self.load.millis + 300) as f64 / 1_000.0;
        self.rounds.push(Round { found, cpu_us: used.as_micros() as f64 / answered });
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of))
    }

    fn row(&self, name: &str) -> [String; 5] {
        let us = |of: fn(&Round) -> f64| format!("{:.0} us", self.median(of));
        [
            name.to_owned(),
            thousands(self.median(|r| r.found.per_second)),
            us(|r| r.found.p50_us),
            us(|r| r.found.p99_us),
            format!("{:.2} us", self.median(|r| r.cpu_us)),
        ]
    }
}

fn measure() {
    title("session_read: authenticated GET /profile, keep-alive, beside a bare warp route of the same bytes");
    let scratch = Scratch::new("session_read");
    let node = Node::start(&scratch.path("node"));
    let people = node::readers(node.address, CONNECTIONS[0]);
    let cookie = node::sign_in(node.address, "reader00@example.com");
    let (one, reply) = node::reader(node.address, &cookie);
    let mut part = Part::start(BARE, &Answer::of(&reply));
    let bare: SocketAddr = part.hear();
    let (_, bares) = node::reader(bare, &cookie);
    assert_eq!(undated(&bares), undated(&reply), "both answer the same");
    // the bare route knows one person only; the requests are as different as the node's
    let strangers: Vec<Person> = people.iter().map(|p| Person { request: p.request.clone(), ..one.clone() }).collect();

    let mut table = Table::new(&["connections", "requests/s", "p50", "p99", "server CPU/request"]);
    let mut ratios = Vec::new();
    for connections in CONNECTIONS {
        let load = |address, people: &Vec<Person>| {
            let people = people.clone();
            Load { address, people, connections, millis: ROUND_MILLIS }
        };
        let mut sides =
            [Side::new(node.pid(), load(node.address, &people)), Side::new(part.pid(), load(bare, &strangers))];
        for round in 0..ROUNDS {
            // whoever comes second finds a warmer machine
            sides[round % 2].run();
            sides[1 - round % 2].run();
        }
        let [ours, bare] = &sides;
        table.row(ours.row(&format!("{connections} node")));
        table.row(bare.row(&format!("{connections} bare")));
        let rounds = ours.rounds.iter().zip(&bare.rounds);
        ratios.push((connections, median(rounds.map(|(o, b)| o.found.per_second / b.found.per_second))));
    }
    table.print();
    for (connections, ratio) in ratios {
        aim(&format!("node / bare, {connections} connections"), ratio, Bound::AtLeast(0.85));
    }
}

/// A reply without its date.
fn undated(reply: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = reply.lines().filter(|line| !line.starts_with("date: ")).collect();
    // the order of headers is no part of their meaning
    lines.sort_unstable();
    lines
}
