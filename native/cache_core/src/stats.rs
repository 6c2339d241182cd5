//! What happened, counted without contention: each thread adds to a part of its own, and who
//! asks sums them up.

use crate::reads::Reads;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use crate::threads::Pin;
use crossbeam_utils::CachePadded;
use std::collections::VecDeque;
use std::ptr;

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

/// One [`Part`] for each thread, made when it first needs one. Threads beyond the number
/// foreseen share the last.
pub(crate) struct Parts(Box<[AtomicPtr<CachePadded<Part>>]>);

#[derive(Clone, Copy)]
pub(crate) struct OwnPart<'a> {
    part: &'a Part,
    is_shared: bool,
}

impl Parts {
    pub fn new(threads: usize) -> Self {
        let part = || AtomicPtr::new(ptr::null_mut());
        Parts((0..=threads).map(|_| part()).collect())
    }

    #[inline]
    pub fn own(&self, pin: &Pin) -> OwnPart<'_> {
        let last = self.0.len() - 1;
        let slot = &self.0[pin.thread().min(last)];
        let part = slot.load(Ordering::Acquire);
        let part = if part.is_null() { make(slot) } else { part };
        OwnPart {
            // SAFETY: made once and freed only with `self`.
            part: unsafe { &*part },
            is_shared: pin.thread() >= last,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.0.iter().filter_map(|slot| {
            let part = slot.load(Ordering::Acquire);
            // SAFETY: as above.
            (!part.is_null()).then(|| unsafe { &**part })
        })
    }

    pub fn sum(&self, counter: Counter) -> u64 {
        self.iter()
            .map(|part| part.counters[counter as usize].load(Ordering::Relaxed))
            .sum()
    }
}

#[cold]
fn make(slot: &AtomicPtr<CachePadded<Part>>) -> *mut CachePadded<Part> {
    let part = Box::into_raw(Box::new(CachePadded::new(Part {
        counters: [const { AtomicU64::new(0) }; COUNTERS],
        reads: Reads::new(),
    })));
    match slot.compare_exchange(ptr::null_mut(), part, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => part,
        Err(other) => {
            // SAFETY: made above and shown to nobody.
            drop(unsafe { Box::from_raw(part) });
            other
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for slot in &self.0 {
            let part = slot.load(Ordering::Relaxed);
            if !part.is_null() {
                // SAFETY: made by `make`; borrowed mutably, so nobody else uses it.
                drop(unsafe { Box::from_raw(part) });
            }
        }
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
