//! Clients: who is connected, for `CLIENT LIST` and `CLIENT KILL`, and for telling all of them something at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// All connections.
#[derive(Default)]
pub struct Clients {
    all: Mutex<All>,
    last: AtomicU64,
    /// How many there were.
    pub total: AtomicU64,
    /// Whether nobody is to stay.
    is_closing: AtomicBool,
}

#[derive(Default)]
struct All {
    here: BTreeMap<u64, Arc<Card>>,
    /// What was counted on those that have ended.
    gone: Counts,
}

/// What is counted on a connection, by itself: nobody waits for anybody to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub commands: u64,
    /// Of these, how many were answered with an error.
    pub errors: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.errors += other.errors;
    }
}

/// How fast commands come, as far as somebody asks.
pub struct Pace(Mutex<Asked>);

struct Asked {
    at: Instant,
    /// How many there had been.
    commands: u64,
    /// How many came a second up to then.
    pace: u64,
}

impl Pace {
    /// From now on.
    pub fn new() -> Self {
        Self(Mutex::new(Asked { at: Instant::now(), commands: 0, pace: 0 }))
    }

    /// How many commands came a second since it was asked last, a second ago or longer.
    pub fn now(&self, commands: u64) -> u64 {
        let mut asked = self.0.lock();
        let millis = asked.at.elapsed().as_millis();
        if millis >= 1_000 {
            let pace = u128::from(commands.saturating_sub(asked.commands)) * 1_000 / millis;
            *asked = Asked { at: Instant::now(), commands, pace: u64::try_from(pace).unwrap_or(u64::MAX) };
        }
        asked.pace
    }
}

/// What others may know of a connection.
pub struct Card {
    pub id: u64,
    pub address: SocketAddr,
    pub local: SocketAddr,
    pub since: Instant,
    seen: Mutex<Seen>,
    /// Whether it is to end with what it does now.
    pub is_cut: AtomicBool,
    /// Wakes it: somebody wants something of it.
    pub wake: Notify,
}

/// What it last said of itself.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub name: String,
    pub user: String,
    pub db: u8,
    pub proto: i64,
    pub channels: usize,
    pub patterns: usize,
    /// Commands that are queued; `None` outside of `MULTI`.
    pub queued: Option<usize>,
    pub command: &'static str,
    pub at: Option<Instant>,
    pub counts: Counts,
}

impl Seen {
    /// Whether it listens to anything.
    pub fn listens(&self) -> bool {
        self.channels + self.patterns > 0
    }
}

/// A place among the connections, given back when dropped.
pub struct Registered {
    clients: Arc<super::Door>,
    id: u64,
}

impl Clients {
    /// Registers a connection.
    pub fn enter(door: &Arc<super::Door>, address: SocketAddr, local: SocketAddr) -> (Arc<Card>, Registered) {
        let clients = &door.clients;
        let id = clients.last.fetch_add(1, Ordering::Relaxed) + 1;
        clients.total.fetch_add(1, Ordering::Relaxed);
        let card = Arc::new(Card {
            id,
            address,
            local,
            since: Instant::now(),
            seen: Mutex::default(),
            is_cut: AtomicBool::new(false),
            wake: Notify::new(),
        });
        clients.all.lock().here.insert(id, card.clone());
        if clients.is_closing.load(Ordering::SeqCst) {
            card.cut();
        }
        (card, Registered { clients: door.clone(), id })
    }

    /// Everybody, the oldest first.
    pub fn all(&self) -> Vec<Arc<Card>> {
        self.all.lock().here.values().cloned().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.lock().here.len()
    }

    /// What was counted on all of them, and on those that have ended.
    pub fn counts(&self) -> Counts {
        let all = self.all.lock();
        let mut sum = all.gone;
        all.here.values().for_each(|card| sum.add(card.seen.lock().counts));
        sum
    }

    /// Ends everybody's connection, and of those who are still on their way in.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        self.all.lock().here.values().for_each(|card| card.cut());
    }

    /// Has everybody look up.
    pub fn wake_all(&self) {
        self.all.lock().here.values().for_each(|card| card.wake.notify_one());
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut all = self.clients.clients.all.lock();
        if let Some(card) = all.here.remove(&self.id) {
            let counts = card.seen.lock().counts;
            all.gone.add(counts);
        }
    }
}

impl Card {
    /// What it last said of itself.
    pub fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }

    /// Notes what it is now.
    pub fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock());
    }

    /// Ends it.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Its line in `CLIENT LIST`, as Redis 7.0 writes it.
    pub fn line(&self) -> String {
        let seen = self.seen();
        let queued = seen.queued.map_or(-1, |queued| i64::try_from(queued).unwrap_or(i64::MAX));
        let flags = match (seen.listens(), seen.queued.is_some()) {
            (true, _) => "P",
            (false, true) => "x",
            (false, false) => "N",
        };
        format!(
            "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub=0 multi={queued} \
             qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={} user={} \
             redir=-1 resp={}",
            self.id,
            self.address,
            self.local,
            seen.name,
            self.since.elapsed().as_secs(),
            seen.at.unwrap_or(self.since).elapsed().as_secs(),
            seen.db,
            seen.channels,
            seen.patterns,
            if seen.command.is_empty() { "NULL" } else { seen.command },
            seen.user,
            seen.proto,
        )
    }
}
