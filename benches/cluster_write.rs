//! How many session writes a second do three nodes acknowledge, beside etcd with three members?
//!
//! Both are asked for the same: what is acknowledged has been fsynced by a quorum. A node is asked for `PATCH
//! /api/v1/session` by people who have signed in, which stores the session's value of some 300 bytes and its facts as a
//! whole, over HTTP/1.1 with its cookies and checks. etcd is asked to put 300 bytes under keys of the same form, by a
//! bare gRPC client (`kit::etcd`), over as many HTTP/2 connections as were fastest here of 1, 4, 16 and one for each
//! writer. Each is written to through its leader and through a follower. All run on the same two cores and the same
//! disk: rounds alternate, and whoever is not asked idles.

mod kit;

use std::net::SocketAddr;
use std::time::Duration;

use kit::child;
use kit::cluster::Cluster;
use kit::etcd::{self, Etcd};
use kit::figures::median;
use kit::load::Found;
use kit::node::{self, Scratch};
use kit::table::{Bound, Table, aim, thousands, title};
use kit::writes::{self, Door, Writes};

const ROUNDS: usize = 5;
const ROUND_MILLIS: u64 = 2_000;
const AT_ONCE: [usize; 2] = [64, 256];
/// Sessions of each of the people: a person may have a hundred.
const SESSIONS_EACH: usize = 64;
/// HTTP/2 connections to etcd, whatever the number of writers.
const CONNECTIONS: usize = 16;

fn main() {
    match child::part().as_deref() {
        Some(writes::PART) => writes::play(),
        _ => measure(),
    }
}

/// One of the two that are compared: what is asked of it, and what came of it.
struct Side {
    writes: Writes,
    pids: Vec<u32>,
    rounds: Vec<Round>,
}

struct Round {
    found: Found,
    /// Processor time of all three for a write, microseconds.
    cpu_us: f64,
}

impl Side {
    fn new(pids: Vec<u32>, address: SocketAddr, door: Door) -> Self {
        Self { writes: Writes { address, door, millis: ROUND_MILLIS }, pids, rounds: Vec::new() }
    }

    fn run(&mut self) {
        let used = || self.pids.iter().map(|pid| node::cpu(*pid)).sum::<Duration>();
        let before = used();
        let found = self.writes.run();
        // the warm-up is paid for too
        let written = found.per_second * (Duration::from_millis(ROUND_MILLIS) + writes::WARM_UP).as_secs_f64();
        let cpu_us = (used() - before).as_micros() as f64 / written;
        self.rounds.push(Round { found, cpu_us });
    }

    fn cells(&self) -> [String; 4] {
        let of = |value: fn(&Round) -> f64| median(self.rounds.iter().map(value));
        let ms = |us: f64| format!("{:.1} ms", us / 1_000.0);
        let found = [thousands(of(|r| r.found.per_second)), ms(of(|r| r.found.p50_us)), ms(of(|r| r.found.p99_us))];
        let [rate, p50, p99] = found;
        [rate, p50, p99, format!("{:.0} us", of(|r| r.cpu_us))]
    }
}

/// How many write at once and through whom.
struct Row {
    name: String,
    ours: Side,
    theirs: Option<Side>,
}

fn measure() {
    title("cluster_write: session writes of 300 bytes through three nodes, beside puts to three members of etcd");
    let scratch = Scratch::new("cluster_write");
    let cluster = Cluster::start(&scratch.path("sojourn"));
    let etcd = Etcd::start(&scratch.path("etcd"));
    if etcd.is_none() {
        println!("{}", etcd::MISSING);
    }
    let leader = cluster.leader();
    let cookies = sign_in(&cluster, AT_ONCE[AT_ONCE.len() - 1]);
    let mut rows = Vec::new();
    for at_once in AT_ONCE {
        for (name, hop) in [("leader", 0), ("follower", 1)] {
            let (address, door) = (cluster.places[(leader + hop) % 3].address, Door::Node(cookies[..at_once].to_vec()));
            let theirs = etcd.as_ref().map(|etcd| {
                let door = Door::Etcd { writers: at_once, connections: connections() };
                Side::new(etcd.pids(), etcd.address((etcd.leader() + hop) % 3), door)
            });
            rows.push(Row {
                name: format!("{at_once} {name}"),
                ours: Side::new(cluster.pids(), address, door),
                theirs,
            });
        }
    }
    for round in 0..ROUNDS {
        for Row { ours, theirs, .. } in &mut rows {
            let Some(theirs) = theirs else {
                ours.run();
                continue;
            };
            // whoever comes second finds another machine
            let sides = [ours, theirs];
            sides[round % 2].run();
            sides[1 - round % 2].run();
        }
    }
    assert_eq!(cluster.leader(), leader, "somebody else came to lead meanwhile");
    report(&rows);
}

/// For trying others: `CONNECTIONS=4 cargo bench --bench cluster_write`.
fn connections() -> usize {
    std::env::var("CONNECTIONS").ok().and_then(|said| said.parse().ok()).unwrap_or(CONNECTIONS)
}

/// Cookies of so many sessions, with values of the usual length.
fn sign_in(cluster: &Cluster, count: usize) -> Vec<String> {
    let address = cluster.places[0].address;
    let session = |number: usize| {
        let email = format!("writer{}@example.com", number / SESSIONS_EACH);
        if number.is_multiple_of(SESSIONS_EACH) {
            node::sign_up(address, &email);
        }
        let cookie = node::sign_in(address, &email);
        let filling = writes::filling(&cookie).replace("\r\ncookie: ", "\r\nconnection: close\r\ncookie: ");
        let reply = node::reply(address, &filling).expect("the node answers");
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        cookie
    };
    (0..count).map(session).collect()
}

fn report(rows: &[Row]) {
    let mut table = Table::new(&["at once, through a", "writes/s", "p50", "p99", "CPU/write", "ratio"]);
    let mut ratios = Vec::new();
    for Row { name, ours, theirs } in rows {
        let mut row = vec![name.clone()];
        row.extend(ours.cells());
        let Some(theirs) = theirs else {
            table.row(row);
            continue;
        };
        let ratio = |value: fn(&Round) -> f64| {
            median(ours.rounds.iter().zip(&theirs.rounds).map(|(ours, theirs)| value(ours) / value(theirs)))
        };
        row.push(format!("{:.2}", ratio(|r| r.found.per_second)));
        table.row(row);
        let mut row = vec![format!("{name}, etcd")];
        row.extend(theirs.cells());
        table.row(row);
        ratios.push((name, ratio(|r| r.found.per_second), ratio(|r| r.found.p99_us)));
    }
    table.print();
    for (name, rate, p99) in ratios {
        aim(&format!("{name}: writes a second / etcd's"), rate, Bound::AtLeast(3.0));
        aim(&format!("{name}: p99 / etcd's"), p99, Bound::AtMost(1.0));
    }
}
