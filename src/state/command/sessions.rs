//! Sessions: what a command does to a session besides what it does to any key.
//!
//! Facts stand beside the value, and no app writes them. An app that drops or changes who is signed in clears them; one
//! that names somebody has its session listed as theirs, and only an app that may sign people in is believed. Sessions
//! that we began keep their own deadlines: an app's `EXPIRE` is use, and may shorten them. What ends one of those leaves a
//! tombstone, so that a late write does not revive it.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Keyspace;
use super::keyspace::Deadline;
use crate::clock::Millis;
use crate::limits;
use crate::state::change::Effect;
use crate::state::claims::{self, Named};
use crate::state::entry::{Entry, Kind, NEVER};
use crate::state::facts::{Facts, Proof, Signed};

/// The longest that a tombstone lasts, milliseconds: as long as the longest lifetime that can be set.
const REST_MAX_MS: i64 = limits::LIFETIME_MAX.as_millis() as i64;

/// Characters of a session id that Express draws: 24 bytes in base64url.
const SID: usize = 32;
/// How a value begins that `express-session` writes.
const EXPRESS: &[u8] = b"{\"cookie\":";

/// From when on an `EXPIRE` of a session is not written down each time, and how much later it then ends, milliseconds.
const SLACK_FROM_MS: i64 = 600_000;
const SLACK_MS: i64 = 60_000;

/// The entry that a write of `value` under the key makes of what it held.
pub(super) fn written(
    keyspace: &Keyspace<'_, '_>,
    (raw, old): (&[u8], Option<&Entry>),
    value: &[u8],
    deadline: Millis,
) -> Entry {
    let now = keyspace.now();
    let held = old.and_then(Entry::facts);
    let said = claims::user_of(value);
    let signed = match (held.as_ref().and_then(|facts| facts.signed.clone()), said) {
        (Some(signed), Some(named)) if signed.user == named.user => Some(signed),
        (_, Some(named)) => Some(claimed(keyspace, raw, named)),
        (_, None) => None,
    };
    match held {
        Some(facts) if !facts.is_apps() => {
            let deadline = deadline.min(facts.slid(now));
            Entry::session(&Facts { signed, ..facts }, value, deadline, now)
        }
        Some(facts) if signed.is_some() => {
            Entry::session(&Facts { signed, absolute: deadline, ..facts }, value, deadline, now)
        }
        None if signed.is_some() => Entry::session(&facts_of(keyspace, signed, deadline), value, deadline, now),
        _ => Entry::plain(value, deadline, now),
    }
}

/// Somebody whom an app names. What counts is decided by where the session lies, too: an app that may sign people in
/// does so in sessions that our doors know, and as Passport does.
fn claimed(keyspace: &Keyspace<'_, '_>, raw: &[u8], Named { user, by_passport }: Named) -> Signed {
    let may_sign_in = keyspace.scope.app.as_ref().is_some_and(|app| app.may_sign_in);
    let is_ours = keyspace.db() == 0 && raw.starts_with(keyspace.scope.sessions.as_bytes());
    let proof = if may_sign_in && is_ours && by_passport { Proof::App } else { Proof::Claim };
    let epoch = keyspace.view.epoch(&user);
    // no cookie has this digest
    Signed { user, epoch, proof, own: [0; 16] }
}

fn facts_of(keyspace: &Keyspace<'_, '_>, signed: Option<Signed>, deadline: Millis) -> Facts {
    Facts {
        signed,
        begun: keyspace.now(),
        absolute: deadline,
        idle_ms: 0,
        remember: false,
        address: String::new(),
        agent: keyspace.scope.app.as_ref().map_or_else(|| "an app".to_owned(), |app| app.name.clone()),
    }
}

/// What is left when an app removes an entry: of a session that we began a tombstone for as long as it could have lasted;
/// of one of Express's form one that outlasts the requests under way; of any other nothing, since PHP and others use ids
/// again.
pub(super) fn removed(keyspace: &Keyspace<'_, '_>, raw: &[u8], entry: &Entry) -> Effect {
    let (key, now) = (keyspace.key(raw), keyspace.now());
    if let Some(facts) = entry.glance().filter(|facts| !facts.is_apps()) {
        return Effect::Put(key, Entry::dead(rest(facts.absolute, now), now));
    }
    let guard = keyspace.scope.guard_ms;
    if guard > 0 && is_express(keyspace, raw, entry) {
        return Effect::Put(key, Entry::dead(now.saturating_add(guard), now));
    }
    Effect::Remove(key)
}

/// Until when a tombstone lasts whose session could have lasted until then.
pub fn rest(absolute: Millis, now: Millis) -> Millis {
    absolute.min(now.saturating_add(REST_MAX_MS))
}

fn is_express(keyspace: &Keyspace<'_, '_>, raw: &[u8], entry: &Entry) -> bool {
    let prefix = match &keyspace.scope.app {
        Some(app) => app.prefix.as_slice(),
        None => keyspace.scope.sessions.as_bytes(),
    };
    let is_sid = |sid: &[u8]| sid.len() == SID && sid.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b));
    matches!(entry.kind(), Kind::Plain | Kind::Session)
        && raw.strip_prefix(prefix).or_else(|| raw.strip_prefix(b"sess:")).is_some_and(is_sid)
        && has_cookie(entry.value())
}

/// Whether a value has the member that every session of `express-session` has; it comes first unless we merged.
fn has_cookie(value: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        cookie: Option<IgnoredAny>,
    }
    value.starts_with(EXPRESS) || serde_json::from_slice(value).is_ok_and(|shape: Shape| shape.cookie.is_some())
}

/// The entry with the deadline that an app asks for; `None` when what it has is near enough.
pub(super) fn extended(keyspace: &Keyspace<'_, '_>, raw: &[u8], entry: &Entry, asked: Deadline) -> Option<Entry> {
    let now = keyspace.now();
    let (Deadline::Slides(deadline) | Deadline::Exact(deadline)) = asked;
    match entry.facts() {
        Some(facts) if !facts.is_apps() => {
            let slid = facts.slid(now);
            if deadline >= slid {
                let wants = entry.glance().is_some_and(|glance| glance.wants_touch(entry.deadline(), now));
                return wants.then(|| entry.until(slid.max(entry.deadline()), now));
            }
            Some(entry.until(deadline, now))
        }
        facts => {
            let may_slide =
                matches!(asked, Deadline::Slides(_)) && (is_express(keyspace, raw, entry) || facts.is_some());
            let deadline = if may_slide { lazy(entry, deadline, now)? } else { deadline };
            Some(match facts {
                Some(facts) => Entry::session(&Facts { absolute: deadline, ..facts }, entry.value(), deadline, now),
                None => entry.until(deadline, now),
            })
        }
    }
}

/// The deadline to write for a session that an app keeps and that was used: a little later than asked for, so that most
/// of its touches need not be written. `None` when the one that is there will do. One that is far too late for that is
/// shortened, which is no touch.
fn lazy(entry: &Entry, deadline: Millis, now: Millis) -> Option<Millis> {
    if deadline - now < SLACK_FROM_MS {
        return Some(deadline);
    }
    let held = entry.deadline();
    let latest = deadline.saturating_add(SLACK_MS).min(NEVER - 1);
    match held {
        _ if held > latest => Some(deadline),
        _ if held >= deadline => None,
        _ => Some(latest),
    }
}
