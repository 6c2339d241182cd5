//! In the place of cache_core's `threads`: one thread that plays many, an operation at a time.

use erlmcp_bench_lines as lines;
use std::cell::{Cell, RefCell};
use std::mem;

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(0) };
    static PINS: Cell<usize> = const { Cell::new(0) };
    static DEFERRED: RefCell<Vec<Box<dyn FnOnce()>>> = const { RefCell::new(Vec::new()) };
}

/// What is to be freed waits, as it does for an epoch's end, so that its memory is not at once
/// another entry's.
const WAITING: usize = 256;

pub fn switch_to(thread: usize) {
    THREAD.set(thread);
    lines::switch_to(thread);
}

pub struct Pin {
    thread: usize,
}

pub fn pin() -> Pin {
    PINS.set(PINS.get() + 1);
    Pin {
        thread: THREAD.get(),
    }
}

impl Pin {
    pub fn thread(&self) -> usize {
        self.thread
    }

    pub fn may_wait(&self) -> bool {
        false
    }

    /// # Safety
    /// As for cache_core's: what is freed must be out of reach of whoever pins from now on.
    pub unsafe fn defer<F: FnOnce()>(&self, free: F) {
        let free: Box<dyn FnOnce() + '_> = Box::new(free);
        // SAFETY: the caller's promise covers what it refers to.
        let free = unsafe { mem::transmute::<Box<dyn FnOnce() + '_>, Box<dyn FnOnce()>>(free) };
        DEFERRED.with_borrow_mut(|deferred| deferred.push(free));
    }

    pub fn count_garbage(&self, _bytes: usize) {}

    pub fn flush(&self) {}
}

impl Drop for Pin {
    fn drop(&mut self) {
        PINS.set(PINS.get() - 1);
        if PINS.get() == 0 && DEFERRED.with_borrow(|deferred| deferred.len() >= WAITING) {
            for free in DEFERRED.take() {
                free();
            }
        }
    }
}
