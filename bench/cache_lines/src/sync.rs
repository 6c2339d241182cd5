//! In the place of cache_core's `sync`: the same atomics and locks, which say what they touch.

use crate::lines;
use std::ops::{Deref, DerefMut};
use std::sync::atomic;

pub use std::sync::atomic::Ordering;

/// A lock is held by another thread: nothing was done, try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

pub const TRIES: usize = 1;

macro_rules! counting {
    ($name:ident $(<$parameter:ident>)?, $inner:ty, $value:ty) => {
        #[repr(transparent)]
        pub struct $name $(<$parameter>)? ($inner);

        #[allow(dead_code)] // the same for all, whatever is used of each
        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub const fn new(value: $value) -> Self {
                Self(<$inner>::new(value))
            }

            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                lines::read(self);
                self.0.load(order)
            }

            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                lines::write(self);
                self.0.store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                lines::write(self);
                self.0.swap(value, order)
            }

            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                // Takes the line whether it succeeds or not.
                lines::write(self);
                self.0.compare_exchange(current, new, success, failure)
            }

            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                lines::write(self);
                self.0.fetch_update(set, fetch, update)
            }
        }
    };
}

macro_rules! counting_integer {
    ($name:ident, $value:ty) => {
        counting!($name, atomic::$name, $value);

        #[allow(dead_code)]
        impl $name {
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                lines::write(self);
                self.0.fetch_add(value, order)
            }

            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                lines::write(self);
                self.0.fetch_sub(value, order)
            }

            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                lines::write(self);
                self.0.fetch_or(value, order)
            }

            pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                lines::write(self);
                self.0.fetch_and(value, order)
            }

            pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                lines::write(self);
                self.0.fetch_max(value, order)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(Default::default())
            }
        }

        impl From<$value> for $name {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }
    };
}

counting_integer!(AtomicU8, u8);
counting_integer!(AtomicU64, u64);
counting_integer!(AtomicUsize, usize);
counting!(AtomicBool, atomic::AtomicBool, bool);
counting!(AtomicPtr<T>, atomic::AtomicPtr<T>, *mut T);

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
