//! What one thread has recorded into one histogram.

use crate::layout::Layout;
use crate::sync::{fence, spin_loop, AtomicPtr, AtomicU64, Ordering};
use std::ptr;

/// Buckets are kept in pages of `2^precision`, made when a value first falls into one: a histogram
/// of latencies takes a page for each power of two between its least and its largest.
const PAGES: usize = 60;

/// Pages begin and end where lines of memory do (and pairs of them, which processors fetch
/// together), so that threads whose pages are neighbours do not take lines from one another.
#[repr(align(128))]
struct Cells(#[allow(dead_code)] [AtomicU64; CELLS]); // read by pointers to its cells

const CELLS: usize = 16;

pub struct Shard {
    pages: [AtomicPtr<AtomicU64>; PAGES],
    layout: Layout,
    /// Of values above the layout's, and the greatest of those.
    overflow: AtomicU64,
    overflow_max: AtomicU64,
    /// The sum of all values, and how often it passed 2^64: half of `carries`, which is odd while
    /// it passes. Modulo 2^127, as counts are modulo 2^64: corrections alone get there.
    sum: AtomicU64,
    carries: AtomicU64,
    /// The least of all, and the greatest of those that have a bucket.
    min: AtomicU64,
    max: AtomicU64,
}

/// What all threads have recorded, but for the buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    pub overflow: u64,
    pub sum: u128,
    pub min: u64,
    pub max: u64,
}

impl Totals {
    pub const NONE: Totals = Totals {
        overflow: 0,
        sum: 0,
        min: u64::MAX,
        max: 0,
    };
}

/// Adds to what one thread alone writes, or, `shared`, what several do.
#[inline(always)]
fn add(cell: &AtomicU64, by: u64, shared: bool) {
    if shared {
        cell.fetch_add(by, Ordering::Relaxed);
    } else {
        // Nobody else writes it: no locked instruction is needed.
        let before = cell.load(Ordering::Relaxed);
        cell.store(before.wrapping_add(by), Ordering::Relaxed);
    }
}

#[cold]
fn raise(greatest: &AtomicU64, value: u64, shared: bool) {
    if shared {
        greatest.fetch_max(value, Ordering::Relaxed);
    } else {
        greatest.store(value, Ordering::Relaxed);
    }
}

impl Shard {
    pub fn new(layout: Layout) -> Self {
        Shard {
            pages: [const { AtomicPtr::new(ptr::null_mut()) }; PAGES],
            layout,
            overflow: AtomicU64::new(0),
            overflow_max: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            carries: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }

    fn page_len(&self) -> usize {
        1 << self.layout.precision()
    }

    /// `times` values that are all `value`. `shared`: other threads record into this shard too.
    #[inline(always)]
    pub fn record(&self, value: u64, times: u64, shared: bool) {
        self.count(value, times, shared);
        let sum = if times == 1 {
            u128::from(value)
        } else {
            u128::from(value) * u128::from(times)
        };
        self.add_sum(sum, shared);
        self.widen(value, value, shared);
    }

    /// Records a value where that is a matter of two plain stores, as it nearly always is; whether
    /// it was. Not for a shard that threads share.
    #[inline(always)]
    pub fn try_record(&self, value: u64) -> bool {
        // As `Layout::index`, cut into the page, which is of one power of two, and the place in it.
        let precision = u32::from(self.layout.precision());
        let page = (value | 1 << (precision - 1)).ilog2() - (precision - 1);
        let shift = page.saturating_sub(1);
        let at = (value >> shift) as usize & (self.page_len() - 1);
        let cells = self.pages[page as usize].load(Ordering::Acquire);
        let (sum, passes) = self.sum.load(Ordering::Relaxed).overflowing_add(value);
        // What overflows is greater than the greatest that has a bucket.
        let widens =
            value > self.max.load(Ordering::Relaxed) || value < self.min.load(Ordering::Relaxed);
        if cells.is_null() || passes || widens {
            return false;
        }
        // SAFETY: a page has `page_len` cells and is freed only with the shard.
        add(unsafe { &*cells.add(at) }, 1, false);
        self.sum.store(sum, Ordering::Relaxed);
        true
    }

    #[inline(always)]
    fn widen(&self, min: u64, max: u64, shared: bool) {
        let greatest = if max > self.layout.max() {
            &self.overflow_max
        } else {
            &self.max
        };
        if max > greatest.load(Ordering::Relaxed) {
            raise(greatest, max, shared);
        }
        if min < self.min.load(Ordering::Relaxed) {
            self.lower_min(min, shared);
        }
    }

    /// Many at once: what is kept beside the buckets is written once.
    #[inline]
    pub fn record_all(&self, values: impl Iterator<Item = u64>, shared: bool) {
        let (mut sum, mut min, mut max) = (0, u64::MAX, 0);
        for value in values {
            self.count(value, 1, shared);
            sum += u128::from(value);
            min = min.min(value);
            max = max.max(value);
        }
        self.add_sum(sum, shared);
        self.widen(min, max, shared);
    }

    /// `times` values of one bucket: `value`, and each next one smaller by `interval`.
    pub fn record_progression(&self, value: u64, interval: u64, times: u64, shared: bool) {
        let (value, interval, times) = (u128::from(value), u128::from(interval), u128::from(times));
        let least = value - (times - 1) * interval;
        self.count(value as u64, times as u64, shared);
        self.add_sum((value + least) * times / 2, shared);
        self.widen(least as u64, value as u64, shared);
    }

    #[inline(always)]
    fn count(&self, value: u64, times: u64, shared: bool) {
        if value > self.layout.max() {
            add(&self.overflow, times, shared);
        } else {
            let index = self.layout.index(value);
            let page = index >> self.layout.precision();
            let at = index & (self.page_len() - 1);
            // A page for each power of two: 64 less the least precision, and the first.
            let slot = &self.pages[page];
            let mut cells = slot.load(Ordering::Acquire);
            if cells.is_null() {
                cells = self.make_page(slot);
            }
            // SAFETY: a page has `page_len` cells and is freed only with the shard.
            add(unsafe { &*cells.add(at) }, times, shared);
        }
    }

    #[inline(always)]
    fn add_sum(&self, sum: u128, shared: bool) {
        let low = sum as u64;
        let carries = (sum >> 64) as u64;
        if !shared {
            let before = self.sum.load(Ordering::Relaxed);
            let (after, passes) = before.overflowing_add(low);
            if passes || carries > 0 {
                self.carry(after, carries.wrapping_add(passes.into()).wrapping_mul(2));
            } else {
                self.sum.store(after, Ordering::Relaxed);
            }
        } else {
            let add = |before: u64| before.checked_add(low).filter(|_| carries == 0);
            let added = self
                .sum
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, add);
            if added.is_err() {
                self.carry_shared(low, carries);
            }
        }
    }

    #[cold]
    fn carry(&self, sum: u64, carries: u64) {
        let before = self.carries.load(Ordering::Relaxed);
        self.carries
            .store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.sum.store(sum, Ordering::Relaxed);
        self.carries
            .store(before.wrapping_add(carries), Ordering::Release);
    }

    /// Who makes `carries` odd is the only one who lets the sum pass.
    #[cold]
    fn carry_shared(&self, low: u64, carries: u64) {
        let lock = |before: u64| (before & 1 == 0).then_some(before + 1);
        let before = loop {
            let locked = self
                .carries
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, lock);
            match locked {
                Ok(before) => break before,
                Err(_) => spin_loop(),
            }
        };
        let passed = self.sum.fetch_add(low, Ordering::AcqRel).checked_add(low);
        let carries = carries.wrapping_add(passed.is_none().into());
        let after = before.wrapping_add(carries.wrapping_mul(2));
        self.carries.store(after, Ordering::Release);
    }

    #[cold]
    fn lower_min(&self, value: u64, shared: bool) {
        if shared {
            self.min.fetch_min(value, Ordering::Relaxed);
        } else {
            self.min.store(value, Ordering::Relaxed);
        }
    }

    #[cold]
    fn make_page(&self, slot: &AtomicPtr<AtomicU64>) -> *mut AtomicU64 {
        let cells = || Cells(std::array::from_fn(|_| AtomicU64::new(0)));
        let page: Box<[Cells]> = (0..self.page_len() / CELLS).map(|_| cells()).collect();
        let page = Box::into_raw(page);
        let cells = page.cast::<AtomicU64>();
        match slot.compare_exchange(ptr::null_mut(), cells, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => cells,
            Err(other) => {
                // SAFETY: made above and shown to nobody.
                drop(unsafe { Box::from_raw(page) });
                other
            }
        }
    }

    /// The cells of a page, if a value has fallen into it.
    pub fn page(&self, page: usize) -> Option<&[AtomicU64]> {
        let cells = self.pages[page].load(Ordering::Acquire);
        // SAFETY: as in `record`.
        (!cells.is_null()).then(|| unsafe { std::slice::from_raw_parts(cells, self.page_len()) })
    }

    /// How many cells there are in all pages.
    pub fn cells(&self) -> usize {
        let pages = self.pages.iter();
        let made = pages.filter(|page| !page.load(Ordering::Relaxed).is_null());
        made.count() * self.page_len()
    }

    pub fn add_totals(&self, totals: &mut Totals) {
        let overflow = self.overflow.load(Ordering::Relaxed);
        totals.overflow = totals.overflow.saturating_add(overflow);
        let sum = loop {
            let carries = self.carries.load(Ordering::Acquire);
            let sum = self.sum.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if carries & 1 == 0 && self.carries.load(Ordering::Relaxed) == carries {
                break u128::from(carries / 2) << 64 | u128::from(sum);
            }
            spin_loop();
        };
        totals.sum = totals.sum.saturating_add(sum);
        totals.min = totals.min.min(self.min.load(Ordering::Relaxed));
        for max in [&self.max, &self.overflow_max] {
            totals.max = totals.max.max(max.load(Ordering::Relaxed));
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        for slot in &self.pages {
            let cells = slot.load(Ordering::Relaxed);
            if !cells.is_null() {
                let len = self.page_len() / CELLS;
                let page = ptr::slice_from_raw_parts_mut(cells.cast::<Cells>(), len);
                // SAFETY: made by `make_page`; borrowed mutably, so nobody else uses it.
                drop(unsafe { Box::from_raw(page) });
            }
        }
    }
}
