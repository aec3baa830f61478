//! Source: a Redis server, read a batch of keys at a time.
//!
//! Nothing is asked of it that an old or a managed one refuses: `SCAN`, `TYPE`, `PTTL`, `GET`, `HGETALL`, and
//! `PSUBSCRIBE` for its keyspace events, which come if it has them on. No `KEYS`, no `DUMP`, no `CONFIG`.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use redis::{Client, Connection, ConnectionInfo, IntoConnectionInfo as _, RedisError, RedisResult, Value};

use super::Failure;
use crate::control::protocol::{Held, Raw};
use crate::limits;

/// Keys that one `SCAN` is asked for.
const BATCH: usize = 500;
/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Keys that may wait to be looked at again; a pass over everything finds what finds no room.
const EVENTS_MAX: usize = 100_000;

/// A Redis server.
pub(super) struct Source {
    client: Client,
    connection: Connection,
    /// What keys must look like.
    pattern: String,
    db: i64,
}

/// A key as it was read.
pub(super) enum Read {
    /// What it holds, and how long it has to live, milliseconds; `None`: for ever.
    Live(Held, Option<i64>),
    /// It is there no more.
    Gone,
    /// It is of a kind that is not copied, or too large.
    Strange(&'static str),
}

/// A place in a pass over all keys.
pub(super) struct Scan(Option<u64>);

impl Scan {
    pub(super) fn begin() -> Self {
        Self(Some(0))
    }
}

impl Source {
    /// Connects. `password` is sent instead of the one in the address.
    pub(super) fn connect(url: &str, prefix: &str, password: Option<&str>) -> Result<Self, Failure> {
        let info = url.into_connection_info().map_err(|e| not_reached(&e))?;
        let settings = match password {
            Some(password) => info.redis_settings().clone().set_password(password),
            None => info.redis_settings().clone(),
        };
        let info: ConnectionInfo = info.set_redis_settings(settings);
        let db = info.redis_settings().db();
        let client = Client::open(info).map_err(|e| not_reached(&e))?;
        let connection = client.get_connection_with_timeout(PATIENCE).map_err(|e| not_reached(&e))?;
        connection.set_read_timeout(Some(PATIENCE)).map_err(|e| not_reached(&e))?;
        Ok(Self { client, connection, pattern: format!("{}*", escaped(prefix)), db })
    }

    /// The number of its database.
    pub(super) fn db(&self) -> i64 {
        self.db
    }

    /// How many keys there are, those that do not begin with the prefix too.
    pub(super) fn count(&mut self) -> Result<u64, Failure> {
        redis::cmd("DBSIZE").query(&mut self.connection).map_err(|e| broken(&e))
    }

    /// The next keys of a pass; `None` after the last. Some may come twice.
    pub(super) fn next(&mut self, scan: &mut Scan) -> Result<Option<Vec<Vec<u8>>>, Failure> {
        let Some(cursor) = scan.0 else { return Ok(None) };
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(&self.pattern).arg("COUNT").arg(BATCH);
        let (next, mut keys): (u64, Vec<Vec<u8>>) = command.query(&mut self.connection).map_err(|e| broken(&e))?;
        scan.0 = (next != 0).then_some(next);
        keys.sort_unstable();
        keys.dedup();
        Ok(Some(keys))
    }

    /// What keys hold.
    pub(super) fn read(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Read>, Failure> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        match self.read_all(keys) {
            Ok(read) => Ok(read),
            // one became of another kind in between: it spoils the answers to all
            Err(e) if e.code() == Some("WRONGTYPE") && keys.len() > 1 => {
                keys.iter().map(|key| Ok(self.read(std::slice::from_ref(key))?.remove(0))).collect()
            }
            Err(e) if e.code() == Some("WRONGTYPE") => Ok(vec![Read::Strange("its kind changes")]),
            Err(e) => Err(broken(&e)),
        }
    }

    fn read_all(&mut self, keys: &[Vec<u8>]) -> RedisResult<Vec<Read>> {
        let mut pipe = redis::pipe();
        keys.iter().for_each(|key| {
            pipe.cmd("TYPE").arg(key);
        });
        let kinds: Vec<String> = pipe.query(&mut self.connection)?;
        let mut pipe = redis::pipe();
        for (key, kind) in keys.iter().zip(&kinds) {
            match kind.as_str() {
                "string" => pipe.cmd("GET").arg(key).cmd("PTTL").arg(key),
                "hash" => pipe.cmd("HGETALL").arg(key).cmd("PTTL").arg(key),
                _ => &mut pipe,
            };
        }
        let answers: Vec<Value> = if pipe.is_empty() { Vec::new() } else { pipe.query(&mut self.connection)? };
        let mut pairs = answers.chunks_exact(2);
        Ok(kinds.iter().map(|kind| one(kind, &mut pairs)).collect())
    }

    /// Keys that change from now on, if the server tells; read on a connection and a thread of their own, until the
    /// receiver goes.
    pub(super) fn events(&self) -> Result<Receiver<Vec<u8>>, Failure> {
        let (send, receive) = sync_channel(EVENTS_MAX);
        let mut connection = self.client.get_connection_with_timeout(PATIENCE).map_err(|e| not_reached(&e))?;
        let channel = format!("__keyspace@{}__:", self.db);
        let pattern = format!("{}{}", escaped(&channel), self.pattern);
        let listen = move || {
            // whoever is not told looks at everything now and then
            let _ = hear(&mut connection, (&channel, &pattern), &send);
        };
        std::thread::Builder::new().name("events".into()).spawn(listen)?;
        Ok(receive)
    }
}

fn one(kind: &str, pairs: &mut std::slice::ChunksExact<'_, Value>) -> Read {
    match kind {
        "none" => return Read::Gone,
        "string" | "hash" => {}
        _ => return Read::Strange("it is neither a string nor a hash"),
    }
    let Some([value, ttl]) = pairs.next() else { return Read::Gone };
    let ttl = match ttl {
        Value::Int(-2) => return Read::Gone,
        Value::Int(ttl) if *ttl >= 0 => Some(*ttl),
        _ => None,
    };
    let held = match (kind, value) {
        ("string", Value::BulkString(text)) => Held::Text(Raw(text.clone())),
        ("hash", Value::Array(items)) if !items.is_empty() => Held::Hash(fields(items.iter())),
        ("hash", Value::Map(pairs)) if !pairs.is_empty() => {
            Held::Hash(fields(pairs.iter().flat_map(|(name, value)| [name, value])))
        }
        _ => return Read::Gone,
    };
    if bytes(&held) > limits::REDIS_VALUE_MAX { Read::Strange("it is too large") } else { Read::Live(held, ttl) }
}

fn fields<'a>(items: impl Iterator<Item = &'a Value>) -> Vec<(Raw, Raw)> {
    let raw = |value: &Value| match value {
        Value::BulkString(bytes) => Raw(bytes.clone()),
        _ => Raw(Vec::new()),
    };
    let all: Vec<Raw> = items.map(raw).collect();
    all.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// How many bytes a key holds.
pub(super) fn bytes(held: &Held) -> usize {
    match held {
        Held::Text(text) => text.0.len(),
        Held::Hash(fields) => fields.iter().map(|(name, value)| name.0.len() + value.0.len()).sum(),
        Held::Nothing => 0,
    }
}

fn hear(connection: &mut Connection, (channel, pattern): (&str, &str), send: &SyncSender<Vec<u8>>) -> RedisResult<()> {
    let mut told = connection.as_pubsub();
    told.psubscribe(pattern)?;
    loop {
        let message = told.get_message()?;
        let Some(key) = message.get_channel_name().strip_prefix(channel) else { continue };
        if let Err(TrySendError::Disconnected(_)) = send.try_send(key.as_bytes().to_vec()) {
            return Ok(());
        }
    }
}

/// A text as a pattern that only it matches.
fn escaped(text: &str) -> String {
    let escape = |c: char| {
        let special = matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-');
        special.then_some('\\').into_iter().chain([c])
    };
    text.chars().flat_map(escape).collect()
}

fn not_reached(e: &RedisError) -> Failure {
    Failure::because("cannot reach the Redis server", e, "redis://[user:password@]host[:port][/db]; not rediss://")
}

fn broken(e: &RedisError) -> Failure {
    if let Some(kind) = e.is_io_error().then_some(io::ErrorKind::Other) {
        let hint = "run the command again; it goes on where this one stopped";
        return Failure::because("the Redis server went away", format_args!("{e} ({kind})"), hint);
    }
    Failure::because("the Redis server refused", e, "may this user SCAN, TYPE, PTTL, GET and HGETALL?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(escaped("sess:"), "sess:");
        assert_eq!(escaped("a*b[c]?\\"), "a\\*b\\[c\\]\\?\\\\");
    }
}
