//! The algorithm of [`crate::sections`]: who reads counts his entries and exits in a word of his
//! own, and who takes something away waits until each word that was odd then has moved on.

use crate::kept::Kept;
use crate::sync::{AtomicPtr, AtomicU64, Ordering, SegQueue};
use crossbeam_utils::CachePadded;
use std::ptr;

/// A thread that enters sections.
pub struct Reader {
    /// Odd inside of a section.
    sequence: CachePadded<AtomicU64>,
    pub number: usize,
    pub kept: Kept,
    next: AtomicPtr<Reader>,
}

impl Reader {
    /// Begins a section; a fence, of this thread or by the barrier of who frees, must follow.
    ///
    /// # Panics
    /// Within another one: the end of either would be taken for the end of both.
    #[inline(always)]
    pub fn enter(&self) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        if sequence & 1 == 1 {
            nested();
        }
        // Released: whoever sees this and not the last exit knows that the last section is over,
        // and must also have seen what happened in it.
        self.sequence.store(sequence + 1, Ordering::Release);
    }

    #[inline(always)]
    pub fn leave(&self) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence + 1, Ordering::Release);
    }
}

#[cold]
#[inline(never)]
fn nested() -> ! {
    panic!("a section within a section");
}

/// Memory that is out of reach; freed when this is dropped.
struct Garbage(*mut dyn Send);

// SAFETY: it may be dropped on any thread, and nobody else frees it.
unsafe impl Send for Garbage {}

impl Drop for Garbage {
    fn drop(&mut self) {
        // SAFETY: `retire` was promised that it is a box, which no reader sees any more.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

/// What was taken away, and the readers that may still see it.
struct Waiting {
    garbage: Garbage,
    /// `None`: all, since there was no barrier yet.
    seen_by: Option<Vec<(&'static Reader, u64)>>,
}

pub struct Readers {
    /// All there ever were.
    first: AtomicPtr<Reader>,
    waiting: SegQueue<Waiting>,
    /// How many things were retired: of whoever enters after the barrier of one, seen to be more.
    retired: AtomicU64,
    /// Makes every thread that is in a section, or enters one, pass a fence; whether it did.
    barrier: fn() -> bool,
}

impl Readers {
    pub const fn new(barrier: fn() -> bool) -> Self {
        Readers {
            first: AtomicPtr::new(ptr::null_mut()),
            waiting: SegQueue::new(),
            retired: AtomicU64::new(0),
            barrier,
        }
    }

    #[inline(always)]
    pub fn retired(&self) -> u64 {
        self.retired.load(Ordering::Acquire)
    }

    pub fn register(&self, number: usize) -> &'static Reader {
        let reader = Box::leak(Box::new(Reader {
            sequence: CachePadded::new(AtomicU64::new(0)),
            number,
            kept: Kept::new(),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let mut first = self.first.load(Ordering::Acquire);
        loop {
            reader.next.store(first, Ordering::Relaxed);
            let swapped =
                self.first
                    .compare_exchange(first, reader, Ordering::AcqRel, Ordering::Acquire);
            match swapped {
                Ok(_) => return reader,
                Err(other) => first = other,
            }
        }
    }

    /// Those inside of a section of which it cannot be told whether it began before this.
    fn inside(&self) -> Option<Vec<(&'static Reader, u64)>> {
        if !(self.barrier)() {
            return None;
        }
        // SAFETY: readers are never freed.
        let at = |reader: &AtomicPtr<Reader>| unsafe { reader.load(Ordering::Acquire).as_ref() };
        let readers = std::iter::successors(at(&self.first), |reader| at(&reader.next));
        let inside = readers.filter_map(|reader| {
            let sequence = reader.sequence.load(Ordering::Acquire);
            (sequence & 1 == 1).then_some((reader, sequence))
        });
        Some(inside.collect())
    }

    /// Frees a box, at once or in a later [`reclaim`](Self::reclaim).
    ///
    /// # Safety
    /// `garbage` must come from `Box::into_raw`, be out of reach of all who enter from now on, and
    /// be retired once.
    pub unsafe fn retire<T: Send + 'static>(&self, garbage: *mut T) {
        self.retired.fetch_add(1, Ordering::AcqRel);
        self.wait_or_free(Garbage(garbage));
        // One more than is added, so that they do not grow in number where nobody else reclaims.
        self.reclaim(2);
    }

    fn wait_or_free(&self, garbage: Garbage) {
        let seen_by = self.inside();
        if seen_by.as_ref().is_none_or(|readers| !readers.is_empty()) {
            self.waiting.push(Waiting { garbage, seen_by });
        }
    }

    /// Frees what nobody sees any more, of at most so many that wait.
    pub fn reclaim(&self, most: usize) {
        for _ in 0..self.waiting.len().min(most) {
            let Some(waiting) = self.waiting.pop() else {
                return;
            };
            match waiting.seen_by {
                None => self.wait_or_free(waiting.garbage),
                Some(mut readers) => {
                    readers.retain(|(reader, sequence)| {
                        reader.sequence.load(Ordering::Acquire) == *sequence
                    });
                    if !readers.is_empty() {
                        self.waiting.push(Waiting {
                            garbage: waiting.garbage,
                            seen_by: Some(readers),
                        });
                    }
                }
            }
        }
    }
}
