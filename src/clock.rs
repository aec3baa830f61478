//! Clock: where this process gets its time from.
//!
//! Two readings, kept apart on purpose: the wall clock, which an operator or NTP may move, and the boot clock, which
//! only ever advances and counts suspend (Linux `CLOCK_BOOTTIME`). Deadlines use neither directly: they are in log
//! time, which `raft` derives from both. Everything that needs the time is handed a `Clock`, so that tests own it.

use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds since the Unix epoch, in log time unless a name says otherwise.
pub type Millis = i64;

/// A source of time. Implementations are shared between threads and must not block.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: milliseconds since the Unix epoch, UTC. May jump either way.
    fn wall_ms(&self) -> Millis;
    /// The boot clock: microseconds since some fixed moment. Never steps back, advances during suspend.
    fn boot_us(&self) -> i64;
}

/// The machine's own clocks.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> Millis {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        t.tv_sec * 1_000 + t.tv_nsec / 1_000_000
    }

    fn boot_us(&self) -> i64 {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        t.tv_sec * 1_000_000 + t.tv_nsec / 1_000
    }
}

/// Clocks that move only when told to, for tests that advance time instead of sleeping.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    boot_us: AtomicI64,
}

impl ManualClock {
    /// Clocks that start at `wall_ms`, with the boot clock at one hour.
    pub fn at(wall_ms: Millis) -> Self {
        Self { wall_ms: AtomicI64::new(wall_ms), boot_us: AtomicI64::new(3_600_000_000) }
    }

    /// Lets `ms` pass on both clocks.
    pub fn advance(&self, ms: i64) {
        assert!(ms >= 0, "time that passes is not negative");
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.boot_us.fetch_add(ms * 1_000, Ordering::SeqCst);
    }

    /// Moves the wall clock alone by `ms`, either way: what an operator or a broken NTP server does.
    pub fn jump_wall(&self, ms: i64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> Millis {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn boot_us(&self) -> i64 {
        self.boot_us.load(Ordering::SeqCst)
    }
}
