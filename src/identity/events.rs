//! Events: what happened to people's sessions, for services that keep something open as long as one lasts.
//!
//! Every node hears the same events in the order of the log, and names them by their place in it: whoever lost the
//! connection to one goes on at any other. The last ones are kept; a listener who was away for longer is told so, and
//! looks at everything anew, as does one who comes from a time that a restored backup knows nothing of. Nothing is told
//! before the first listener came: that turns events on for the cluster.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Identity;
use super::visitor::handle;
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::limits;
use crate::state::{Key, Listener, Op, SessionEvent, Told, told};

/// An event's name: its record's place in the log, and its own in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    pub index: u64,
    pub nth: u32,
}

impl EventId {
    /// The place behind everything that the record at `index` tells.
    fn behind(index: u64) -> Self {
        Self { index, nth: u32::MAX }
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.index, self.nth)
    }
}

impl std::str::FromStr for EventId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-').and_then(|(index, nth)| Some((index.parse().ok()?, nth.parse().ok()?)));
        let (index, nth) = parts.ok_or_else(|| Error::Malformed("This is the name of no event.".into()))?;
        Ok(Self { index, nth })
    }
}

/// Something that happened to somebody's session.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: EventId,
    pub what: SessionEvent,
    /// User id.
    pub user: String,
    /// The session's public name.
    pub handle: String,
    /// Log time.
    pub at: Millis,
}

/// The last events, and word of the next ones.
pub struct Events {
    kept: Mutex<Kept>,
    /// How many there have been; `u64::MAX` when there are no more to come.
    news: watch::Sender<u64>,
    room: Arc<Semaphore>,
}

/// The last events.
#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    /// The place behind the last one that is kept no more, or was never heard.
    gone: Option<EventId>,
}

impl Default for Events {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(limits::EVENT_LISTENERS_MAX));
        Self { kept: Mutex::default(), news: watch::Sender::new(0), room }
    }
}

impl Listener for Events {
    fn hear(&self, index: u64, stamp: Millis, told: &Told) {
        let Told::Session { what, user, key } = told else { return };
        let mut kept = self.kept.lock();
        let last = kept.events.back().map(|event| event.id);
        let nth = last.filter(|last| last.index == index).map_or(0, |last| last.nth + 1);
        if kept.events.len() >= limits::EVENTS_KEPT {
            kept.gone = kept.events.pop_front().map(|event| event.id);
        }
        let id = EventId { index, nth };
        kept.events.push_back(Event { id, what: *what, user: user.clone(), handle: handle(key), at: stamp });
        drop(kept);
        self.wake();
    }

    fn missed(&self, index: u64) {
        let mut kept = self.kept.lock();
        kept.events.retain(|event| event.id.index > index);
        kept.gone = kept.gone.max(Some(EventId::behind(index)));
        drop(kept);
        self.wake();
    }
}

impl Events {
    /// Ends every listener.
    pub fn close(&self) {
        self.news.send_replace(u64::MAX);
    }

    fn wake(&self) {
        self.news.send_modify(|count| *count = count.saturating_add(1));
    }

    /// Begins to listen after the event of this name, or now, when the record at `applied` was the last one.
    ///
    /// # Errors
    /// `NotDone` when too many listen.
    fn listen(self: &Arc<Self>, after: Option<EventId>, applied: u64) -> Result<Listening> {
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| Error::NotDone("too many listen already".into()))?;
        let gone = self.kept.lock().gone;
        let is_lost = after.is_some_and(|after| after.index > applied || gone.is_some_and(|gone| after < gone));
        let after = after.filter(|_| !is_lost).unwrap_or(EventId::behind(applied));
        Ok(Listening { events: self.clone(), news: self.news.subscribe(), after, is_lost, _room: room })
    }

    /// The events after this one.
    ///
    /// # Errors
    /// Some are missing before those that come behind this place.
    fn after(&self, after: EventId) -> std::result::Result<Vec<Event>, EventId> {
        let kept = self.kept.lock();
        if let Some(gone) = kept.gone.filter(|gone| after < *gone) {
            return Err(gone);
        }
        let from = kept.events.partition_point(|event| event.id <= after);
        Ok(kept.events.range(from..).take(limits::EVENTS_AT_ONCE).cloned().collect())
    }
}

/// Somebody who listens.
pub struct Listening {
    events: Arc<Events>,
    news: watch::Receiver<u64>,
    /// The last event that was heard, or the place where listening began.
    after: EventId,
    /// Whether some may have been missed; said once.
    is_lost: bool,
    _room: OwnedSemaphorePermit,
}

/// What a listener is told.
#[derive(Debug)]
pub enum News {
    /// These happened.
    Events(Vec<Event>),
    /// More happened than is known here.
    Lost,
}

impl Listening {
    /// By what name to come back.
    pub fn place(&self) -> EventId {
        self.after
    }

    /// The next events; `None` when there are no more to come. What is dropped half way is heard the next time.
    pub async fn next(&mut self) -> Option<News> {
        if std::mem::take(&mut self.is_lost) {
            return Some(News::Lost);
        }
        loop {
            let count = *self.news.borrow_and_update();
            match self.events.after(self.after) {
                // who is too slow goes on with what is kept
                Err(gone) => {
                    self.after = gone;
                    return Some(News::Lost);
                }
                Ok(events) => {
                    if let Some(last) = events.last() {
                        self.after = last.id;
                        return Some(News::Events(events));
                    }
                }
            }
            if count == u64::MAX || self.news.changed().await.is_err() {
                return None;
            }
        }
    }
}

impl Identity {
    /// Listens to what happens to sessions, after the event of this name, or from now on.
    ///
    /// # Errors
    /// `NotDone` when too many listen, this node cannot be sure what was the last event, or events cannot be turned on.
    pub async fn listen(&self, after: Option<EventId>) -> Result<Listening> {
        // a name that another node gave a moment ago is none from beyond
        self.log.refresh().await?;
        let listening = self.events.listen(after, self.state.applied())?;
        if self.state.live(&Key::setting(told::SESSION_EVENTS), self.now()).is_none() {
            let name = told::SESSION_EVENTS.to_owned();
            self.log.submit(Op::Setting { name, value: "on".into(), only_if_absent: true }).await?;
        }
        Ok(listening)
    }

    /// Ends everybody's listening: the node is about to stop.
    pub fn stop_telling(&self) {
        self.events.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use crate::state::snapshot::{self, Head};

    fn told(n: u64) -> Told {
        Told::Session { what: SessionEvent::SignIn, user: format!("user{n}"), key: Key::session("sess:", "sid") }
    }

    /// What is heard without waiting: names of events, `None` for a gap.
    async fn heard(listening: &mut Listening) -> Vec<Option<String>> {
        let mut all = Vec::new();
        while let Ok(Some(news)) = tokio::time::timeout(std::time::Duration::ZERO, listening.next()).await {
            match news {
                News::Lost => all.push(None),
                News::Events(events) => all.extend(events.iter().map(|event| Some(event.id.to_string()))),
            }
        }
        all
    }

    fn names(all: &[&str]) -> Vec<Option<String>> {
        all.iter().map(|name| Some((*name).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_listener_hears_what_comes_and_one_who_returns_what_was_missed() {
        let events = Arc::new(Events::default());
        events.hear(3, 1, &told(1));
        let mut new = events.listen(None, 3).expect("there is room");
        assert!(heard(&mut new).await.is_empty());
        let place = new.place();
        for index in [5, 5, 8] {
            events.hear(index, 1, &told(2));
        }
        assert_eq!(heard(&mut new).await, names(&["5-0", "5-1", "8-0"]));
        let mut back = events.listen(Some("5-0".parse().expect("a name")), 8).expect("there is room");
        assert_eq!(heard(&mut back).await, names(&["5-1", "8-0"]));
        let mut same = events.listen(Some(place.to_string().parse().expect("a name")), 8).expect("there is room");
        assert_eq!(heard(&mut same).await, names(&["5-0", "5-1", "8-0"]), "it had a name before it heard anything");
        events.close();
        assert!(new.next().await.is_none());
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_of_the_gap() {
        let events = Arc::new(Events::default());
        events.hear(1, 1, &told(1));
        let mut slow = events.listen(None, 1).expect("there is room");
        for n in 0..limits::EVENTS_KEPT as u64 + 5 {
            events.hear(2 + n, 1, &told(n));
        }
        let all = heard(&mut slow).await;
        assert_eq!(all[0], None);
        assert_eq!(all.len(), 1 + limits::EVENTS_KEPT);
        assert_eq!(all.iter().filter(|name| name.is_none()).count(), 1);
        let mut late = events.listen(Some(EventId { index: 2, nth: 0 }), 20_000).expect("there is room");
        assert_eq!(heard(&mut late).await, [None]);
    }

    #[tokio::test]
    async fn a_snapshot_that_is_installed_is_a_gap() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = State::open(dir.path()).expect("an empty state");
        let events = Arc::new(Events::default());
        state.tell(events.clone());
        let mut listening = events.listen(None, state.applied()).expect("there is room");
        let (file, head) = (dir.path().join("snapshot"), Head { index: 9, stamp: 1, label: Vec::new() });
        snapshot::write(&state.generation(), &head, &file).expect("is written");
        state.install(&file).expect("is installed");
        assert_eq!(heard(&mut listening).await, [None]);
        assert_eq!((listening.place(), state.applied()), (EventId::behind(9), 9));
    }

    #[tokio::test]
    async fn what_came_as_a_whole_was_heard_by_nobody() {
        let events = Arc::new(Events::default());
        events.hear(3, 1, &told(1));
        let mut new = events.listen(None, 3).expect("there is room");
        let mut old = events.listen(Some(EventId { index: 2, nth: 0 }), 3).expect("there is room");
        events.missed(9);
        events.hear(12, 1, &told(2));
        for listening in [&mut new, &mut old] {
            assert_eq!(heard(listening).await, [vec![None], names(&["12-0"])].concat());
        }
        for (after, expected) in [(3, vec![None]), (9, names(&["12-0"])), (12, Vec::new())] {
            let mut back = events.listen(Some(EventId::behind(after)), 12).expect("there is room");
            assert_eq!(heard(&mut back).await, expected, "{after}");
        }
    }

    #[tokio::test]
    async fn a_name_from_before_a_backup_was_restored_is_lost() {
        let events = Arc::new(Events::default());
        let mut back = events.listen(Some(EventId { index: 700, nth: 0 }), 40).expect("there is room");
        events.hear(41, 1, &told(1));
        assert_eq!(heard(&mut back).await, [vec![None], names(&["41-0"])].concat());
    }
}
