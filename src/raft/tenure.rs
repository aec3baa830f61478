//! Tenure: in which term this node may decide.
//!
//! One that it leads and whose first entry it has applied: its state then holds everything that was acknowledged
//! before. A leader that nobody's log time reached since the process began asks the other voters what time it is first.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Raft;
use super::decider;
use super::logtime::LogTime;
use super::members::Members;
use super::peers::links::{Lane, Links};
use super::peers::messages::ClockAnswer;
use super::peers::routes;
use super::types::NodeId;
use crate::planted::{self, Bug};
use crate::state::State;

/// How long the others may take to tell what their clocks say.
const CLOCK_WITHIN: Duration = Duration::from_millis(500);
/// How long those who do not tell are asked again before nobody knows the time, and how soon.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What it takes to begin a tenure.
pub struct Watch {
    pub raft: Raft,
    pub id: NodeId,
    pub members: Arc<Members>,
    pub links: Arc<Links>,
    pub time: Arc<LogTime>,
    pub state: Arc<State>,
    /// Whether this node is to decide no more, though it leads.
    pub is_over: watch::Receiver<bool>,
}

impl Watch {
    /// Tells the term, as long as there is a log and somebody listens. `None` any more when the log has ended.
    pub async fn run(mut self, tenure: watch::Sender<Option<u64>>) {
        let mut metrics = self.raft.metrics();
        loop {
            let (term, leads) = {
                let seen = metrics.borrow_watched();
                (seen.current_term, seen.current_leader == Some(seen.id))
            };
            if !leads || *self.is_over.borrow_and_update() {
                tenure.send_if_modified(|held| held.take().is_some());
            } else if *tenure.borrow() != Some(term)
                && self.has_applied_own_term(term).await
                && self.knows_time(term).await
            {
                if self.members.count() > 1 {
                    tracing::info!(term, "this node leads");
                }
                tenure.send_replace(Some(term));
            }
            let goes_on = tokio::select! {
                changed = metrics.changed() => changed.is_ok(),
                over = self.is_over.changed() => over.is_ok(),
            };
            if !goes_on || tenure.is_closed() {
                tenure.send_replace(None);
                return;
            }
        }
    }

    async fn has_applied_own_term(&self, term: u64) -> bool {
        if planted::has(Bug::EarlyTenure) {
            return true;
        }
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) if decider::leads(&linearizer, term) => linearizer.await_ready(&self.raft).await.is_ok(),
            _ => false,
        }
    }

    /// Whether it is known what time it is, before this node leads no more.
    async fn knows_time(&self, term: u64) -> bool {
        self.time.see(self.state.stamp());
        if self.time.is_set() {
            return true;
        }
        let mut others = self.members.voters();
        others.retain(|id| *id != self.id);
        let (wait, mut is_over) = (self.raft.wait(None), self.is_over.clone());
        tokio::select! {
            () = find_out(&self.time, &others, |id| self.clock_of(id)) => true,
            _ = wait.metrics(|m| m.current_leader != Some(m.id) || m.current_term != term, "the end of a term") => false,
            _ = is_over.wait_for(|is_over| *is_over) => false,
        }
    }

    async fn clock_of(&self, id: NodeId) -> Option<ClockAnswer> {
        let link = self.links.to(id, &self.members.get(id)?, Lane::Quick);
        link.call(routes::CLOCK, &()).await.ok()
    }
}

/// Sets log time by what the `others` of the voters tell: log time as one of them extrapolates it, or else wall clocks
/// on which a majority agrees, or else the last stamp. Never by the own wall clock alone, unless there is nobody else.
async fn find_out<T: Future<Output = Option<ClockAnswer>>>(
    time: &LogTime,
    others: &[NodeId],
    ask: impl Fn(NodeId) -> T,
) {
    let begun = Instant::now();
    loop {
        let asked = others.iter().map(|id| {
            let told = timeout(CLOCK_WITHIN, ask(*id));
            async move { told.await.ok()?.map(|told| time.hear(*id, &told)) }
        });
        let heard: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        if let Some(ahead_us) = heard.iter().flatten().max() {
            return time.go_on_from(*ahead_us);
        }
        if time.settle(others) {
            return;
        }
        // whoever told would tell the same again
        if heard.len() == others.len() || begun.elapsed() >= TOLD_WITHIN {
            break;
        }
        sleep(ASK_AGAIN).await;
    }
    time.go_on();
    tracing::warn!(
        "no majority of the voters agrees on what time it is; log time goes on from the last stamp, and sessions last \
         longer by the time that the cluster was stopped; hint: set the machines' clocks by NTP"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock};

    const START: i64 = 1_800_000_000_000;
    const YEARS_10_MS: i64 = 3_652 * 86_400_000;
    const HOUR_MS: i64 = 3_600_000;

    /// Log time of a node that comes up ten years ahead, `START` being the last stamp.
    fn ahead() -> (Arc<ManualClock>, LogTime) {
        let clock = Arc::new(ManualClock::at(START + YEARS_10_MS));
        (clock.clone(), LogTime::starting(clock, START))
    }

    fn wall(wall_ms: i64) -> Option<ClockAnswer> {
        Some(ClockAnswer { wall_ms, now: None })
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_nobody_tells_the_time_goes_on_from_the_last_stamp() {
        let (clock, time) = ahead();
        let begun = Instant::now();
        find_out(&time, &[2, 3], async |_| std::future::pending().await).await;
        assert!(time.is_set() && begun.elapsed() < TOLD_WITHIN * 2, "{:?}", begun.elapsed());
        assert_eq!(time.now(), START);
        clock.advance(5);
        assert_eq!(time.now(), START + 5);
    }

    #[tokio::test(start_paused = true)]
    async fn wall_clocks_that_do_not_agree_set_nothing() {
        let (_, time) = ahead();
        find_out(&time, &[2, 3], async |id| wall(START + HOUR_MS * i64::try_from(id).expect("small"))).await;
        assert_eq!(time.now(), START);
        let (_, time) = ahead();
        find_out(&time, &[2], async |_| wall(START + HOUR_MS)).await;
        assert_eq!(time.now(), START, "one of two is no majority");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_late_to_tell_is_asked_again() {
        let (_, time) = ahead();
        let begun = Instant::now();
        let ask = async |id| if begun.elapsed() > CLOCK_WITHIN { wall(START + HOUR_MS + id as i64) } else { None };
        find_out(&time, &[2, 3], ask).await;
        assert_eq!(time.now(), START + HOUR_MS + 3, "the median");
    }

    #[tokio::test(start_paused = true)]
    async fn a_voter_that_extrapolates_is_believed_before_all_wall_clocks() {
        let (clock, time) = ahead();
        let ask = async |id| match id {
            2 => wall(clock.wall_ms()),
            id => Some(ClockAnswer { wall_ms: clock.wall_ms(), now: Some(START + HOUR_MS + id as i64) }),
        };
        find_out(&time, &[2, 4, 3], ask).await;
        assert_eq!(time.now(), START + HOUR_MS + 4, "the highest");
    }

    #[tokio::test(start_paused = true)]
    async fn the_only_voter_takes_its_wall_clock_but_never_below_the_last_stamp() {
        let (_, time) = ahead();
        find_out(&time, &[], async |_| None).await;
        assert_eq!(time.now(), START + YEARS_10_MS);
        let time = LogTime::starting(Arc::new(ManualClock::at(START - YEARS_10_MS)), START);
        find_out(&time, &[], async |_| None).await;
        assert_eq!(time.now(), START);
    }
}
