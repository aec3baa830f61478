//! Entry: what one session is, to a checker of linearisability.
//!
//! It lives and holds something, or it has ended for good. Operations whose fate is unknown answer after everything
//! else and are always valid: the checker may let them happen anywhere after they began, or never.

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::record::{Act, Event, Held, Said};

/// One session.
struct Session;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Lives(Held),
    Ended,
}

#[derive(Debug, Clone)]
struct Operation(Act, Said);

impl Specification for Session {
    type State = State;
    type Operation = Operation;

    fn init() -> State {
        State::Lives(Held { beers: 0, n: 0 })
    }

    fn apply(Operation(act, said): &Operation, state: &State) -> (bool, State) {
        let after = match (act, *state) {
            (Act::End | Act::EndByOther, _) if *said != Said::Gone => State::Ended,
            (Act::Add, State::Lives(held)) => State::Lives(Held { beers: held.beers + 1, ..held }),
            (Act::Write(n), State::Lives(held)) => State::Lives(Held { n: *n, ..held }),
            (_, state) => state,
        };
        let is_valid = match said {
            Said::Unknown => true,
            Said::Gone => *state == State::Ended,
            Said::Held(held) => after == State::Lives(*held),
            Said::Done => matches!(act, Act::End | Act::EndByOther) || matches!(state, State::Lives(_)),
            Said::Taken | Said::Refused | Said::Odd(_) => false,
        };
        (is_valid, if is_valid { after } else { *state })
    }
}

/// Whether there is an order in which the operations on one session would have been answered as they were.
pub fn is_linearisable(events: &[&Event]) -> bool {
    let counts = |event: &&&Event| !matches!(event.said, Said::Refused | Said::Odd(_)) && event.act.is_on_entry();
    let mut actions = Vec::new();
    for (process, event) in events.iter().filter(counts).enumerate() {
        let operation = Operation(event.act.clone(), event.said.clone());
        let ended_us = if event.said == Said::Unknown { i64::MAX } else { event.ended_us };
        actions.push((event.began_us, 0, process, Action::Call(operation.clone())));
        actions.push((ended_us, 1, process, Action::Response(operation)));
    }
    actions.sort_by_key(|(at, order, process, _)| (*at, *order, *process));
    let actions: Vec<_> = actions.into_iter().map(|(_, _, process, action)| (process, action)).collect();
    actions.is_empty() || WGLChecker::<Session>::is_linearizable(History::from_actions(actions))
}

impl Act {
    /// Whether it is promised to see everything acknowledged before.
    fn is_on_entry(&self) -> bool {
        !matches!(self, Self::SignUp(_) | Self::SignIn(_) | Self::Glance)
    }
}
