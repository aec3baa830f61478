//! Wire: what clients send that cannot be installed here, word for word, and what each of them reads in the replies.
//!
//! Lettuce and Spring Session, StackExchange.Redis and ASP.NET, redis-rb 5, go-redis and fred, from their sources. Every
//! conversation is held with a real redis-server first and then with nodes: the replies have to be the same, but for
//! what says which server it is.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Value, parse_redis_value};

use super::{PASSWORD, Server, are_wanted};

/// A reply that does not come is a failure.
const REPLY_WITHIN: Duration = Duration::from_secs(10);

/// A connection on which nothing is hidden.
struct Wire {
    stream: TcpStream,
    held: Vec<u8>,
}

impl Wire {
    fn to(door: &str) -> Self {
        let stream = TcpStream::connect(door).expect("it listens");
        stream.set_read_timeout(Some(REPLY_WITHIN)).expect("a timeout");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self { stream, held: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it reads");
    }

    /// Sends commands at once, each a line of words; answers as many replies.
    fn ask(&mut self, commands: &[&str]) -> Vec<Value> {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encoded(command)).collect();
        self.write(&bytes);
        commands.iter().map(|_| self.next()).collect()
    }

    /// The next reply or push.
    fn next(&mut self) -> Value {
        let mut piece = [0; 4096];
        loop {
            if let Some(length) = whole(&self.held) {
                let reply = parse_redis_value(&self.held[..length]).expect("it is a reply");
                self.held.drain(..length);
                return reply;
            }
            match self.stream.read(&mut piece) {
                Ok(0) => panic!("closed after {:?}", String::from_utf8_lossy(&self.held)),
                Ok(n) => self.held.extend_from_slice(&piece[..n]),
                Err(e) => panic!("{e} after {:?}", String::from_utf8_lossy(&self.held)),
            }
        }
    }
}

/// A command as an array of bulk strings; `\x..` in a word is that byte, `''` is empty, `_` inside `'…'` is a blank.
fn encoded(command: &str) -> Vec<u8> {
    let words: Vec<Vec<u8>> = command.split(' ').map(word).collect();
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).into_bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
    out
}

fn word(text: &str) -> Vec<u8> {
    if let Some(quoted) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return quoted.replace('_', " ").into_bytes();
    }
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        out.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).expect("two hex digits"));
        rest = &rest[at + 4..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// How many bytes the first reply takes, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..end - 2]).ok()?.parse::<i64>().ok();
    let items = |count: usize| (0..count).try_fold(end, |at, _| Some(at + whole(&bytes[at..])?));
    let count = |each: usize| items(usize::try_from(number()?).unwrap_or(0) * each);
    match bytes[0] {
        b'$' | b'=' | b'!' => match usize::try_from(number()?) {
            Ok(length) if bytes.len() >= end + length + 2 => Some(end + length + 2),
            Ok(_) => None,
            Err(_) => Some(end),
        },
        b'*' | b'~' | b'>' => count(1),
        b'%' => count(2),
        _ => Some(end),
    }
}

/// How a reply is compared with Redis's.
#[derive(Clone, Copy)]
enum Look {
    /// It is the same.
    Same,
    /// It is of the same kind; what it says is the server's own.
    Kind,
    /// It is an error that begins the same, or no error on either side.
    Error,
}
use Look::{Error, Kind, Same};

/// What is told of a reply.
fn told(look: Look, reply: &Value) -> String {
    match look {
        Same => said(reply),
        Kind => kind(reply).to_owned(),
        Error => match reply {
            Value::ServerError(e) => format!("error {}", e.code()),
            _ => "no error".to_owned(),
        },
    }
}

fn kind(reply: &Value) -> &'static str {
    match reply {
        Value::Nil => "nil",
        Value::Int(_) => "integer",
        Value::BulkString(_) => "bulk",
        Value::Array(_) => "array",
        Value::SimpleString(_) | Value::Okay => "status",
        Value::Map(_) => "map",
        Value::Set(_) => "set",
        Value::Double(_) => "double",
        Value::Boolean(_) => "boolean",
        Value::VerbatimString { .. } => "verbatim",
        Value::Push { .. } => "push",
        Value::ServerError(_) => "error",
        _ => "other",
    }
}

/// The whole of it; maps and sets sorted, since their order is nobody's promise.
fn said(reply: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(said).collect::<Vec<_>>();
    match reply {
        Value::BulkString(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Value::Array(items) => format!("[{}]", list(items).join(", ")),
        Value::Set(items) => {
            let mut items = list(items);
            items.sort();
            format!("set {items:?}")
        }
        Value::Map(pairs) => {
            format!("map {:?}", pairs.iter().map(|(k, v)| (said(k), said(v))).collect::<BTreeMap<_, _>>())
        }
        Value::Push { kind, data } => format!("push {kind:?} [{}]", list(data).join(", ")),
        Value::ServerError(e) => format!("error {} {}", e.code(), e.details().unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

/// Commands that are sent at once, and how each reply is looked at.
type Batch<'a> = &'a [(Look, &'a str)];

/// Holds a conversation over one connection; answers what is told of each reply.
fn hold(door: &str, batches: &[Batch<'_>]) -> Vec<String> {
    let mut wire = Wire::to(door);
    let mut all = Vec::new();
    for batch in batches {
        let commands: Vec<&str> = batch.iter().map(|(_, command)| *command).collect();
        let replies = wire.ask(&commands);
        let lines = batch.iter().zip(&replies).map(|((look, command), reply)| {
            format!("{} -> {}", command.split(' ').take(4).collect::<Vec<_>>().join(" "), told(*look, reply))
        });
        all.extend(lines);
    }
    all
}

/// Holds it with a real Redis, with one node and with three, through the second, all with the same password.
fn agree(batches: &[Batch<'_>]) {
    if !are_wanted() {
        return;
    }
    let redis = hold(&Server::redis().doors[0], batches);
    println!("{}", redis.join("\n"));
    let three = Server::three();
    for at in [0, 1] {
        let ours = hold(&three.doors[at], batches);
        let other: Vec<_> = redis.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours).collect();
        let other: Vec<_> = other.iter().map(|(theirs, ours)| format!("redis {theirs}\n ours {ours}")).collect();
        assert!(other.is_empty(), "through node {at}:\n{}", other.join("\n"));
    }
}

fn ms_ahead(ms: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("fits") + ms
}

fn hello() -> String {
    format!("HELLO 3 AUTH default {PASSWORD}")
}

#[test]
fn spring_session_over_lettuce_hears_what_redis_says() {
    let (hello, session) = (format!("{} SETNAME spring", hello()), "spring:session:sessions:5f3c");
    let fill = format!(
        "HMSET {session} lastAccessedTime \\xac\\xed\\x00\\x05 maxInactiveInterval \\xac\\xed\\x00\\x07 creationTime 1"
    );
    let later = format!("PEXPIREAT {session} {}", ms_ahead(1_800_000));
    let renamed = "spring:session:sessions:77aa";
    agree(&[
        &[(Kind, &hello), (Same, "SELECT 0"), (Error, "CLIENT SETINFO lib-name Lettuce")],
        &[(Error, "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip")],
        &[(Same, &fill), (Same, &later)],
        &[(Same, &format!("HGETALL {session}")), (Same, &format!("EXISTS {session}"))],
        &[(Same, &format!("HMSET {session} sessionAttr:user ada")), (Same, &later)],
        &[(Same, &format!("RENAME {session} {renamed}")), (Same, &format!("RENAME {session} {renamed}"))],
        &[(Same, &format!("HGETALL {renamed}")), (Same, &format!("HGETALL {session}"))],
        &[(Same, &format!("TYPE {renamed}")), (Same, &format!("GET {renamed}"))],
        &[(Same, &format!("DEL {renamed}")), (Same, &format!("DEL {renamed}"))],
    ]);
}

#[test]
fn springs_indexed_sessions_hear_what_redis_says() {
    let (key, index) = ("spring:session:sessions:9b", "spring:session:index:principal:ada");
    let (expires, minute) = ("spring:session:sessions:expires:9b", "spring:session:expirations:1790000040000");
    agree(&[
        &[(Kind, &hello()), (Kind, "CONFIG GET notify-keyspace-events")],
        &[(Same, "CONFIG SET notify-keyspace-events gxE"), (Kind, "CONFIG GET notify-keyspace-events")],
        &[(Same, &format!("HMSET {key} creationTime 1 sessionAttr:a x")), (Same, &format!("PEXPIRE {key} 2100000"))],
        &[(Same, &format!("SADD {minute} expires:9b")), (Same, &format!("PEXPIRE {minute} 2100000"))],
        &[(Same, &format!("APPEND {expires} ")), (Same, &format!("EXISTS {expires}"))],
        &[(Same, &format!("STRLEN {expires}")), (Same, &format!("PEXPIRE {expires} 1800000"))],
        &[(Same, &format!("SADD {index} 9b 9c")), (Same, &format!("SADD {index} 9b"))],
        &[(Same, &format!("SMEMBERS {index}")), (Same, &format!("SMEMBERS {minute}"))],
        &[(Same, &format!("PERSIST {key}")), (Same, &format!("TTL {key}")), (Same, &format!("PERSIST {key}"))],
        &[(Same, &format!("PUBLISH spring:session:event:0:created:9b {key}"))],
        &[(Same, &format!("SREM {index} 9b nobody")), (Same, &format!("SREM {index} 9c"))],
        &[(Same, &format!("EXISTS {index}")), (Same, &format!("HDEL {key} sessionAttr:a nothing"))],
        &[(Same, "ZADD spring:session:sessions:expirations 1790000000000 9b")],
        &[(Same, "ZADD spring:session:sessions:expirations 1790000000001 9c 1790000000002 9d")],
        &[(Same, "ZREVRANGEBYSCORE spring:session:sessions:expirations 1790000000001 0 LIMIT 0 100")],
        &[(Same, "ZREM spring:session:sessions:expirations 9b 9c 9d")],
        &[(Same, "EXISTS spring:session:sessions:expirations"), (Same, &format!("DEL {key} {expires} {minute}"))],
    ]);
}

#[test]
fn stackexchange_redis_is_connected_by_its_echo() {
    let echo = "ECHO \\x00\\x01\\xff\\x0d\\x0a\\x80\\x24\\x2a\\x00\\x01\\xfe\\x0d\\x0a\\x81\\x24\\x2b";
    let auth = format!("AUTH default {PASSWORD}");
    let handshake: Batch<'_> = &[
        (Same, &auth),
        (Kind, "HELLO 2"),
        (Same, "CLIENT SETNAME WEB01"),
        (Error, "CLIENT SETINFO LIB-NAME SE.Redis"),
        (Error, "CLIENT SETINFO LIB-VER 2.9.17"),
        (Kind, "CLIENT ID"),
        (Kind, "CONFIG GET timeout"),
        (Kind, "CONFIG GET replica-read-only"),
        (Kind, "CONFIG GET databases"),
        (Error, "SENTINEL MASTERS"),
        (Kind, "INFO replication"),
        (Kind, "INFO server"),
        (Error, "CLUSTER NODES"),
        (Same, "GET __Booksleeve_TieBreak"),
        (Same, echo),
    ];
    agree(&[
        handshake,
        // ASP.NET's sessions and cache: the newest order of fields, and the one before
        &[
            (Same, "HSET aspnet:1 sldexp 12000000000 absexp -1 data \\x00\\x80\\xff"),
            (Same, "EXPIRE aspnet:1 1200"),
            (Same, "HMGET aspnet:1 absexp sldexp data"),
        ],
        &[(Same, "HMSET aspnet:2 absexp -1 sldexp 12000000000 data x"), (Same, "EXPIRE aspnet:2 1200")],
        &[(Same, "HMGET aspnet:2 absexp sldexp"), (Same, "EXPIRE aspnet:2 1200"), (Same, "HMGET aspnet:3 absexp data")],
        &[(Same, "UNLINK aspnet:1 aspnet:3"), (Same, "DEL aspnet:2"), (Same, "EXPIRE aspnet:2 5")],
    ]);
    if are_wanted() {
        let three = Server::three();
        let mut wire = Wire::to(&three.doors[1]);
        let info = said(&wire.ask(&[&auth, "INFO"])[1]);
        for field in ["redis_version:7.", "redis_mode:standalone", "run_id:", "role:master", "loading:0"] {
            assert!(info.contains(field), "{field} is missing in {info}");
        }
    }
}

#[test]
fn the_scripts_of_dotnet_php_and_python_run() {
    let hset = "EVAL 'redis.call(\"HSET\",_KEYS[1],_\"absexp\",_ARGV[1],_\"sldexp\",_ARGV[2],_\"data\",_ARGV[4])_if_ARGV[3]_~=_\"-1\"_then_redis.call(\"EXPIRE\",_KEYS[1],_ARGV[3])_end_return_1' 1 net:1 -1 600 1200 data";
    let release =
        "EVAL 'if_redis.call(\"get\",KEYS[1])==ARGV[1]_then_return_redis.call(\"del\",KEYS[1])_else_return_0_end' 1";
    // the .NET Framework's provider answers nested arrays, nil and false
    let nested = "EVAL 'local_s_=_redis.call(\"HGETALL\",KEYS[1])_return_{KEYS[1],_s,_false,_{1,{2}},_\"x\"}' 1 net:1";
    agree(&[
        &[(Kind, &hello())],
        &[(Same, hset), (Same, "HMGET net:1 absexp sldexp data"), (Same, "TTL net:1")],
        &[(Same, nested), (Same, "EVALSHA 0000000000000000000000000000000000000000 0")],
        &[(Same, "SET lock mine NX PX 5000"), (Same, "SET lock yours NX PX 5000")],
        &[(Same, &format!("{release} lock yours")), (Same, &format!("{release} lock mine"))],
        &[(Same, "SCRIPT LOAD 'return_KEYS[1]'")],
        &[
            (Same, "EVALSHA 4ca238f611c9d0ae4e9a75a5dbac22aedc1e44d2 1 a"),
            (Error, "EVAL 'return_redis.call(\"nope\")' 0"),
        ],
        &[(Same, "SCRIPT EXISTS 4ca238f611c9d0ae4e9a75a5dbac22aedc1e44d2 00"), (Same, "DEL net:1")],
    ]);
}

#[test]
fn redis_rb_5_go_redis_and_fred_shake_hands() {
    if !are_wanted() {
        return;
    }
    let lower = format!("hello 3 auth default {PASSWORD}");
    agree(&[
        &[(Kind, &hello()), (Same, "SELECT 1"), (Error, "CLIENT SETINFO LIB-NAME redis-rb"), (Same, "SELECT 0")],
        &[
            (Kind, &lower),
            (Same, "select 0"),
            (Same, "client setname blog"),
            (Same, "client getname"),
            (Error, "client maint_notifications on"),
            (Error, "client setinfo LIB-NAME go-redis"),
        ],
        &[(Same, "set scs:1 value ex 60"), (Same, "get scs:1"), (Kind, "scan 0 match scs:* count 10")],
        &[(Same, "set scs:1 value px 1500 get"), (Same, "del scs:1"), (Same, "getex scs:1 ex 5")],
        // tower-sessions: a new id is claimed, a live one saved
        &[(Same, &format!("SET tower:1 \\x93\\x01 EXAT {} NX", ms_ahead(60_000) / 1_000))],
        &[(Same, &format!("SET tower:1 x EXAT {} NX", ms_ahead(60_000) / 1_000))],
        &[(Same, &format!("SET tower:1 y EXAT {} XX", ms_ahead(60_000) / 1_000)), (Same, "GET tower:1")],
        &[(Same, &format!("SET tower:2 y XX EXAT {}", ms_ahead(60_000) / 1_000)), (Same, "SET tower:1 z EXAT 1 XX")],
        &[(Same, "GET tower:1"), (Same, "SET tower:1 z EX 0"), (Same, "SET tower:1 z EX 5 PX 5"), (Kind, "CLIENT ID")],
    ]);
    // fred says hello in line, as a person would
    for server in [Server::redis(), Server::three()] {
        for door in &server.doors {
            let mut wire = Wire::to(door);
            wire.write(format!("HELLO 3 AUTH default {PASSWORD}\r\n").as_bytes());
            let hello = wire.next();
            let Value::Map(fields) = &hello else { panic!("{hello:?}") };
            let field = |name: &str| fields.iter().find(|(k, _)| *k == Value::BulkString(name.into())).map(|(_, v)| v);
            assert_eq!(field("proto"), Some(&Value::Int(3)), "{hello:?}");
            assert_eq!(field("mode"), Some(&Value::BulkString(b"standalone".to_vec())), "{hello:?}");
            assert_eq!(field("role"), Some(&Value::BulkString(b"master".to_vec())), "{hello:?}");
            let id = wire.ask(&["SELECT 0", "CLIENT ID", "INFO server"]);
            assert!(matches!(&id[..], [Value::Okay, Value::Int(_), Value::VerbatimString { .. }]), "{id:?}");
            wire.write(b"PING\r\n  set  fred  'a b'\r\nget fred\r\nDEL fred\r\n\r\n");
            let said: Vec<_> = (0..4).map(|_| said(&wire.next())).collect();
            assert_eq!(said, ["simple-string(\"PONG\")", "ok", "\"a b\"", "int(1)"]);
        }
    }
}

#[test]
fn errors_are_those_that_libraries_match() {
    agree(&[
        &[(Same, "GET a"), (Same, "HELLO 3"), (Same, "AUTH default wrong"), (Same, "AUTH nobody wrong")],
        &[(Same, &format!("HELLO 3 AUTH default wrong{PASSWORD}")), (Same, "HELLO 4"), (Same, "PING")],
        &[(Same, &format!("AUTH {PASSWORD}")), (Same, "PING"), (Same, "HELLO 4"), (Same, "HELLO x"), (Kind, "HELLO")],
        &[(Same, "NOSUCH a b"), (Same, "GET"), (Same, "SET a"), (Same, "SELECT 99"), (Same, "SELECT x")],
        &[(Same, "HSET h a 1"), (Same, "GET h"), (Same, "SADD h x"), (Same, "INCR h"), (Same, "DEL h")],
        &[(Same, "SET a x"), (Same, "INCR a"), (Same, "EXPIRE a x"), (Same, "TTL a"), (Same, "TTL b")],
        &[(Same, "EXPIRE a -1"), (Same, "GET a"), (Same, "EXPIRE a 5"), (Same, "PEXPIRE a 5"), (Same, "PTTL a")],
        &[(Same, "EXEC"), (Same, "MULTI"), (Same, "MULTI"), (Same, "SET a 1"), (Same, "NOSUCH"), (Same, "EXEC")],
        &[(Same, "MULTI"), (Same, "SET a 1"), (Same, "SADD a x"), (Same, "INCR a"), (Same, "GET a")],
        &[(Same, "DISCARD"), (Same, "DISCARD"), (Same, "GET a"), (Same, "RENAME a b")],
        &[(Same, "MULTI"), (Same, "SET a x"), (Same, "INCR a"), (Same, "GET a"), (Same, "EXEC"), (Same, "DEL a")],
        &[(Same, "MGET a b"), (Same, "DEL a b"), (Same, "EXISTS a a"), (Same, "SETEX a 0 x"), (Same, "PSETEX a x y")],
    ]);
}

#[test]
fn what_is_watched_and_changed_elsewhere_is_not_executed() {
    if !are_wanted() {
        return;
    }
    for server in [Server::redis(), Server::three()] {
        let auth = format!("AUTH default {PASSWORD}");
        let mut mine = Wire::to(&server.doors[0]);
        let mut other = Wire::to(server.doors.last().expect("there is one"));
        mine.ask(&[&auth]);
        other.ask(&[&auth]);
        assert_eq!(mine.ask(&["WATCH w", "GET w", "MULTI", "SET w 1"])[1], Value::Nil);
        other.ask(&["SET w 2"]);
        assert_eq!(mine.ask(&["EXEC", "GET w"]), [Value::Nil, Value::BulkString(b"2".to_vec())]);
        let done = mine.ask(&["WATCH w", "MULTI", "SETEX w 60 3", "EXEC", "DEL w"]);
        assert_eq!(done[3..], [Value::Array(vec![Value::Okay]), Value::Int(1)]);
    }
}

#[test]
fn events_of_keys_reach_subscribers_elsewhere() {
    if !are_wanted() {
        return;
    }
    for server in [Server::redis(), Server::three()] {
        let last = server.doors.last().expect("there is one");
        let (mut spring, mut lettuce) = (Wire::to(&server.doors[0]), Wire::to(last));
        let hello = hello();
        spring.ask(&[&hello, "CONFIG SET notify-keyspace-events Egx"]);
        lettuce.ask(&[&hello, "CONFIG SET notify-keyspace-events Egx"]);
        let told = spring.ask(&[
            "PSUBSCRIBE spring:session:event:0:created:*",
            "SUBSCRIBE __keyevent@0__:del",
            "SUBSCRIBE __keyevent@0__:expired",
        ]);
        assert!(told.iter().all(|reply| kind(reply) == "push"), "{told:?}");
        lettuce.ask(&["APPEND spring:expires:1 ", "APPEND spring:expires:2 ", "PEXPIRE spring:expires:2 100"]);
        lettuce.ask(&["PUBLISH spring:session:event:0:created:1 hello", "DEL spring:expires:1"]);
        let mut heard: Vec<String> = (0..2).map(|_| said(&spring.next())).collect();
        // Redis says that a key has expired when somebody looks at it, or soon after
        lettuce.ask(&["EXISTS spring:expires:2"]);
        heard.push(said(&spring.next()));
        let expected = ["created:1", "\"spring:expires:1\"", "\"spring:expires:2\""];
        for (heard, expected) in heard.iter().zip(expected) {
            assert!(heard.contains(expected), "{heard}");
        }
        // and in RESP3 replies go on beside pushes
        assert_eq!(spring.ask(&["PING"])[0], Value::SimpleString("PONG".into()));
    }
}
