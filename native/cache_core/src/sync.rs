//! Every atomic and lock of the hand-made parts comes from here, so that `tests/loom`, which
//! includes those parts as its own modules, can put loom's in their place.

pub use crossbeam_queue::ArrayQueue;
pub use parking_lot::{Mutex, MutexGuard, RwLock};
pub use std::hint::spin_loop;
pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicU8, AtomicUsize, Ordering};
pub use std::sync::Arc;

/// A lock is held by another thread: nothing was done, try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// How often a scheduler tries a lock before it gives up: longer than what is done under one
/// mostly takes.
pub const TRIES: usize = 100;
