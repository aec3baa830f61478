//! Pattern: Lua's patterns, in bounded time.
//!
//! Lua's own search can take for ever on a short pattern, and nothing interrupts it. This is the same search (Lua 5.1,
//! `lstrlib.c`), which spends a step wherever it goes on.

use super::work::{Spent, Work};

/// Most captures of a pattern.
const CAPTURES_MAX: usize = 32;
/// How deep a search may nest.
const DEPTH_MAX: usize = 200;

/// Why a search has no answer.
pub(super) enum Stop {
    Malformed(&'static str),
    Spent,
}

impl From<Spent> for Stop {
    fn from(_: Spent) -> Self {
        Self::Spent
    }
}

type Found<T> = Result<T, Stop>;

/// How far a capture reaches.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// It is not closed yet.
    Open,
    /// It captures the place alone.
    Place,
    Bytes(usize),
}

/// What was captured.
pub(super) enum Captured {
    /// From there to there.
    Bytes(usize, usize),
    /// A place, from 1.
    Place(usize),
}

/// Where a pattern was found, and what it captured.
pub(super) struct Match {
    pub from: usize,
    pub to: usize,
    pub captures: Vec<Captured>,
}

struct Search<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<(usize, Extent)>,
    depth: usize,
    work: &'a Work,
}

/// Finds a pattern at `from` or behind; `^` in front holds it there if `anchors`.
pub(super) fn seek(
    text: &[u8],
    pattern: &[u8],
    (mut from, anchors): (usize, bool),
    work: &Work,
) -> Found<Option<Match>> {
    let (is_anchored, pattern) = match pattern.strip_prefix(b"^") {
        Some(rest) if anchors => (true, rest),
        _ => (false, pattern),
    };
    let mut search = Search { text, pattern, captures: Vec::new(), depth: 0, work };
    while from <= text.len() {
        search.captures.clear();
        if let Some(to) = search.run(from, 0)? {
            let captures = search.captures.iter().map(|(start, extent)| match extent {
                Extent::Bytes(length) => Ok(Captured::Bytes(*start, start + length)),
                Extent::Place => Ok(Captured::Place(start + 1)),
                Extent::Open => Err(Stop::Malformed("unfinished capture")),
            });
            return Ok(Some(Match { from, to, captures: captures.collect::<Found<_>>()? }));
        }
        if is_anchored {
            break;
        }
        from += 1;
    }
    Ok(None)
}

/// Finds a text as it stands.
pub(super) fn seek_plain(text: &[u8], wanted: &[u8], from: usize, work: &Work) -> Found<Option<Match>> {
    for from in from..(text.len() + 1).saturating_sub(wanted.len()) {
        let same = text[from..].iter().zip(wanted).take_while(|(a, b)| a == b).count();
        work.spend(1 + same as u64 / 8)?;
        if same == wanted.len() {
            return Ok(Some(Match { from, to: from + same, captures: Vec::new() }));
        }
    }
    Ok(None)
}

/// Whether a pattern means more than its text.
pub(super) fn is_special(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

impl Search<'_> {
    fn at(&self, p: usize) -> u8 {
        self.pattern.get(p).copied().unwrap_or(0)
    }

    fn run(&mut self, s: usize, p: usize) -> Found<Option<usize>> {
        if self.depth >= DEPTH_MAX {
            return Err(Stop::Malformed("pattern too complex"));
        }
        self.depth += 1;
        let found = self.step(s, p);
        self.depth -= 1;
        found
    }

    fn step(&mut self, mut s: usize, mut p: usize) -> Found<Option<usize>> {
        loop {
            self.work.spend(1)?;
            match (self.pattern.get(p), self.at(p + 1)) {
                (None, _) => return Ok(Some(s)),
                (Some(b'('), b')') => return self.open(s, p + 2, Extent::Place),
                (Some(b'('), _) => return self.open(s, p + 1, Extent::Open),
                (Some(b')'), _) => return self.close(s, p + 1),
                (Some(b'$'), _) if p + 1 == self.pattern.len() => return Ok((s == self.text.len()).then_some(s)),
                (Some(b'%'), b'b') => match self.balanced(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (Some(b'%'), b'f') => {
                    if self.at(p + 2) != b'[' {
                        return Err(Stop::Malformed("missing '[' after '%f' in pattern"));
                    }
                    let end = self.class_end(p + 2)?;
                    let before = if s == 0 { 0 } else { self.text[s - 1] };
                    let here = self.text.get(s).copied().unwrap_or(0);
                    if self.is_in_set(before, p + 2, end - 1) || !self.is_in_set(here, p + 2, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                }
                (Some(b'%'), digit @ b'0'..=b'9') => match self.again(s, digit)? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => match self.one(s, p)? {
                    Next::Done(found) => return Ok(found),
                    Next::On(at, then) => (s, p) = (at, then),
                },
            }
        }
    }

    /// A single class, and what may follow it.
    fn one(&mut self, s: usize, p: usize) -> Found<Next> {
        let end = self.class_end(p)?;
        let fits = self.fits(s, p, end);
        Ok(match self.pattern.get(end) {
            Some(b'?') => {
                if fits && let Some(found) = self.run(s + 1, end + 1)? {
                    return Ok(Next::Done(Some(found)));
                }
                Next::On(s, end + 1)
            }
            Some(b'*') => Next::Done(self.most(s, (p, end))?),
            Some(b'+') => Next::Done(if fits { self.most(s + 1, (p, end))? } else { None }),
            Some(b'-') => Next::Done(self.least(s, (p, end))?),
            _ if fits => Next::On(s + 1, end),
            _ => Next::Done(None),
        })
    }

    fn most(&mut self, s: usize, (p, end): (usize, usize)) -> Found<Option<usize>> {
        let mut count = 0;
        while self.fits(s + count, p, end) {
            self.work.spend(1)?;
            count += 1;
        }
        loop {
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            match count.checked_sub(1) {
                Some(fewer) => count = fewer,
                None => return Ok(None),
            }
        }
    }

    fn least(&mut self, mut s: usize, (p, end): (usize, usize)) -> Found<Option<usize>> {
        loop {
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.fits(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, extent: Extent) -> Found<Option<usize>> {
        if self.captures.len() >= CAPTURES_MAX {
            return Err(Stop::Malformed("too many captures"));
        }
        let held = self.captures.len();
        self.captures.push((s, extent));
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures.truncate(held);
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Found<Option<usize>> {
        let open = self.captures.iter().rposition(|(_, extent)| *extent == Extent::Open);
        let open = open.ok_or(Stop::Malformed("invalid pattern capture"))?;
        self.captures[open].1 = Extent::Bytes(s - self.captures[open].0);
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures[open].1 = Extent::Open;
        }
        Ok(found)
    }

    /// What was captured before, once more.
    fn again(&mut self, s: usize, digit: u8) -> Found<Option<usize>> {
        let place = usize::from(digit - b'0').checked_sub(1);
        let captured = place.and_then(|place| self.captures.get(place)).copied();
        let Some((start, Extent::Bytes(length))) = captured else {
            return Err(Stop::Malformed("invalid capture index"));
        };
        self.work.spend(length as u64 / 8)?;
        let fits = self.text[s..].starts_with(&self.text[start..start + length]);
        Ok(fits.then_some(s + length))
    }

    fn balanced(&mut self, s: usize, p: usize) -> Found<Option<usize>> {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(Stop::Malformed("unbalanced pattern"));
        };
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for (at, byte) in self.text.iter().enumerate().skip(s + 1) {
            self.work.spend(1)?;
            if *byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if *byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// Where the class that begins at `p` ends.
    fn class_end(&self, p: usize) -> Found<usize> {
        match self.at(p) {
            b'%' if p + 1 >= self.pattern.len() => Err(Stop::Malformed("malformed pattern (ends with '%')")),
            b'%' => Ok(p + 2),
            b'[' => {
                let mut at = p + 1;
                at += usize::from(self.at(at) == b'^');
                // the first sign is of the class, whatever it is
                loop {
                    let sign = self.pattern.get(at).ok_or(Stop::Malformed("malformed pattern (missing ']')"))?;
                    at += if *sign == b'%' { 2 } else { 1 };
                    if self.pattern.get(at) == Some(&b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    fn fits(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.text.get(s) else { return false };
        match self.at(p) {
            b'.' => true,
            b'%' => is_of(byte, self.at(p + 1)),
            b'[' => self.is_in_set(byte, p, end - 1),
            sign => sign == byte,
        }
    }

    /// Whether a byte is in the set from `[` to `]`.
    fn is_in_set(&self, byte: u8, open: usize, close: usize) -> bool {
        let is_not = self.at(open + 1) == b'^';
        let mut at = open + 1 + usize::from(is_not);
        while at < close {
            let sign = self.at(at);
            let (fits, next) = if sign == b'%' {
                (is_of(byte, self.at(at + 1)), at + 2)
            } else if self.at(at + 1) == b'-' && at + 2 < close {
                ((sign..=self.at(at + 2)).contains(&byte), at + 3)
            } else {
                (sign == byte, at + 1)
            };
            if fits {
                return !is_not;
            }
            at = next;
        }
        is_not
    }
}

enum Next {
    Done(Option<usize>),
    /// Go on there, with the pattern there.
    On(usize, usize),
}

/// Whether a byte is of a class that a letter names.
fn is_of(byte: u8, class: u8) -> bool {
    let fits = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    fits != class.is_ascii_uppercase()
}
