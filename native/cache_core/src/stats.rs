//! What happened, counted without contention: each thread adds to a part of its own, and who
//! asks sums them up.

use crate::reads::Reads;
use crate::sync::{AtomicU64, Ordering};
use crate::threads::Pin;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    Hits,
    Misses,
    /// Reads served past the time to live.
    StaleHits,
    Inserts,
    Replacements,
    /// Values refused as too large.
    Refusals,
    /// Entries that left, by cause.
    Evicted,
    Expired,
    Deleted,
    Invalidated,
    Cleared,
    /// Values computed, failures to compute one, and nanoseconds spent on both.
    Loads,
    LoadFailures,
    LoadTime,
    /// Hits that the policy never heard of, since no room was left to note them.
    ForgottenReads,
}

const COUNTERS: usize = Counter::ForgottenReads as usize + 1;

/// What one thread knows of one cache.
pub(crate) struct Part {
    counters: [AtomicU64; COUNTERS],
    pub(crate) reads: Reads,
}

/// One [`Part`] for each thread.
pub(crate) struct Parts(sync_core::parts::Parts<Part>);

#[derive(Clone, Copy)]
pub(crate) struct OwnPart<'a> {
    part: &'a Part,
    is_shared: bool,
}

impl Parts {
    pub fn new(threads: usize) -> Self {
        Parts(sync_core::parts::Parts::new(threads))
    }

    #[inline]
    pub fn own(&self, pin: &Pin) -> OwnPart<'_> {
        let make = || Part {
            counters: [const { AtomicU64::new(0) }; COUNTERS],
            reads: Reads::new(),
        };
        let (part, is_shared) = self.0.own(pin.thread(), make);
        OwnPart { part, is_shared }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    pub fn sum(&self, counter: Counter) -> u64 {
        self.iter()
            .map(|part| part.counters[counter as usize].load(Ordering::Relaxed))
            .sum()
    }
}

impl OwnPart<'_> {
    #[inline]
    pub fn count(self, counter: Counter, by: u64) {
        let counter = &self.part.counters[counter as usize];
        if self.is_shared {
            counter.fetch_add(by, Ordering::Relaxed);
        } else {
            // Nobody else writes it: no locked instruction is needed.
            counter.store(
                counter.load(Ordering::Relaxed).wrapping_add(by),
                Ordering::Relaxed,
            );
        }
    }

    /// The ring of this thread's reads; none for those that share a part.
    #[inline]
    pub fn reads(&self) -> Option<&Reads> {
        (!self.is_shared).then_some(&self.part.reads)
    }
}

/// The lengths of the windows over which the hit ratio is known, in seconds.
pub const WINDOWS: [u64; 4] = [1, 10, 60, 300];

const SECONDS: usize = 301;

/// Hits and misses of the last seconds.
pub struct Windows {
    /// What was counted by the end of each second, the newest last.
    counts: VecDeque<(u64, u64)>,
    /// When the newest was taken.
    taken_at: u64,
}

impl Windows {
    pub fn new(now: u64) -> Self {
        Windows {
            counts: VecDeque::from([(0, 0)]),
            taken_at: now,
        }
    }

    /// To be called at least once a second with the sums of hits and misses.
    pub fn roll(&mut self, now: u64, hits: u64, misses: u64) {
        if now >= self.taken_at + 1000 * SECONDS as u64 {
            // Nothing is known of the seconds in between.
            self.counts = VecDeque::from([(hits, misses)]);
            self.taken_at = now;
        }
        while now >= self.taken_at + 1000 {
            self.taken_at += 1000;
            if self.counts.len() == SECONDS {
                self.counts.pop_front();
            }
            self.counts.push_back((hits, misses));
        }
    }

    /// Of each of [`WINDOWS`], as far back as there are seconds; none where nobody asked.
    pub fn ratios(&self) -> [Option<f64>; WINDOWS.len()] {
        let newest = self.counts.len() - 1;
        let (hits, misses) = self.counts[newest];
        WINDOWS.map(|seconds| {
            let (hits_before, misses_before) = self.counts[newest.saturating_sub(seconds as usize)];
            let (hits, misses) = (hits - hits_before, misses - misses_before);
            (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_tell_the_last_seconds() {
        let mut windows = Windows::new(0);
        assert_eq!(windows.ratios(), [None; 4]);
        for second in 1..=100 {
            // Half of the reads hit until the second 90, all of them after.
            let early = second.min(90);
            windows.roll(second * 1000, 5 * early + 10 * (second - early), 5 * early);
        }
        let [one, ten, minute, all] = windows.ratios().map(Option::unwrap);
        assert_eq!((one, ten), (1.0, 1.0));
        assert!((minute - 350.0 / 600.0).abs() < 1e-9, "{minute}");
        assert!((all - 550.0 / 1000.0).abs() < 1e-9, "{all}");
        windows.roll(100_999, 9999, 9999);
        assert_eq!(windows.ratios()[0], Some(1.0));
        windows.roll(1_000_000_000, 9999, 9999);
        assert_eq!(windows.ratios()[0], None);
    }
}
