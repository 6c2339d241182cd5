//! Values of which each thread owns one.
//!
//! A thread-local with a destructor must not be left on the threads of a VM that this library was
//! loaded into. Here the thread-local is a bare pointer to a slot that is never freed: a VM's
//! threads keep theirs for ever, a thread of ours gives it back for the next one.

use crossbeam_queue::SegQueue;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::LocalKey;

/// The slots of one kind. `T` need not be fit to be shared: one thread uses a slot at a time.
pub struct Slots<T: 'static> {
    free: SegQueue<Free<T>>,
    made: AtomicUsize,
    make: fn(usize) -> &'static T,
}

/// A slot that no thread uses.
struct Free<T: 'static>(&'static T);

// SAFETY: a slot changes threads only through the queue, and is used by one thread at a time; who
// gives it back promises that nothing of it stays behind.
unsafe impl<T> Send for Free<T> {}

/// The pointer by which a thread finds its slot: `const { Cell::new(ptr::null()) }` at first.
pub type Own<T> = LocalKey<Cell<*const T>>;

impl<T: 'static> Slots<T> {
    /// `make` is given a small number that no other slot has.
    pub const fn new(make: fn(usize) -> &'static T) -> Self {
        Slots {
            free: SegQueue::new(),
            made: AtomicUsize::new(0),
            make,
        }
    }

    /// The calling thread's own.
    #[inline(always)]
    pub fn own(&self, own: &'static Own<T>) -> &'static T {
        let slot = own.get();
        // SAFETY: slots are never freed.
        unsafe { slot.as_ref() }.unwrap_or_else(|| self.enter(own))
    }

    #[cold]
    fn enter(&self, own: &'static Own<T>) -> &'static T {
        let slot = match self.free.pop() {
            Some(free) => free.0,
            None => (self.make)(self.made.fetch_add(1, Ordering::Relaxed)),
        };
        own.set(slot);
        slot
    }

    /// Gives the calling thread's slot back.
    ///
    /// # Safety
    /// The thread must keep nothing that it got from the slot.
    pub unsafe fn leave(&self, own: &'static Own<T>) {
        // SAFETY: slots are never freed.
        if let Some(slot) = unsafe { own.replace(ptr::null()).as_ref() } {
            self.free.push(Free(slot));
        }
    }
}
