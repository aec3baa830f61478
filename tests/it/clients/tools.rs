//! Tools: redis-cli and redis-benchmark as a person would use them, and the Rust client as its session stores do.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use redis::{Commands as _, Connection, ExistenceCheck, SetExpiry, SetOptions};

use super::{Server, are_wanted};

impl Server {
    /// redis-cli or another of its tools, at the node that was named; the password comes from the environment.
    fn tool(&self, tool: &str, at: usize, args: &[&str]) -> Command {
        let (host, port) = self.doors[at.min(self.doors.len() - 1)].rsplit_once(':').expect("an address has a port");
        let mut command = Command::new(tool);
        command.args(["-h", host, "-p", port]);
        if let Some((_, password)) = &self.credentials {
            command.env("REDISCLI_AUTH", password);
        }
        command.args(args);
        command
    }

    fn cli(&self, at: usize, args: &[&str]) -> String {
        let done = self.tool("redis-cli", at, args).stdin(Stdio::null()).output().expect("redis-cli runs");
        assert!(done.status.success(), "{args:?}: {done:?}");
        String::from_utf8(done.stdout).expect("is text").trim_end().to_owned()
    }

    /// The same with lines on standard input.
    fn typed(&self, args: &[&str], lines: &str) -> String {
        let mut command = self.tool("redis-cli", 0, args);
        let mut cli = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("redis-cli runs");
        cli.stdin.take().expect("it is piped").write_all(lines.as_bytes()).expect("it reads");
        let done = cli.wait_with_output().expect("it ends");
        String::from_utf8(done.stdout).expect("is text").trim_end().to_owned()
    }
}

fn with_each(is_so: impl Fn(&Server)) {
    if are_wanted() {
        [Server::redis(), Server::one(), Server::three()].iter().for_each(is_so);
    }
}

#[test]
fn redis_cli_works_as_a_person_uses_it() {
    with_each(|server| {
        assert_eq!(server.cli(0, &["PING"]), "PONG");
        assert_eq!(server.cli(0, &["set", "greeting", "hello world", "EX", "600"]), "OK");
        assert_eq!(server.cli(1, &["get", "greeting"]), "hello world");
        assert_eq!(server.cli(1, &["--no-raw", "get", "greeting"]), "\"hello world\"");
        assert_eq!(server.cli(1, &["-3", "ttl", "greeting"]), "600");
        assert_eq!(server.cli(0, &["--no-raw", "type", "greeting"]), "string");
        assert_eq!(server.cli(0, &["incrby", "count", "41"]), "41");
        assert_eq!(server.typed(&[], "incr count\nget count\nhset h a 1 b 2\nnosuch\n").lines().next(), Some("42"));
        let hash = server.cli(1, &["-3", "--no-raw", "hgetall", "h"]);
        assert!(hash.contains("\"a\" => \"1\""), "{hash}");
        assert_eq!(server.cli(1, &["-n", "3", "get", "greeting"]), "");
        let mut keys: Vec<String> = server.cli(1, &["--scan", "--pattern", "*"]).lines().map(str::to_owned).collect();
        keys.sort();
        assert_eq!(keys, ["count", "greeting", "h"]);
        assert_eq!(server.cli(0, &["dbsize"]), "3");
        assert!(server.cli(0, &["info"]).contains("redis_version:"));
        let sets: String = (0..500).map(|n| format!("SET piped{n} {n}\r\n")).collect();
        assert!(server.typed(&["--pipe"], &sets).contains("errors: 0, replies: 500"));
        assert_eq!(server.cli(1, &["get", "piped499"]), "499");
        let (host, port) = server.doors[0].rsplit_once(':').expect("an address has a port");
        let credentials = server.credentials.as_ref().map(|(user, password)| format!("{user}:{password}@"));
        let url = format!("redis://{}{host}:{port}", credentials.unwrap_or_default());
        let done = Command::new("redis-cli").args(["-u", &url, "get", "count"]).output().expect("redis-cli runs");
        assert_eq!(String::from_utf8_lossy(&done.stdout).trim_end(), "42");
        assert_eq!(server.cli(0, &["flushdb"]), "OK");
        assert_eq!(server.cli(1, &["dbsize"]), "0");
    });
}

#[test]
fn redis_benchmark_runs_to_its_end() {
    with_each(|server| {
        for more in [&[][..], &["-P", "16"], &["-3"]] {
            let args = [&["-t", "ping,set,get", "-n", "2000", "-c", "20", "-d", "300", "-r", "100", "--csv"], more];
            let mut command = server.tool("redis-benchmark", 0, &args.concat());
            if let Some((_, password)) = &server.credentials {
                command.args(["-a", password]);
            }
            let done = command.stdin(Stdio::null()).output().expect("redis-benchmark runs");
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
            for test in ["PING_INLINE", "PING_MBULK", "SET", "GET"] {
                let row = said.lines().find(|line| line.starts_with(&format!("\"{test}\"")));
                let rate = row.and_then(|row| row.split('"').nth(3)).and_then(|rate| rate.parse::<f64>().ok());
                assert!(rate.is_some_and(|rate| rate > 0.0), "{test}: {said}");
            }
        }
        server.cli(0, &["flushdb"]);
    });
}

/// A connection as a session store opens it.
fn connected(server: &Server, at: usize, protocol: &str) -> Connection {
    let credentials = server.credentials.as_ref().map(|(user, password)| format!("{user}:{password}@"));
    let door = &server.doors[at.min(server.doors.len() - 1)];
    let url = format!("redis://{}{door}/0?protocol={protocol}", credentials.unwrap_or_default());
    redis::Client::open(url).and_then(|client| client.get_connection()).expect("it lets us in")
}

#[test]
fn the_rust_client_does_what_tower_sessions_and_actix_do() {
    with_each(|server| {
        for protocol in ["resp2", "resp3"] {
            let (mut one, mut two) = (connected(server, 0, protocol), connected(server, 1, protocol));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
            // tower-sessions claims an id by NX and saves by XX, until a time on the clock
            let set = |check, expiry| SetOptions::default().conditional_set(check).with_expiration(expiry);
            let claim = || set(ExistenceCheck::NX, SetExpiry::EXAT(now + 3_600));
            let save = || set(ExistenceCheck::XX, SetExpiry::EXAT(now + 3_600));
            let value = b"\x93\x00binary\xff".to_vec();
            assert!(one.set_options::<_, _, bool>("tower", &value, claim()).expect("a reply"));
            assert_eq!(two.set_options::<_, _, Option<String>>("tower", "other", claim()).expect("a reply"), None);
            assert_eq!(two.get::<_, Vec<u8>>("tower").expect("a reply"), value);
            assert!((3_500..=3_600).contains(&two.ttl::<_, i64>("tower").expect("a reply")));
            assert!(two.set_options::<_, _, bool>("tower", "saved", save()).expect("a reply"));
            assert_eq!(one.del::<_, usize>("tower").expect("a reply"), 1);
            // what was ended is not saved
            assert_eq!(one.set_options::<_, _, Option<String>>("tower", "late", save()).expect("a reply"), None);
            // actix: a new one by NX EX, a changed one by XX EX, a look by EXPIRE
            let expires = set(ExistenceCheck::NX, SetExpiry::EX(3_600));
            assert!(one.set_options::<_, _, bool>("actix", "{}", expires).expect("a reply"));
            assert!(two.expire::<_, bool>("actix", 60).expect("a reply"));
            assert_eq!(one.ttl::<_, i64>("actix").expect("a reply"), 60);
            assert_eq!(two.del::<_, usize>("actix").expect("a reply"), 1);
            assert!(!one.expire::<_, bool>("actix", 60).expect("a reply"), "a look revives nothing");
            let both: (i64, i64) = redis::pipe().atomic().incr("n", 2).incr("n", 3).query(&mut one).expect("a reply");
            assert_eq!((both, two.get_del::<_, i64>("n").expect("a reply")), ((2, 5), 5));
        }
    });
}
