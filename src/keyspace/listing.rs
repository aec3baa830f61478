//! Listing: commands that look at every key: `SCAN`, `KEYS`, `DBSIZE`, `RANDOMKEY`, and those that remove all.
//!
//! Walking through a large store takes long, and is done off the async threads. A `SCAN` sorts all names at its
//! beginning and goes through them page by page; that list is kept for a moment, and made again when it is too old or
//! when another `SCAN` begins, so that whoever just wrote a key finds it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Call, Keyspace, Reply, Scope};
use crate::error::{Error, Result};
use crate::state::command::{self, Scan};
use crate::state::{Commands, Op, Outcome};

/// How long a list of names is kept.
const KEPT: Duration = Duration::from_secs(10);
/// Most lists that are kept at once.
const LISTS_MAX: usize = 8;
/// So many entries are walked through on the spot.
const SMALL: u64 = 2_000;
/// Keys that are removed in one step, and bytes of their names.
const LOT: usize = 500;
const LOT_BYTES: usize = 1 << 20;
/// How often it is looked whether anything is left to be removed: others may write meanwhile.
const ROUNDS: usize = 8;

/// Names in the order of `SCAN`.
type Names = Arc<Vec<(u64, Vec<u8>)>>;

/// The lists that are kept.
#[derive(Default)]
pub struct Listings {
    kept: Mutex<Vec<List>>,
    /// One is made at a time.
    making: tokio::sync::Mutex<()>,
}

struct List {
    db: u8,
    prefix: Vec<u8>,
    begun: Instant,
    names: Names,
}

impl Listings {
    fn get(&self, scope: &Scope, since: Instant) -> Option<Names> {
        let kept = self.kept.lock();
        let fits = |list: &&List| list.db == scope.db && list.prefix == prefix(scope) && list.begun >= since;
        kept.iter().find(fits).map(|list| list.names.clone())
    }

    fn put(&self, scope: &Scope, begun: Instant, names: Names) {
        let mut kept = self.kept.lock();
        kept.retain(|list| list.begun.elapsed() < KEPT && (list.db != scope.db || list.prefix != prefix(scope)));
        if kept.len() >= LISTS_MAX {
            kept.remove(0);
        }
        kept.push(List { db: scope.db, prefix: prefix(scope).to_vec(), begun, names });
    }

    /// Forgets what nobody goes on with.
    fn tidy(&self) {
        self.kept.lock().retain(|list| list.begun.elapsed() < KEPT);
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

    async fn scan(&self, scope: &Scope, scan: Scan) -> Result<Reply> {
        let asked = Instant::now();
        let since = if scan.cursor == 0 { asked } else { asked.checked_sub(KEPT).unwrap_or(asked) };
        let names = match self.listings.get(scope, since) {
            Some(names) => names,
            None => self.names(scope, since).await?,
        };
        Ok(command::page(&self.state.current().entries, scope, (&scan, &names), self.log.now()))
    }

    async fn names(&self, scope: &Scope, since: Instant) -> Result<Names> {
        let _alone = self.listings.making.lock().await;
        self.listings.tidy();
        if let Some(names) = self.listings.get(scope, since) {
            return Ok(names);
        }
        let begun = Instant::now();
        self.freshen().await?;
        let owned = scope.clone();
        let names = self.walk(move |entries, now| command::in_order(command::listing(entries, &owned, now))).await?;
        let names = Arc::new(names);
        self.listings.put(scope, begun, names.clone());
        Ok(names)
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
            let words = std::iter::once(&b"del"[..]).chain(lot.iter().map(Vec::as_slice));
            let calls = vec![Call::of(words)];
            let commands = Commands { scope: scope.clone(), calls, watched: Vec::new(), is_whole: true };
            match self.log.submit(Op::Commands(Box::new(commands))).await? {
                Outcome::Replies(_) => {}
                other => return Err(Error::Broken(format!("commands were answered {other:?}"))),
            }
        }
        Ok(!names.is_empty())
    }
}
