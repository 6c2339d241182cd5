//! Every atomic of the hand-made parts comes from here, so that `tests/loom`, which includes those
//! parts as its own modules, can put loom's in their place.

pub use crossbeam_queue::SegQueue;
pub use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The first segment of a table of handles has so many places.
pub const FIRST: usize = 64;
