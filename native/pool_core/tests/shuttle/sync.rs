//! What `sync_core/src/sync.rs` is in the library.

pub use shuttle::sync::atomic::{AtomicU32, Ordering};
use shuttle::sync::Mutex;
use std::collections::VecDeque;

/// Says if two threads are in it at once.
pub struct UnsafeCell<T> {
    value: std::cell::UnsafeCell<T>,
    inside: AtomicU32,
}

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        UnsafeCell {
            value: std::cell::UnsafeCell::new(value),
            inside: AtomicU32::new(0),
        }
    }

    pub fn with_mut<R>(&self, body: impl FnOnce(*mut T) -> R) -> R {
        assert_eq!(self.inside.fetch_add(1, Ordering::AcqRel), 0);
        let result = body(self.value.get());
        self.inside.fetch_sub(1, Ordering::AcqRel);
        result
    }
}

/// Stands for crossbeam's queue.
pub struct SegQueue<T>(Mutex<VecDeque<T>>);

impl<T> SegQueue<T> {
    pub fn new() -> Self {
        SegQueue(Mutex::new(VecDeque::new()))
    }

    pub fn push(&self, value: T) {
        self.0.lock().unwrap().push_back(value);
    }

    pub fn pop(&self) -> Option<T> {
        self.0.lock().unwrap().pop_front()
    }
}
