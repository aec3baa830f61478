//! Grants: which keys are held while something is decided and on its way, and who may have those that are free.

use std::collections::{HashSet, VecDeque};

use crate::state::Key;
use crate::state::command::Claim;

/// Ops that are decided into one record.
pub const BATCH_MAX: usize = 512;

/// What is held while it is on its way.
#[derive(Default)]
pub struct Held {
    keys: HashSet<Key>,
    /// Whether somebody runs alone.
    everything: bool,
}

impl Held {
    /// From now on these are held.
    pub fn take(&mut self, claim: &Claim) {
        match claim {
            Claim::Keys(keys) => self.keys.extend(keys.iter().cloned()),
            Claim::Everything => self.everything = true,
        }
    }

    /// They are held no more.
    pub fn give_back(&mut self, claim: &Claim) {
        match claim {
            Claim::Keys(keys) => keys.iter().for_each(|key| {
                self.keys.remove(key);
            }),
            Claim::Everything => self.everything = false,
        }
    }

    fn is_free(&self, claim: &Claim) -> bool {
        match claim {
            Claim::Keys(keys) => !self.everything && !keys.iter().any(|key| self.keys.contains(key)),
            Claim::Everything => !self.everything && self.keys.is_empty(),
        }
    }
}

/// Takes from `waiting`, in order, the jobs whose keys are all free; a job that must wait makes those behind it that
/// want one of its keys wait too. Answers each with what it claims. Whoever claims everything departs alone.
pub fn grant<J>(waiting: &mut VecDeque<J>, held: &Held, claim: impl Fn(&J) -> Claim) -> Vec<(J, Claim)> {
    let mut granted: Vec<(J, Claim)> = Vec::new();
    let mut wanted = Held::default();
    let mut is_alone = false;
    for _ in 0..waiting.len() {
        let Some(job) = waiting.pop_front() else { break };
        let claim = claim(&job);
        let has_room = granted.len() < BATCH_MAX && (claim != Claim::Everything || granted.is_empty());
        if !is_alone && has_room && held.is_free(&claim) && wanted.is_free(&claim) {
            is_alone = claim == Claim::Everything;
            granted.push((job, claim));
        } else {
            wanted.take(&claim);
            waiting.push_back(job);
        }
    }
    granted
}
