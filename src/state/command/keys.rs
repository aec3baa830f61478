//! Keys: what can be done to any key, whatever it holds: deadlines, names, listings; and the few commands without one.

use bytes::Bytes;

use super::glob::matches;
use super::keyspace::{Deadline, Held, Keyspace, nothing_done};
use super::number::parse_int;
use super::packed::members_of;
use super::reply::{Answered, Reply, wrong};
use crate::clock::Millis;
use crate::limits::{FLUSH_MAX, REDIS_CHANNEL_BYTES_MAX};
use crate::state::entry::{Entry, Kind, NEVER};

pub(super) fn del(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::count(args.iter().filter(|raw| keyspace.remove(raw, (b'g', "del"))).count()))
}

pub(super) fn exists(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::count(args.iter().filter(|raw| keyspace.live(raw).is_some()).count()))
}

pub(super) fn kind(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let name = keyspace.live(&args[0]).map_or("none", |entry| name_of(entry.kind()));
    Ok(Reply::Status(name.into()))
}

pub(super) fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain | Kind::Session => "string",
        Kind::Hash => "hash",
        Kind::Set => "set",
        Kind::SortedSet => "zset",
        Kind::Dead => "none",
    }
}

pub(super) fn ttl(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    // rounded as Redis rounds
    left(keyspace, &args[0], |deadline, now| (deadline - now).saturating_add(500) / 1_000)
}

pub(super) fn pttl(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    left(keyspace, &args[0], |deadline, now| deadline - now)
}

pub(super) fn expiretime(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    left(keyspace, &args[0], |deadline, _| deadline.saturating_add(500) / 1_000)
}

pub(super) fn pexpiretime(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    left(keyspace, &args[0], |deadline, _| deadline)
}

/// -2 without a key, -1 without a deadline.
fn left(keyspace: &Keyspace<'_, '_>, raw: &[u8], show: impl Fn(Millis, Millis) -> i64) -> Answered {
    Ok(Reply::Int(match keyspace.live(raw).map(|entry| entry.deadline()) {
        None => -2,
        Some(NEVER) => -1,
        Some(deadline) => show(deadline, keyspace.now()),
    }))
}

pub(super) fn expire(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    expire_at(keyspace, args, (keyspace.now(), 1_000, "expire"))
}

pub(super) fn pexpire(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    expire_at(keyspace, args, (keyspace.now(), 1, "pexpire"))
}

pub(super) fn expireat(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    expire_at(keyspace, args, (0, 1_000, "expireat"))
}

pub(super) fn pexpireat(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    expire_at(keyspace, args, (0, 1, "pexpireat"))
}

/// `EXPIRE key n [NX|XX|GT|LT]`: so many units after `base`.
fn expire_at(
    keyspace: &mut Keyspace<'_, '_>,
    args: &[Bytes],
    (base, unit_ms, command): (Millis, i64, &str),
) -> Answered {
    let number = parse_int(&args[1]).ok_or_else(wrong::integer)?;
    let deadline = number.checked_mul(unit_ms).and_then(|millis| base.checked_add(millis));
    // the last millisecond stands for no deadline at all
    let deadline = deadline.ok_or_else(|| wrong::expire(command))?.min(NEVER - 1);
    let conditions = Conditions::read(&args[2..])?;
    let Some(held) = keyspace.live(&args[0]) else { return nothing_done() };
    if !conditions.are_met(held.deadline(), deadline) {
        return nothing_done();
    }
    // so much from now on is what is said of a session with each request
    let is_touch = base > 0 && args.len() == 2;
    let deadline = if is_touch { Deadline::Slides(deadline) } else { Deadline::Exact(deadline) };
    Ok(Reply::yes(keyspace.set_deadline(&args[0], deadline)))
}

/// When a deadline is moved.
#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn read(args: &[Bytes]) -> Result<Self, Reply> {
        let mut all = Self::default();
        for word in args {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => all.nx = true,
                b"XX" => all.xx = true,
                b"GT" => all.gt = true,
                b"LT" => all.lt = true,
                _ => return Err(Reply::error(format!("ERR Unsupported option {}", String::from_utf8_lossy(word)))),
            }
        }
        if all.nx && (all.xx || all.gt || all.lt) {
            return Err(Reply::err("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if all.gt && all.lt {
            return Err(Reply::err("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(all)
    }

    fn are_met(&self, held: Millis, wanted: Millis) -> bool {
        let has_deadline = held != NEVER;
        !(self.nx && has_deadline || self.xx && !has_deadline || self.gt && wanted <= held || self.lt && wanted >= held)
    }
}

pub(super) fn persist(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let has_deadline = keyspace.live(&args[0]).is_some_and(|entry| entry.deadline() != NEVER);
    Ok(Reply::yes(has_deadline && keyspace.set_deadline(&args[0], Deadline::Exact(NEVER))))
}

pub(super) fn rename(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let entry = keyspace.live(&args[0]).ok_or_else(wrong::no_key)?;
    if args[0] != args[1] {
        moved(keyspace, (&args[0], &args[1]), &entry);
    }
    Ok(Reply::OK)
}

pub(super) fn renamenx(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let entry = keyspace.live(&args[0]).ok_or_else(wrong::no_key)?;
    let is_free = matches!(keyspace.held(&args[1]), Held::Nothing);
    if is_free {
        moved(keyspace, (&args[0], &args[1]), &entry);
    }
    Ok(Reply::yes(is_free))
}

fn moved(keyspace: &mut Keyspace<'_, '_>, (from, to): (&[u8], &[u8]), entry: &Entry) {
    keyspace.remove(from, (b'g', "rename_from"));
    copied(keyspace, to, entry, "rename_to");
}

/// A session's facts go with its value only as far as its app may say them anew.
fn copied(keyspace: &mut Keyspace<'_, '_>, to: &[u8], entry: &Entry, event: &str) {
    if matches!(entry.kind(), Kind::Plain | Kind::Session) {
        if !keyspace.is_dead(to) && keyspace.live(to).is_some() {
            keyspace.remove_for_replacement(to);
        }
        keyspace.put_string(to, entry.value(), entry.deadline(), (b'g', event));
    } else {
        keyspace.put(to, entry.until(entry.deadline(), keyspace.now()), (b'g', event));
    }
}

/// `COPY source destination [DB n] [REPLACE]`, within a database.
pub(super) fn copy(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let (mut replaces, mut rest) = (false, &args[2..]);
    while let [word, after @ ..] = rest {
        rest = match after {
            _ if word.eq_ignore_ascii_case(b"REPLACE") => {
                replaces = true;
                after
            }
            [db, after @ ..] if word.eq_ignore_ascii_case(b"DB") => {
                if parse_int(db).ok_or_else(wrong::integer)? != i64::from(keyspace.db()) {
                    return Err(Reply::err("ERR a key can be copied within its database only"));
                }
                after
            }
            _ => return Err(wrong::syntax()),
        };
    }
    if args[0] == args[1] {
        return Err(Reply::err("ERR source and destination objects are the same"));
    }
    let Some(entry) = keyspace.live(&args[0]) else { return nothing_done() };
    if !replaces && !matches!(keyspace.held(&args[1]), Held::Nothing) {
        return nothing_done();
    }
    copied(keyspace, &args[1], &entry, "copy_to");
    Ok(Reply::Int(1))
}

pub(super) fn keys(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let fitting = keyspace.names().into_iter().filter(|raw| matches(&args[0], raw));
    Ok(Reply::Array(fitting.map(|raw| Reply::Bulk(raw.into())).collect()))
}

pub(super) fn dbsize(keyspace: &mut Keyspace<'_, '_>, _: &[Bytes]) -> Answered {
    Ok(Reply::count(keyspace.names().len()))
}

pub(super) fn randomkey(keyspace: &mut Keyspace<'_, '_>, _: &[Bytes]) -> Answered {
    Ok(keyspace.names().into_iter().next().map_or(Reply::Null, |raw| Reply::Bulk(raw.into())))
}

/// `FLUSHDB`, as one step: of so many keys that it fits into a record.
pub(super) fn flushdb(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    match args {
        [] => {}
        [word] if word.eq_ignore_ascii_case(b"ASYNC") || word.eq_ignore_ascii_case(b"SYNC") => {}
        _ => return Err(wrong::syntax()),
    }
    let names = keyspace.names();
    if names.len() > FLUSH_MAX {
        return Err(Reply::err("ERR too many keys to flush in one step; send FLUSHDB by itself"));
    }
    forget(keyspace, &names);
    Ok(Reply::OK)
}

/// A part of what `FLUSHDB` by itself removes; the keys are named.
pub(super) fn flushed(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    forget(keyspace, args);
    Ok(Reply::OK)
}

/// As in Redis, nobody is told of each; who is signed out by it is told.
fn forget<W: AsRef<[u8]>>(keyspace: &mut Keyspace<'_, '_>, names: &[W]) {
    names.iter().for_each(|raw| {
        keyspace.remove(raw.as_ref(), (b'g', ""));
    });
}

pub(super) fn object(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let below = args[0].to_ascii_lowercase();
    if !matches!(below.as_slice(), b"encoding" | b"refcount" | b"idletime" | b"freq") {
        let shown = String::from_utf8_lossy(&args[0]);
        return Err(Reply::error(format!("ERR unknown subcommand '{shown}'. Try OBJECT HELP.")));
    }
    let [_, raw] = args else {
        return Err(wrong::arity(&format!("object|{}", String::from_utf8_lossy(&below))));
    };
    let Some(entry) = keyspace.live(raw) else { return Ok(Reply::Null) };
    match below.as_slice() {
        b"encoding" => Ok(Reply::bulk(encoding(&entry))),
        b"refcount" => Ok(Reply::Int(1)),
        b"idletime" => Ok(Reply::Int((keyspace.now() - entry.stamp()).max(0) / 1_000)),
        _ => Err(Reply::err(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        )),
    }
}

fn encoding(entry: &Entry) -> &'static str {
    match entry.kind() {
        Kind::Hash if is_small(members_of::<&[u8]>(Some(entry)).map(|(f, v)| f.len().max(v.len()))) => "listpack",
        Kind::Hash => "hashtable",
        Kind::SortedSet if is_small(members_of::<f64>(Some(entry)).map(|(member, _)| member.len())) => "listpack",
        Kind::SortedSet => "skiplist",
        Kind::Set if members_of::<()>(Some(entry)).all(|(member, ())| parse_int(member).is_some()) => "intset",
        Kind::Set => "hashtable",
        _ if parse_int(entry.value()).is_some() => "int",
        _ if entry.value().len() <= 44 => "embstr",
        _ => "raw",
    }
}

/// So few members, of so few bytes, that Redis keeps them in a list.
pub(super) fn is_small(mut lengths: impl Iterator<Item = usize>) -> bool {
    lengths.by_ref().take(128).all(|length| length <= 64) && lengths.next().is_none()
}

pub(super) fn ping(_: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    if args.len() > 1 {
        return Err(wrong::arity("ping"));
    }
    Ok(args.first().map_or(Reply::Status("PONG".into()), |text| Reply::Bulk(text.clone())))
}

pub(super) fn echo(_: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::Bulk(args[0].clone()))
}

pub(super) fn time(keyspace: &mut Keyspace<'_, '_>, _: &[Bytes]) -> Answered {
    let now = keyspace.now();
    Ok(Reply::Array(vec![Reply::bulk((now / 1_000).to_string()), Reply::bulk((now % 1_000 * 1_000).to_string())]))
}

/// Answers how many heard it: nobody knows of all nodes, so it is not counted.
pub(super) fn publish(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    if args[0].len() > REDIS_CHANNEL_BYTES_MAX {
        return Err(Reply::err("ERR names of channels have a bound here, and this is longer"));
    }
    keyspace.publish(&args[0], &args[1]);
    nothing_done()
}
