//! Sets: members under one key, and what several sets have in common.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::draw::Draw;
use super::glob::matches;
use super::keyspace::{Keyspace, nothing_done};
use super::number::{parse_cursor, parse_int};
use super::packed::{Members, members_of};
use super::reply::{Answered, Reply, wrong};
use crate::state::entry::{Entry, Kind};

type Set<'a> = Members<'a, ()>;

fn set(keyspace: &Keyspace<'_, '_>, raw: &[u8]) -> Result<Option<Entry>, Reply> {
    keyspace.collection(raw, Kind::Set)
}

fn names(held: Option<&Entry>) -> impl Iterator<Item = &[u8]> {
    members_of::<()>(held).map(|(name, ())| name)
}

fn bulks<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> Vec<Reply> {
    all.into_iter().map(Reply::bulk).collect()
}

pub(super) fn sadd(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = set(keyspace, &args[0])?;
    let mut members = Set::of(held.as_ref(), args.len() - 1);
    let before = members.len();
    for name in &args[1..] {
        members.put(name, ());
    }
    let added = members.len() - before;
    if added > 0 {
        members.keep(keyspace, &args[0], "sadd")?;
    }
    Ok(Reply::count(added))
}

pub(super) fn srem(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = set(keyspace, &args[0])?;
    let mut members = Set::of(held.as_ref(), args.len() - 1);
    let removed = args[1..].iter().filter(|name| members.remove(name)).count();
    if removed > 0 {
        members.keep(keyspace, &args[0], "srem")?;
    }
    Ok(Reply::count(removed))
}

pub(super) fn smembers(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::Set(bulks(names(set(keyspace, &args[0])?.as_ref()))))
}

pub(super) fn sismember(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::yes(names(set(keyspace, &args[0])?.as_ref()).any(|name| name == args[1])))
}

pub(super) fn smismember(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = set(keyspace, &args[0])?;
    let members = Set::of(held.as_ref(), args.len() - 1);
    Ok(Reply::Array(args[1..].iter().map(|name| Reply::yes(members.has(name))).collect()))
}

pub(super) fn scard(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::count(names(set(keyspace, &args[0])?.as_ref()).count()))
}

/// `SPOP key [count]`.
pub(super) fn spop(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let count = match &args[1..] {
        [] => None,
        [count] => Some(positive(count)?),
        _ => return Err(wrong::syntax()),
    };
    let held = set(keyspace, &args[0])?;
    let all: Vec<&[u8]> = names(held.as_ref()).collect();
    let drawn = Draw::of(keyspace, held.as_ref()).different(&all, count.unwrap_or(1));
    if !drawn.is_empty() {
        let mut members = Set::of(held.as_ref(), drawn.len());
        drawn.iter().for_each(|name| {
            members.remove(name);
        });
        members.keep(keyspace, &args[0], "spop")?;
    }
    match count {
        Some(_) => Ok(Reply::Set(bulks(drawn))),
        None => Ok(drawn.first().map_or(Reply::Null, Reply::bulk)),
    }
}

/// A count that is not negative.
pub(super) fn positive(count: &[u8]) -> Result<usize, Reply> {
    parse_int(count).and_then(|count| usize::try_from(count).ok()).ok_or_else(wrong::positive)
}

/// `SRANDMEMBER key [count]`; with a negative count, members may come again.
pub(super) fn srandmember(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let count = match &args[1..] {
        [] => None,
        [count] => Some(parse_int(count).ok_or_else(wrong::integer)?),
        _ => return Err(wrong::syntax()),
    };
    let held = set(keyspace, &args[0])?;
    let all: Vec<&[u8]> = names(held.as_ref()).collect();
    let mut draw = Draw::of(keyspace, held.as_ref());
    match count {
        Some(count) => {
            let drawn = draw.some(&all, count)?;
            wrong::unless_large(drawn.iter().map(|name| name.len()))?;
            Ok(Reply::Array(bulks(drawn)))
        }
        None => Ok(draw.one(&all).map_or(Reply::Null, Reply::bulk)),
    }
}

pub(super) fn smove(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let (from, to, name) = (&args[0], &args[1], &args[2]);
    let Some(held) = set(keyspace, from)? else { return nothing_done() };
    let target = set(keyspace, to)?;
    let mut source = Set::of(Some(&held), 1);
    if from == to {
        return Ok(Reply::yes(source.has(name)));
    }
    let mut target = Set::of(target.as_ref(), 1);
    if !source.remove(name) {
        return nothing_done();
    }
    let is_new = target.put(name, ()).is_none();
    // what has no room stays where it is
    target.fits()?;
    source.keep(keyspace, from, "srem")?;
    if is_new {
        target.keep(keyspace, to, "sadd")?;
    }
    Ok(Reply::Int(1))
}

/// How several sets make one.
#[derive(Clone, Copy)]
enum Join {
    Union,
    Inter,
    Diff,
}

/// The sets of these keys, made one.
fn joined<T>(
    keyspace: &mut Keyspace<'_, '_>,
    (keys, join): (&[Bytes], Join),
    then: impl FnOnce(&mut Keyspace<'_, '_>, Set<'_>) -> Result<T, Reply>,
) -> Result<T, Reply> {
    let held = keys.iter().map(|raw| set(keyspace, raw)).collect::<Result<Vec<_>, _>>()?;
    let lookups = held.iter().skip(1).flatten().map(|entry| entry.value().len()).sum();
    let mut first = Set::of(held[0].as_ref(), lookups);
    for other in &held[1..] {
        match join {
            Join::Union => names(other.as_ref()).for_each(|name| {
                first.put(name, ());
            }),
            Join::Diff => names(other.as_ref()).for_each(|name| {
                first.remove(name);
            }),
            Join::Inter => {
                let others: BTreeSet<&[u8]> = names(other.as_ref()).collect();
                first.retain(|name| others.contains(name));
            }
        }
    }
    then(keyspace, first)
}

fn show(keyspace: &mut Keyspace<'_, '_>, keys: &[Bytes], join: Join) -> Answered {
    joined(keyspace, (keys, join), |_, all| Ok(Reply::Set(bulks(all.iter().map(|(name, ())| name)))))
}

fn store(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes], (join, event): (Join, &str)) -> Answered {
    joined(keyspace, (&args[1..], join), |keyspace, all| all.replace(keyspace, &args[0], event).map(Reply::count))
}

pub(super) fn sunion(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    show(keyspace, args, Join::Union)
}

pub(super) fn sinter(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    show(keyspace, args, Join::Inter)
}

pub(super) fn sdiff(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    show(keyspace, args, Join::Diff)
}

pub(super) fn sunionstore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    store(keyspace, args, (Join::Union, "sunionstore"))
}

pub(super) fn sinterstore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    store(keyspace, args, (Join::Inter, "sinterstore"))
}

pub(super) fn sdiffstore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    store(keyspace, args, (Join::Diff, "sdiffstore"))
}

pub(super) fn sscan(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    scanned(args, |raw| {
        let held = set(keyspace, raw)?;
        let all = names(held.as_ref()).map(|name| (name.to_vec(), vec![Reply::bulk(name)]));
        Ok(held.is_some().then(|| all.collect()))
    })
}

/// A member's name, and what is shown of it.
pub(super) type Shown = (Vec<u8>, Vec<Reply>);

/// `HSCAN`, `SSCAN`, `ZSCAN`: `key cursor [MATCH pattern] [COUNT n]`. A collection is small, so it is on one page, as
/// small ones are in Redis.
pub(super) fn scanned(args: &[Bytes], members: impl FnOnce(&[u8]) -> Result<Option<Vec<Shown>>, Reply>) -> Answered {
    parse_cursor(&args[1])?;
    let page = |all| Ok(Reply::Array(vec![Reply::bulk("0"), Reply::Array(all)]));
    let Some(members) = members(&args[0])? else { return page(Vec::new()) };
    let mut pattern: Option<&Bytes> = None;
    for pair in args[2..].chunks(2) {
        let [word, value] = pair else { return Err(wrong::syntax()) };
        if word.eq_ignore_ascii_case(b"COUNT") {
            if parse_int(value).ok_or_else(wrong::integer)? < 1 {
                return Err(wrong::syntax());
            }
        } else if word.eq_ignore_ascii_case(b"MATCH") {
            pattern = Some(value);
        } else {
            return Err(wrong::syntax());
        }
    }
    let fitting = members.into_iter().filter(|(name, _)| pattern.is_none_or(|pattern| matches(pattern, name)));
    page(fitting.flat_map(|(_, shown)| shown).collect())
}
