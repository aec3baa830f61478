//! Packed: how the members of a hash, a set or a sorted set lie in an entry, and how they are changed.
//!
//! One after another: a name with its length in front (LEB128), then what belongs to it: a hash's value likewise, a
//! score as eight bytes, nothing in a set. A collection is as small as a value, and is read and written as a whole;
//! one name is found by walking, many by an index. Hashes and sets keep the order in which their members came, sorted
//! sets are in the order of scores, then names.

use std::collections::BTreeMap;

use super::keyspace::Keyspace;
use super::reply::{Reply, wrong};
use crate::limits::REDIS_VALUE_MAX;
use crate::state::entry::{Entry, Kind};

/// So many names are found by walking.
const WALKED: usize = 8;

/// What belongs to a name.
pub(super) trait Packs<'a>: Copy {
    const KIND: Kind;
    /// Of its keyspace events.
    const CLASS: u8;
    /// Takes it from the front; `None` when what is there is none.
    fn take(rest: &mut &'a [u8]) -> Option<Self>;
    fn push(self, out: &mut Vec<u8>);
    /// Brings members into the order in which they are kept.
    fn order(_: &mut [(&'a [u8], Self)]) {}
}

/// A member of a set.
impl<'a> Packs<'a> for () {
    const KIND: Kind = Kind::Set;
    const CLASS: u8 = b's';

    fn take(_: &mut &'a [u8]) -> Option<Self> {
        Some(())
    }

    fn push(self, _: &mut Vec<u8>) {}
}

/// The value of a hash's field.
impl<'a> Packs<'a> for &'a [u8] {
    const KIND: Kind = Kind::Hash;
    const CLASS: u8 = b'h';

    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        piece(rest)
    }

    fn push(self, out: &mut Vec<u8>) {
        push_piece(out, self);
    }
}

/// A score.
impl<'a> Packs<'a> for f64 {
    const KIND: Kind = Kind::SortedSet;
    const CLASS: u8 = b'z';

    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let (eight, after) = rest.split_first_chunk()?;
        *rest = after;
        Some(Self::from_le_bytes(*eight))
    }

    fn push(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn order(all: &mut [(&'a [u8], Self)]) {
        // no score is NaN, and -0 is 0
        all.sort_by(|(a, x), (b, y)| x.partial_cmp(y).unwrap_or(std::cmp::Ordering::Equal).then(a.cmp(b)));
    }
}

fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 28 {
            break;
        }
    }
    let (piece, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(piece)
}

fn push_piece(out: &mut Vec<u8>, piece: &[u8]) {
    let mut length = piece.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(piece);
}

/// The members that an entry holds, one after another.
pub(super) fn members_of<'a, V: Packs<'a>>(held: Option<&'a Entry>) -> impl Iterator<Item = (&'a [u8], V)> {
    let mut rest = held.map_or(&[][..], Entry::value);
    std::iter::from_fn(move || if rest.is_empty() { None } else { piece(&mut rest).zip(V::take(&mut rest)) })
}

/// The members of a collection, to be changed.
pub(super) struct Members<'a, V> {
    all: Vec<Option<(&'a [u8], V)>>,
    /// Where each name is, if many are to be found.
    places: Option<BTreeMap<&'a [u8], usize>>,
    gone: usize,
}

impl<'a, V: Packs<'a>> Members<'a, V> {
    /// Those that an entry holds, so many of which will be looked for.
    pub fn of(held: Option<&'a Entry>, lookups: usize) -> Self {
        let all: Vec<_> = members_of(held).map(Some).collect();
        let place = |(at, member): (usize, &Option<(&'a [u8], V)>)| member.map(|(name, _)| (name, at));
        let places = (lookups > WALKED).then(|| all.iter().enumerate().filter_map(place).collect());
        Self { all, places, gone: 0 }
    }

    pub fn len(&self) -> usize {
        self.all.len() - self.gone
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], V)> {
        self.all.iter().flatten().copied()
    }

    fn place(&self, name: &[u8]) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(name).copied(),
            None => self.all.iter().position(|member| member.is_some_and(|(held, _)| held == name)),
        }
    }

    pub fn get(&self, name: &[u8]) -> Option<V> {
        self.all[self.place(name)?].map(|(_, value)| value)
    }

    pub fn has(&self, name: &[u8]) -> bool {
        self.place(name).is_some()
    }

    /// Lets a name have this; answers what it had.
    pub fn put(&mut self, name: &'a [u8], value: V) -> Option<V> {
        match self.place(name) {
            Some(at) => self.all[at].replace((name, value)).map(|(_, old)| old),
            None => {
                if let Some(places) = &mut self.places {
                    places.insert(name, self.all.len());
                }
                self.all.push(Some((name, value)));
                None
            }
        }
    }

    /// Takes a name away; answers whether it was there.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(at) = self.place(name) else { return false };
        self.all[at] = None;
        if let Some(places) = &mut self.places {
            places.remove(name);
        }
        self.gone += 1;
        true
    }

    /// Takes away those whose names are not wanted.
    pub fn retain(&mut self, wanted: impl Fn(&[u8]) -> bool) {
        for member in &mut self.all {
            if let Some((name, _)) = member.filter(|(name, _)| !wanted(name)) {
                *member = None;
                self.gone += 1;
                if let Some(places) = &mut self.places {
                    places.remove(name);
                }
            }
        }
    }

    /// Whether they are few enough bytes.
    pub fn fits(&self) -> Result<(), Reply> {
        self.packed().map(drop)
    }

    fn packed(&self) -> Result<Vec<u8>, Reply> {
        let mut all: Vec<_> = self.iter().collect();
        V::order(&mut all);
        let mut out = Vec::new();
        for (name, value) in all {
            push_piece(&mut out, name);
            value.push(&mut out);
            if out.len() > REDIS_VALUE_MAX {
                return Err(wrong::too_large());
            }
        }
        Ok(out)
    }

    /// Has a key hold these, and no longer what it held; a collection without members is gone.
    ///
    /// # Errors
    /// When they are too many bytes: then nothing happens.
    pub fn keep(&self, keyspace: &mut Keyspace<'_, '_>, raw: &[u8], event: &str) -> Result<(), Reply> {
        if self.len() > 0 {
            keyspace.put_collection(raw, (V::KIND, &self.packed()?), (V::CLASS, event));
        } else if !keyspace.is_dead(raw) {
            keyspace.notify(V::CLASS, event, raw);
            keyspace.remove(raw, (b'g', "del"));
        }
        Ok(())
    }

    /// Has a key hold these instead of anything that it held, for ever; answers how many they are.
    ///
    /// # Errors
    /// When they are too many bytes: then nothing happens.
    pub fn replace(&self, keyspace: &mut Keyspace<'_, '_>, raw: &[u8], event: &str) -> Result<usize, Reply> {
        if self.len() > 0 {
            keyspace.replace(raw, (V::KIND, &self.packed()?), (V::CLASS, event));
        } else {
            keyspace.remove(raw, (b'g', "del"));
        }
        Ok(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_back_in_order() {
        let long = vec![b'x'; 70_000];
        let mut hash = Members::<&[u8]>::of(None, 0);
        let mut zset = Members::<f64>::of(None, 100);
        for (name, score) in [(&b"b"[..], 1.0), (b"", -0.5), (&long, 1.0), (b"a", f64::INFINITY)] {
            hash.put(name, &long[..name.len()]);
            zset.put(name, score);
        }
        zset.remove(b"nobody");
        zset.put(b"gone", 7.0);
        zset.remove(b"gone");
        let entry = |kind, packed: Vec<u8>| Entry::collection(kind, &packed, 1, 0);
        let hash = entry(Kind::Hash, hash.packed().expect("it fits"));
        let names: Vec<_> = members_of::<&[u8]>(Some(&hash)).map(|(n, v)| (n.len(), v.len())).collect();
        assert_eq!(names, [(1, 1), (0, 0), (70_000, 70_000), (1, 1)]);
        let zset = entry(Kind::SortedSet, zset.packed().expect("it fits"));
        let names: Vec<_> = members_of::<f64>(Some(&zset)).map(|(n, s)| (n.len(), s)).collect();
        assert_eq!(names, [(0, -0.5), (1, 1.0), (70_000, 1.0), (1, f64::INFINITY)]);
    }

    #[test]
    fn bytes_that_are_no_members_are_not_read_past_their_end() {
        for bytes in [&[5, 1, 2][..], &[0x80], &[0xff; 9], &[1, b'a', 0xff, 0xff]] {
            let entry = Entry::collection(Kind::Hash, bytes, 1, 0);
            assert_eq!(members_of::<&[u8]>(Some(&entry)).count(), 0);
            let _ = members_of::<f64>(Some(&entry)).count();
        }
    }
}
