//! How many values are at most as large as a given one.

use crate::quantiles::Distribution;
use crate::snapshot::Snapshot;

impl Snapshot {
    /// For each bound, in the order given, how many values are at most it; see
    /// [`Distribution::at_most`].
    pub fn buckets(&self, bounds: &[f64]) -> Vec<u64> {
        let distribution = self.distribution();
        bounds
            .iter()
            .map(|&bound| distribution.at_most(bound))
            .collect()
    }

    /// The share of the values that are at most this one, from 0 to 1; `None` where there are none.
    pub fn fraction_below(&self, value: f64) -> Option<f64> {
        let distribution = self.distribution();
        let count = distribution.count();
        (count > 0).then(|| distribution.at_most(value) as f64 / count as f64)
    }
}

impl Distribution<'_> {
    /// How many values are at most this one.
    ///
    /// Exact where the next greater integer begins a bucket, as all powers of two from the precision's
    /// on do, and below the least and from the greatest value on. Elsewhere the values of the
    /// bucket are taken to lie evenly in it, so that no more values than it has are wrongly told. Of values above the
    /// layout's largest it is only known that they are at most the greatest.
    pub fn at_most(&self, value: f64) -> u64 {
        let snapshot = self.snapshot;
        let layout = snapshot.layout;
        // Anything below 0, and what is no number, becomes 0.
        if value.is_nan() || value < snapshot.min as f64 || self.count() == 0 {
            return 0;
        }
        let value = value as u64;
        if value >= snapshot.max {
            return self.count();
        }
        if value > layout.max() {
            return self.pages_below(layout.len() + (1 << layout.precision())).1;
        }
        let index = layout.index(value);
        let (below, count) = self.below(index);
        let (low, high) = layout.bounds(index);
        let (low, high) = (low.max(snapshot.min), high.min(snapshot.max));
        let (part, all) = match value.checked_sub(low) {
            Some(above) if value < high => (u128::from(above) + 1, u128::from(high - low) + 1),
            Some(_) => (1, 1),
            None => (0, 1),
        };
        let share = (2 * u128::from(count) * part + all) / (2 * all);
        below.saturating_add(share as u64)
    }

    /// How many values are in the buckets below this one, and in it.
    fn below(&self, index: usize) -> (u64, u64) {
        let snapshot = self.snapshot;
        if index < snapshot.first {
            return (0, 0);
        }
        let (page, mut below) = self.pages_below(index);
        let at = (index - snapshot.first).min(snapshot.counts.len());
        let start = page.saturating_sub(snapshot.first).min(at);
        for &count in &snapshot.counts[start..at] {
            below = below.saturating_add(count);
        }
        (below, snapshot.counts.get(at).copied().unwrap_or(0))
    }
}
