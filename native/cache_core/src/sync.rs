//! Every atomic and lock of the hand-made parts comes from here, so that `tests/loom.rs`, which
//! includes those parts as its own modules, can put loom's in their place.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicU8, AtomicUsize, Ordering};
