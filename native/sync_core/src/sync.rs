//! Every atomic of the hand-made parts comes from here, so that `tests/loom`, which includes those
//! parts as its own modules, can put loom's in their place.

pub use crossbeam_queue::SegQueue;
pub use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The first segment of a table of handles has so many places.
pub const FIRST: usize = 64;

/// With loom's way to it.
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub const fn new(value: T) -> Self {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn with_mut<R>(&self, body: impl FnOnce(*mut T) -> R) -> R {
        body(self.0.get())
    }
}
