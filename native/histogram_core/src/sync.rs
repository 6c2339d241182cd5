//! The atomics of what is recorded come from here, so that `bench/histogram_lines`, which includes
//! those sources as its own, can put counting ones in their place, and `tests/loom` loom's.

pub use std::hint::spin_loop;
pub use std::sync::atomic::{fence, AtomicBool, AtomicPtr, AtomicU64, Ordering};
