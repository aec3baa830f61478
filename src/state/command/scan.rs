//! Scan: `SCAN`, page by page, on whichever node each page is asked for.
//!
//! A cursor is two numbers. One is a place in an order of keys that is the same on every node. The other, the mark, says
//! how new a list has to be that the scan goes on in: one that somebody else's scan left on a node may lack what was
//! written before this one began. Both fit into the whole numbers of a JavaScript `Number`.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use bytes::Bytes;

use super::glob::matches;
use super::keys::name_of;
use super::keyspace::Keyspace;
use super::number::{parse_cursor, parse_int};
use super::reply::{Answered, Reply, wrong};

/// Bits of a mark, below the 32 of a place.
const MARK_BITS: u32 = 20;
/// How many marks there are besides none.
const MARKS: u64 = (1 << MARK_BITS) - 1;

/// A text's place in the order of `SCAN`: the same on every node, so that any of them can go on.
fn place(raw: &[u8]) -> u64 {
    foldhash::fast::FixedState::with_seed(0).hash_one(raw) >> 32 | 1
}

/// How new a list of keys is: the log index up to which it has everything, as far as a cursor has room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    /// Of a list of which nothing is known, and of a scan that no list is good enough for.
    const NONE: Self = Self(0);

    /// Of a list that has everything up to this index.
    pub fn of(index: u64) -> Self {
        Self(index % MARKS + 1)
    }

    /// Whether a list with this mark has all that one with the other has. Marks begin anew after a million records: a
    /// list is kept far too short a time to be mistaken, and a scan that takes so long is given a new list.
    pub fn is_as_new_as(self, other: Self) -> bool {
        self != Self::NONE && other != Self::NONE && (self.0 + MARKS - other.0) % MARKS < MARKS / 2
    }
}

/// Keys in the order of their [`place`]s.
#[derive(Clone)]
pub struct List {
    names: Arc<Vec<(u64, Vec<u8>)>>,
    mark: Mark,
}

impl List {
    /// Of these names, which are everything up to a mark.
    pub fn of(names: Vec<Vec<u8>>, mark: Mark) -> Self {
        let mut names: Vec<(u64, Vec<u8>)> = names.into_iter().map(|raw| (place(&raw), raw)).collect();
        names.sort_unstable();
        Self { names: Arc::new(names), mark }
    }
}

/// What `SCAN` is asked for.
pub struct Scan {
    /// Where to go on.
    place: u64,
    mark: Mark,
    count: usize,
    pattern: Option<Bytes>,
    kind: Option<Vec<u8>>,
}

impl Scan {
    /// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE t]`, without the name.
    ///
    /// # Errors
    /// Those of Redis.
    pub fn read(args: &[Bytes]) -> Result<Self, Reply> {
        let cursor = parse_cursor(&args[0])?;
        let (place, mark) = (cursor >> MARK_BITS, Mark(cursor & MARKS));
        let mut scan = Self { place, mark, count: 10, pattern: None, kind: None };
        for pair in args[1..].chunks(2) {
            let [word, value] = pair else { return Err(wrong::syntax()) };
            match word.to_ascii_uppercase().as_slice() {
                b"MATCH" => scan.pattern = Some(value.clone()),
                b"TYPE" => scan.kind = Some(value.to_ascii_lowercase()),
                b"COUNT" => {
                    let count = parse_int(value).ok_or_else(wrong::integer)?;
                    scan.count = usize::try_from(count).ok().filter(|n| *n > 0).ok_or_else(wrong::syntax)?;
                }
                _ => return Err(wrong::syntax()),
            }
        }
        Ok(scan)
    }

    /// Whether this is its first page.
    pub fn begins(&self) -> bool {
        self.place == 0
    }

    /// Whether it may go on in this list.
    pub fn goes_on_in(&self, list: &List) -> bool {
        list.mark.is_as_new_as(self.mark)
    }

    /// The page of a list that begins at the cursor. All names of one place are on one page, so that a cursor is a place
    /// and a mark and nothing more.
    pub fn page(&self, keyspace: &Keyspace<'_, '_>, list: &List) -> Reply {
        let all = list.names.as_slice();
        let from = all.partition_point(|(place, _)| *place < self.place);
        let mut to = (from + self.count.min(all.len())).min(all.len());
        while to > from && to < all.len() && all[to].0 == all[to - 1].0 {
            to += 1;
        }
        // a scan keeps the mark that it began with: a list on another node that is as new will do there
        let mark = if self.goes_on_in(list) { self.mark } else { list.mark };
        let next = all.get(to).map_or(0, |(place, _)| place << MARK_BITS | mark.0);
        let fitting = all[from..to].iter().map(|(_, raw)| raw).filter(|raw| self.wants(keyspace, raw));
        let page = fitting.map(Reply::bulk).collect();
        Reply::Array(vec![Reply::bulk(next.to_string()), Reply::Array(page)])
    }

    fn wants(&self, keyspace: &Keyspace<'_, '_>, raw: &[u8]) -> bool {
        let Some(entry) = keyspace.live(raw) else { return false };
        self.pattern.as_ref().is_none_or(|pattern| matches(pattern, raw))
            && self.kind.as_ref().is_none_or(|kind| name_of(entry.kind()).as_bytes() == kind)
    }
}

/// In a transaction or a script.
pub(super) fn scan(keyspace: &mut Keyspace<'_, '_>, args: &[Bytes]) -> Answered {
    let scan = Scan::read(args)?;
    Ok(scan.page(keyspace, &List::of(keyspace.names(), Mark::NONE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_as_new_as_what_came_before_it_even_where_marks_begin_anew() {
        for index in [0, 1, MARKS - 2, MARKS - 1, MARKS, 3 * MARKS + 7] {
            assert!(Mark::of(index).is_as_new_as(Mark::of(index)));
            assert!(Mark::of(index + 1).is_as_new_as(Mark::of(index)));
            assert!(Mark::of(index + 400_000).is_as_new_as(Mark::of(index)));
            assert!(!Mark::of(index).is_as_new_as(Mark::of(index + 1)));
            assert!(!Mark::of(index).is_as_new_as(Mark::of(index + 400_000)));
            assert!(!Mark::of(index).is_as_new_as(Mark::NONE) && !Mark::NONE.is_as_new_as(Mark::of(index)));
        }
    }

    #[test]
    fn cursors_are_whole_numbers_of_javascript() {
        let most = (u64::from(u32::MAX) << MARK_BITS) | MARKS;
        assert!(most < 1 << 53);
        assert!(place(b"") > 0 && place(b"some key") <= u64::from(u32::MAX));
    }
}
