//! In the place of sync_core's `sections`: one thread that plays many, an operation at a time, so
//! that nobody is in a section when something is taken away. Entering and leaving are a store each
//! to a line of the thread's own, as there.

use crate::sync::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;
use erlmcp_bench_lines::{self as lines, MAX_THREADS};
use std::cell::Cell;

static SEQUENCES: [CachePadded<AtomicU64>; MAX_THREADS] =
    [const { CachePadded::new(AtomicU64::new(0)) }; MAX_THREADS];

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

/// What follows is done by this thread.
pub fn switch_to(thread: usize) {
    THREAD.set(thread);
    lines::switch_to(thread);
}

pub struct Section {
    thread: usize,
}

fn step(thread: usize) {
    let sequence = &SEQUENCES[thread];
    sequence.store(sequence.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

pub fn enter() -> Section {
    let thread = THREAD.get();
    step(thread);
    Section { thread }
}

impl Section {
    pub fn thread(&self) -> usize {
        self.thread
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        step(self.thread);
    }
}

/// # Safety
/// What is retired was made by `Box::new`, and nobody reaches it any more.
pub unsafe fn retire<T>(garbage: *mut T) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(garbage) });
}
