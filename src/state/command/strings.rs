//! Strings: `GET`, `SET` and their kin, and counters.

use bytes::Bytes;

use super::keyspace::{Deadline as Asked, Held, Keyspace};
use super::number::{add_floats, parse_float, parse_int};
use super::reply::{Answered, Reply, wrong};
use crate::clock::Millis;
use crate::limits::REDIS_VALUE_MAX;
use crate::state::entry::{Entry, NEVER};

const SET: (u8, &str) = (b'$', "set");

pub(super) fn get(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(shown(keyspace.string(&args[0])?))
}

pub(super) fn mget(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let one = |raw: &Bytes| keyspace.string(raw).map_or(Reply::Null, shown);
    Ok(Reply::Array(args.iter().map(one).collect()))
}

pub(super) fn strlen(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::count(keyspace.string(&args[0])?.map_or(0, |entry| entry.value().len())))
}

/// `SET key value [NX|XX] [GET] [EX|PX|EXAT|PXAT n|KEEPTTL]`, in any order and letter case.
pub(super) fn set(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let (raw, value) = (&args[0], &args[1]);
    let options = SetOptions::read(&args[2..], keyspace.now())?;
    fits(value.len())?;
    let held = if options.gives_old { Some(keyspace.string(raw)?) } else { None };
    let is_met = match (options.only, keyspace.held(raw)) {
        (None, _) => true,
        (Some(Only::IfAbsent), held) => matches!(held, Held::Nothing),
        (Some(Only::IfPresent), held) => matches!(held, Held::Live(_)),
    };
    if is_met {
        let deadline = match options.deadline {
            Deadline::Keep => keyspace.live(raw).map_or(NEVER, |entry| entry.deadline()),
            Deadline::At(deadline) => deadline,
        };
        let said = matches!(options.deadline, Deadline::At(_));
        put(keyspace, raw, value, (deadline, said));
    }
    Ok(match held {
        Some(old) => shown(old),
        None if is_met => Reply::OK,
        None => Reply::Null,
    })
}

/// Writes a string until then, as was said or as it was; one whose deadline is past ends what the key holds, and is told
/// to have been there.
fn put(keyspace: &mut Keyspace<'_, '_>, raw: &[u8], value: &[u8], (deadline, is_said): (Millis, bool)) {
    if deadline <= keyspace.now() {
        if !keyspace.is_dead(raw) {
            keyspace.remove(raw, (b'g', ""));
            for (class, event) in [SET, (b'g', "expire"), (b'x', "expired")] {
                keyspace.notify(class, event, raw);
            }
        }
        return;
    }
    keyspace.put_string(raw, value, deadline, SET);
    if is_said && deadline != NEVER && !keyspace.is_dead(raw) {
        keyspace.notify(b'g', "expire", raw);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Only {
    IfAbsent,
    IfPresent,
}

#[derive(Clone, Copy)]
enum Deadline {
    Keep,
    At(Millis),
}

struct SetOptions {
    only: Option<Only>,
    deadline: Deadline,
    gives_old: bool,
}

impl SetOptions {
    fn read(mut args: &[Bytes], now: Millis) -> Result<Self, Reply> {
        let (mut only, mut deadline, mut gives_old) = (None, None, false);
        let (mut said, mut given): (Option<Vec<u8>>, _) = (None, None);
        while let [word, rest @ ..] = args {
            args = rest;
            let word = word.to_ascii_uppercase();
            // the same may be said again
            let is_other = said.as_ref().is_some_and(|said| *said != word);
            match word.as_slice() {
                b"NX" if only != Some(Only::IfPresent) => only = Some(Only::IfAbsent),
                b"XX" if only != Some(Only::IfAbsent) => only = Some(Only::IfPresent),
                b"GET" => gives_old = true,
                b"KEEPTTL" if !is_other => {
                    deadline = Some(Deadline::Keep);
                    said = Some(word);
                }
                unit @ (b"EX" | b"PX" | b"EXAT" | b"PXAT") if !is_other => {
                    let [number, rest @ ..] = args else { return Err(wrong::syntax()) };
                    args = rest;
                    deadline = Some(Deadline::At(NEVER));
                    given = Some((unit.to_vec(), number));
                    said = Some(word);
                }
                _ => return Err(wrong::syntax()),
            }
        }
        // numbers are looked at when all words are known
        if let Some((unit, number)) = given {
            deadline = Some(Deadline::At(deadline_of(&unit, number, (now, "set"))?));
        }
        Ok(Self { only, deadline: deadline.unwrap_or(Deadline::At(NEVER)), gives_old })
    }
}

/// The deadline that a number of a unit (`EX`, `PX`, `EXAT`, `PXAT`) means.
pub(super) fn deadline_of(unit: &[u8], number: &[u8], (now, command): (Millis, &str)) -> Result<Millis, Reply> {
    let number = parse_int(number).ok_or_else(wrong::integer)?;
    if number <= 0 {
        return Err(wrong::expire(command));
    }
    let is_secs = matches!(unit, b"EX" | b"EXAT");
    let millis = if is_secs { number.checked_mul(1_000) } else { Some(number) };
    let base = if matches!(unit, b"EX" | b"PX") { now } else { 0 };
    let deadline = millis.and_then(|millis| base.checked_add(millis)).ok_or_else(|| wrong::expire(command))?;
    // the last millisecond stands for no deadline at all
    Ok(deadline.min(NEVER - 1))
}

pub(super) fn setex(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    set_for(keyspace, args, (b"EX", "setex"))
}

pub(super) fn psetex(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    set_for(keyspace, args, (b"PX", "psetex"))
}

fn set_for(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes], (unit, command): (&[u8], &str)) -> Answered {
    let deadline = deadline_of(unit, &args[1], (keyspace.now(), command))?;
    fits(args[2].len())?;
    put(keyspace, &args[0], &args[2], (deadline, true));
    Ok(Reply::OK)
}

pub(super) fn setnx(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    fits(args[1].len())?;
    let is_free = matches!(keyspace.held(&args[0]), Held::Nothing);
    if is_free {
        put(keyspace, &args[0], &args[1], (NEVER, false));
    }
    Ok(Reply::yes(is_free))
}

pub(super) fn getset(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    fits(args[1].len())?;
    let old = keyspace.string(&args[0])?;
    put(keyspace, &args[0], &args[1], (NEVER, false));
    Ok(shown(old))
}

pub(super) fn getdel(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let old = keyspace.string(&args[0])?;
    keyspace.remove(&args[0], (b'g', "del"));
    Ok(shown(old))
}

/// `GETEX key [EX|PX|EXAT|PXAT n|PERSIST]`.
pub(super) fn getex(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let unit = args.get(1).map(|word| word.to_ascii_uppercase());
    match (unit.as_deref(), args.len()) {
        (None, _) | (Some(b"PERSIST"), 2) | (Some(b"EX" | b"PX" | b"EXAT" | b"PXAT"), 3) => {}
        _ => return Err(wrong::syntax()),
    }
    // a key that holds nothing is answered before a number that is none
    let Some(held) = keyspace.string(&args[0])? else { return Ok(Reply::Null) };
    match (unit, args.get(2)) {
        (Some(unit), Some(number)) => {
            let deadline = deadline_of(&unit, number, (keyspace.now(), "getex"))?;
            let is_touch = matches!(unit.as_slice(), b"EX" | b"PX");
            let deadline = if is_touch { Asked::Slides(deadline) } else { Asked::Exact(deadline) };
            keyspace.set_deadline(&args[0], deadline);
        }
        (Some(_), None) if held.deadline() != NEVER => {
            keyspace.set_deadline(&args[0], Asked::Exact(NEVER));
        }
        _ => {}
    }
    Ok(Reply::Value(held))
}

pub(super) fn mset(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    put_all(keyspace, args, "mset")?;
    Ok(Reply::OK)
}

pub(super) fn msetnx(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let all_free = args.chunks(2).all(|pair| matches!(keyspace.held(&pair[0]), Held::Nothing));
    if all_free {
        put_all(keyspace, args, "msetnx")?;
    } else if !args.len().is_multiple_of(2) {
        return Err(wrong::arity("msetnx"));
    }
    Ok(Reply::yes(all_free))
}

fn put_all(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes], command: &str) -> Result<(), Reply> {
    if !args.len().is_multiple_of(2) {
        return Err(wrong::arity(command));
    }
    args.chunks(2).try_for_each(|pair| fits(pair[1].len()))?;
    args.chunks(2).for_each(|pair| put(keyspace, &pair[0], &pair[1], (NEVER, false)));
    Ok(())
}

/// Creates an empty string, too.
pub(super) fn append(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = keyspace.string(&args[0])?;
    let value = [held.as_ref().map_or(&[][..], Entry::value), &args[1]].concat();
    fits(value.len())?;
    keyspace.put_string(&args[0], &value, kept(held.as_ref()), (b'$', "append"));
    Ok(Reply::count(value.len()))
}

pub(super) fn setrange(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let offset = parse_int(&args[1]).ok_or_else(wrong::integer)?;
    let offset = usize::try_from(offset).map_err(|_| Reply::err("ERR offset is out of range"))?;
    let held = keyspace.string(&args[0])?;
    let mut value = held.as_ref().map_or(&[][..], Entry::value).to_vec();
    if args[2].is_empty() {
        return Ok(Reply::count(value.len()));
    }
    let end = offset.saturating_add(args[2].len());
    fits(end)?;
    value.resize(value.len().max(end), 0);
    value[offset..end].copy_from_slice(&args[2]);
    keyspace.put_string(&args[0], &value, kept(held.as_ref()), (b'$', "setrange"));
    Ok(Reply::count(value.len()))
}

/// Places before the first count as the first, the last one's too: a string of one sign up to its second to last is that
/// sign, as Redis has it.
pub(super) fn getrange(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let from = parse_int(&args[1]).ok_or_else(wrong::integer)?;
    let to = parse_int(&args[2]).ok_or_else(wrong::integer)?;
    let held = keyspace.string(&args[0])?;
    let value = held.as_ref().map_or(&[][..], Entry::value);
    if from < 0 && to < 0 && from > to {
        return Ok(Reply::bulk(b""));
    }
    let length = value.len() as i64;
    let at = |place: i64| if place < 0 { length.saturating_add(place).max(0) } else { place };
    Ok(Reply::bulk(range(value, at(from), at(to))))
}

/// What lies between two places, both of which belong to it; negative ones count from the end.
pub(super) fn range<T>(all: &[T], from: i64, to: i64) -> &[T] {
    let length = all.len() as i64;
    let at = |place: i64| if place < 0 { length.saturating_add(place) } else { place };
    let (from, to) = (at(from).max(0), at(to).min(length - 1));
    if from > to { &[] } else { &all[from as usize..=to as usize] }
}

pub(super) fn incr(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    add(keyspace, &args[0], 1)
}

pub(super) fn decr(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    add(keyspace, &args[0], -1)
}

pub(super) fn incrby(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let by = parse_int(&args[1]).ok_or_else(wrong::integer)?;
    add(keyspace, &args[0], by)
}

pub(super) fn decrby(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let by = parse_int(&args[1]).ok_or_else(wrong::integer)?;
    let by = by.checked_neg().ok_or_else(|| Reply::err("ERR decrement would overflow"))?;
    add(keyspace, &args[0], by)
}

fn add(keyspace: &mut Keyspace<'_, '_>, raw: &[u8], by: i64) -> Answered {
    let held = keyspace.string(raw)?;
    let before = held.as_ref().map_or(Some(0), |entry| parse_int(entry.value())).ok_or_else(wrong::integer)?;
    let after = before.checked_add(by).ok_or_else(wrong::overflow)?;
    keyspace.put_string(raw, after.to_string().as_bytes(), kept(held.as_ref()), (b'$', "incrby"));
    Ok(Reply::Int(after))
}

pub(super) fn incrbyfloat(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = keyspace.string(&args[0])?;
    let before = held.as_ref().map_or(&b"0"[..], Entry::value);
    parse_float(before).and(parse_float(&args[1])).ok_or_else(wrong::float)?;
    let after = add_floats(before, &args[1]).ok_or_else(wrong::infinite)?;
    keyspace.put_string(&args[0], after.as_bytes(), kept(held.as_ref()), (b'$', "incrbyfloat"));
    Ok(Reply::bulk(after))
}

fn kept(held: Option<&Entry>) -> Millis {
    held.map_or(NEVER, Entry::deadline)
}

fn shown(entry: Option<Entry>) -> Reply {
    entry.map_or(Reply::Null, Reply::Value)
}

pub(super) fn fits(length: usize) -> Result<(), Reply> {
    if length > REDIS_VALUE_MAX { Err(wrong::too_long()) } else { Ok(()) }
}
