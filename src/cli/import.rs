//! `sojourn import`: copies the live keys of a Redis server into the running node, with their deadlines.
//!
//! A key is written where nothing is, and over what this very command wrote or found the same before, as long as nobody
//! else changed it since: whatever an app has written here by now is newer than what it left there. So the command may
//! be run again, and may follow the server until all apps have moved.

use std::collections::{HashMap, HashSet};
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::output::{self, plain};
use super::source::{self, Read, Scan, Source};
use super::user::read_password;
use super::{Common, Failure};
use crate::control::protocol::{Copied, CopiedKey, Held, KeyChunk, Over, Raw};
use crate::control::{Client, Request, Response, Unanswered};

/// Most bytes of keys and values in one request: with base64 and JSON around them they fit into a line.
const CHUNK_BYTES: usize = 512 << 10;
/// Most keys in one request.
const CHUNK_KEYS: usize = 1_000;
/// What a deadline must have moved by to count as moved, milliseconds: it is read as a time that is left.
const NOTICED_MS: i64 = 1_000;
/// How long a following command rests between two passes over everything.
const REST: Duration = Duration::from_secs(5);
/// How long changes are gathered, and how soon Ctrl-C is noticed.
const GATHER: Duration = Duration::from_millis(200);
/// How often a request is sent again that was not done.
const TRIES: usize = 30;
/// Keys that could not be copied, of which people are told.
const SHOWN_MAX: u64 = 20;
/// How much of their names, bytes.
const NAMED: usize = 12;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The server: redis://[user[:password]@]host[:port][/db]
    url: String,
    /// Only keys that begin with this
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Go on copying what changes and removing what ends there, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Replace whatever is here already
    #[arg(long)]
    overwrite: bool,
    /// What the values say about who is signed in counts, as for an app added with --may-sign-in
    #[arg(long)]
    may_sign_in: bool,
    /// Read the password from standard input: arguments can be seen by everybody on the machine
    #[arg(long)]
    password_stdin: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Sum {
    /// Keys that were written, each counted as often as it was.
    copied: u64,
    /// Keys that were here already, the very same.
    same: u64,
    /// Keys that hold something else here, which stays.
    kept: u64,
    /// Keys that cannot be here.
    skipped: u64,
    /// Keys that ended there while they were being copied, or afterwards: these were removed here.
    gone: u64,
}

/// What is known of a key that was copied.
struct Seen {
    /// Of what it held.
    digest: u64,
    /// When it ends, milliseconds since this command began; `None`: never.
    end: Option<i64>,
    here: Here,
}

/// Whose it is here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Here {
    /// This command's, by the log index of what it holds.
    Ours(u64),
    /// Somebody else's, and stays so: who ended it here meanwhile did not mean it to come back.
    Others,
    /// It cannot be here.
    Nowhere,
}

struct Copier<'a> {
    node: Client,
    source: Source,
    import: &'a Import,
    db: u8,
    sum: Sum,
    seen: HashMap<Vec<u8>, Seen>,
    began: Instant,
    hasher: std::hash::RandomState,
    stop: Arc<AtomicBool>,
    bar: ProgressBar,
}

impl Import {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let password = match self.password_stdin {
            true => Some(read_password("put it into the address: redis://:PASSWORD@host")?),
            false => None,
        };
        let mut source = Source::connect(&self.url, &self.prefix, password.as_ref().map(|p| p.0.as_str()))?;
        let db = u8::try_from(source.db()).ok().filter(|db| *db < 16).ok_or_else(|| {
            Failure::Usage("databases have the numbers 0 to 15\n  hint: end the address in one of them: …/0".into())
        })?;
        let total = source.count()?;
        let stop = interrupted()?;
        let node = common.connect()?;
        let mut copier = Copier {
            node,
            source,
            import: &self,
            db,
            sum: Sum::default(),
            seen: HashMap::new(),
            began: Instant::now(),
            hasher: std::hash::RandomState::new(),
            stop,
            bar: key_bar(total),
        };
        // what changes during the first pass is heard of as well
        let events = if self.follow { Some(copier.source.events()?) } else { None };
        let copied = copier.pass().and_then(|()| events.map_or(Ok(()), |events| copier.follow(&events)));
        copier.bar.finish_and_clear();
        tell(&copier.sum, self.json, out)?;
        copied
    }
}

impl Copier<'_> {
    /// Goes over all keys once.
    fn pass(&mut self) -> Result<(), Failure> {
        let mut met = HashSet::new();
        let mut scan = Scan::begin();
        while let Some(keys) = self.source.next(&mut scan)? {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.copy(&keys)?;
            self.bar.inc(keys.len() as u64);
            if self.import.follow {
                met.extend(keys);
            }
        }
        // a pass meets every key that is there all the while; the others are asked for by name
        let missed: Vec<Vec<u8>> = self.seen.keys().filter(|key| !met.contains(*key)).cloned().collect();
        missed.chunks(CHUNK_KEYS).try_for_each(|keys| self.copy(keys))
    }

    /// Copies what changes until Ctrl-C.
    fn follow(&mut self, events: &Receiver<Vec<u8>>) -> Result<(), Failure> {
        self.bar.set_message("following; Ctrl-C ends it");
        while !self.stop.load(Ordering::Relaxed) {
            let until = Instant::now() + REST;
            while Instant::now() < until && !self.stop.load(Ordering::Relaxed) {
                let changed: Vec<Vec<u8>> = gathered(events).into_iter().collect();
                changed.chunks(CHUNK_KEYS).try_for_each(|keys| self.copy(keys))?;
            }
            self.pass()?;
        }
        Ok(())
    }

    /// Copies those of these keys that are not what they were.
    fn copy(&mut self, keys: &[Vec<u8>]) -> Result<(), Failure> {
        let read = self.source.read(keys)?;
        let (mut chunk, mut size) = (Vec::new(), 0);
        for (key, read) in keys.iter().zip(read) {
            let Some(copied) = self.wanted(key, read) else { continue };
            let bytes = key.len() + source::bytes(&copied.holds);
            if !chunk.is_empty() && (size + bytes > CHUNK_BYTES || chunk.len() == CHUNK_KEYS) {
                self.send(std::mem::take(&mut chunk))?;
                size = 0;
            }
            size += bytes;
            chunk.push(copied);
        }
        if chunk.is_empty() { Ok(()) } else { self.send(chunk) }
    }

    /// What to send of a key, if there is any need.
    fn wanted(&mut self, key: &[u8], read: Read) -> Option<CopiedKey> {
        let seen = self.seen.get(key);
        if seen.is_some_and(|seen| seen.here == Here::Others) && !self.import.overwrite {
            return None;
        }
        let (holds, ttl_ms) = match read {
            Read::Live(holds, ttl_ms) => (holds, ttl_ms),
            Read::Gone if !self.import.follow || seen.is_none() => {
                self.sum.gone += 1;
                return None;
            }
            // its time has come, here as there
            Read::Gone if seen.is_some_and(|seen| seen.end.is_some_and(|end| end <= self.elapsed_ms())) => {
                self.seen.remove(key);
                return None;
            }
            // what is here is somebody else's
            Read::Gone if !seen.is_some_and(|seen| matches!(seen.here, Here::Ours(_))) => return None,
            Read::Gone => (Held::Nothing, None),
            Read::Strange(why) => {
                self.skip(key, why);
                return None;
            }
        };
        let over = match seen {
            Some(seen) if !self.has_changed(seen, &holds, ttl_ms) => return None,
            Some(Seen { here: Here::Ours(version), .. }) => Over::Version(*version),
            _ if self.import.overwrite => Over::Anything,
            _ => Over::Nothing,
        };
        Some(CopiedKey { key: Raw(key.to_vec()), holds, ttl_ms, over })
    }

    fn has_changed(&self, seen: &Seen, holds: &Held, ttl_ms: Option<i64>) -> bool {
        let moved = match (seen.end, self.end(ttl_ms)) {
            (Some(was), Some(is)) => (is - was).abs() >= NOTICED_MS,
            (was, is) => was != is,
        };
        moved || seen.digest != self.digest(holds)
    }

    /// Sends keys, and remembers what came of them.
    fn send(&mut self, keys: Vec<CopiedKey>) -> Result<(), Failure> {
        let about: Vec<(Vec<u8>, Seen, bool)> = keys
            .iter()
            .map(|key| {
                let seen = Seen { digest: self.digest(&key.holds), end: self.end(key.ttl_ms), here: Here::Nowhere };
                (key.key.0.clone(), seen, key.holds == Held::Nothing)
            })
            .collect();
        let chunk = KeyChunk { db: self.db, may_sign_in: self.import.may_sign_in, keys };
        let done = self.ask(&Request::CopyKeys(chunk))?;
        for ((key, seen, is_gone), done) in about.into_iter().zip(done) {
            self.note(key, seen, is_gone, done);
        }
        Ok(())
    }

    fn note(&mut self, key: Vec<u8>, seen: Seen, is_gone: bool, done: Copied) {
        let here = match done {
            Copied::Written { .. } if is_gone => {
                self.sum.gone += 1;
                self.seen.remove(&key);
                return;
            }
            Copied::Written { version } => {
                self.sum.copied += 1;
                Here::Ours(version)
            }
            Copied::Same { version } => {
                self.sum.same += 1;
                Here::Ours(version)
            }
            Copied::Kept => {
                let was_kept = self.seen.get(&key).is_some_and(|seen| seen.here == Here::Others);
                self.sum.kept += u64::from(!was_kept);
                Here::Others
            }
            Copied::Refused { why } => {
                self.skip(&key, &why);
                Here::Nowhere
            }
        };
        if self.import.follow {
            self.seen.insert(key, Seen { here, ..seen });
        }
    }

    /// Asks the node, again while it does not do it: what was written by then is the very same.
    fn ask(&mut self, request: &Request) -> Result<Vec<Copied>, Failure> {
        let mut tries = 0;
        loop {
            match self.node.ask(request) {
                Ok(Response::Copied(done)) => return Ok(done),
                Ok(_) => return Err(Failure::unexpected()),
                Err(Unanswered::Refused(fault)) if fault.kind == "not_done" && tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn skip(&mut self, key: &[u8], why: &str) {
        // once, however often it is met
        let known = Seen { digest: 0, end: None, here: Here::Nowhere };
        if self.import.follow && self.seen.insert(key.to_vec(), known).is_some() {
            return;
        }
        self.sum.skipped += 1;
        if self.sum.skipped <= SHOWN_MAX {
            // a session's key is a secret: its beginning tells which one it is
            let named = plain(&String::from_utf8_lossy(&key[..key.len().min(NAMED)]));
            let more = if key.len() > NAMED { "…" } else { "" };
            self.bar.suspend(|| eprintln!("skipped {named}{more}: {}", plain(why)));
        }
    }

    fn digest(&self, holds: &Held) -> u64 {
        use std::hash::BuildHasher as _;
        match holds {
            Held::Text(text) => self.hasher.hash_one(text),
            Held::Hash(fields) => {
                let mut sorted: Vec<_> = fields.iter().map(|(name, value)| (&name.0, &value.0)).collect();
                sorted.sort();
                self.hasher.hash_one(sorted)
            }
            Held::Nothing => 0,
        }
    }

    fn end(&self, ttl_ms: Option<i64>) -> Option<i64> {
        ttl_ms.map(|ttl| self.elapsed_ms().saturating_add(ttl))
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The keys that changed, gathered for a moment.
fn gathered(events: &Receiver<Vec<u8>>) -> HashSet<Vec<u8>> {
    let until = Instant::now() + GATHER;
    let mut changed = HashSet::new();
    loop {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(key) => _ = changed.insert(key),
            Err(RecvTimeoutError::Timeout) => return changed,
            // nobody tells any more: a pass over everything finds what changed
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                return changed;
            }
        }
    }
}

fn tell(sum: &Sum, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        return Ok(output::json(out, sum)?);
    }
    let Sum { copied, same, kept, skipped, gone } = sum;
    Ok(writeln!(
        out,
        "copied {copied}, found {same} the same, kept {kept} that hold something else here, skipped {skipped}, gone {gone}"
    )?)
}

/// Becomes true at Ctrl-C: what is under way is finished, and the sum is told.
fn interrupted() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let (set, failed) = (stop.clone(), |e| Failure::because("cannot listen to signals", e, "is this a full system?"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let signal = {
        let _inside = runtime.enter();
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?)
    };
    let wait = move || {
        let (mut interrupt, mut terminate) = signal;
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            set.store(true, Ordering::Relaxed);
            // a second one means at once
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(failed)?;
    Ok(stop)
}

/// A bar over keys on standard error; nothing when that is no terminal.
fn key_bar(total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {human_pos} of {human_len} keys, {per_sec}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    ProgressBar::new(total).with_style(style).with_message("copying")
}
