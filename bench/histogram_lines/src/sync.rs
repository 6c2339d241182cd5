//! In the place of histogram_core's and sync_core's `sync`: the same atomics, which say what they
//! touch.

pub use crossbeam_queue::SegQueue;
pub use erlmcp_bench_lines::atomics::*;
pub use std::hint::spin_loop;
pub use std::sync::atomic::fence;

pub const FIRST: usize = 64;
