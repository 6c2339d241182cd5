//! A histogram that any number of threads record into.

use crate::layout::Layout;
use crate::shard::{Shard, Totals};
use crate::snapshot::Snapshot;
use crate::sync::{AtomicBool, Ordering};
use sync_core::parts::Parts;

/// Everything recorded since it was made; a part for each thread.
///
/// Nothing in it ever goes down. What was recorded between two moments is the difference of what
/// was counted at both, so that any number of readers can take intervals, and nothing that is recorded
/// meanwhile is lost or counted twice.
pub struct Histogram {
    layout: Layout,
    shards: Parts<Shard>,
    corrected: AtomicBool,
}

impl Histogram {
    /// `threads`: how many are expected to record; further ones share a part.
    pub fn new(layout: Layout, threads: usize) -> Self {
        Histogram {
            layout,
            shards: Parts::new(threads),
            corrected: AtomicBool::new(false),
        }
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// `thread`: the number of the calling thread, which no other living thread has.
    #[inline(always)]
    pub fn record(&self, thread: usize, value: u64) {
        self.record_times(thread, value, 1);
    }

    #[inline(always)]
    pub fn record_times(&self, thread: usize, value: u64, times: u64) {
        let (shard, shared) = self.shards.own(thread, || Shard::new(self.layout));
        shard.record(value, times, shared);
    }

    /// The thread's own shard, if it has one to itself.
    pub fn own_shard(&self, thread: usize) -> Option<&Shard> {
        let (shard, shared) = self.shards.own(thread, || Shard::new(self.layout));
        (!shared).then_some(shard)
    }

    pub fn record_all(&self, thread: usize, values: impl Iterator<Item = u64>) {
        let (shard, shared) = self.shards.own(thread, || Shard::new(self.layout));
        shard.record_all(values, shared);
    }

    /// Records `value`, and with it the values that were not measured since their measurements
    /// waited for this one: those smaller by one `interval`, by two, and so on down to
    /// `interval` (HdrHistogram's correction for coordinated omission). Each bucket is counted at once,
    /// however many they are.
    pub fn record_corrected(&self, thread: usize, value: u64, interval: u64) {
        self.record(thread, value);
        let missing = value
            .checked_div(interval)
            .map_or(0, |times| times - times.min(1));
        if missing == 0 {
            return;
        }
        self.corrected.store(true, Ordering::Relaxed);
        let (shard, shared) = self.shards.own(thread, || Shard::new(self.layout));
        // They are value - k * interval for k from 1 to missing.
        let mut k = 1;
        while k <= missing {
            let next = value - k * interval;
            let (low, _) = match next > self.layout.max() {
                true => (self.layout.max() + 1, 0),
                false => self.layout.bounds(self.layout.index(next)),
            };
            // The last one that is not below the bucket.
            let last = ((value - low) / interval).min(missing);
            shard.record_progression(next, interval, last - k + 1, shared);
            k = last + 1;
        }
    }

    /// In how many buckets [`record_corrected`](Self::record_corrected) counts, at most.
    pub fn corrected_buckets(&self, value: u64, interval: u64) -> u64 {
        let values = value.checked_div(interval).map_or(1, |times| times.max(1));
        let highest = self.layout.index(value.min(self.layout.max()));
        // All up to it, and those above the range.
        values.min(highest as u64 + 2)
    }

    /// Everything since it was made.
    pub fn cumulative(&self) -> Snapshot {
        let mut totals = Totals::NONE;
        for shard in self.shards.iter() {
            shard.add_totals(&mut totals);
        }
        let page_len = 1 << self.layout.precision();
        let pages = (self.layout.len() - 1) / page_len + 1;
        let is_made = |&page: &usize| self.shards.iter().any(|shard| shard.page(page).is_some());
        let lowest = (0..pages).find(is_made).unwrap_or(0);
        let end = (0..pages).rfind(is_made).map_or(lowest, |page| page + 1);
        let mut counts = vec![0_u64; (end - lowest) * page_len];
        for (page, counts) in (lowest..end).zip(counts.chunks_exact_mut(page_len)) {
            for cells in self.shards.iter().filter_map(|shard| shard.page(page)) {
                for (count, cell) in counts.iter_mut().zip(cells) {
                    *count = count.wrapping_add(cell.load(Ordering::Relaxed));
                }
            }
        }
        let mut snapshot = Snapshot {
            layout: self.layout,
            first: lowest * page_len,
            counts,
            overflow: totals.overflow,
            sum: totals.sum,
            min: totals.min,
            max: totals.max,
            span: 0,
            corrected: self.corrected.load(Ordering::Relaxed),
        };
        snapshot.trim();
        snapshot
    }

    /// How many cells the buckets that were touched have, over all threads.
    pub fn cells(&self) -> usize {
        self.shards.iter().map(Shard::cells).sum()
    }

    /// The bytes it takes.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.shards.iter().count() * size_of::<Shard>() + 8 * self.cells()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Recording where a thread has recorded before is recording.
        #[test]
        fn both_ways_record_the_same(
            values in prop::collection::vec((any::<u64>(), 0..64u32), 1..200),
            precision in 5..=10u8,
            bits in 1..=64u8,
        ) {
            let layout = Layout::new(precision, bits).unwrap();
            let (plain, kept) = (Histogram::new(layout, 1), Histogram::new(layout, 1));
            for (value, shift) in values {
                let value = value >> shift;
                plain.record(0, value);
                let own = kept.own_shard(0).unwrap();
                if !own.try_record(value) {
                    kept.record(0, value);
                }
            }
            prop_assert_eq!(plain.cumulative(), kept.cumulative());
        }
    }
}
