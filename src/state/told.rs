//! Told: what whoever listens hears of a change: keyspace events, as Redis has them, and what happened to sessions.
//!
//! Both are off until a cluster-wide setting turns them on, and cost nothing until then. They are decided with the change
//! and ride on its record, so that every node tells the same, in the order of the log.

use super::change::{Effect, Op, Outcome, SessionEvent, Told};
use super::entry::Entry;
use super::key::{self, Key};
use super::view::View;
use crate::limits::REDIS_CHANNEL_BYTES_MAX;

/// The setting that says which keyspace events are told.
pub const KEYSPACE_EVENTS: &str = "notify-keyspace-events";
/// The setting that says whether session events are: anything does.
pub const SESSION_EVENTS: &str = "events";

/// Which keyspace events are told.
pub(super) fn wanted(view: &View<'_>) -> Vec<u8> {
    view.setting(KEYSPACE_EVENTS).map(|entry| entry.value().to_vec()).unwrap_or_default()
}

/// Whether it is told what happens to sessions.
pub(super) fn are_sessions_told(view: &View<'_>) -> bool {
    view.setting(SESSION_EVENTS).is_some()
}

/// What is told of an event, where: `K` wants it under the key's name, `E` under the event's; `A` stands for all classes
/// but `m` and `n`.
pub(super) fn messages(wanted: &[u8], (class, event): (u8, &str), db: u8, raw: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let has = |flag: u8| wanted.contains(&flag);
    // whoever listens compares each name with patterns
    if raw.len() > REDIS_CHANNEL_BYTES_MAX || !(has(class) || has(b'A') && !b"nm".contains(&class)) {
        return Vec::new();
    }
    let mut all = Vec::new();
    if has(b'K') {
        let channel = [format!("__keyspace@{db}__:").as_bytes(), raw].concat();
        all.push((channel, event.as_bytes().to_vec()));
    }
    if has(b'E') {
        all.push((format!("__keyevent@{db}__:{event}").into_bytes(), raw.to_vec()));
    }
    all
}

/// The key that an event is about which is told in this channel; `None` where no events are told.
pub fn key_of_event<'t>(channel: &'t [u8], payload: &'t [u8]) -> Option<&'t [u8]> {
    if channel.starts_with(b"__keyevent@") {
        return Some(payload);
    }
    let rest = channel.strip_prefix(b"__keyspace@")?;
    let begins = rest.windows(3).position(|end| end == b"__:")?;
    Some(&rest[begins + 3..])
}

/// What an app's channel is called among those of others: each app has channels of its own.
pub fn channel_of(app: &str, channel: &[u8]) -> Vec<u8> {
    [&[0], app.as_bytes(), &[0], channel].concat()
}

/// Whose channel this is, and what they call it; `None`: that of whoever sees everything.
pub fn owner_of(channel: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let Some(rest) = channel.strip_prefix(&[0]) else { return (None, channel) };
    match rest.iter().position(|byte| *byte == 0) {
        Some(end) => (Some(&rest[..end]), &rest[end + 1..]),
        None => (None, channel),
    }
}

/// Adds what is told of the effects of an Op that is none of an app's.
pub(super) fn of(view: &View<'_>, op: &Op, effects: &mut Vec<Effect>) {
    if effects.is_empty() {
        return;
    }
    let (events, sessions) = (wanted(view), are_sessions_told(view));
    if events.is_empty() && !sessions {
        return;
    }
    let mut all = Vec::new();
    for effect in effects.iter() {
        let (key, new) = match effect {
            Effect::Put(key, entry) => (key, Some(entry).filter(|entry| !entry.is_dead())),
            Effect::Remove(key) => (key, None),
            Effect::Tell(_) => continue,
        };
        if key.is_internal() {
            continue;
        }
        if let Some((db, raw)) = key::named_by_app(key.as_bytes()) {
            let event = match (new, op) {
                (Some(_), Op::Touch(_)) => (b'g', "expire"),
                (Some(_), _) => (b'$', "set"),
                (None, _) => (b'g', "del"),
            };
            all.extend(messages(&events, event, db, raw).into_iter().map(message));
        }
        if sessions {
            let old = view.held(key).filter(|entry| !entry.is_dead());
            all.extend(session(op, key, (old.as_ref(), new)));
        }
    }
    effects.append(&mut all);
}

fn message((channel, payload): (Vec<u8>, Vec<u8>)) -> Effect {
    Effect::Tell(Told::Message { channel: channel.into(), payload: payload.into() })
}

fn user(entry: &Entry) -> Option<String> {
    entry.glance().and_then(|facts| facts.user().map(|user| user.to_string()))
}

/// What happened to the session of a key.
fn session(op: &Op, key: &Key, (old, new): (Option<&Entry>, Option<&Entry>)) -> Option<Effect> {
    let told = |what, user| Some(Effect::Tell(Told::Session { what, user, key: key.clone() }));
    match (old.and_then(user), new.and_then(user)) {
        (None, Some(user)) => told(SessionEvent::SignIn, user),
        (Some(user), None) => {
            let own = match op {
                Op::End(_) => true,
                Op::Begin(begin) => begin.replaces.as_ref() == Some(key),
                _ => false,
            };
            told(if own { SessionEvent::SignOut } else { SessionEvent::Revoked }, user)
        }
        _ => None,
    }
}

/// Forgets what these keys hold as far as their deadlines have come, and tells whoever listens.
pub(super) fn expire(view: &mut View<'_>, keys: &[Key], effects: &mut Vec<Effect>) -> Outcome {
    let mut ended = 0;
    for key in keys {
        let Some(entry) = view.held(key).filter(|entry| entry.deadline() <= view.now()) else { continue };
        ended += 1;
        effects.push(Effect::Remove(key.clone()));
        if !entry.is_dead() {
            tell_expired(view, (key, &entry), effects);
        }
    }
    effects.iter().for_each(|effect| view.note(effect));
    Outcome::Ended(ended)
}

fn tell_expired(view: &View<'_>, (key, entry): (&Key, &Entry), effects: &mut Vec<Effect>) {
    if are_sessions_told(view)
        && let Some((user, epoch)) = entry.glance().and_then(|facts| facts.user().zip(facts.epoch()))
        && view.epoch(&user) == epoch
    {
        let user = user.to_string();
        effects.push(Effect::Tell(Told::Session { what: SessionEvent::Expired, user, key: key.clone() }));
    }
    if let Some((db, raw)) = key::named_by_app(key.as_bytes()) {
        effects.extend(messages(&wanted(view), (b'x', "expired"), db, raw).into_iter().map(message));
    }
}
