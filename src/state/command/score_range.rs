//! Score range: members of sorted sets that lie between two ranks, two scores or two names.

use std::ops::Range;

use bytes::Bytes;

use super::keyspace::Keyspace;
use super::number::parse_int;
use super::packed::members_of;
use super::reply::{Answered, Reply, wrong};
use super::sorted_set::{Scores, sorted_set};

/// What two bounds are about.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Rank,
    Score,
    /// Names, where all scores are the same.
    Lex,
}

/// Where a range ends, at either side.
enum Bound<T> {
    With(T),
    Without(T),
    /// Before, or behind, everything.
    First,
    Last,
}

impl<T: PartialOrd> Bound<T> {
    fn is_below(&self, value: &T) -> bool {
        match self {
            Self::With(bound) => bound <= value,
            Self::Without(bound) => bound < value,
            Self::First => true,
            Self::Last => false,
        }
    }

    fn is_above(&self, value: &T) -> bool {
        match self {
            Self::With(bound) => bound >= value,
            Self::Without(bound) => bound > value,
            Self::First => false,
            Self::Last => true,
        }
    }
}

fn score_bound(text: &[u8]) -> Result<Bound<f64>, Reply> {
    // C reads past a number that is too large, or has blanks in front
    let number =
        |text: &[u8]| std::str::from_utf8(text).ok()?.trim_ascii_start().parse().ok().filter(|n: &f64| !n.is_nan());
    let bound = match text.strip_prefix(b"(") {
        Some(rest) => number(rest).map(Bound::Without),
        None => number(text).map(Bound::With),
    };
    bound.ok_or_else(|| Reply::err("ERR min or max is not a float"))
}

fn lex_bound(text: &[u8]) -> Result<Bound<&[u8]>, Reply> {
    match text {
        b"-" => Ok(Bound::First),
        b"+" => Ok(Bound::Last),
        [b'[', name @ ..] => Ok(Bound::With(name)),
        [b'(', name @ ..] => Ok(Bound::Without(name)),
        _ => Err(Reply::err("ERR min or max not valid string range item")),
    }
}

/// Two bounds, the lower one first.
enum Between<'a> {
    Ranks(i64, i64),
    Scores(Bound<f64>, Bound<f64>),
    Names(Bound<&'a [u8]>, Bound<&'a [u8]>),
}

impl<'a> Between<'a> {
    fn read(by: By, low: &'a [u8], high: &'a [u8]) -> Result<Self, Reply> {
        let rank = |text: &[u8]| parse_int(text).ok_or_else(wrong::integer);
        Ok(match by {
            By::Rank => Self::Ranks(rank(low)?, rank(high)?),
            By::Score => Self::Scores(score_bound(low)?, score_bound(high)?),
            By::Lex => Self::Names(lex_bound(low)?, lex_bound(high)?),
        })
    }

    /// Which of the members these are.
    fn within(&self, all: &[(&[u8], f64)]) -> Range<usize> {
        let range = match self {
            Self::Ranks(from, to) => {
                let length = all.len() as i64;
                let at = |rank: i64| if rank < 0 { length.saturating_add(rank) } else { rank };
                let (from, to) = (at(*from).max(0), at(*to).min(length - 1));
                if from > to { 0..0 } else { from as usize..to as usize + 1 }
            }
            Self::Scores(low, high) => {
                let from = all.partition_point(|(_, score)| !low.is_below(score));
                from..all.partition_point(|(_, score)| high.is_above(score))
            }
            Self::Names(low, high) => {
                let from = all.partition_point(|(name, _)| !low.is_below(name));
                from..all.partition_point(|(name, _)| high.is_above(name))
            }
        };
        range.start..range.end.max(range.start)
    }
}

/// What a listing is asked for.
struct Asked {
    by: By,
    is_reverse: bool,
    with_scores: bool,
    /// How many are left out, and how many are shown; all when negative.
    limit: Option<(i64, i64)>,
}

impl Asked {
    fn new(by: By, is_reverse: bool) -> Self {
        Self { by, is_reverse, with_scores: false, limit: None }
    }

    /// Reads options; `BYSCORE`, `BYLEX` and `REV` only if they are not said by the command's name.
    fn read(mut self, mut args: &[Bytes], is_general: bool) -> Result<Self, Reply> {
        while let [word, rest @ ..] = args {
            args = rest;
            match word.to_ascii_uppercase().as_slice() {
                b"WITHSCORES" => self.with_scores = true,
                b"BYSCORE" if is_general => self.by = By::Score,
                b"BYLEX" if is_general => self.by = By::Lex,
                b"REV" if is_general => self.is_reverse = true,
                b"LIMIT" => {
                    let [skip, count, rest @ ..] = args else { return Err(wrong::syntax()) };
                    let number = |text| parse_int(text).ok_or_else(wrong::integer);
                    self.limit = Some((number(skip)?, number(count)?));
                    args = rest;
                }
                _ => return Err(wrong::syntax()),
            }
        }
        if self.limit.is_some_and(|limit| limit != (0, -1)) && self.by == By::Rank {
            return Err(Reply::err(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if self.with_scores && self.by == By::Lex {
            return Err(Reply::err("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        Ok(self)
    }

    /// `key first last …`.
    fn answer(&self, keyspace: &Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
        let (mut low, mut high) = (&args[1], &args[2]);
        // ranks count from the end that comes first, scores are given in the order in which they are shown
        if self.is_reverse && self.by != By::Rank {
            (low, high) = (high, low);
        }
        let between = Between::read(self.by, low, high)?;
        let held = sorted_set(keyspace, &args[0])?;
        let mut all: Vec<(&[u8], f64)> = members_of(held.as_ref()).collect();
        if self.is_reverse && self.by == By::Rank {
            all.reverse();
        }
        let mut found = all[between.within(&all)].to_vec();
        if self.is_reverse && self.by != By::Rank {
            found.reverse();
        }
        let (skip, count) = self.limit.unwrap_or((0, -1));
        // a negative number to leave out leaves out everything
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let shown = found.into_iter().skip(skip).take(count);
        Ok(if self.with_scores {
            Reply::Pairs(shown.map(|(name, score)| (Reply::bulk(name), Reply::Double(score))).collect())
        } else {
            Reply::Array(shown.map(|(name, _)| Reply::bulk(name)).collect())
        })
    }
}

/// `ZRANGE key first last [BYSCORE|BYLEX] [REV] [LIMIT skip count] [WITHSCORES]`.
pub(super) fn zrange(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Asked::new(By::Rank, false).read(&args[3..], true)?.answer(keyspace, args)
}

pub(super) fn zrevrange(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Asked::new(By::Rank, true).read(&args[3..], false)?.answer(keyspace, args)
}

pub(super) fn zrangebyscore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Asked::new(By::Score, false).read(&args[3..], false)?.answer(keyspace, args)
}

pub(super) fn zrevrangebyscore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Asked::new(By::Score, true).read(&args[3..], false)?.answer(keyspace, args)
}

pub(super) fn zrangebylex(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Asked::new(By::Lex, false).read(&args[3..], false)?.answer(keyspace, args)
}

pub(super) fn zrevrangebylex(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    Asked::new(By::Lex, true).read(&args[3..], false)?.answer(keyspace, args)
}

pub(super) fn zcount(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    count(keyspace, args, By::Score)
}

pub(super) fn zlexcount(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    count(keyspace, args, By::Lex)
}

fn count(keyspace: &Keyspace<'_, '_>, args: &[Bytes], by: By) -> Answered {
    let between = Between::read(by, &args[1], &args[2])?;
    let held = sorted_set(keyspace, &args[0])?;
    let all: Vec<(&[u8], f64)> = members_of(held.as_ref()).collect();
    Ok(Reply::count(between.within(&all).len()))
}

pub(super) fn zremrangebyscore(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    remove(keyspace, args, (By::Score, "zremrangebyscore"))
}

pub(super) fn zremrangebyrank(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    remove(keyspace, args, (By::Rank, "zremrangebyrank"))
}

pub(super) fn zremrangebylex(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    remove(keyspace, args, (By::Lex, "zremrangebylex"))
}

fn remove(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes], (by, event): (By, &str)) -> Answered {
    let between = Between::read(by, &args[1], &args[2])?;
    let held = sorted_set(keyspace, &args[0])?;
    let all: Vec<(&[u8], f64)> = members_of(held.as_ref()).collect();
    let found = between.within(&all);
    if !found.is_empty() {
        let mut scores = Scores::of(held.as_ref(), found.len());
        all[found.clone()].iter().for_each(|(name, _)| {
            scores.remove(name);
        });
        scores.keep(keyspace, &args[0], event)?;
    }
    Ok(Reply::count(found.len()))
}
