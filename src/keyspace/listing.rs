//! Listing: commands that look at every key: `SCAN`, `KEYS`, `DBSIZE`, `RANDOMKEY`, and those that remove all.
//!
//! Walking through a large store takes long, and is done off the async threads. A `SCAN` sorts all names at its
//! beginning and goes through them page by page; that list is kept for a moment, and made again when it is too old, when
//! another `SCAN` begins, or when one goes on that began elsewhere with a newer one, so that whoever just wrote a key
//! finds it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Call, Keyspace, Reply, Scope};
use crate::error::{Error, Result};
use crate::state::command::{self, Counted, DATABASES, FLUSHED, List, Mark, Scan};
use crate::state::{Commands, Op, Outcome};

/// How long a list of names is kept.
const KEPT: Duration = Duration::from_secs(10);
/// Most lists that are kept at once.
const LISTS_MAX: usize = 8;
/// For so many apps it is kept how many keys they see.
const COUNTS_MAX: usize = 256;
/// So many entries are walked through on the spot.
const SMALL: u64 = 2_000;
/// Keys that are removed in one step, and bytes of their names.
const LOT: usize = 500;
const LOT_BYTES: usize = 1 << 20;
/// How often it is looked whether anything is left to be removed: others may write meanwhile.
const ROUNDS: usize = 8;

/// How many keys each database has.
type Counts = [Counted; DATABASES as usize];

/// The lists that are kept, and what was counted.
#[derive(Default)]
pub struct Listings {
    /// What was counted of many keys, by what apps see.
    counted: tokio::sync::Mutex<Vec<(Vec<u8>, Instant, Counts)>>,
    kept: Mutex<Vec<Kept>>,
    /// One is made at a time.
    making: tokio::sync::Mutex<()>,
}

struct Kept {
    db: u8,
    prefix: Vec<u8>,
    begun: Instant,
    list: List,
}

impl Listings {
    /// A list that will do for a scan that was asked for then.
    fn get(&self, scope: &Scope, scan: &Scan, asked: Instant) -> Option<List> {
        let is_ours = |kept: &Kept| kept.db == scope.db && kept.prefix == prefix(scope);
        let is_new = |kept: &Kept| match scan.begins() {
            true => kept.begun >= asked,
            false => scan.goes_on_in(&kept.list) && kept.begun + KEPT >= asked,
        };
        self.kept.lock().iter().find(|kept| is_ours(kept) && is_new(kept)).map(|kept| kept.list.clone())
    }

    fn put(&self, scope: &Scope, begun: Instant, list: List) {
        let mut kept = self.kept.lock();
        kept.retain(|held| held.begun.elapsed() < KEPT && (held.db != scope.db || held.prefix != prefix(scope)));
        if kept.len() >= LISTS_MAX {
            kept.remove(0);
        }
        kept.push(Kept { db: scope.db, prefix: prefix(scope).to_vec(), begun, list });
    }

    /// Forgets what nobody goes on with.
    fn tidy(&self) {
        self.kept.lock().retain(|held| held.begun.elapsed() < KEPT);
    }
}

fn prefix(scope: &Scope) -> &[u8] {
    scope.app.as_ref().map_or(&[], |app| &app.prefix)
}

/// Whether a command of four letters looks at every key.
pub(super) fn lists(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"scan") || name.eq_ignore_ascii_case(b"keys")
}

impl Keyspace {
    /// Runs a command that looks at every key.
    pub(super) async fn list(&self, scope: &Scope, call: &Call) -> Result<Reply> {
        if call.spec().is_none_or(|spec| !spec.takes(call.0.len())) {
            return Ok(command::read(&self.state.current().entries, scope, &call.0, self.log.now()));
        }
        if call.0[0].eq_ignore_ascii_case(b"scan") {
            return match Scan::read(&call.0[1..]) {
                Ok(scan) => self.scan(scope, scan).await,
                Err(refused) => Ok(refused),
            };
        }
        self.freshen().await?;
        let (call, scope) = (call.clone(), scope.clone());
        self.walk(move |entries, now| command::read(entries, &scope, &call.0, now)).await
    }

    /// Walks through all entries, off the async threads when there are many.
    async fn walk<T: Send + 'static>(
        &self,
        walk: impl FnOnce(&crate::state::Entries, i64) -> T + Send + 'static,
    ) -> Result<T> {
        let (generation, now) = (self.state.generation(), self.log.now());
        if generation.entries.count() <= SMALL {
            return Ok(walk(&generation.entries, now));
        }
        let walked = tokio::task::spawn_blocking(move || walk(&generation.entries, now)).await;
        walked.map_err(|e| Error::broken("walking through the keys", e))
    }

    /// How many keys a scope sees in each database on this node. Where there are many, they are counted now and then.
    ///
    /// # Errors
    /// When the counting itself fails.
    pub async fn counted(&self, scope: &Scope) -> Result<Counts> {
        let owned = scope.clone();
        let count = move |entries: &crate::state::Entries, now| command::counted(entries, &owned, now);
        if self.state.current().entries.count() <= SMALL {
            return self.walk(count).await;
        }
        // held meanwhile: whoever asks at the same time is told the same
        let mut held = self.listings.counted.lock().await;
        held.retain(|(_, at, _)| at.elapsed() < KEPT);
        if let Some((_, _, counts)) = held.iter().find(|(seen, _, _)| seen == prefix(scope)) {
            return Ok(*counts);
        }
        let counts = self.walk(count).await?;
        if held.len() >= COUNTS_MAX {
            held.remove(0);
        }
        held.push((prefix(scope).to_vec(), Instant::now(), counts));
        Ok(counts)
    }

    async fn scan(&self, scope: &Scope, scan: Scan) -> Result<Reply> {
        let asked = Instant::now();
        let list = match self.listings.get(scope, &scan, asked) {
            Some(list) => list,
            None => self.newer(scope, &scan, asked).await?,
        };
        Ok(command::page(&self.state.current().entries, scope, (&scan, &list), self.log.now()))
    }

    async fn newer(&self, scope: &Scope, scan: &Scan, asked: Instant) -> Result<List> {
        let _alone = self.listings.making.lock().await;
        self.listings.tidy();
        if let Some(list) = self.listings.get(scope, scan, asked) {
            return Ok(list);
        }
        let begun = Instant::now();
        self.freshen().await?;
        // before the entries are looked at: it has all of these, and may have more
        let mark = Mark::of(self.state.applied());
        let owned = scope.clone();
        let list = self.walk(move |entries, now| List::of(command::listing(entries, &owned, now), mark)).await?;
        self.listings.put(scope, begun, list.clone());
        Ok(list)
    }

    /// `FLUSHDB` and `FLUSHALL` by themselves: removes all that there is, in steps.
    pub(super) async fn flush(&self, scope: &Scope, call: &Call) -> Result<Reply> {
        let is_fine = match &call.0[1..] {
            [] => true,
            [word] => word.eq_ignore_ascii_case(b"ASYNC") || word.eq_ignore_ascii_case(b"SYNC"),
            _ => false,
        };
        if !is_fine {
            return Ok(command::wrong::syntax());
        }
        let all = call.0[0].eq_ignore_ascii_case(b"flushall");
        for db in if all { 0..=15 } else { scope.db..=scope.db } {
            let scope = Scope { db, ..scope.clone() };
            for _ in 0..ROUNDS {
                if !self.remove_all(&scope).await? {
                    break;
                }
            }
        }
        Ok(Reply::OK)
    }

    /// Removes what there is at the moment; answers whether there was anything.
    async fn remove_all(&self, scope: &Scope) -> Result<bool> {
        self.freshen().await?;
        let owned = scope.clone();
        let names = self.walk(move |entries, now| command::listing(entries, &owned, now)).await?;
        let mut rest = names.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |name: &&Vec<u8>| {
                bytes += name.len();
                bytes <= LOT_BYTES
            };
            let (lot, later) = rest.split_at(rest.iter().take(LOT).take_while(fits).count().max(1));
            rest = later;
            let words = std::iter::once(FLUSHED.name.as_bytes()).chain(lot.iter().map(Vec::as_slice));
            let calls = vec![Call::of(words)];
            let commands = Commands { scope: scope.clone(), calls, watched: Vec::new(), is_whole: true };
            match self.log.submit(Op::Commands(Box::new(commands))).await? {
                Outcome::Replies(replies) if !replies.iter().any(Reply::is_error) => {}
                other => return Err(Error::Broken(format!("commands were answered {other:?}"))),
            }
        }
        Ok(!names.is_empty())
    }
}
