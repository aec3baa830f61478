//! Beers: what the demo panel pours.

use crate::random;

const NAMES: &str = include_str!("../../data/beers.txt");

/// The name of some beer.
pub fn drawn() -> &'static str {
    let count = NAMES.lines().count().max(1);
    let at = u32::from_le_bytes(random::bytes()) as usize % count;
    NAMES.lines().nth(at).unwrap_or("House Lager")
}
