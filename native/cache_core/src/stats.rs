//! What happened, counted without contention: each thread adds to a part of its own, and who
//! asks sums them up.

use crate::reads::Reads;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use crate::threads::Pin;
use crossbeam_utils::CachePadded;
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
