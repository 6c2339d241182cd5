//! What was recorded, the older the less: a value counts for half after each half-life.

use crate::snapshot::Snapshot;

/// By what the past has shrunk after a time, and what evenly spread over that time is worth at its
/// end, for each that came.
pub(crate) fn decay(elapsed: u64, half_life: u64) -> (f64, f64) {
    let half_lives = elapsed as f64 / half_life as f64;
    let left = (-half_lives).exp2();
    let exponent = half_lives * std::f64::consts::LN_2;
    let spread = if exponent == 0.0 {
        1.0
    } else {
        -(-exponent).exp_m1() / exponent
    };
    (left, spread)
}

/// The weights of what a histogram has recorded.
#[derive(Clone, Debug)]
pub struct Decaying {
    half_life: u64,
    at: u64,
    /// What had been recorded by then.
    counted: Snapshot,
    /// By bucket, from the lowest.
    weights: Vec<f64>,
    overflow: f64,
    /// Of the values, each times its weight.
    sum: f64,
}

impl Decaying {
    /// `half_life` and `now`: milliseconds, the former not 0; what has been `counted` by now weighs
    /// nothing.
    pub fn new(half_life: u64, now: u64, counted: Snapshot) -> Self {
        Decaying {
            half_life: half_life.max(1),
            at: now,
            counted,
            weights: Vec::new(),
            overflow: 0.0,
            sum: 0.0,
        }
    }

    pub fn half_life(&self) -> u64 {
        self.half_life
    }

    /// Goes on to a time by which so much has been counted; no less than what was said before.
    /// What has come since is taken to have come evenly.
    pub fn tick(&mut self, now: u64, counted: Snapshot) {
        let (left, spread) = decay(now.saturating_sub(self.at), self.half_life);
        let new = counted.subtract(&self.counted);
        let shrink = |weight: &mut f64| {
            *weight *= left;
            // Numbers much smaller than this make arithmetic slow.
            if *weight < 1e-200 {
                *weight = 0.0;
            }
        };
        self.weights.iter_mut().for_each(shrink);
        shrink(&mut self.overflow);
        shrink(&mut self.sum);
        let end = new.first + new.counts.len();
        if end > self.weights.len() {
            self.weights.resize(end, 0.0);
        }
        for (weight, &count) in self.weights[new.first..].iter_mut().zip(&new.counts) {
            *weight += count as f64 * spread;
        }
        self.overflow += new.overflow as f64 * spread;
        self.sum += new.sum as f64 * spread;
        self.at = self.at.max(now);
        self.counted = counted;
    }

    /// The bytes of the buckets.
    pub fn memory(&self) -> usize {
        size_of::<f64>() * self.weights.capacity()
            + size_of::<u64>() * self.counted.counts.capacity()
    }

    /// The weight of all values.
    pub fn weight(&self) -> f64 {
        self.weights.iter().sum::<f64>() + self.overflow
    }

    /// `None` where nothing weighs anything.
    pub fn mean(&self) -> Option<f64> {
        let weight = self.weight();
        (weight > 0.0).then(|| self.sum / weight)
    }

    /// A snapshot in which values are as frequent as they weigh, to about `2^-40` of all.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::empty(self.counted.layout);
        let weight = self.weight();
        if weight > 0.0 {
            let scale = (1u64 << 40) as f64 / weight;
            let scaled = |weight: f64| (weight * scale).round() as u64;
            snapshot.counts = self.weights.iter().map(|&weight| scaled(weight)).collect();
            snapshot.overflow = scaled(self.overflow);
            snapshot.sum = (self.sum * scale) as u128;
            (snapshot.min, snapshot.max) = (self.counted.min, self.counted.max);
            snapshot.corrected = self.counted.corrected;
            snapshot.trim();
        }
        snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use crate::layout::Layout;
    use proptest::prelude::*;

    /// The least value below or at which a share of the weight is.
    fn naive_quantile(weighted: &mut [(u64, f64)], quantile: f64) -> u64 {
        weighted.sort_by_key(|(value, _)| *value);
        let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        let mut below = 0.0;
        for (value, weight) in weighted.iter() {
            below += weight;
            if below >= quantile * total {
                return *value;
            }
        }
        weighted.last().unwrap().0
    }

    proptest! {
        /// Each value is recorded right at a tick's beginning or end; its weight lies between.
        #[test]
        fn values_weigh_by_their_age(
            half_life in 200..20_000u64,
            steps in prop::collection::vec((1..3000u64, prop::collection::vec(0..1_000_000u64, 0..5)), 1..60),
        ) {
            let layout = Layout::new(7, 42).unwrap();
            let histogram = Histogram::new(layout, 1);
            let mut decaying = Decaying::new(half_life, 1000, histogram.cumulative());
            let mut now = 1000;
            let mut recorded = Vec::new();
            for (elapsed, values) in steps {
                for value in values {
                    histogram.record(0, value);
                    recorded.push((value, now, now + elapsed));
                }
                now += elapsed;
                decaying.tick(now, histogram.cumulative());
            }
            let weight = |at: u64| 0.5f64.powf((now - at) as f64 / half_life as f64);
            let least: f64 = recorded.iter().map(|&(_, from, _)| weight(from)).sum();
            let greatest: f64 = recorded.iter().map(|&(_, _, to)| weight(to)).sum();
            let is = decaying.weight();
            prop_assert!(is >= least * 0.999_999 && is <= greatest * 1.000_001, "{least} {is} {greatest}");
            if recorded.is_empty() {
                prop_assert_eq!(decaying.mean(), None);
                return Ok(());
            }
            let evenly = |&(value, from, to): &(u64, u64, u64)| {
                let (_, spread) = decay(to - from, half_life);
                (value, weight(to) * spread)
            };
            let mut weighted: Vec<_> = recorded.iter().map(evenly).collect();
            let sum: f64 = weighted.iter().map(|&(value, weight)| value as f64 * weight).sum();
            let total: f64 = weighted.iter().map(|&(_, weight)| weight).sum();
            prop_assert!((decaying.mean().unwrap() - sum / total).abs() <= 1e-6 * (1.0 + sum / total));
            let snapshot = decaying.snapshot();
            for quantile in [0.1, 0.5, 0.9, 0.99] {
                let value = snapshot.distribution().nearest(quantile).unwrap() as f64;
                // Of equal weights, rounding may tell the one or the other.
                let (low, high) = (
                    naive_quantile(&mut weighted, quantile - 1e-6) as f64,
                    naive_quantile(&mut weighted, quantile + 1e-6) as f64,
                );
                let error = 1.0 / 256.0;
                prop_assert!(
                    value >= low * (1.0 - error) && value <= high * (1.0 + error),
                    "{quantile}: {low} {value} {high}"
                );
            }
        }
    }

    #[test]
    fn what_is_old_weighs_nothing_in_the_end() {
        let layout = Layout::new(5, 10).unwrap();
        let histogram = Histogram::new(layout, 1);
        histogram.record(0, 7);
        let mut decaying = Decaying::new(1000, 0, histogram.cumulative());
        decaying.tick(0, histogram.cumulative());
        assert_eq!(decaying.weight(), 0.0, "recorded before");
        histogram.record(0, 9);
        histogram.record(0, 5000);
        decaying.tick(0, histogram.cumulative());
        assert_eq!(decaying.weight(), 2.0);
        decaying.tick(1000, histogram.cumulative());
        assert_eq!(decaying.weight(), 1.0);
        assert_eq!(decaying.snapshot().max, 5000);
        decaying.tick(10_000_000, histogram.cumulative());
        assert_eq!((decaying.weight(), decaying.mean()), (0.0, None));
        assert_eq!(decaying.snapshot(), Snapshot::empty(layout));
        // A clock that goes back is taken to stand.
        decaying.tick(5, histogram.cumulative());
        histogram.record(0, 9);
        decaying.tick(10_001_000, histogram.cumulative());
        let (_, spread) = decay(1000, 1000);
        assert!((decaying.weight() - spread).abs() < 1e-9);
    }
}
