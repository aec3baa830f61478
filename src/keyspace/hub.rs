//! Hub: messages, from whichever node they were sent to, to those who listen on this one.
//!
//! A message is told when its record is applied, so that all nodes hear all of them in the same order. Whoever applies
//! records must not wait: a subscriber has a queue with a bound, and one that does not keep up is cut off, as Redis does.
//! An app hears of keyspace events only those of its own keys, and of messages only those of its own channels.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::{AppScope, matches};
use crate::clock::Millis;
use crate::limits::{REDIS_HEARD_BYTES, REDIS_HEARD_MAX};
use crate::state::told;
use crate::state::{Listener, Told};

/// A message that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The pattern that it was heard by, if any.
    pub pattern: Option<Bytes>,
    pub channel: Bytes,
    pub payload: Bytes,
}

/// Who hears of what.
#[derive(Default)]
pub struct Hub {
    inner: RwLock<Inner>,
    next: AtomicU64,
}

#[derive(Default)]
struct Inner {
    channels: HashMap<Bytes, Ears>,
    patterns: HashMap<Bytes, Ears>,
}

/// The hub's end of a subscriber's queue.
struct Ear {
    sender: parking_lot::Mutex<Option<mpsc::Sender<Message>>>,
    waiting: Arc<AtomicUsize>,
    /// Which app listens; `None`: whoever sees everything.
    app: Option<AppScope>,
}

/// Somebody who listens; hears nothing any more when dropped.
pub struct Subscriber {
    hub: Arc<Hub>,
    id: u64,
    ear: Arc<Ear>,
    heard: mpsc::Receiver<Message>,
    channels: Vec<Bytes>,
    patterns: Vec<Bytes>,
}

/// Whether a name is a channel or a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Channel,
    Pattern,
}

impl Hub {
    /// Somebody new, of an app or of none, who listens to nothing yet.
    pub fn subscriber(self: &Arc<Self>, app: Option<AppScope>) -> Subscriber {
        let (sender, heard) = mpsc::channel(REDIS_HEARD_MAX);
        let ear = Ear { sender: Some(sender).into(), waiting: Arc::default(), app };
        Subscriber {
            hub: self.clone(),
            id: self.next.fetch_add(1, Ordering::Relaxed),
            ear: Arc::new(ear),
            heard,
            channels: Vec::new(),
            patterns: Vec::new(),
        }
    }

    /// How many of an app, or of none, on this node hear what is said in a channel of theirs.
    pub fn listeners(&self, app: Option<&AppScope>, channel: &[u8]) -> usize {
        let inner = self.inner.read();
        let by_pattern = inner.patterns.iter().filter(|(pattern, _)| matches(pattern, channel));
        count(app, inner.channels.get(channel)) + by_pattern.map(|(_, ears)| count(app, Some(ears))).sum::<usize>()
    }

    /// How many of them listen to this very channel.
    pub fn subscribers(&self, app: Option<&AppScope>, channel: &[u8]) -> usize {
        count(app, self.inner.read().channels.get(channel))
    }

    /// The channels that any of them listens to.
    pub fn channels(&self, app: Option<&AppScope>) -> Vec<Bytes> {
        let inner = self.inner.read();
        let heard = inner.channels.iter().filter(|(_, ears)| count(app, Some(ears)) > 0);
        heard.map(|(channel, _)| channel.clone()).collect()
    }

    /// How many patterns any of them listens to.
    pub fn patterns(&self, app: Option<&AppScope>) -> usize {
        self.inner.read().patterns.values().filter(|ears| count(app, Some(ears)) > 0).count()
    }

    fn say(&self, channel: &Bytes, payload: &Bytes) {
        let (owner, plain) = told::owner_of(channel);
        let channel = &channel.slice_ref(plain);
        let inner = self.inner.read();
        if let Some(ears) = inner.channels.get(channel) {
            let message = Message { pattern: None, channel: channel.clone(), payload: payload.clone() };
            ears.values().for_each(|ear| ear.hear(owner, &message));
        }
        for (pattern, ears) in inner.patterns.iter().filter(|(pattern, _)| matches(pattern, channel)) {
            let pattern = Some(pattern.clone());
            let message = Message { pattern, channel: channel.clone(), payload: payload.clone() };
            ears.values().for_each(|ear| ear.hear(owner, &message));
        }
    }
}

type Ears = HashMap<u64, Arc<Ear>>;

/// How many of them are of an app, or of none.
fn count(app: Option<&AppScope>, ears: Option<&Ears>) -> usize {
    let name = app.map(|app| &app.name);
    let is_theirs = |ear: &&Arc<Ear>| ear.app.as_ref().map(|app| &app.name) == name;
    ears.map_or(0, |ears| ears.values().filter(is_theirs).count())
}

impl Ear {
    /// Whether it may hear what is said in a channel of this owner.
    fn may_hear(&self, owner: Option<&[u8]>, message: &Message) -> bool {
        match (&self.app, owner, told::key_of_event(&message.channel, &message.payload)) {
            (Some(app), None, Some(key)) => key.starts_with(&app.prefix),
            (app, owner, _) => app.as_ref().map(|app| app.name.as_bytes()) == owner,
        }
    }

    fn hear(&self, owner: Option<&[u8]>, message: &Message) {
        if !self.may_hear(owner, message) {
            return;
        }
        let mut sender = self.sender.lock();
        let bytes = cost(message);
        let waiting = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let is_full = waiting > REDIS_HEARD_BYTES
            || sender.as_ref().is_some_and(|sender| sender.try_send(message.clone()).is_err());
        if is_full && sender.take().is_some() {
            tracing::warn!("a subscriber at the Redis door does not keep up, and is cut off");
        }
    }
}

fn cost(message: &Message) -> usize {
    message.channel.len() + message.payload.len() + 64
}

impl Listener for Hub {
    fn hear(&self, _: u64, _: Millis, told: &Told) {
        if let Told::Message { channel, payload } = told {
            self.say(channel, payload);
        }
    }
}

impl Subscriber {
    /// The next message; `None` when it was too far behind and hears nothing any more.
    pub async fn next(&mut self) -> Option<Message> {
        let message = self.heard.recv().await?;
        self.ear.waiting.fetch_sub(cost(&message), Ordering::Relaxed);
        Some(message)
    }

    /// One that waits already, if any does.
    pub fn try_next(&mut self) -> Option<Message> {
        let message = self.heard.try_recv().ok()?;
        self.ear.waiting.fetch_sub(cost(&message), Ordering::Relaxed);
        Some(message)
    }

    /// Listens to a channel or a pattern.
    pub fn listen(&mut self, by: By, name: &Bytes) {
        if self.all(by).contains(name) {
            return;
        }
        let name = Bytes::copy_from_slice(name);
        let mut inner = self.hub.inner.write();
        let named = match by {
            By::Channel => &mut inner.channels,
            By::Pattern => &mut inner.patterns,
        };
        named.entry(name.clone()).or_default().insert(self.id, self.ear.clone());
        drop(inner);
        match by {
            By::Channel => self.channels.push(name),
            By::Pattern => self.patterns.push(name),
        }
    }

    /// Listens to it no more.
    pub fn leave(&mut self, by: By, name: &Bytes) {
        let mine = match by {
            By::Channel => &mut self.channels,
            By::Pattern => &mut self.patterns,
        };
        mine.retain(|held| held != name);
        self.hub.forget(by, name, self.id);
    }

    /// What it listens to, in the order in which it began.
    pub fn all(&self, by: By) -> &[Bytes] {
        match by {
            By::Channel => &self.channels,
            By::Pattern => &self.patterns,
        }
    }

    /// How much it listens to.
    pub fn count(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }
}

impl Hub {
    fn forget(&self, by: By, name: &Bytes, id: u64) {
        let mut inner = self.inner.write();
        let named = match by {
            By::Channel => &mut inner.channels,
            By::Pattern => &mut inner.patterns,
        };
        if let Some(ears) = named.get_mut(name) {
            ears.remove(&id);
            if ears.is_empty() {
                named.remove(name);
            }
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        for (by, names) in [(By::Channel, &self.channels), (By::Pattern, &self.patterns)] {
            names.iter().for_each(|name| self.hub.forget(by, name, self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: &'static [u8], payload: &'static [u8]) -> Told {
        Told::Message { channel: Bytes::from_static(channel), payload: Bytes::from_static(payload) }
    }

    #[test]
    fn messages_reach_those_who_listen_by_name_and_by_pattern() {
        let hub: Arc<Hub> = Arc::default();
        let mut one = hub.subscriber(None);
        one.listen(By::Channel, &Bytes::from_static(b"news"));
        one.listen(By::Pattern, &Bytes::from_static(b"n*"));
        hub.hear(1, 0, &message(b"news", b"a"));
        hub.hear(2, 0, &message(b"other", b"b"));
        assert_eq!(one.try_next().map(|m| (m.pattern, m.payload)), Some((None, Bytes::from_static(b"a"))));
        assert_eq!(one.try_next().and_then(|m| m.pattern), Some(Bytes::from_static(b"n*")));
        assert_eq!(one.try_next(), None);
        let counted = |hub: &Hub| (hub.listeners(None, b"news"), hub.channels(None).len(), hub.patterns(None));
        assert_eq!(counted(&hub), (2, 1, 1));
        assert_eq!(hub.subscribers(None, b"news"), 1);
        assert_eq!(hub.listeners(Some(&blog()), b"news"), 0);
        drop(one);
        assert_eq!(counted(&hub), (0, 0, 0));
    }

    fn blog() -> AppScope {
        AppScope { name: "blog".into(), prefix: b"blog:".to_vec(), may_sign_in: false, share: 50 }
    }

    #[test]
    fn an_app_hears_of_its_own_keys_and_its_own_channels_alone() {
        let hub: Arc<Hub> = Arc::default();
        let mut app = hub.subscriber(Some(blog()));
        let mut everything = hub.subscriber(None);
        for ear in [&mut app, &mut everything] {
            ear.listen(By::Pattern, &Bytes::from_static(b"*"));
        }
        hub.hear(1, 0, &message(b"__keyevent@0__:del", b"shop:1"));
        hub.hear(1, 0, &message(b"__keyspace@0__:shop:1", b"del"));
        hub.hear(1, 0, &message(b"__keyevent@0__:del", b"blog:1"));
        hub.hear(1, 0, &message(b"__keyspace@0__:blog:1", b"del"));
        hub.hear(1, 0, &message(b"chat", b"of nobody's"));
        for name in ["blog", "shop"] {
            let said = |channel: &[u8]| Told::Message {
                channel: told::channel_of(name, channel).into(),
                payload: Bytes::from_static(b"shop:1"),
            };
            hub.hear(1, 0, &said(b"chat"));
            hub.hear(1, 0, &said(b"__keyevent@0__:set"));
        }
        let all = |ear: &mut Subscriber| std::iter::from_fn(|| ear.try_next()).map(|m| m.channel).collect::<Vec<_>>();
        let heard = [&b"__keyevent@0__:del"[..], b"__keyspace@0__:blog:1", b"chat", b"__keyevent@0__:set"];
        assert_eq!(all(&mut app), heard);
        let heard = [&b"__keyevent@0__:del"[..], b"__keyspace@0__:shop:1", b"__keyevent@0__:del"];
        assert_eq!(all(&mut everything), [&heard[..], &[b"__keyspace@0__:blog:1", b"chat"]].concat());
    }

    #[tokio::test]
    async fn who_does_not_keep_up_is_cut_off() {
        let hub: Arc<Hub> = Arc::default();
        let mut slow = hub.subscriber(None);
        slow.listen(By::Channel, &Bytes::from_static(b"c"));
        (0..=REDIS_HEARD_MAX).for_each(|n| hub.hear(n as u64, 0, &message(b"c", b"x")));
        let mut heard = 0;
        while slow.next().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, REDIS_HEARD_MAX);
    }
}
