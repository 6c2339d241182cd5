//! The native memory in use, which `erlang:memory/0` cannot see.

use rustler::sys::{enif_make_uint64, ErlNifEnv, ErlNifTerm};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "mimalloc")]
const INNER: mimalloc::MiMalloc = mimalloc::MiMalloc;
#[cfg(not(feature = "mimalloc"))]
const INNER: std::alloc::System = std::alloc::System;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A counter on cache lines of its own (two, since they are fetched in pairs).
#[repr(align(128))]
struct Stripe(AtomicU64);

/// The bytes asked for are the sum of the stripes. One alone wraps below zero when blocks are
/// freed by other threads than made them.
static STRIPES: [Stripe; 32] = [const { Stripe(AtomicU64::new(0)) }; 32];

/// The stripe of the calling thread, so that threads seldom share a line. Threads are told apart
/// by where their stacks lie, which needs no thread-local; any answer counts right.
#[inline(always)]
fn stripe() -> &'static AtomicU64 {
    let on_stack = 0_u8;
    let megabyte = (std::ptr::from_ref(&on_stack) as usize as u64) >> 20;
    // The top five bits of a product with 2^64 over the golden ratio spread neighbours.
    let index = megabyte.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
    &STRIPES[index as usize].0
}

// Relaxed below: the counters order nothing, and a sum taken meanwhile is a moment's anyway.
#[inline(always)]
fn count(bytes: usize) {
    stripe().fetch_add(bytes as u64, Ordering::Relaxed);
}

#[inline(always)]
fn uncount(bytes: usize) {
    stripe().fetch_sub(bytes as u64, Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged; only the sizes are counted.
unsafe impl GlobalAlloc for Counting {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the inner allocator's.
        let block = unsafe { INNER.alloc(layout) };
        if !block.is_null() {
            count(layout.size());
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { INNER.alloc_zeroed(layout) };
        if !block.is_null() {
            count(layout.size());
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { INNER.dealloc(block, layout) };
        uncount(layout.size());
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { INNER.realloc(block, layout, size) };
        if !moved.is_null() {
            count(size.wrapping_sub(layout.size()));
        }
        moved
    }
}

unsafe fn memory_in_use(env: *mut ErlNifEnv, _args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    let sum = STRIPES.iter().fold(0_u64, |sum, stripe| {
        sum.wrapping_add(stripe.0.load(Ordering::Relaxed))
    });
    // Stripes read one after another while others count may seem to sum below zero.
    let bytes = sum.cast_signed().max(0).cast_unsigned();
    // SAFETY: `env` is the calling environment.
    unsafe { enif_make_uint64(env, bytes) }
}
nif!("memory_in_use", 0, Normal, memory_in_use);
