//! Names: what has a name that clients say, found by it in any letter case. Every command is looked for several times on
//! its way, so that this is a handful of comparisons of numbers.

use std::sync::OnceLock;

/// Longest name.
const NAME_MAX: usize = 16;

/// Whatever has names.
pub struct Names<T: 'static> {
    all: &'static [T],
    name: fn(&T) -> &'static str,
    /// Names as numbers, in order.
    order: OnceLock<Vec<(u128, &'static T)>>,
}

impl<T> Names<T> {
    /// All of these, by the name of each: letters, digits and what stands in the upper half of ASCII, at most 16.
    pub const fn of(all: &'static [T], name: fn(&T) -> &'static str) -> Self {
        Self { all, name, order: OnceLock::new() }
    }

    /// The one of this name.
    pub fn find(&self, name: &[u8]) -> Option<&'static T> {
        let wanted = folded(name)?;
        let order = self.order.get_or_init(|| {
            let mut order: Vec<(u128, &'static T)> =
                self.all.iter().filter_map(|each| Some((folded((self.name)(each).as_bytes())?, each))).collect();
            order.sort_unstable_by_key(|(folded, _)| *folded);
            order
        });
        let at = order.binary_search_by_key(&wanted, |(folded, _)| *folded).ok()?;
        let found = order[at].1;
        // other bytes may fold to the same number
        (self.name)(found).as_bytes().eq_ignore_ascii_case(name).then_some(found)
    }
}

/// A name as a number, the same in any letter case.
fn folded(name: &[u8]) -> Option<u128> {
    const LOWER: u128 = u128::from_le_bytes([0x20; NAME_MAX]);
    let mut bytes = [0; NAME_MAX];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    Some(u128::from_le_bytes(bytes) | LOWER)
}
