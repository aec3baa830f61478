//! Figures: medians of rounds, percentiles of samples.

use std::time::Duration;

/// Nanoseconds that something took, many times over, in buckets of about one percent.
#[derive(Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

/// Buckets for each doubling.
const STEPS: u32 = 64;

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; (64 * STEPS) as usize], count: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(u64::from(STEPS));
        let doublings = ns.ilog2();
        let step = (ns >> (doublings - STEPS.ilog2())) as u32 - STEPS;
        self.buckets[(doublings * STEPS + step) as usize] += 1;
        self.count += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that `percent` of the samples do not exceed, microseconds; 0 without samples.
    pub fn percentile_us(&self, percent: f64) -> f64 {
        let wanted = (self.count as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        for (at, count) in (0_u32..).zip(&self.buckets) {
            seen += count;
            if seen >= wanted.max(1) {
                let (doublings, step) = (at / STEPS, at % STEPS);
                return f64::from(STEPS + step) / f64::from(STEPS) * (1_u64 << doublings) as f64 / 1_000.0;
            }
        }
        0.0
    }
}

/// The middle one; the mean of the two in the middle when there are two.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
