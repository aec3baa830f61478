//! Pubsub: `SUBSCRIBE` and its kin, and `PUBSUB`, which knows of this node alone.

use bytes::Bytes;

use super::conversation::Conversation;
use crate::keyspace::hub::{By, Message};
use crate::keyspace::{Reply, matches};
use crate::limits::{REDIS_CHANNEL_BYTES_MAX, REDIS_CHANNELS_MAX, REDIS_PATTERNS_MAX};

impl Conversation {
    pub(super) fn subscribe(&mut self, by: By, names: &[Bytes], replies: &mut Vec<Reply>) {
        let held = self.subscriber.as_ref().map_or(0, |subscriber| subscriber.all(by).len());
        let most = if by == By::Channel { REDIS_CHANNELS_MAX } else { REDIS_PATTERNS_MAX };
        if held + names.len() > most || names.iter().any(|name| name.len() > REDIS_CHANNEL_BYTES_MAX) {
            replies.push(Reply::err("ERR too many channels, or one whose name is too long"));
            return;
        }
        let (hub, app) = (self.door.keyspace.hub(), &self.scope.app);
        let subscriber = self.subscriber.get_or_insert_with(|| hub.subscriber(app.clone()));
        let word = if by == By::Channel { "subscribe" } else { "psubscribe" };
        for name in names {
            subscriber.listen(by, name);
            replies.push(told(word, Reply::Bulk(name.clone()), subscriber.count()));
        }
    }

    pub(super) fn unsubscribe(&mut self, by: By, names: &[Bytes], replies: &mut Vec<Reply>) {
        let word = if by == By::Channel { "unsubscribe" } else { "punsubscribe" };
        let held = self.subscriber.as_ref().map(|subscriber| subscriber.all(by).to_vec()).unwrap_or_default();
        let names = if names.is_empty() { &held } else { names };
        let mut count = self.subscriber.as_ref().map_or(0, |subscriber| subscriber.count());
        if names.is_empty() {
            replies.push(told(word, Reply::Null, count));
        }
        for name in names {
            if let Some(subscriber) = &mut self.subscriber {
                subscriber.leave(by, name);
                count = subscriber.count();
            }
            replies.push(told(word, Reply::Bulk(name.clone()), count));
        }
        if count == 0 {
            self.subscriber = None;
        }
    }

    pub(super) fn pubsub(&self, args: &[Bytes]) -> Reply {
        let (hub, app) = (self.door.keyspace.hub(), self.scope.app.as_ref());
        match (args[0].to_ascii_lowercase().as_slice(), &args[1..]) {
            (b"channels", []) => names(hub.channels(app), None),
            (b"channels", [pattern]) => names(hub.channels(app), Some(pattern)),
            (b"numsub", channels) => Reply::Array(
                channels
                    .iter()
                    .flat_map(|name| [Reply::Bulk(name.clone()), Reply::count(hub.subscribers(app, name))])
                    .collect(),
            ),
            (b"numpat", []) => Reply::count(hub.patterns(app)),
            (b"shardchannels" | b"shardnumsub", _) => Reply::Array(Vec::new()),
            _ => super::below::strange("pubsub", &args[0]),
        }
    }
}

fn names(all: Vec<Bytes>, pattern: Option<&Bytes>) -> Reply {
    let wanted = |name: &Bytes| pattern.is_none_or(|pattern| matches(pattern, name));
    Reply::Array(all.into_iter().filter(wanted).map(Reply::Bulk).collect())
}

fn told(word: &'static str, name: Reply, count: usize) -> Reply {
    Reply::Push(vec![Reply::Bulk(Bytes::from_static(word.as_bytes())), name, Reply::count(count)])
}

/// A message as it is sent.
pub fn message(heard: Message) -> Reply {
    let word = |word: &'static [u8]| Reply::Bulk(Bytes::from_static(word));
    let (channel, payload) = (Reply::Bulk(heard.channel), Reply::Bulk(heard.payload));
    Reply::Push(match heard.pattern {
        Some(pattern) => vec![word(b"pmessage"), Reply::Bulk(pattern), channel, payload],
        None => vec![word(b"message"), channel, payload],
    })
}
