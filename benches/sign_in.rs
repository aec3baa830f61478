//! How many password sign-ins a second does a node take while people read, and what do the readers notice of it?
//!
//! The same reads as in `session_read`, without and with sign-ins beside them, in turns. Hashing takes what the
//! readers leave; their p99 may at most double.

mod kit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kit::child::{self, Part};
use kit::figures::{Histogram, median};
use kit::load::{self, Found, Load};
use kit::node::{self, Node, Scratch};
use kit::table::{Bound, Table, aim, thousands, title};
use serde::{Deserialize, Serialize};

const ROUNDS: usize = 7;
const ROUND_MILLIS: u64 = 2_000;
const CONNECTIONS: usize = 32;
/// People who sign in at the same time, each over and over.
const AT_ONCE: usize = 8;
const SIGN_IN: &str = "sign_in";

fn main() {
    match child::part().as_deref() {
        Some(load::PART) => load::play(),
        Some(SIGN_IN) => sign_in(),
        _ => measure(),
    }
}

/// Who signs in where.
#[derive(Serialize, Deserialize)]
struct People {
    address: SocketAddr,
    emails: Vec<String>,
}

/// What came of it since the part was last asked.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct SignIns {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// The part that signs in until its round is over.
fn sign_in() {
    let People { address, emails } = child::told();
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let done = Arc::new(AtomicU64::new(0));
    let people: Vec<_> = emails
        .into_iter()
        .map(|email| {
            let (stop, done) = (stop.clone(), done.clone());
            std::thread::spawn(move || {
                let mut took = Histogram::default();
                while !stop.load(Ordering::Relaxed) {
                    let from = Instant::now();
                    node::sign_in(address, &email);
                    took.record(from.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                took
            })
        })
        .collect();
    // the reads warm up for 300 ms of it, and so do these
    std::thread::sleep(Duration::from_millis(ROUND_MILLIS + 300));
    let counted = done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let mut took = Histogram::default();
    people.into_iter().for_each(|person| took.merge(&person.join().expect("they sign in")));
    child::tell(&SignIns {
        per_second: counted,
        p50_ms: took.percentile_us(50.0) / 1_000.0,
        p99_ms: took.percentile_us(99.0) / 1_000.0,
    });
}

fn measure() {
    title("sign_in: password sign-ins (argon2id) while GET /profile is read");
    let scratch = Scratch::new("sign_in");
    let node = Node::start(&scratch.path("node"));
    let emails: Vec<String> = (0..AT_ONCE).map(|n| format!("person{n}@example.com")).collect();
    emails.iter().for_each(|email| node::sign_up(node.address, email));
    let readers = node::readers(node.address, CONNECTIONS);
    let reads = Load { address: node.address, people: readers, connections: CONNECTIONS, millis: ROUND_MILLIS };
    let people = People { address: node.address, emails };
    let (mut alone, mut beside, mut sign_ins) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(reads.run());
        let mut part = Part::start(SIGN_IN, &people);
        beside.push(reads.run());
        sign_ins.push(part.hear::<SignIns>());
    }
    report(&alone, &beside, &sign_ins);
}

fn report(alone: &[Found], beside: &[Found], sign_ins: &[SignIns]) {
    let mut table = Table::new(&["", "per second", "p50", "p99"]);
    let reads = |name: &str, found: &[Found]| {
        let of = |value: fn(&Found) -> f64| median(found.iter().map(value));
        let us = |value| format!("{value:.0} us");
        [name.to_owned(), thousands(of(|f| f.per_second)), us(of(|f| f.p50_us)), us(of(|f| f.p99_us))]
    };
    table.row(reads("reads alone", alone));
    table.row(reads("reads beside sign-ins", beside));
    let of = |value: fn(&SignIns) -> f64| median(sign_ins.iter().map(value));
    let ms = |value| format!("{value:.0} ms");
    table.row([
        "sign-ins".to_owned(),
        format!("{:.1}", of(|s| s.per_second)),
        ms(of(|s| s.p50_ms)),
        ms(of(|s| s.p99_ms)),
    ]);
    table.print();
    let ratio = median(beside.iter().zip(alone).map(|(with, without)| with.p99_us / without.p99_us));
    aim("p99 of reads beside sign-ins / alone", ratio, Bound::AtMost(2.0));
}
