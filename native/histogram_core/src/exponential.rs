//! Snapshots as exponential histograms, as OpenTelemetry has them and Prometheus calls native.
//!
//! Of scale `s`, bucket `i` holds the values above `base^i` and at most `base^(i + 1)`, where `base`
//! is `2^(2^-s)`: OpenTelemetry's numbers. Prometheus numbers a bucket by its upper end, one more.

use crate::layout::Layout;
use crate::snapshot::Snapshot;

/// OpenTelemetry's least; a bucket then holds more than all values of 64 bits.
const MIN_SCALE: i32 = -10;
const MAX_SCALE: i32 = 20;

#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    pub scale: i32,
    /// How many values are 0.
    pub zero_count: u64,
    /// The number of the bucket that the first of `counts` is of.
    pub offset: i32,
    /// From the lowest bucket that is not empty to the highest.
    pub counts: Vec<u64>,
}

/// The scale at which a bucket is four times as wide as one of the layout, so that few values come to
/// lie beside the bucket that they belong into, and Prometheus's greatest at most.
pub fn default_scale(layout: Layout) -> i32 {
    (i32::from(layout.precision()) - 2).min(8)
}

impl Snapshot {
    /// The values times `factor`, each taken for the middle of its bucket, and those above the
    /// layout's largest for the greatest value.
    ///
    /// The scale is the greatest up to `max_scale` at which `max_buckets` are enough; two always are.
    /// `factor` is positive and finite.
    pub fn exponential(&self, max_scale: i32, max_buckets: usize, factor: f64) -> Exponential {
        let mut exponential = Exponential {
            scale: max_scale.clamp(MIN_SCALE, MAX_SCALE),
            zero_count: 0,
            offset: 0,
            counts: Vec::new(),
        };
        let index_at = |value: f64, scale: i32| (value.log2() * exp2(scale)).ceil() as i32 - 1;
        let times_factor = |value: u64| (value as f64 * factor).min(f64::MAX);
        let values = || {
            let overflow = (self.max, self.overflow);
            let middles = (self.first..).zip(&self.counts).map(|(index, &count)| {
                let middle = self.layout.middle(index).clamp(self.min, self.max);
                (middle, count)
            });
            middles
                .chain([overflow])
                .filter(|&(_, count)| count > 0)
                .map(|(value, count)| (times_factor(value), count))
        };
        let Some((lowest, _)) = values().find(|&(value, _)| value > 0.0) else {
            exponential.zero_count = self.count();
            return exponential;
        };
        let highest = match self.overflow {
            0 => {
                let last = self.first + self.counts.len() - 1;
                self.layout.middle(last).clamp(self.min, self.max)
            }
            _ => self.max,
        };
        let highest = times_factor(highest);
        let len = |scale| {
            let (first, last) = (index_at(lowest, scale), index_at(highest, scale));
            (last - first) as usize + 1
        };
        while exponential.scale > MIN_SCALE && len(exponential.scale) > max_buckets.max(2) {
            exponential.scale -= 1;
        }
        let scale = exponential.scale;
        exponential.offset = index_at(lowest, scale);
        exponential.counts = vec![0; len(scale)];
        let last = exponential.counts.len() as i32 - 1;
        // The values ascend, and several fall into one bucket: logarithms are few.
        let (mut at, mut upper) = (0, 0.0);
        for (value, count) in values() {
            if value == 0.0 {
                exponential.zero_count = exponential.zero_count.saturating_add(count);
                continue;
            }
            if value > upper {
                let index = index_at(value, scale);
                at = (index - exponential.offset).clamp(0, last) as usize;
                upper = (f64::from(index + 1) * exp2(-scale)).exp2();
            }
            let sum = &mut exponential.counts[at];
            *sum = sum.saturating_add(count);
        }
        exponential
    }
}

/// A power of two.
fn exp2(power: i32) -> f64 {
    f64::from(power).exp2()
}
