//! Sorted sets: members with scores, one by one.

use bytes::Bytes;

use super::keys::is_small;
use super::keyspace::Keyspace;
use super::number::{parse_float, show_double};
use super::packed::{Members, members_of};
use super::reply::{Answered, Reply, wrong};
use super::set::{positive, scanned};
use crate::state::entry::{Entry, Kind};

pub(super) type Scores<'a> = Members<'a, f64>;

pub(super) fn sorted_set(keyspace: &Keyspace<'_, '_>, raw: &[u8]) -> Result<Option<Entry>, Reply> {
    keyspace.collection(raw, Kind::SortedSet)
}

fn score(text: &[u8]) -> Result<f64, Reply> {
    parse_float(text).ok_or_else(wrong::float)
}

/// A score as `ZSCAN` shows it where Redis keeps a sorted set as a list, in which whole numbers are such.
fn show_listed(score: f64) -> String {
    const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;
    if score.fract() == 0.0 && score.abs() <= WHOLE_MAX { (score as i64).to_string() } else { show_double(score) }
}

/// What `ZADD` is told besides scores and members.
#[derive(Default)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

impl Options {
    /// The options, and what follows them.
    fn read(mut args: &[Bytes]) -> Result<(Self, &[Bytes]), Reply> {
        let mut all = Self::default();
        while let [word, rest @ ..] = args {
            match word.to_ascii_uppercase().as_slice() {
                b"NX" => all.nx = true,
                b"XX" => all.xx = true,
                b"GT" => all.gt = true,
                b"LT" => all.lt = true,
                b"CH" => all.ch = true,
                b"INCR" => all.incr = true,
                _ => break,
            }
            args = rest;
        }
        if args.is_empty() || !args.len().is_multiple_of(2) {
            return Err(wrong::syntax());
        }
        if all.nx && all.xx {
            return Err(Reply::err("ERR XX and NX options at the same time are not compatible"));
        }
        if [all.gt, all.lt, all.nx].into_iter().filter(|is_set| *is_set).count() > 1 {
            return Err(Reply::err("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if all.incr && args.len() > 2 {
            return Err(Reply::err("ERR INCR option supports a single increment-element pair"));
        }
        Ok((all, args))
    }

    /// The score that a member has afterwards; `None` when it stays what it is.
    fn apply(&self, held: Option<f64>, said: f64) -> Result<Option<f64>, Reply> {
        let Some(held) = held else { return Ok((!self.xx).then_some(said)) };
        if self.nx {
            return Ok(None);
        }
        let wanted = if self.incr { held + said } else { said };
        if wanted.is_nan() {
            return Err(Reply::err("ERR resulting score is not a number (NaN)"));
        }
        Ok(if self.gt && wanted <= held || self.lt && wanted >= held { None } else { Some(wanted) })
    }
}

pub(super) fn zadd(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let (options, pairs) = Options::read(&args[1..])?;
    add(keyspace, &args[0], (&options, pairs))
}

pub(super) fn zincrby(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    add(keyspace, &args[0], (&Options { incr: true, ..Options::default() }, &args[1..]))
}

fn add(keyspace: &mut Keyspace<'_, '_>, raw: &[u8], (options, pairs): (&Options, &[Bytes])) -> Answered {
    let said = pairs.chunks(2).map(|pair| Ok((score(&pair[0])?, &pair[1])));
    let said = said.collect::<Result<Vec<_>, Reply>>()?;
    let held = sorted_set(keyspace, raw)?;
    let mut scores = Scores::of(held.as_ref(), said.len());
    let (mut added, mut changed, mut last) = (0, 0, None);
    for (said, member) in said {
        let before = scores.get(member);
        last = options.apply(before, said)?;
        let Some(after) = last else { continue };
        added += usize::from(before.is_none());
        changed += usize::from(before.is_some_and(|before| before != after));
        if before != Some(after) {
            // -0 is 0
            scores.put(member, after + 0.0);
        }
    }
    if added + changed > 0 {
        scores.keep(keyspace, raw, if options.incr { "zincr" } else { "zadd" })?;
    }
    Ok(match last {
        Some(score) if options.incr => Reply::Double(score),
        None if options.incr => Reply::Null,
        _ => Reply::count(if options.ch { added + changed } else { added }),
    })
}

pub(super) fn zrem(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = sorted_set(keyspace, &args[0])?;
    let mut scores = Scores::of(held.as_ref(), args.len() - 1);
    let removed = args[1..].iter().filter(|member| scores.remove(member)).count();
    if removed > 0 {
        scores.keep(keyspace, &args[0], "zrem")?;
    }
    Ok(Reply::count(removed))
}

fn shown(score: Option<f64>) -> Reply {
    score.map_or(Reply::Null, Reply::Double)
}

pub(super) fn zscore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = sorted_set(keyspace, &args[0])?;
    Ok(shown(Scores::of(held.as_ref(), 1).get(&args[1])))
}

pub(super) fn zmscore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = sorted_set(keyspace, &args[0])?;
    let scores = Scores::of(held.as_ref(), args.len() - 1);
    Ok(Reply::Array(args[1..].iter().map(|member| shown(scores.get(member))).collect()))
}

pub(super) fn zcard(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Ok(Reply::count(members_of::<f64>(sorted_set(keyspace, &args[0])?.as_ref()).count()))
}

pub(super) fn zrank(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = sorted_set(keyspace, &args[0])?;
    let rank = members_of::<f64>(held.as_ref()).position(|(member, _)| member == args[1]);
    Ok(rank.map_or(Reply::Null, Reply::count))
}

pub(super) fn zrevrank(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let held = sorted_set(keyspace, &args[0])?;
    let all: Vec<&[u8]> = members_of::<f64>(held.as_ref()).map(|(member, _)| member).collect();
    let rank = all.iter().rev().position(|member| *member == args[1]);
    Ok(rank.map_or(Reply::Null, Reply::count))
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Low,
    High,
}

pub(super) fn zpopmin(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    pop(keyspace, args, (End::Low, "zpopmin"))
}

pub(super) fn zpopmax(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    pop(keyspace, args, (End::High, "zpopmax"))
}

/// `ZPOPMIN key [count]`: pairs if there is a count.
fn pop(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes], (end, event): (End, &str)) -> Answered {
    let count = match &args[1..] {
        [] => None,
        [count] => Some(positive(count)?),
        _ => return Err(wrong::syntax()),
    };
    let held = sorted_set(keyspace, &args[0])?;
    let mut all: Vec<(&[u8], f64)> = members_of(held.as_ref()).collect();
    if end == End::High {
        all.reverse();
    }
    all.truncate(count.unwrap_or(1));
    if !all.is_empty() {
        let mut scores = Scores::of(held.as_ref(), all.len());
        all.iter().for_each(|(member, _)| {
            scores.remove(member);
        });
        scores.keep(keyspace, &args[0], event)?;
    }
    let pairs = all.iter().map(|(member, score)| (Reply::bulk(member), Reply::Double(*score)));
    Ok(match count {
        Some(_) => Reply::Pairs(pairs.collect()),
        None => Reply::Array(pairs.flat_map(|(member, score)| [member, score]).collect()),
    })
}

pub(super) fn zscan(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    scanned(args, |raw| {
        let held = sorted_set(keyspace, raw)?;
        let is_list = is_small(members_of::<f64>(held.as_ref()).map(|(member, _)| member.len()));
        let both = |(member, score): (&[u8], f64)| {
            let shown = if is_list { show_listed(score) } else { show_double(score) };
            (member.to_vec(), vec![Reply::bulk(member), Reply::bulk(shown)])
        };
        Ok(held.is_some().then(|| members_of(held.as_ref()).map(both).collect()))
    })
}
