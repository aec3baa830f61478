//! The same as Redis: long random lists of commands, to this and to a real redis-server, and every reply compared byte
//! for byte, in both dialects.
//!
//! Runs where redis-server is, when it is asked for: `TEST_REDIS=1`. What has no order of its own (`KEYS`, `SMEMBERS`)
//! is sorted first, and a command that this program does not have is left out.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::Node;
use crate::process::dice::Dice;
use crate::redis::open;
use crate::wire::{Wire, command};

/// Commands of one list.
const LENGTH: usize = 4_000;

struct Server {
    process: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Server {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let free = crate::harness::free_address();
        let process = Command::new("redis-server")
            .args(["--port", &free.port().to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = Self { process, address: free, _dir: dir };
        crate::harness::eventually("redis-server listens", async || {
            tokio::net::TcpStream::connect(server.address).await.is_ok()
        })
        .await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is chosen from.
struct Words {
    dice: Dice,
    known: Vec<&'static str>,
}

/// Commands and what follows: `k` a key, `v` a value, `n` a number, `t` a time that does not come soon, `f` a fraction, `m` a member, `p` a pattern; other
/// words are themselves, and `a/b` is one of them.
const SHAPES: &[&str] = &[
    "SET k v",
    "SET k v EX t",
    "SET k v nx",
    "SET k v XX GET",
    "SET k v PX t KEEPTTL",
    "SET k v KEEPTTL",
    "SET k v GET",
    "SET k n",
    "SETNX k v",
    "SETEX k t v",
    "PSETEX k t v",
    "GET k",
    "GETSET k v",
    "GETDEL k",
    "GETEX k",
    "GETEX k PERSIST",
    "GETEX k EX t",
    "MGET k k k",
    "MSET k v k v",
    "MSET k v k",
    "MSETNX k v k v",
    "INCR k",
    "DECR k",
    "INCRBY k n",
    "DECRBY k n",
    "APPEND k v",
    "STRLEN k",
    "GETRANGE k n n",
    "SUBSTR k n n",
    "SETRANGE k n v",
    "DEL k k",
    "UNLINK k",
    "EXISTS k k",
    "TOUCH k",
    "TYPE k",
    "EXPIRE k t",
    "EXPIRE k t NX/XX",
    "PEXPIRE k t",
    "PERSIST k",
    "EXPIREAT k t",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k",
    "COPY k k REPLACE",
    "KEYS p",
    "DBSIZE",
    "ECHO v",
    "PING",
    "PING v",
    "SELECT n",
    "SELECT 0",
    "NOSUCH k v",
    "GET",
    "SET k",
    "EXPIRE k",
    "HSET k m v",
    "HSET k m v m v",
    "HSET k m",
    "HMSET k m v",
    "HSETNX k m v",
    "HGET k m",
    "HMGET k m m",
    "HDEL k m m",
    "HEXISTS k m",
    "HLEN k",
    "HSTRLEN k m",
    "HINCRBY k m n",
    "HGETALL k",
    "HKEYS k",
    "HVALS k",
    "SADD k m m",
    "SREM k m",
    "SISMEMBER k m",
    "SMISMEMBER k m m",
    "SCARD k",
    "SMEMBERS k",
    "SMOVE k k m",
    "SINTER k k",
    "SUNION k k",
    "SDIFF k k",
    "SUNIONSTORE k k k",
    "SDIFFSTORE k k k",
    "SINTERSTORE k k k",
    "ZADD k f m",
    "ZADD k NX/XX/GT/LT/CH f m f m",
    "ZADD k INCR f m",
    "ZREM k m",
    "ZSCORE k m",
    "ZMSCORE k m m",
    "ZCARD k",
    "ZRANK k m",
    "ZREVRANK k m",
    "ZINCRBY k f m",
    "ZRANGE k n n",
    "ZRANGE k n n WITHSCORES",
    "ZREVRANGE k n n",
    "ZRANGEBYSCORE k f f",
    "ZRANGEBYSCORE k -inf +inf WITHSCORES LIMIT n n",
    "ZREVRANGEBYSCORE k f f",
    "ZCOUNT k f f",
    "ZREMRANGEBYSCORE k f f",
    "ZREMRANGEBYRANK k n n",
    "ZPOPMIN k",
    "ZPOPMAX k n",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "UNWATCH",
    "OBJECT REFCOUNT nokey",
    "SCAN x",
    "SCAN 00 MATCH nosuch",
    "SCAN  MATCH nosuch",
    "SCAN 18446744073709551616",
    "ZSCAN k 0",
    "ZINCRBY k -0 m",
    "ZADD k 1e17 m",
    "PEXPIREAT k 9223372036854775807",
    "CONFIG GET nosuch",
    "CONFIG GET TimeOut",
    "CONFIG SET timeout 0",
    "CONFIG SET timeout 0 TIMEOUT 0",
    "CONFIG SET timeout",
    "CONFIG NOSUCH",
    "CLIENT NOSUCH",
    "CLIENT ID x",
    "CLIENT KILL TYPE pubsub",
    "CLIENT KILL USER nobody",
    "OBJECT NOSUCH",
    "OBJECT ENCODING",
    "SCRIPT LOAD",
    "SCRIPT EXISTS nosuch",
];

impl Words {
    fn next(&mut self) -> Vec<Vec<u8>> {
        let shape = self.known[self.dice.below(self.known.len() as u64) as usize];
        shape.split(' ').map(|word| self.word(word)).collect()
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        let mut one_of = |all: &[&str]| all[self.dice.below(all.len() as u64) as usize].as_bytes().to_vec();
        match word {
            "k" => one_of(&["a", "b", "c", "d", "e", "f", "g", "h"]),
            "v" => one_of(&[
                "",
                "x",
                "hello",
                "10",
                "-3",
                "3.5",
                "a\r\nb",
                "\u{e9}",
                " 7",
                "9223372036854775807",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            ]),
            "n" => one_of(&[
                "0",
                "1",
                "2",
                "5",
                "100",
                "1000",
                "100000",
                "-1",
                "-2",
                "-100",
                "x",
                "",
                "1.5",
                "9223372036854775807",
                "99999999999999999999",
            ]),
            "t" => one_of(&["100000", "1000000", "2000000", "0", "-1", "-100000", "x", "1.5", "99999999999999999999"]),
            "f" => {
                one_of(&["0", "1", "2", "-1", "1.5", "3.14159", "1e3", "-0.25", "inf", "-inf", "(1", "nan", "x", "0.1"])
            }
            "m" => one_of(&["m1", "m2", "m3", "", "10"]),
            "p" => one_of(&["*", "[ab]", "?", "[^a]", "a*", "\\a", "nothing"]),
            word if word.contains('/') => one_of(&word.split('/').collect::<Vec<_>>()),
            word => word.as_bytes().to_vec(),
        }
    }
}

/// Whether the parts of the reply come in no order that means anything.
fn has_no_order(words: &[Vec<u8>]) -> bool {
    let name = String::from_utf8_lossy(&words[0]).to_uppercase();
    ["KEYS", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "HGETALL", "HKEYS", "HVALS", "EXEC"].contains(&name.as_str())
}

async fn told(client: &mut Wire, words: &[Vec<u8>]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    client.send(&command(&words)).await;
    client.try_raw().await.expect("it is answered")
}

/// The lines of a reply in one order.
fn sorted(reply: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = reply.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

async fn compare(node: &Node, server: &Server, (hello, seed): (&str, u64)) {
    let mut ours = Wire::to(node.redis()).await;
    let mut real = Wire::to(server.address).await;
    for client in [&mut ours, &mut real] {
        client.say(hello).await;
        client.say("FLUSHALL").await;
    }
    let mut known = Vec::new();
    for shape in SHAPES {
        let name = shape.split(' ').next().expect("a name");
        if name == "NOSUCH" || ours.ask(&["COMMAND", "INFO", name]).await != "[_]" {
            known.push(*shape);
        }
    }
    let mut words = Words { dice: Dice::of(seed), known };
    let mut said: Vec<String> = Vec::new();
    for _ in 0..LENGTH {
        let call = words.next();
        said.push(
            call.iter()
                .map(|word| String::from_utf8_lossy(word).escape_debug().to_string())
                .collect::<Vec<_>>()
                .join(" "),
        );
        let (mine, theirs) = (told(&mut ours, &call).await, told(&mut real, &call).await);
        let is_same = mine == theirs || has_no_order(&call) && sorted(&mine) == sorted(&theirs);
        assert!(
            is_same,
            "{hello}, seed {seed}, after {:#?}\nours  {:?}\nredis {:?}",
            &said[said.len().saturating_sub(12)..],
            String::from_utf8_lossy(&mine),
            String::from_utf8_lossy(&theirs)
        );
    }
}

#[tokio::test]
async fn commands_are_answered_as_redis_answers_them() {
    if std::env::var_os("TEST_REDIS").is_none() {
        eprintln!("left out: TEST_REDIS=1 compares with a real redis-server");
        return;
    }
    let (node, server) = (open().await, Server::start().await);
    // the same ones each time, so that a run says something about a change; another one by `TEST_SEED`
    let seeds = match std::env::var_os("TEST_SEED") {
        Some(_) => vec![Dice::seeded().1],
        None => (1..=4).collect(),
    };
    for seed in seeds {
        eprintln!("TEST_SEED={seed}");
        compare(&node, &server, ("HELLO 2", seed)).await;
        compare(&node, &server, ("HELLO 3", seed.wrapping_add(1))).await;
    }
}
