//! Log time: the one clock that deadlines are in.
//!
//! It starts from the wall clock, then advances by the boot clock and is steered towards the wall clock so slowly
//! (500 ppm) that no jump of the wall clock ends a session or lengthens one. It never steps back and never falls below
//! a stamp that was seen: not even a machine that comes up in the wrong year can undo time that the log has counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use std::collections::HashMap;

use parking_lot::Mutex;

use super::peers::messages::ClockAnswer;
use super::types::NodeId;
use crate::clock::{Clock, Millis};
use crate::planted::{self, Bug};

/// How fast log time may be bent, in parts per million.
const STEER_PPM: i64 = 500;
/// The longest stretch that is made good in one go, microseconds: after a suspend or a pause of hours log time must not
/// leap by what it was not bent meanwhile.
const STRETCH_MAX_US: i64 = 2_000_000;
/// A wall clock this far from log time is worth a warning, milliseconds.
pub const OFF_MS: i64 = 1_000;
/// How long what a node said of its wall clock is worth something, microseconds.
const WALL_LASTS_US: i64 = 10_000_000;
/// Wall clocks that are no further apart agree, microseconds.
const AGREE_US: i64 = 10_000_000;

/// Log time as this node extrapolates it.
pub struct LogTime {
    clock: Arc<dyn Clock>,
    /// Log time minus boot time, microseconds.
    offset_us: AtomicI64,
    /// The highest stamp given out or seen, milliseconds.
    last: AtomicI64,
    steered_at_us: Mutex<i64>,
    /// What other nodes' wall clocks said: their distance to this node's boot clock, and when that was heard.
    walls: Mutex<HashMap<NodeId, (i64, i64)>>,
    /// Whether it is known from others, or agreed on, since this process began.
    is_set: AtomicBool,
}

impl LogTime {
    /// Log time after a start, where `last` is the last stamp in the log: the wall clock, but never below `last`.
    pub fn starting(clock: Arc<dyn Clock>, last: Millis) -> Self {
        let boot = clock.boot_us();
        let start = clock.wall_ms().max(last);
        Self {
            offset_us: AtomicI64::new(start.saturating_mul(1_000) - boot),
            last: AtomicI64::new(last),
            steered_at_us: Mutex::new(boot),
            walls: Mutex::default(),
            is_set: AtomicBool::new(false),
            clock,
        }
    }

    /// Log time now, milliseconds.
    pub fn now(&self) -> Millis {
        if planted::has(Bug::WallClock) {
            return self.clock.wall_ms();
        }
        let extrapolated = (self.clock.boot_us() + self.offset_us.load(Ordering::Relaxed)) / 1_000;
        extrapolated.max(self.last.load(Ordering::Relaxed))
    }

    /// A stamp for a record: log time now, never below an earlier stamp.
    pub fn stamp(&self) -> Millis {
        let now = self.now();
        self.last.fetch_max(now, Ordering::AcqRel).max(now)
    }

    /// Hears what the wall clock of another node says, milliseconds.
    pub fn note_wall(&self, node: NodeId, wall_ms: Millis) {
        let boot = self.clock.boot_us();
        self.walls.lock().insert(node, (wall_ms.saturating_mul(1_000) - boot, boot));
    }

    /// Follows the leader, which said `now` in answer to a question that was sent at `sent_us` by the boot clock: its
    /// time lies between `now` and `now` and the time that the answer took.
    pub fn follow(&self, now: Millis, sent_us: i64) {
        let boot = self.clock.boot_us();
        let least = now.saturating_mul(1_000) - boot;
        let most = least + (boot - sent_us).max(0) + 1_000;
        let held = self.offset_us.load(Ordering::Relaxed);
        self.offset_us.store(held.clamp(least, most), Ordering::Relaxed);
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// Whether log time goes on from what others said of it, or was settled, since this process began.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }

    /// What this node tells of its clocks to whoever comes to lead.
    pub fn told(&self) -> ClockAnswer {
        ClockAnswer { wall_ms: self.clock.wall_ms(), now: self.is_set().then(|| self.now()) }
    }

    /// Hears what the clocks of another node say. Answers how far its log time is ahead of this node's boot clock,
    /// microseconds, if it knows log time.
    pub fn hear(&self, node: NodeId, told: &ClockAnswer) -> Option<i64> {
        self.note_wall(node, told.wall_ms);
        told.now.map(|now| now.saturating_mul(1_000) - self.clock.boot_us())
    }

    /// Never falls below a stamp that was seen.
    pub fn see(&self, stamp: Millis) {
        self.last.fetch_max(stamp, Ordering::AcqRel);
    }

    /// The wall clocks of `voters` that were heard of lately, and this node's own, as distances to its boot clock; in
    /// order.
    fn walls_us(&self, voters: &[NodeId]) -> Vec<i64> {
        let boot = self.clock.boot_us();
        let mut walls = vec![self.clock.wall_ms().saturating_mul(1_000) - boot];
        let heard = self.walls.lock();
        let lately = voters.iter().filter_map(|id| heard.get(id)).filter(|(_, at)| boot - at < WALL_LASTS_US);
        walls.extend(lately.map(|(wall, _)| *wall));
        walls.sort_unstable();
        walls
    }

    /// Bends log time towards the median of the voters' wall clocks by what has passed since the last call, at most
    /// [`STEER_PPM`] of it; `voters` are the others.
    pub fn steer(&self, voters: &[NodeId]) {
        let median_us = median(&self.walls_us(voters));
        let boot = self.clock.boot_us();
        let mut steered_at = self.steered_at_us.lock();
        let elapsed = (boot - *steered_at).clamp(0, STRETCH_MAX_US);
        *steered_at = boot;
        let off_us = median_us - self.offset_us.load(Ordering::Relaxed);
        let bend = elapsed.saturating_mul(STEER_PPM) / 1_000_000;
        self.offset_us.fetch_add(off_us.clamp(-bend, bend), Ordering::Relaxed);
    }

    /// How far this node's wall clock is ahead of log time, milliseconds.
    pub fn off_ms(&self) -> i64 {
        self.clock.wall_ms() - (self.clock.boot_us() + self.offset_us.load(Ordering::Relaxed)) / 1_000
    }

    /// The boot clock and the wall clock.
    pub fn clocks(&self) -> (i64, Millis) {
        (self.clock.boot_us(), self.clock.wall_ms())
    }

    /// Sets log time by wall clocks on which a majority agrees: after a stop of the whole cluster nobody extrapolates.
    /// Never below a stamp that was seen. Answers whether a majority agrees; when none does it stays as it is, unless
    /// no stamp was ever given out: then nothing hangs on it yet.
    pub fn settle(&self, voters: &[NodeId]) -> bool {
        let walls = self.walls_us(voters);
        let median_us = median(&walls);
        let agree = walls.iter().filter(|wall| (*wall - median_us).abs() <= AGREE_US).count();
        let do_agree = 2 * agree > voters.len() + 1 || self.last.load(Ordering::Relaxed) == 0;
        if do_agree {
            self.go_on_from(median_us);
        }
        do_agree
    }

    /// Goes on from the last stamp that was seen.
    pub fn go_on(&self) {
        self.go_on_from(i64::MIN);
    }

    /// Goes on from a time that is so far ahead of the boot clock, microseconds; never below a stamp that was seen.
    pub fn go_on_from(&self, ahead_us: i64) {
        // from the last stamp on it advances, too, and does not wait until what it is set by comes up to it
        let least_us = self.last.load(Ordering::Relaxed).saturating_mul(1_000) - self.clock.boot_us();
        self.offset_us.store(ahead_us.max(least_us), Ordering::Relaxed);
        self.is_set.store(true, Ordering::Relaxed);
    }
}

fn median(sorted: &[i64]) -> i64 {
    sorted[(sorted.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const YEAR_MS: i64 = 365 * 86_400_000;
    const START: Millis = 1_800_000_000_000;

    fn starting(last: Millis) -> (Arc<ManualClock>, LogTime) {
        let clock = Arc::new(ManualClock::at(START));
        (clock.clone(), LogTime::starting(clock, last))
    }

    #[test]
    fn it_advances_with_the_boot_clock() {
        let (clock, time) = starting(0);
        clock.advance(1_234);
        assert_eq!(time.now(), START + 1_234);
    }

    #[test]
    fn a_jump_of_ten_years_bends_it_by_half_a_millisecond_a_second() {
        for years in [10, -10] {
            let (clock, time) = starting(0);
            clock.jump_wall(years * YEAR_MS);
            for _ in 0..1_000 {
                clock.advance(1_000);
                time.steer(&[]);
            }
            let drift = time.now() - (START + 1_000_000);
            assert_eq!(drift, years.signum() * 500, "{years} years");
        }
    }

    #[test]
    fn a_night_of_suspend_is_not_made_good_at_once() {
        let (clock, time) = starting(0);
        clock.jump_wall(YEAR_MS);
        clock.advance(10 * 3_600_000);
        time.steer(&[]);
        assert_eq!(time.now(), START + 10 * 3_600_000 + 1);
    }

    #[test]
    fn it_never_starts_below_the_last_stamp() {
        let (clock, time) = starting(START + YEAR_MS);
        assert_eq!(time.now(), START + YEAR_MS);
        clock.advance(5);
        assert_eq!(time.now(), START + YEAR_MS + 5);
    }

    #[test]
    fn wall_clocks_in_the_past_do_not_make_it_stand_still() {
        let (clock, time) = starting(START + YEAR_MS);
        clock.jump_wall(-10 * YEAR_MS);
        assert!(time.settle(&[]), "a node that is alone agrees with itself");
        assert_eq!(time.now(), START + YEAR_MS);
        clock.advance(5);
        assert_eq!(time.now(), START + YEAR_MS + 5);
    }

    #[test]
    fn stamps_never_step_back() {
        let (clock, time) = starting(0);
        let first = time.stamp();
        clock.jump_wall(-10 * YEAR_MS);
        for _ in 0..100 {
            clock.advance(1);
            time.steer(&[]);
            assert!(time.stamp() >= first);
        }
    }

    #[test]
    fn a_wall_clock_that_is_off_is_told() {
        let (clock, time) = starting(0);
        assert_eq!(time.off_ms(), 0);
        clock.jump_wall(5_000);
        assert_eq!(time.off_ms(), 5_000);
        clock.jump_wall(-10_000);
        assert_eq!(time.off_ms(), -5_000);
    }
}
