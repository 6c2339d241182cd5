//! In the place of cache_core's `sync`: the same atomics and locks, which say what they touch.

use erlmcp_bench_lines as lines;
use std::ops::{Deref, DerefMut};

pub use erlmcp_bench_lines::atomics::*;

/// A lock is held by another thread: nothing was done, try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

pub const TRIES: usize = 1;

/// Taken and given back by a write each.
pub struct Mutex<T>(parking_lot::Mutex<T>);

pub struct MutexGuard<'a, T> {
    of: &'a Mutex<T>,
    guard: parking_lot::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Mutex(parking_lot::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.try_lock().expect("operations take turns")
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        lines::write(self);
        let guard = self.0.try_lock()?;
        Some(MutexGuard { of: self, guard })
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        lines::write(self.of);
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
