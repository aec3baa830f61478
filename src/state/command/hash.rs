//! Hashes: fields and their values under one key.

use bytes::Bytes;

use super::draw::Draw;
use super::keyspace::Keyspace;
use super::number::{add_floats, parse_float, parse_int};
use super::packed::{Members, members_of};
use super::reply::{Answered, Reply, wrong};
use super::set::scanned;
use crate::state::entry::{Entry, Kind};

type Fields<'a> = Members<'a, &'a [u8]>;

fn hash(keyspace: &Keyspace<'_, '_>, raw: &[u8]) -> Result<Option<Entry>, Reply> {
    keyspace.collection(raw, Kind::Hash)
}

fn shown(value: Option<&[u8]>) -> Reply {
    value.map_or(Reply::Null, Reply::bulk)
}

fn one<'a>(held: Option<&'a Entry>, field: &[u8]) -> Option<&'a [u8]> {
    members_of::<&[u8]>(held).find(|(name, _)| *name == field).map(|(_, value)| value)
}

pub(super) fn hset(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    set_all(keyspace, args, "hset").map(Reply::count)
}

pub(super) fn hmset(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    set_all(keyspace, args, "hmset").map(|_| Reply::OK)
}

/// Answers how many fields are new.
fn set_all(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes], command: &str) -> Result<usize, Reply> {
    let (raw, pairs) = (&args[0], &args[1..]);
    if !pairs.len().is_multiple_of(2) {
        return Err(wrong::arity(command));
    }
    let held = hash(keyspace, raw)?;
    let mut fields = Fields::of(held.as_ref(), pairs.len() / 2);
    let before = fields.len();
    for pair in pairs.chunks(2) {
        fields.put(&pair[0], &pair[1]);
    }
    fields.keep(keyspace, raw, "hset")?;
    Ok(fields.len() - before)
}

pub(super) fn hsetnx(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = hash(keyspace, &args[0])?;
    let is_free = one(held.as_ref(), &args[1]).is_none();
    if is_free {
        set_one(keyspace, (&args[0], held.as_ref()), (&args[1], &args[2]), "hset")?;
    }
    Ok(Reply::yes(is_free))
}

fn set_one(
    keyspace: &mut Keyspace<'_, '_>,
    (raw, held): (&[u8], Option<&Entry>),
    (field, value): (&[u8], &[u8]),
    event: &str,
) -> Result<(), Reply> {
    let mut fields = Fields::of(held, 1);
    fields.put(field, value);
    fields.keep(keyspace, raw, event)
}

pub(super) fn hget(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(shown(one(hash(keyspace, &args[0])?.as_ref(), &args[1])))
}

pub(super) fn hmget(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = hash(keyspace, &args[0])?;
    let fields = Fields::of(held.as_ref(), args.len() - 1);
    let values = || args[1..].iter().map(|field| fields.get(field));
    wrong::unless_large(values().map(|value| value.map_or(0, <[u8]>::len)))?;
    Ok(Reply::Array(values().map(shown).collect()))
}

pub(super) fn hgetall(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = hash(keyspace, &args[0])?;
    let all = members_of::<&[u8]>(held.as_ref()).map(|(field, value)| (Reply::bulk(field), Reply::bulk(value)));
    Ok(Reply::Map(all.collect()))
}

pub(super) fn hkeys(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = hash(keyspace, &args[0])?;
    Ok(Reply::Array(members_of::<&[u8]>(held.as_ref()).map(|(field, _)| Reply::bulk(field)).collect()))
}

pub(super) fn hvals(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = hash(keyspace, &args[0])?;
    Ok(Reply::Array(members_of::<&[u8]>(held.as_ref()).map(|(_, value)| Reply::bulk(value)).collect()))
}

pub(super) fn hdel(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = hash(keyspace, &args[0])?;
    let mut fields = Fields::of(held.as_ref(), args.len() - 1);
    let removed = args[1..].iter().filter(|field| fields.remove(field)).count();
    if removed > 0 {
        fields.keep(keyspace, &args[0], "hdel")?;
    }
    Ok(Reply::count(removed))
}

pub(super) fn hexists(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::yes(one(hash(keyspace, &args[0])?.as_ref(), &args[1]).is_some()))
}

pub(super) fn hlen(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::count(members_of::<&[u8]>(hash(keyspace, &args[0])?.as_ref()).count()))
}

pub(super) fn hstrlen(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::count(one(hash(keyspace, &args[0])?.as_ref(), &args[1]).map_or(0, <[u8]>::len)))
}

pub(super) fn hincrby(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let by = parse_int(&args[2]).ok_or_else(wrong::integer)?;
    let held = hash(keyspace, &args[0])?;
    let before = one(held.as_ref(), &args[1]).map_or(Some(0), parse_int);
    let before = before.ok_or_else(|| Reply::err("ERR hash value is not an integer"))?;
    let after = before.checked_add(by).ok_or_else(wrong::overflow)?;
    set_one(keyspace, (&args[0], held.as_ref()), (&args[1], after.to_string().as_bytes()), "hincrby")?;
    Ok(Reply::Int(after))
}

pub(super) fn hincrbyfloat(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    if parse_float(&args[2]).ok_or_else(wrong::float)?.is_infinite() {
        return Err(Reply::err("ERR value is NaN or Infinity"));
    }
    let held = hash(keyspace, &args[0])?;
    let before = one(held.as_ref(), &args[1]).unwrap_or(b"0");
    parse_float(before).ok_or_else(|| Reply::err("ERR hash value is not a float"))?;
    let after = add_floats(before, &args[2]).ok_or_else(wrong::infinite)?;
    set_one(keyspace, (&args[0], held.as_ref()), (&args[1], after.as_bytes()), "hincrbyfloat")?;
    Ok(Reply::bulk(after))
}

pub(super) fn hscan(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    scanned(args, |raw| {
        let held = hash(keyspace, raw)?;
        let both = |(field, value): (&[u8], &[u8])| (field.to_vec(), vec![Reply::bulk(field), Reply::bulk(value)]);
        Ok(held.is_some().then(|| members_of(held.as_ref()).map(both).collect()))
    })
}

/// `HRANDFIELD key [count [WITHVALUES]]`; with a negative count, fields may come again.
pub(super) fn hrandfield(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let count = args.get(1).map(|count| parse_int(count).ok_or_else(wrong::integer)).transpose()?;
    let with_values = match &args[1..] {
        [] | [_] => false,
        [_, word] if word.eq_ignore_ascii_case(b"WITHVALUES") => true,
        _ => return Err(wrong::syntax()),
    };
    let held = hash(keyspace, &args[0])?;
    let all: Vec<(&[u8], &[u8])> = members_of(held.as_ref()).collect();
    let mut draw = Draw::of(keyspace, held.as_ref());
    let Some(count) = count else { return Ok(draw.one(&all).map_or(Reply::Null, |(field, _)| Reply::bulk(field))) };
    let drawn = draw.some(&all, count)?;
    wrong::unless_large(drawn.iter().map(|(field, value)| field.len() + value.len()))?;
    if with_values {
        return Ok(Reply::Pairs(drawn.iter().map(|(f, v)| (Reply::bulk(f), Reply::bulk(v))).collect()));
    }
    Ok(Reply::Array(drawn.iter().map(|(field, _)| Reply::bulk(field)).collect()))
}
