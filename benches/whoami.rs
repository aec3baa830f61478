//! How many checks "may this request pass, and who is it?" does a node answer a second, beside what services do today?
//!
//! A node is asked as Caddy and Traefik ask it, at `/api/authz/forward-auth`, by people who have signed in. The peer is
//! the same check in Express with express-session, connect-redis and Passport on a real redis-server that keeps nothing
//! (`kit/whoami.cjs`). Both are asked over connections that are kept alive, by as many different people.

mod kit;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kit::child;
use kit::figures::median;
use kit::load::{self, Found, Load, Person};
use kit::node::{self, Node, Scratch};
use kit::redis::{self, Keeps, Redis};
use kit::table::{Bound, Table, aim, thousands, title};

/// `ROUNDS=1` for a look.
const ROUNDS: usize = 5;
const ROUND_MILLIS: u64 = 1_500;
const CONNECTIONS: usize = 32;
/// What a proxy says of the original request.
const ASKED: &str = "x-forwarded-method: GET\r\nx-forwarded-proto: https\r\nx-forwarded-host: app.example.com\r\n\
                     x-forwarded-uri: /beers?page=2\r\nx-forwarded-for: 203.0.113.7\r\n";

fn main() {
    match child::part().as_deref() {
        Some(load::PART) => load::play(),
        _ => measure(),
    }
}

/// The peer; killed when dropped.
struct Express {
    process: Child,
    address: SocketAddr,
}

impl Express {
    /// `None` where Node or its packages are not installed.
    fn start(redis: SocketAddr) -> Option<Self> {
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("clients/node_modules");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kit/whoami.cjs");
        let mut process = Command::new("node")
            .arg(script)
            .env("NODE_PATH", packages)
            .env("NODE_ENV", "production")
            .env("REDIS", format!("redis://{redis}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take()?).read_line(&mut line).ok()?;
        let mut express = Self { process, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        // without its packages it ends and says nothing
        express.address = line.trim().parse().ok()?;
        Some(express)
    }
}

impl Drop for Express {
    fn drop(&mut self) {
        // one that ended by itself cannot be killed, and need not be
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whoever sends this, and the reply they get over a connection that is kept.
fn person(address: SocketAddr, path: &str, cookie: &str) -> Person {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n{ASKED}cookie: {cookie}\r\n\r\n");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let (mut reply, mut byte) = (Vec::new(), [0]);
    while !reply.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("it answers");
        reply.push(byte[0]);
    }
    let head = String::from_utf8(reply.clone()).expect("a head is text").to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("\r\nremote-user: "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    stream.read_exact(&mut body).expect("a body");
    Person { request, ends: String::from_utf8(body.clone()).expect("is text"), length: reply.len() + body.len() }
}

/// People who signed in at the node.
fn ours(node: &Node) -> Vec<Person> {
    let signed_in = |number: usize| {
        let email = format!("reader{number:02}@example.com");
        node::sign_up(node.address, &email);
        person(node.address, "/api/authz/forward-auth", &node::sign_in(node.address, &email))
    };
    (0..CONNECTIONS).map(signed_in).collect()
}

/// And at the peer.
fn theirs(express: &Express) -> Vec<Person> {
    let signed_in = |number: usize| {
        let login = format!("GET /login?user={number:02} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let reply = node::reply(express.address, &login).expect("it answers");
        let cookie = reply.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).expect("a cookie");
        person(express.address, "/check", cookie.split(';').next().expect("its value"))
    };
    (0..CONNECTIONS).map(signed_in).collect()
}

fn measure() {
    title("whoami: forward-auth checks, beside Express + express-session + connect-redis + Redis");
    let scratch = Scratch::new("whoami");
    let settings = [("SOJOURN_WEB_TRUSTED_PROXIES", "127.0.0.0/8"), ("SOJOURN_USERS_AUTO_APPROVE", "true")];
    let node = Node::with(&scratch.path("node"), &settings);
    let Some(redis) = Redis::start(&scratch.path("redis"), Keeps::Nothing) else {
        println!("{}", redis::MISSING);
        return;
    };
    let Some(express) = Express::start(redis.address) else {
        println!("  no Node, or no packages in target/clients\n  hint: tests/all installs them\n");
        return;
    };
    let load = |address, people| Load { address, people, connections: CONNECTIONS, millis: ROUND_MILLIS };
    let loads = [load(node.address, ours(&node)), load(express.address, theirs(&express))];
    let rounds = std::env::var("ROUNDS").ok().and_then(|said| said.parse().ok()).unwrap_or(ROUNDS);
    let mut found: [Vec<Found>; 2] = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        // whoever comes second finds another machine
        for side in [round % 2, 1 - round % 2] {
            found[side].push(loads[side].run());
        }
    }
    let mut table = Table::new(&["checks", "a second", "p50", "p99"]);
    for (name, rounds) in ["node", "express"].into_iter().zip(&found) {
        let of = |value: fn(&Found) -> f64| median(rounds.iter().map(value));
        let ms = |us: f64| format!("{:.2} ms", us / 1_000.0);
        table.row([name.to_owned(), thousands(of(|f| f.per_second)), ms(of(|f| f.p50_us)), ms(of(|f| f.p99_us))]);
    }
    table.print();
    let ratio = |value: fn(&Found) -> f64| {
        median(found[0].iter().zip(&found[1]).map(|(ours, theirs)| value(ours) / value(theirs)))
    };
    aim("checks a second / Express's", ratio(|f| f.per_second), Bound::AtLeast(15.0));
    aim("p99 / Express's", ratio(|f| f.p99_us), Bound::AtMost(1.0));
}
