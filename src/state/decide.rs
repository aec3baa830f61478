//! Decide: from what a caller wants to what the log will carry.
//!
//! Pure: the same view, Op and time give the same Change. The leader alone runs this, holding the keys that
//! [`claim`] names, on a state that contains everything before; nothing here is ever evaluated when a log entry is
//! applied. Ops of one batch are decided one after another, each seeing what the earlier ones will do.

use bytes::Bytes;

use super::change::{Begin, Budget, Change, Edit, Effect, EndUser, Exchange, Forgiven, Op, Outcome};
use super::command::{self, Claim};
use super::entries::Entries;
use super::entry::{Entry, NEVER};
use super::facts::{Facts, Signed};
use super::json;
use super::key::Key;
use super::told;
use super::view::View;
use crate::clock::Millis;
use crate::planted::{self, Bug};

/// Anonymous sessions may use this share of `memory_max`, in percent, so that people can still sign in.
const ANONYMOUS_SHARE: u64 = 75;
/// So may everything that apps keep.
pub(super) const APP_SHARE: u64 = ANONYMOUS_SHARE;

/// So many sessions that apps began leave tombstones when all of a user's end: apps may claim as many as they like. The
/// others end with the epoch.
const APPS_BURIED_MAX: usize = 1_000;

/// Everybody who may still sign in.
const ALL: u64 = 100;
/// Counts of tries may use a little more than all, in percent: in a full store people can still change their password
/// and spend a link, and whoever tries passwords is still counted. Past it no count begins, and what would have been
/// counted is refused; counts that there are go on.
const WITH_RESERVE: u64 = 105;

/// The number in an epoch entry; a user without one is in epoch 0.
pub fn epoch_of(entry: Option<Entry>) -> u64 {
    entry.and_then(|e| e.value().try_into().ok().map(u64::from_le_bytes)).unwrap_or(0)
}

/// The keys that must be held while `op` is decided, until it is applied.
pub fn claim(op: &Op, entries: &Entries, now: Millis) -> Claim {
    Claim::Keys(match op {
        Op::Commands(commands) => return commands.claim(),
        Op::Begin(begin) => {
            let mut keys = vec![begin.key.clone()];
            keys.extend(begin.replaces.clone());
            keys.extend(begin.budget.iter().map(|b| b.key.clone()));
            keys.extend(begin.forgiven.all.iter().chain(&begin.forgiven.one).cloned());
            if let Some(signed) = &begin.signed {
                keys.extend(keys_of_user(&signed.user, entries, (now, 0)));
            }
            keys
        }
        Op::Edit(edit) => vec![edit.key.clone()],
        Op::Touch(keys) | Op::End(keys) | Op::Revoke(keys) => keys.clone(),
        Op::EndUser(end) | Op::User { end: Some(end), .. } => keys_of_user(&end.user, entries, (now, APPS_BURIED_MAX)),
        Op::Try(budgets) => budgets.iter().map(|b| b.key.clone()).collect(),
        Op::Forgive(forgiven) => forgiven.all.iter().chain(&forgiven.one).cloned().collect(),
        Op::User { end: None, .. } => Vec::new(),
        Op::Setting { name, .. } => vec![Key::setting(name)],
        Op::Exchange(exchange) => vec![exchange.key.clone()],
        Op::Allow { key, .. } | Op::Use(key) => vec![key.clone()],
        Op::Expire(keys) => keys.clone(),
    })
}

/// Whoever holds the epoch holds off every sign-in of the user, so the list of their sessions is whole; of those that
/// apps began so many.
fn keys_of_user(user: &str, entries: &Entries, (now, apps): (Millis, usize)) -> Vec<Key> {
    let is_apps = |(_, entry): &(Key, Entry)| entry.glance().is_some_and(|facts| facts.is_apps());
    let (apps_own, ours): (Vec<_>, Vec<_>) = entries.of_user(user, now).into_iter().partition(is_apps);
    let sessions = ours.into_iter().chain(apps_own.into_iter().take(apps)).map(|(key, _)| key);
    std::iter::once(Key::epoch(user)).chain(sessions).collect()
}

/// Decides one Op, and lets the view know. `Outcome::Done` of a change to users is replaced by SQLite's answer.
pub fn decide(view: &mut View<'_>, op: &Op) -> (Change, Outcome) {
    let mut change = Change::default();
    let outcome = match op {
        Op::Begin(begin) => begin_session(view, begin, &mut change.effects),
        Op::Edit(edit) => edit_session(view, edit, &mut change.effects),
        Op::Touch(keys) => touch(view, keys, &mut change.effects),
        Op::End(keys) | Op::Revoke(keys) => end(view, keys, &mut change.effects),
        Op::EndUser(target) => end_user(view, target, &mut change.effects),
        Op::Try(budgets) => try_all(view, budgets, &mut change.effects),
        Op::Forgive(forgiven) => forgive(view, forgiven, &mut change.effects),
        Op::User { change: users, end } => {
            let outcome = end.as_ref().map_or(Outcome::Done, |target| end_user(view, target, &mut change.effects));
            // whoever asked is not signed in any more, and changes nothing
            change.user = (outcome != Outcome::Gone).then(|| users.clone());
            outcome
        }
        Op::Setting { name, value, only_if_absent } => {
            let key = Key::setting(name);
            match view.live(&key) {
                Some(held) if *only_if_absent || held.value() == value => {
                    Outcome::Setting(Bytes::copy_from_slice(held.value()))
                }
                _ => {
                    change.effects.push(Effect::Put(key, Entry::plain(value, NEVER, view.now)));
                    Outcome::Setting(value.clone())
                }
            }
        }
        Op::Exchange(wanted) => exchange(view, wanted, &mut change.effects),
        Op::Allow { key, uses, ttl_ms } => {
            let deadline = view.now.saturating_add(*ttl_ms);
            change.effects.push(Effect::Put(key.clone(), Entry::plain(&uses.to_le_bytes(), deadline, view.now)));
            Outcome::Done
        }
        Op::Use(key) => use_one(view, key, &mut change.effects),
        // these note what they do as they go
        Op::Commands(commands) => {
            let outcome = command::run_all(view, commands, &mut change);
            return (change, outcome);
        }
        Op::Expire(keys) => {
            let outcome = told::expire(view, keys, &mut change.effects);
            return (change, outcome);
        }
    };
    told::of(view, op, &mut change.effects);
    change.effects.iter().for_each(|effect| view.note(effect));
    (change, outcome)
}

/// What sessions of this kind may fill.
fn share(is_signed: bool) -> u64 {
    if is_signed { ALL } else { ANONYMOUS_SHARE }
}

fn begin_session(view: &View<'_>, begin: &Begin, effects: &mut Vec<Effect>) -> Outcome {
    if view.is_full(share(begin.signed.is_some())) {
        return Outcome::Full;
    }
    if view.entry(&begin.key).is_some() {
        return Outcome::Taken;
    }
    if begin.signed.as_ref().is_some_and(|signed| signed.epoch != view.epoch(&signed.user)) {
        return Outcome::StaleEpoch;
    }
    let mut writes = Vec::new();
    if let Some(budget) = &begin.budget
        && let Err(refusal) = take(view, budget, &mut writes)
    {
        return refusal;
    }
    effects.append(&mut writes);
    forgive(view, &begin.forgiven, effects);
    if let Some(old) = &begin.replaces {
        end(view, std::slice::from_ref(old), effects);
    }
    if let Some(signed) = &begin.signed {
        let mut others = view.sessions_of(&signed.user);
        // those that apps keep are the apps' affair
        others.retain(|(key, facts)| Some(key) != begin.replaces.as_ref() && !facts.is_apps());
        others.sort_by_key(|(_, facts)| facts.begun);
        let room = begin.per_user_max.max(1) as usize - 1;
        let surplus = others.len().saturating_sub(room);
        effects.extend(others.drain(..surplus).map(|(key, facts)| bury(key, &facts, view.now)));
    }
    let facts = facts_of(begin, view.now);
    let entry = Entry::session(&facts, &begin.value, facts.slid(view.now), view.now);
    effects.push(Effect::Put(begin.key.clone(), entry.clone()));
    Outcome::Session(entry)
}

fn facts_of(begin: &Begin, now: Millis) -> Facts {
    let signed =
        begin.signed.as_ref().map(|s| Signed { user: s.user.clone(), epoch: s.epoch, proof: s.proof, own: s.own });
    Facts {
        signed,
        begun: now,
        absolute: now.saturating_add(begin.lifetime_ms),
        idle_ms: begin.idle_ms,
        remember: begin.remember,
        address: begin.address.clone(),
        agent: begin.agent.clone(),
    }
}

fn edit_session(view: &View<'_>, edit: &Edit, effects: &mut Vec<Effect>) -> Outcome {
    let Some((entry, facts)) = view.session_or_apps(&edit.key) else { return Outcome::Gone };
    let Some(value) = json::edited(entry.value(), &edit.merge, &edit.add) else { return Outcome::BadValue };
    if value.len() as u64 > edit.value_max {
        return Outcome::BadValue;
    }
    let is_signed = facts.as_ref().is_some_and(|facts| facts.signed.is_some());
    if value.len() > entry.value().len() && view.is_full(share(is_signed)) {
        return Outcome::Full;
    }
    let changed = match facts {
        Some(facts) => {
            let deadline = entry.deadline().max(facts.slid(view.now));
            Entry::session(&facts, value.as_bytes(), deadline, view.now)
        }
        None => Entry::plain(value.as_bytes(), entry.deadline(), view.now),
    };
    effects.push(Effect::Put(edit.key.clone(), changed.clone()));
    Outcome::Session(changed)
}

fn touch(view: &View<'_>, keys: &[Key], effects: &mut Vec<Effect>) -> Outcome {
    for key in keys {
        let Some((entry, facts)) = view.session(key) else { continue };
        let deadline = facts.slid(view.now);
        if deadline > entry.deadline() {
            effects.push(Effect::Put(key.clone(), Entry::session(&facts, entry.value(), deadline, view.now)));
        }
    }
    Outcome::Done
}

fn end(view: &View<'_>, keys: &[Key], effects: &mut Vec<Effect>) -> Outcome {
    let before = effects.len();
    for key in keys {
        let Some(entry) = view.live(key) else { continue };
        let last = match entry.glance() {
            Some(facts) => facts.absolute,
            None if entry.is_apps_session() => entry.deadline(),
            None => continue,
        };
        effects.push(bury_until(key.clone(), last, view.now));
    }
    Outcome::Ended((effects.len() - before) as u64)
}

/// A tombstone that lasts as long as the session could have: no late write brings it back.
fn bury(key: Key, facts: &Facts, now: Millis) -> Effect {
    bury_until(key, facts.absolute, now)
}

/// The same of a session that could have lasted until then, as far as that is an end.
fn bury_until(key: Key, last: Millis, now: Millis) -> Effect {
    if planted::has(Bug::DropTombstone) {
        return Effect::Remove(key);
    }
    Effect::Put(key, Entry::dead(command::rest(last, now), now))
}

fn end_user(view: &View<'_>, target: &EndUser, effects: &mut Vec<Effect>) -> Outcome {
    let epoch = view.epoch(&target.user) + 1;
    let sessions = view.sessions_of(&target.user);
    if let Some(keep) = &target.keep
        && !sessions.iter().any(|(key, _)| key == keep)
    {
        return Outcome::Gone;
    }
    let (mut ended, mut apps_own) = (0, 0);
    for (key, facts) in sessions {
        apps_own += usize::from(facts.is_apps());
        if facts.is_apps() && apps_own > APPS_BURIED_MAX {
            // it has ended with the epoch
            ended += 1;
            continue;
        }
        if target.keep.as_ref() != Some(&key) {
            effects.push(bury(key, &facts, view.now));
            ended += 1;
        } else if let Some(kept) = restamped(view, &key, epoch) {
            effects.push(Effect::Put(key, kept));
        }
    }
    let value = epoch.to_le_bytes();
    effects.push(Effect::Put(Key::epoch(&target.user), Entry::plain(&value, NEVER, view.now)));
    Outcome::Ended(ended)
}

fn restamped(view: &View<'_>, key: &Key, epoch: u64) -> Option<Entry> {
    let (entry, mut facts) = view.session(key)?;
    facts.signed.as_mut()?.epoch = epoch;
    Some(Entry::session(&facts, entry.value(), entry.deadline(), view.now))
}

fn try_all(view: &View<'_>, budgets: &[Budget], effects: &mut Vec<Effect>) -> Outcome {
    let mut writes = Vec::new();
    let refusals = budgets.iter().filter_map(|budget| take(view, budget, &mut writes).err());
    let longest = refusals.max_by_key(|refusal| match refusal {
        Outcome::Limited { wait_ms } => *wait_ms,
        _ => i64::MAX,
    });
    longest.unwrap_or_else(|| {
        effects.append(&mut writes);
        Outcome::Done
    })
}

fn exchange(view: &View<'_>, wanted: &Exchange, effects: &mut Vec<Effect>) -> Outcome {
    let held = view.live(&wanted.key);
    if held.as_ref().map(Entry::value) != wanted.held.as_deref() {
        return Outcome::Gone;
    }
    match &wanted.value {
        Some(value) => effects.push(Effect::Put(wanted.key.clone(), Entry::plain(value, NEVER, view.now))),
        None if held.is_some() => effects.push(Effect::Remove(wanted.key.clone())),
        None => {}
    }
    Outcome::Done
}

fn use_one(view: &View<'_>, key: &Key, effects: &mut Vec<Effect>) -> Outcome {
    let Some(held) = view.live(key) else { return Outcome::Gone };
    let left = uses_left(&held);
    match left {
        0 => return Outcome::Gone,
        1 => effects.push(Effect::Remove(key.clone())),
        _ => {
            let entry = Entry::plain(&(left - 1).to_le_bytes(), held.deadline(), view.now);
            effects.push(Effect::Put(key.clone(), entry));
        }
    }
    Outcome::Done
}

/// How often what this entry allows may still be done.
pub fn uses_left(entry: &Entry) -> u32 {
    entry.value().try_into().map_or(0, u32::from_le_bytes)
}

/// Takes one try: the count goes up, and past the free ones a wait begins that doubles each time. Else says why not.
fn take(view: &View<'_>, budget: &Budget, effects: &mut Vec<Effect>) -> Result<(), Outcome> {
    let held = view.live(&budget.key);
    if held.is_none() && view.is_full(WITH_RESERVE) {
        return Err(Outcome::Full);
    }
    let tries = Tries::read(held);
    if view.now < tries.until {
        return Err(Outcome::Limited { wait_ms: tries.until - view.now });
    }
    let count = tries.count.saturating_add(1);
    let until = match count.checked_sub(budget.free) {
        None => 0,
        Some(doublings) => {
            let wait = budget.wait_ms.saturating_mul(1 << doublings.min(20)).min(budget.wait_max_ms);
            view.now.saturating_add(wait)
        }
    };
    let deadline = view.now.saturating_add(budget.memory_ms).max(until);
    effects.push(Effect::Put(budget.key.clone(), Tries { count, until }.entry(deadline, view.now)));
    Ok(())
}

fn forgive(view: &View<'_>, forgiven: &Forgiven, effects: &mut Vec<Effect>) -> Outcome {
    for key in &forgiven.all {
        if view.live(key).is_some() {
            effects.push(Effect::Remove(key.clone()));
        }
    }
    for key in &forgiven.one {
        if let Some(entry) = view.live(key) {
            let tries = Tries::read(Some(entry.clone()));
            let fewer = Tries { count: tries.count.saturating_sub(1), until: 0 };
            effects.push(Effect::Put(key.clone(), fewer.entry(entry.deadline(), view.now)));
        }
    }
    Outcome::Done
}

/// A count of tries as it lies in its entry: count u32, then the end of the wait i64, little-endian.
struct Tries {
    count: u32,
    until: Millis,
}

impl Tries {
    fn read(entry: Option<Entry>) -> Self {
        let parts = entry.as_ref().and_then(|e| e.value().split_first_chunk::<4>());
        let count = parts.map_or(0, |(count, _)| u32::from_le_bytes(*count));
        let until = parts.and_then(|(_, rest)| rest.try_into().ok().map(i64::from_le_bytes)).unwrap_or(0);
        Self { count, until }
    }

    fn entry(&self, deadline: Millis, stamp: Millis) -> Entry {
        let mut value = self.count.to_le_bytes().to_vec();
        value.extend_from_slice(&self.until.to_le_bytes());
        Entry::plain(&value, deadline, stamp)
    }
}
