//! What Redis 7.0.15 answers to the same commands, and which events it tells of.
//!
//! `redis-7.0.txt` holds commands, and below each what a real server said. `record` asks one again and writes the file
//! anew: `cargo nextest run --run-ignored only redis_is_asked_again`, with a `redis-server` in the path. A line `# …`
//! begins anew with no keys; `?` in front of a command says that the order of what it answers does not matter; `!` says
//! that we answer otherwise on purpose, and `record` leaves the answer as it stands.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::state::command::show_double;
use crate::state::{Call, Commands, Reply, Scope, Told};

const CASES: &str = include_str!("redis-7.0.txt");

/// An answer as the file shows it.
fn shown(reply: &Reply, sorts: bool) -> String {
    let all = |items: &[Reply], sorts| {
        let mut items: Vec<String> = items.iter().map(|item| shown(item, sorts)).collect();
        if sorts {
            items.sort();
        }
        items.join(" ")
    };
    let pair = |(a, b): &(Reply, Reply)| format!("{} {}", shown(a, false), shown(b, false));
    match reply {
        Reply::Status(text) => format!("+{text}"),
        Reply::Error(text) => format!("-{text}"),
        Reply::Int(n) => format!(":{n}"),
        Reply::Bool(is_so) => format!("#{}", if *is_so { "t" } else { "f" }),
        Reply::Double(n) => format!(",{}", show_double(*n)),
        Reply::Bulk(bytes) => quoted(bytes),
        Reply::RawStatus(bytes) => format!("+{}", String::from_utf8_lossy(bytes)),
        Reply::RawError(bytes) => format!("-{}", String::from_utf8_lossy(bytes)),
        Reply::Value(entry) => quoted(entry.value()),
        Reply::Verbatim(text) => format!("={}", quoted(text.as_bytes())),
        Reply::Null | Reply::NullArray => "_".into(),
        Reply::Array(items) | Reply::Push(items) => format!("[{}]", all(items, sorts)),
        Reply::Set(items) => format!("~[{}]", all(items, true)),
        Reply::Map(pairs) => format!("{{{}}}", pairs.iter().map(pair).collect::<Vec<_>>().join(" ")),
        Reply::Pairs(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|both| format!("[{}]", pair(both))).collect();
            format!("[{}]", pairs.join(" "))
        }
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// The words of a line: bare, in `"` with C's escapes, or in `'` as they are.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut rest = line.trim().as_bytes().iter().copied().peekable();
    let mut words = Vec::new();
    while let Some(first) = rest.next() {
        let mut word = Vec::new();
        match first {
            b' ' => continue,
            b'\'' => word.extend(rest.by_ref().take_while(|byte| *byte != b'\'')),
            b'"' => {
                while let Some(byte) = rest.next().filter(|byte| *byte != b'"') {
                    word.push(match (byte, rest.peek()) {
                        (b'\\', Some(_)) => match rest.next() {
                            Some(b'n') => b'\n',
                            Some(b'r') => b'\r',
                            Some(b'0') => 0,
                            Some(b'f') => 0xff,
                            other => other.expect("it was peeked at"),
                        },
                        _ => byte,
                    });
                }
            }
            _ => {
                word.push(first);
                word.extend(rest.by_ref().take_while(|byte| *byte != b' '));
            }
        }
        words.push(word);
    }
    words
}

/// A command of the file, and what stands below it.
struct Case<'a> {
    line: &'a str,
    words: Vec<Vec<u8>>,
    sorts: bool,
    /// We answer otherwise.
    ours: bool,
    answers: Vec<&'a str>,
}

/// The sections of the file: what stands above, and the cases.
fn sections() -> Vec<(&'static str, Vec<Case<'static>>)> {
    let mut sections: Vec<(&str, Vec<Case<'_>>)> = Vec::new();
    for line in CASES.lines() {
        if line.starts_with('#') {
            sections.push((line, Vec::new()));
            continue;
        }
        let Some((_, cases)) = sections.last_mut() else { continue };
        match (line.strip_prefix("    "), cases.last_mut()) {
            (Some(answer), Some(case)) => case.answers.push(answer),
            _ if line.is_empty() => {}
            _ => {
                let bare = line.trim_start_matches(['?', '!']);
                let marks = &line[..line.len() - bare.len()];
                let (sorts, ours) = (marks.contains('?'), marks.contains('!'));
                cases.push(Case { line, words: words(bare), sorts, ours, answers: Vec::new() });
            }
        }
    }
    sections
}

fn scope() -> Scope {
    Scope { db: 0, app: None, sessions: "sess:".into(), guard_ms: 0 }
}

/// The answer, and the events that were told.
fn ours(world: &World, case: &Case<'_>) -> Vec<String> {
    let calls = vec![Call::of(&case.words)];
    let (change, outcome) =
        world.decide(&Op::Commands(Box::new(Commands { scope: scope(), calls, watched: Vec::new(), is_whole: true })));
    world.apply(&change);
    let Outcome::Replies(replies) = outcome else { panic!("{}: {outcome:?}", case.line) };
    let mut lines = vec![shown(&replies[0], case.sorts)];
    for effect in &change.effects {
        if let Effect::Tell(Told::Message { channel, payload }) = effect
            && channel.starts_with(b"__keyevent@")
        {
            lines.push(event(channel, payload));
        }
    }
    lines
}

fn event(channel: &[u8], payload: &[u8]) -> String {
    let channel = String::from_utf8_lossy(channel);
    let event = channel.strip_prefix("__keyevent@0__:").unwrap_or(&channel).to_owned();
    format!("* {event} {}", String::from_utf8_lossy(payload))
}

#[test]
fn commands_are_answered_as_by_redis() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (title, cases) in sections() {
        let world = World::new();
        let value = Bytes::from_static(b"EA");
        world.run(&Op::Setting { name: "notify-keyspace-events".into(), value, only_if_absent: false });
        for case in cases {
            let got = ours(&world, &case);
            count += 1;
            if got != case.answers {
                wrong.push(format!("{title}\n{}\n  we:    {got:?}\n  Redis: {:?}", case.line, case.answers));
            }
        }
    }
    assert!(count > 100, "the file is not there");
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
}

/// A Redis server of our own, and who hears its events; ends with it.
struct Redis {
    server: Child,
    client: Connection,
    subscriber: Connection,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.server.kill().and_then(|()| self.server.wait()).expect("it ends");
    }
}

struct Connection {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Connection {
    fn open(socket: &Path) -> Self {
        let begun = Instant::now();
        let writer = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(e) if begun.elapsed() > Duration::from_secs(10) => panic!("no redis-server: {e}"),
                Err(_) => std::thread::yield_now(),
            }
        };
        let mut connection = Self { reader: BufReader::new(writer.try_clone().expect("a socket")), writer };
        connection.send(&["HELLO", "3"]);
        connection.read(false);
        connection
    }

    fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.writer.write_all(&bytes).expect("it listens");
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).expect("it answers");
        String::from_utf8_lossy(&line).trim_end_matches("\r\n").to_owned()
    }

    /// One answer.
    fn read(&mut self, sorts: bool) -> String {
        let line = self.line();
        let (kind, rest) = line.split_at(1);
        let length = || rest.parse::<usize>().expect("a length");
        match kind {
            "$" | "=" => {
                let mut bytes = vec![0; length() + 2];
                self.reader.read_exact(&mut bytes).expect("it answers");
                bytes.truncate(length());
                quoted(&bytes)
            }
            "*" | "~" | ">" | "%" => {
                let count = length() * if kind == "%" { 2 } else { 1 };
                let mut items: Vec<String> = (0..count).map(|_| self.read(sorts)).collect();
                if sorts && kind == "*" || kind == "~" {
                    items.sort();
                }
                let items = items.join(" ");
                match kind {
                    "*" => format!("[{items}]"),
                    "~" => format!("~[{items}]"),
                    "%" => format!("{{{items}}}"),
                    _ => items,
                }
            }
            _ => line,
        }
    }
}

impl Redis {
    fn start(dir: &Path) -> Self {
        let socket = dir.join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket).current_dir(dir);
        command.args(["--notify-keyspace-events", "EA"]);
        let server = command.stdout(Stdio::null()).spawn().expect("redis-server is in the path");
        let (client, mut subscriber) = (Connection::open(&socket), Connection::open(&socket));
        for pattern in ["__keyevent@0__:*", "end"] {
            subscriber.send(&["PSUBSCRIBE", pattern]);
            subscriber.read(false);
        }
        Self { server, client, subscriber }
    }

    /// The answer, and the events that were told.
    fn ask<W: AsRef<[u8]>>(&mut self, words: &[W], sorts: bool) -> Vec<String> {
        self.client.send(words);
        let mut lines = vec![self.client.read(sorts)];
        self.client.send(&["PUBLISH", "end", "of it"]);
        self.client.read(false);
        loop {
            let push = self.subscriber.read(false);
            let parts = self::words(&push);
            let [_, _, channel, payload] = parts.as_slice() else { panic!("no event: {push}") };
            if channel == b"end" {
                return lines;
            }
            lines.push(event(channel, payload));
        }
    }
}

#[test]
#[ignore = "writes the file anew"]
fn redis_is_asked_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut redis = Redis::start(dir.path());
    let mut file = String::new();
    for (title, cases) in sections() {
        redis.ask(&["FLUSHALL"], false);
        writeln!(file, "{}{title}", if file.is_empty() { "" } else { "\n" }).expect("it is memory");
        for case in cases {
            let asked = redis.ask(&case.words, case.sorts);
            let answers = if case.ours { case.answers.iter().map(|&line| line.to_owned()).collect() } else { asked };
            writeln!(file, "{}", case.line).expect("it is memory");
            answers.iter().for_each(|answer| writeln!(file, "    {answer}").expect("it is memory"));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/state/tests/redis-7.0.txt");
    std::fs::write(path, file).expect("the file is written");
}
