//! Something kept in parts, one for each thread, so that nobody contends for it: who changes it
//! changes a part of his own, and who asks visits them all.

use crate::sync::{AtomicPtr, Ordering};
use crossbeam_utils::CachePadded;
use std::marker::PhantomData;
use std::ptr;

/// One part for each thread, made when it first needs one. Threads beyond the number foreseen
/// share the last.
pub struct Parts<T>(Box<[AtomicPtr<CachePadded<T>>]>, PhantomData<T>);

// SAFETY: parts are made on any thread, lent to all, and dropped on any.
unsafe impl<T: Send + Sync> Sync for Parts<T> {}

impl<T> Parts<T> {
    pub fn new(threads: usize) -> Self {
        let part = || AtomicPtr::new(ptr::null_mut());
        Parts((0..=threads).map(|_| part()).collect(), PhantomData)
    }

    /// The part of the thread of this number, and whether others write to it too.
    #[inline(always)]
    pub fn own(&self, thread: usize, make: impl FnOnce() -> T) -> (&T, bool) {
        let last = self.0.len() - 1;
        let slot = &self.0[thread.min(last)];
        let part = slot.load(Ordering::Acquire);
        let part = if part.is_null() {
            self.make(slot, make)
        } else {
            part
        };
        // SAFETY: made once and freed only with `self`.
        (unsafe { &*part }, thread >= last)
    }

    #[cold]
    #[inline(never)]
    fn make(
        &self,
        slot: &AtomicPtr<CachePadded<T>>,
        make: impl FnOnce() -> T,
    ) -> *mut CachePadded<T> {
        let part = Box::into_raw(Box::new(CachePadded::new(make())));
        match slot.compare_exchange(ptr::null_mut(), part, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => part,
            Err(other) => {
                // SAFETY: made above and shown to nobody.
                drop(unsafe { Box::from_raw(part) });
                other
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(|slot| {
            let part = slot.load(Ordering::Acquire);
            // SAFETY: as above.
            (!part.is_null()).then(|| unsafe { &**part })
        })
    }
}

impl<T> Drop for Parts<T> {
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
