//! Record: what clients asked, when, and what they were answered.
//!
//! Times are microseconds since the run began, of the one clock of this process: an operation begins before its request
//! leaves and ends after its answer has come.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use parking_lot::Mutex;

/// What a session's value holds, as far as clients here write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    pub beers: i64,
    pub n: i64,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    SignUp(String),
    /// Begins the session of the event.
    SignIn(String),
    /// One more beer.
    Add,
    /// Set `n`.
    Write(i64),
    /// Read as whoever wrote a moment ago does.
    Read,
    /// Read as anybody does: perhaps a little old.
    Glance,
    End,
    /// The same by another session of the same person, which ends all others.
    EndByOther,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Done,
    Held(Held),
    /// There is no such session, account or password.
    Gone,
    /// Somebody has the address.
    Taken,
    /// Surely not done.
    Refused,
    /// Nobody can tell.
    Unknown,
    /// Something that is never answered.
    Odd(String),
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Event {
    /// Sessions are numbered as they begin.
    pub session: Option<usize>,
    /// The node that was asked.
    pub slot: usize,
    pub act: Act,
    pub said: Said,
    pub began_us: i64,
    pub ended_us: i64,
    /// Whether the node ran all the while.
    pub is_steady: bool,
}

/// All of them, and what every node holds in the end.
pub struct Record {
    begun: Instant,
    pub events: Mutex<Vec<Event>>,
    /// By node: the addresses that have an account.
    pub accounts: Mutex<Vec<(usize, Vec<String>)>>,
}

impl Record {
    pub fn new() -> Self {
        Self { begun: Instant::now(), events: Mutex::default(), accounts: Mutex::default() }
    }

    pub fn now_us(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).expect("no run is that long")
    }

    /// Operations by kind and by what came of them.
    pub fn figures(&self) -> String {
        let events = self.events.lock();
        let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for event in events.iter() {
            *counts.entry(event.act.name()).or_default().entry(event.said.name()).or_default() += 1;
        }
        let mut out = format!("{} operations", events.len());
        for (act, said) in counts {
            let said: Vec<String> = said.iter().map(|(said, count)| format!("{count} {said}")).collect();
            let _ = write!(out, "\n  {act}: {}", said.join(", "));
        }
        out
    }
}

impl Act {
    fn name(&self) -> &'static str {
        match self {
            Self::SignUp(_) => "sign-up",
            Self::SignIn(_) => "sign-in",
            Self::Add => "add",
            Self::Write(_) => "write",
            Self::Read => "read",
            Self::Glance => "check",
            Self::End => "sign-out",
            Self::EndByOther => "sign-out elsewhere",
        }
    }
}

impl Said {
    fn name(&self) -> &'static str {
        match self {
            Self::Done | Self::Held(_) => "done",
            Self::Gone => "gone",
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Odd(_) => "odd",
        }
    }
}
