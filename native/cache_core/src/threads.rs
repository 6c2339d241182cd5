//! What each thread that touches a cache owns: its handle for the epochs and its number.
//!
//! crossbeam's own thread-local has a destructor, which a library inside a VM must not leave on
//! threads that are not its own: here are slots without. A thread of ours lives within
//! [`as_own_thread`], gives its slot back at the end, and is the only kind that may wait for a lock.

use crossbeam_epoch::{Collector, Guard, LocalHandle};
use std::cell::Cell;
use std::ptr;
use std::sync::LazyLock;
use sync_core::slots::Slots;

struct Slot {
    handle: LocalHandle,
    number: usize,
    may_wait: Cell<bool>,
    /// Bytes that what this thread has deferred refers to, since it was last handed on.
    garbage: Cell<usize>,
}

static COLLECTOR: LazyLock<Collector> = LazyLock::new(Collector::new);
static SLOTS: Slots<Slot> = Slots::new(|number| {
    Box::leak(Box::new(Slot {
        handle: COLLECTOR.register(),
        number,
        may_wait: Cell::new(false),
        garbage: Cell::new(0),
    }))
});

thread_local! {
    static OWN: Cell<*const Slot> = const { Cell::new(ptr::null()) };
}

/// While it lives, nothing that was reachable when it was made is freed.
pub struct Pin {
    guard: Guard,
    number: usize,
    may_wait: bool,
}

#[inline]
pub fn pin() -> Pin {
    let slot = own_slot();
    Pin {
        guard: slot.handle.pin(),
        number: slot.number,
        may_wait: slot.may_wait.get(),
    }
}

#[inline]
fn own_slot() -> &'static Slot {
    SLOTS.own(&OWN)
}

/// Runs the body of a thread of ours: one that is not a scheduler and so may wait for locks. `body`
/// must not let a [`Pin`] out.
pub fn as_own_thread<R>(body: impl FnOnce() -> R) -> R {
    /// Gives the slot back, also after a panic, with nothing deferred that waits for more.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            let slot = own_slot();
            slot.may_wait.set(false);
            slot.handle.pin().flush();
            // SAFETY: nothing of it is left.
            unsafe { SLOTS.leave(&OWN) };
        }
    }
    own_slot().may_wait.set(true);
    let _leave = Leave;
    body()
}

/// Frees what was deferred, some hundreds each time, so many times.
pub fn collect(times: usize) {
    for _ in 0..times {
        pin().flush();
    }
}

impl Pin {
    /// A small number that no other living thread has.
    #[inline]
    pub fn thread(&self) -> usize {
        self.number
    }

    /// Whether the thread may wait for a lock.
    pub(crate) fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// Runs `free` once no thread can hold what it frees any more.
    ///
    /// # Safety
    /// What is freed must be out of reach of whoever pins from now on, and `free` must be fit to
    /// run on any thread.
    #[inline]
    pub unsafe fn defer<F: FnOnce()>(&self, free: F) {
        // SAFETY: the caller's promise.
        unsafe { self.guard.defer_unchecked(free) };
    }

    /// Of what was deferred: the bytes that it refers to. Much of it is not left to wait for more.
    #[inline]
    pub fn count_garbage(&self, bytes: usize) {
        const MOST: usize = 1024 * 1024;
        if bytes == 0 {
            return;
        }
        let garbage = &own_slot().garbage;
        garbage.set(garbage.get() + bytes);
        if garbage.get() >= MOST {
            garbage.set(0);
            self.flush();
        }
    }

    /// Hands what this thread has deferred to whoever comes next, instead of keeping the last
    /// few back.
    pub fn flush(&self) {
        self.guard.flush();
    }
}
