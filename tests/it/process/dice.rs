//! Dice: chance that can be repeated, from a seed that is printed.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose with.
pub struct Dice(u64);

impl Dice {
    /// Dice from the seed in `TEST_SEED`, or else another every second.
    pub fn seeded() -> (Self, u64) {
        let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
        (Self(seed), seed)
    }

    /// Dice from this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Other dice, for somebody who throws beside us.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// A number from 0 to just under `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
