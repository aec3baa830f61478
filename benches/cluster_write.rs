//! How many session writes a second do three nodes acknowledge, beside etcd with three members?
//!
//! Both are asked for the same: what is acknowledged has been fsynced by a quorum. A node is asked for `PATCH
//! /api/v1/session` by people who have signed in, which stores the session's value of some 300 bytes and its facts as a
//! whole, over HTTP/1.1 with its cookies and checks. etcd is asked to put 300 bytes under keys of the same form, by a
//! bare gRPC client (`kit::etcd`), over as many HTTP/2 connections as were fastest here of 1, 4, 16 and one for each
//! writer. Each is written to through its leader and through a follower. All run on the same two cores and the same
//! disk: rounds alternate, and whoever is not asked idles.

mod kit;

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

/// Through whom is written, and what came of it.
struct Row {
    name: String,
    ours: (Writes, Vec<Found>),
    theirs: Option<(Writes, Vec<Found>)>,
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
            let door = Door::Node(cookies[..at_once].to_vec());
            let address = cluster.places[(leader + hop) % 3].address;
            let ours = Writes { address, door, millis: ROUND_MILLIS };
            let theirs = etcd.as_ref().map(|etcd| {
                let door = Door::Etcd { writers: at_once, connections: connections() };
                Writes { address: etcd.address((etcd.leader() + hop) % 3), door, millis: ROUND_MILLIS }
            });
            let theirs = theirs.map(|theirs| (theirs, Vec::new()));
            rows.push(Row { name: format!("{at_once} {name}"), ours: (ours, Vec::new()), theirs });
        }
    }
    for _ in 0..ROUNDS {
        for Row { ours: (ours, found), theirs, .. } in &mut rows {
            found.push(ours.run());
            if let Some((theirs, found)) = theirs {
                found.push(theirs.run());
            }
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
    let mut table = Table::new(&["at once, through a", "writes/s", "p50", "p99", "etcd", "p50", "p99", "ratio"]);
    let of = |found: &[Found], value: fn(&Found) -> f64| median(found.iter().map(value));
    let ms = |us: f64| format!("{:.1} ms", us / 1_000.0);
    let cells = |found: &[Found]| {
        [thousands(of(found, |f| f.per_second)), ms(of(found, |f| f.p50_us)), ms(of(found, |f| f.p99_us))]
    };
    let mut ratios = Vec::new();
    for Row { name, ours: (_, ours), theirs } in rows {
        let mut row = vec![name.clone()];
        row.extend(cells(ours));
        if let Some((_, theirs)) = theirs {
            let ratio = |value: fn(&Found) -> f64| median(ours.iter().zip(theirs).map(|(o, t)| value(o) / value(t)));
            row.extend(cells(theirs));
            row.push(format!("{:.2}", ratio(|f| f.per_second)));
            ratios.push((name, ratio(|f| f.per_second), ratio(|f| f.p99_us)));
        }
        table.row(row);
    }
    table.print();
    for (name, rate, p99) in ratios {
        aim(&format!("{name}: writes a second / etcd's"), rate, Bound::AtLeast(3.0));
        aim(&format!("{name}: p99 / etcd's"), p99, Bound::AtMost(1.0));
    }
}
