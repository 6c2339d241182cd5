//! Every atomic of the hand-made parts comes from here, so that `tests/loom`, which includes those
//! parts as its own modules, can put loom's in their place.

pub use std::sync::atomic::{fence, AtomicPtr, AtomicU64, Ordering};
