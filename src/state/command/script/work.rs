//! Work: how much a script may do before it is stopped.

use std::cell::Cell;
use std::time::Duration;

use crate::limits::{SCRIPT_STEPS_MAX, STEP_TIME_MAX};
use crate::state::view::Stopwatch;

/// What is left of a script's steps and time. A step is about an instruction of Lua's.
pub(super) struct Work {
    left: Cell<u64>,
    stopwatch: Option<Stopwatch>,
    begun: Duration,
}

/// Nothing is left.
#[derive(Debug)]
pub(super) struct Spent;

impl Work {
    /// All of a script's steps; of its time what was not taken since the stopwatch said `begun`.
    pub fn new((stopwatch, begun): (Option<Stopwatch>, Duration)) -> Self {
        Self { left: Cell::new(SCRIPT_STEPS_MAX), stopwatch, begun }
    }

    /// Takes so many steps.
    ///
    /// # Errors
    /// When they are more than are left: then, and from then on.
    pub fn spend(&self, steps: u64) -> Result<(), Spent> {
        let left = self.left.get().saturating_sub(steps);
        self.left.set(left);
        if left == 0 { Err(Spent) } else { Ok(()) }
    }

    /// The same, and looks at the time.
    ///
    /// # Errors
    /// When nothing is left, or it took too long.
    pub fn go_on(&self, steps: u64) -> Result<(), Spent> {
        if self.stopwatch.as_ref().is_some_and(|stopwatch| stopwatch() - self.begun > STEP_TIME_MAX) {
            self.left.set(0);
        }
        self.spend(steps)
    }

    pub fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}
