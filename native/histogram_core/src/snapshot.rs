//! What a histogram had counted at a moment, or between two: a value that can be kept, merged and
//! asked.

use crate::layout::Layout;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub layout: Layout,
    /// The bucket that the first of `counts` is of.
    pub first: usize,
    /// Values by bucket, from the lowest bucket that is not empty to the highest.
    pub counts: Vec<u64>,
    /// Values above the layout's largest.
    pub overflow: u64,
    /// Of all values, those above the largest too.
    pub sum: u128,
    /// The least value: exact in a snapshot of everything since the start; else of the lowest
    /// bucket's bounds the one that is nearer to what is known. `u64::MAX` where there are none.
    pub min: u64,
    /// The greatest value, likewise; 0 where there are none.
    pub max: u64,
    /// The milliseconds within which the values were recorded; 0 where that is not known.
    pub span: u64,
    /// Whether some values stand for what was not measured (coordinated omission).
    pub corrected: bool,
}

impl Snapshot {
    pub fn empty(layout: Layout) -> Self {
        Snapshot {
            layout,
            first: 0,
            counts: Vec::new(),
            overflow: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
            span: 0,
            corrected: false,
        }
    }

    /// Cuts the empty buckets off both ends, and brings `min` and `max`, which may be of values that
    /// are not in it, within the bounds of the buckets that are left.
    pub fn trim(&mut self) {
        let end = self
            .counts
            .iter()
            .rposition(|&count| count > 0)
            .map_or(0, |last| last + 1);
        self.counts.truncate(end);
        let start = self.counts.iter().position(|&count| count > 0).unwrap_or(0);
        self.counts.drain(..start);
        self.first = if self.counts.is_empty() {
            0
        } else {
            self.first + start
        };
        let Some([lowest, highest]) = self.ends() else {
            (self.min, self.max) = (u64::MAX, 0);
            return;
        };
        self.min = self.min.clamp(lowest.0, lowest.1);
        self.max = self.max.clamp(highest.0, highest.1);
        if self.min > self.max {
            // Read while the first values were recorded: neither is known.
            (self.min, self.max) = (lowest.0, highest.1);
        }
    }

    /// How many values there are, to at most the greatest integer.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(self.overflow, |sum, &count| sum.saturating_add(count))
    }
}
