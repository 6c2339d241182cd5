//! The atomics of `std`, which say what they touch.

use std::sync::atomic;

pub use std::sync::atomic::Ordering;

macro_rules! counting {
    ($name:ident $(<$parameter:ident>)?, $inner:ty, $value:ty) => {
        #[repr(transparent)]
        pub struct $name $(<$parameter>)? ($inner);

        impl $(<$parameter>)? $name $(<$parameter>)? {
            pub const fn new(value: $value) -> Self {
                Self(<$inner>::new(value))
            }

            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                crate::read(self);
                self.0.load(order)
            }

            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                crate::write(self);
                self.0.store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                crate::write(self);
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
                crate::write(self);
                self.0.compare_exchange(current, new, success, failure)
            }

            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                crate::write(self);
                self.0.fetch_update(set, fetch, update)
            }
        }
    };
}

macro_rules! counting_integer {
    ($name:ident, $value:ty) => {
        counting!($name, atomic::$name, $value);

        impl $name {
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                crate::write(self);
                self.0.fetch_add(value, order)
            }

            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                crate::write(self);
                self.0.fetch_sub(value, order)
            }

            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                crate::write(self);
                self.0.fetch_or(value, order)
            }

            pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                crate::write(self);
                self.0.fetch_and(value, order)
            }

            pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                crate::write(self);
                self.0.fetch_max(value, order)
            }

            pub fn fetch_min(&self, value: $value, order: Ordering) -> $value {
                crate::write(self);
                self.0.fetch_min(value, order)
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
counting_integer!(AtomicU32, u32);
counting_integer!(AtomicU64, u64);
counting_integer!(AtomicUsize, usize);
counting!(AtomicBool, atomic::AtomicBool, bool);
counting!(AtomicPtr<T>, atomic::AtomicPtr<T>, *mut T);
