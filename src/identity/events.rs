//! Events: what happened to people's sessions, for services that keep something open as long as one lasts.
//!
//! Every node hears the same events in the order of the log, and names them by their place in it: whoever lost the
//! connection to one goes on at any other. The last ones are kept; a listener who was away for longer is told so, and
//! looks at everything anew. Nothing is told before the first listener came: that turns events on for the cluster.

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
    /// The last one that is kept no more.
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
        self.news.send_modify(|count| *count = count.saturating_add(1));
    }
}

impl Events {
    /// Ends every listener.
    pub fn close(&self) {
        self.news.send_replace(u64::MAX);
    }

    /// Begins to listen after the event of this name, or now.
    ///
    /// # Errors
    /// `NotDone` when too many listen.
    fn listen(self: &Arc<Self>, after: Option<EventId>) -> Result<Listening> {
        let place = self.room.clone().try_acquire_owned();
        let place = place.map_err(|_| Error::NotDone("too many listen already".into()))?;
        let kept = self.kept.lock();
        let last = kept.events.back().map(|event| event.id);
        let first = kept.events.front().map(|event| event.id);
        // what was told before the first one that is known here is known only if that one was heard
        let is_lost = after.is_some_and(|after| first.is_none_or(|first| after < first));
        let after = if is_lost { last } else { after.or(last) };
        drop(kept);
        Ok(Listening { events: self.clone(), news: self.news.subscribe(), after, is_lost, _place: place })
    }

    /// The events after this one, and whether some are missing before them.
    fn after(&self, after: Option<EventId>) -> (Vec<Event>, bool) {
        let kept = self.kept.lock();
        let from = after.map_or(0, |after| kept.events.partition_point(|event| event.id <= after));
        let is_lost = kept.gone.is_some_and(|gone| after.is_none_or(|after| after < gone));
        (kept.events.range(from..).take(limits::EVENTS_AT_ONCE).cloned().collect(), is_lost)
    }
}

/// Somebody who listens.
pub struct Listening {
    events: Arc<Events>,
    news: watch::Receiver<u64>,
    after: Option<EventId>,
    /// Whether some may have been missed; said once.
    is_lost: bool,
    _place: OwnedSemaphorePermit,
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
    /// The next events; `None` when there are no more to come.
    pub async fn next(&mut self) -> Option<News> {
        if std::mem::take(&mut self.is_lost) {
            return Some(News::Lost);
        }
        loop {
            let count = *self.news.borrow_and_update();
            let (events, is_lost) = self.events.after(self.after);
            if let Some(last) = events.last() {
                // who is too slow goes on with what is kept
                let was_behind = is_lost && self.after.is_some();
                self.after = Some(if was_behind { before(events[0].id) } else { last.id });
                return Some(if was_behind { News::Lost } else { News::Events(events) });
            }
            if count == u64::MAX || self.news.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// A name right before this one.
fn before(id: EventId) -> EventId {
    match id.nth.checked_sub(1) {
        Some(nth) => EventId { nth, ..id },
        None => EventId { index: id.index.saturating_sub(1), nth: u32::MAX },
    }
}

impl Identity {
    /// Listens to what happens to sessions, after the event of this name, or from now on.
    ///
    /// # Errors
    /// `NotDone` when too many listen, or events cannot be turned on.
    pub async fn listen(&self, after: Option<EventId>) -> Result<Listening> {
        let listening = self.events.listen(after)?;
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
        let mut new = events.listen(None).expect("there is room");
        assert!(heard(&mut new).await.is_empty());
        for index in [5, 5, 8] {
            events.hear(index, 1, &told(2));
        }
        assert_eq!(heard(&mut new).await, names(&["5-0", "5-1", "8-0"]));
        let mut back = events.listen(Some("5-0".parse().expect("a name"))).expect("there is room");
        assert_eq!(heard(&mut back).await, names(&["5-1", "8-0"]));
        let mut late = events.listen(Some(EventId { index: 2, nth: 0 })).expect("there is room");
        assert_eq!(heard(&mut late).await, [None]);
        events.close();
        assert!(new.next().await.is_none());
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_of_the_gap() {
        let events = Arc::new(Events::default());
        events.hear(1, 1, &told(1));
        let mut slow = events.listen(None).expect("there is room");
        for n in 0..limits::EVENTS_KEPT as u64 + 5 {
            events.hear(2 + n, 1, &told(n));
        }
        let heard = heard(&mut slow).await;
        assert_eq!(heard[0], None);
        assert_eq!(heard.len(), 1 + limits::EVENTS_KEPT);
        assert_eq!(heard.iter().filter(|name| name.is_none()).count(), 1);
    }
}
