//! The native memory in use, which `erlang:memory/0` cannot see.

use rustler::sys::{enif_make_uint64, ErlNifEnv, ErlNifTerm};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "mimalloc")]
type Inner = mimalloc::MiMalloc;
#[cfg(not(feature = "mimalloc"))]
type Inner = std::alloc::System;

#[cfg(feature = "mimalloc")]
const INNER: Inner = mimalloc::MiMalloc;
#[cfg(not(feature = "mimalloc"))]
const INNER: Inner = std::alloc::System;

struct Counting;

static IN_USE: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on unchanged; only the sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the inner allocator's.
        let block = unsafe { INNER.alloc(layout) };
        if !block.is_null() {
            IN_USE.fetch_add(layout.size() as u64, Ordering::Relaxed);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { INNER.dealloc(block, layout) };
        IN_USE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { INNER.realloc(block, layout, size) };
        if !moved.is_null() {
            IN_USE.fetch_add(size as u64, Ordering::Relaxed);
            IN_USE.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        }
        moved
    }
}

unsafe fn memory_in_use(env: *mut ErlNifEnv, _args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment.
    unsafe { enif_make_uint64(env, IN_USE.load(Ordering::Relaxed)) }
}
nif!("memory_in_use", 0, Normal, memory_in_use);
