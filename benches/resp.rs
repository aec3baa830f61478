//! How many GETs and SETs a second does the Redis door answer, beside a real redis-server?
//!
//! redis-benchmark asks both: values of 300 bytes, one connection and fifty, one command at a time and sixteen. GET is
//! compared with a Redis that keeps nothing; SET with one that fsyncs its log before it acknowledges (`appendfsync
//! always`), since a node does so. Rounds alternate on the same cores and disk; whoever is not asked idles.

mod kit;

use std::net::SocketAddr;

use kit::figures::median;
use kit::load::Found;
use kit::node::{Node, Scratch, free_address};
use kit::redis::{Asks, Keeps, MISSING, Redis};
use kit::table::{Bound, Table, aim, thousands, title};

/// Each of about a second; `ROUNDS=1` for a look.
const ROUNDS: usize = 5;
/// How many requests find out how many a round takes.
const TRIED: u64 = 400;

/// One form of the question, asked of both.
struct Row {
    asks: Asks,
    /// Ours and theirs.
    doors: [SocketAddr; 2],
    rounds: [Vec<Found>; 2],
}

impl Row {
    fn new(asks: Asks, doors: [SocketAddr; 2]) -> Self {
        // as many requests as the slower of them answers in a second
        let tried = doors.map(|door| Asks { requests: TRIED, ..asks }.run(door).map_or(1.0, |found| found.per_second));
        let requests = (tried[0].min(tried[1]) as u64).max(TRIED);
        Self { asks: Asks { requests, ..asks }, doors, rounds: [Vec::new(), Vec::new()] }
    }

    fn run(&mut self, side: usize) {
        self.rounds[side].extend(self.asks.run(self.doors[side]));
    }

    fn name(&self) -> String {
        let Asks { test, connections, pipeline, .. } = self.asks;
        format!("{} {connections} x {pipeline}", test.to_uppercase())
    }

    fn cells(&self, side: usize) -> [String; 3] {
        let of = |value: fn(&Found) -> f64| median(self.rounds[side].iter().map(value));
        let ms = |us: f64| format!("{:.2} ms", us / 1_000.0);
        [thousands(of(|f| f.per_second)), ms(of(|f| f.p50_us)), ms(of(|f| f.p99_us))]
    }

    fn ratio(&self) -> f64 {
        let [ours, theirs] = &self.rounds;
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours.per_second / theirs.per_second))
    }

    /// What is wanted of the ratio.
    fn aim(&self) -> f64 {
        match (self.asks.test, self.asks.connections) {
            ("set", 1) => 0.5,
            _ => 1.0,
        }
    }
}

fn main() {
    title("resp: GET and SET of 300 bytes at the Redis door, beside redis-server, by redis-benchmark");
    let (scratch, door) = (Scratch::new("resp"), free_address());
    let _node = Node::with(&scratch.path("node"), &[("SOJOURN_REDIS_LISTEN", &door.to_string())]);
    let peers = [(Keeps::Nothing, "nothing"), (Keeps::Always, "always")];
    let [nothing, always] = peers.map(|(keeps, name)| Redis::start(&scratch.path(name), keeps));
    let (Some(nothing), Some(always)) = (nothing, always) else {
        println!("{MISSING}");
        return;
    };
    // so that every GET finds something
    for address in [door, nothing.address] {
        let fill = Asks { test: "set", connections: 50, pipeline: 16, requests: 60_000 };
        if fill.run(address).is_none() {
            println!("{MISSING}");
            return;
        }
    }
    let rounds = std::env::var("ROUNDS").ok().and_then(|said| said.parse().ok()).unwrap_or(ROUNDS);
    let mut rows = Vec::new();
    for (test, peer) in [("get", nothing.address), ("set", always.address)] {
        for (connections, pipeline) in [(1, 1), (1, 16), (50, 1), (50, 16)] {
            rows.push(Row::new(Asks { test, connections, pipeline, requests: 0 }, [door, peer]));
        }
    }
    for round in 0..rounds {
        for row in &mut rows {
            // whoever comes second finds another machine
            row.run(round % 2);
            row.run(1 - round % 2);
        }
    }
    report(&rows);
}

fn report(rows: &[Row]) {
    let mut table = Table::new(&["connections x pipeline", "commands/s", "p50", "p99", "ratio"]);
    for row in rows {
        let line = |name: String, side: usize| [name].into_iter().chain(row.cells(side)).collect::<Vec<_>>();
        let mut ours = line(row.name(), 0);
        ours.push(format!("{:.2}", row.ratio()));
        table.row(ours);
        table.row(line(format!("{}, redis", row.name()), 1));
    }
    table.print();
    for row in rows {
        aim(&format!("{}: commands a second / redis-server's", row.name()), row.ratio(), Bound::AtLeast(row.aim()));
    }
}
