//! What is under a lock is plain memory, which cannot tell what touches it. So what is watched is
//! allocated in a region of its own, and after each operation the region is compared with what it
//! was: a line that differs was written. (One that was written and is the same again is not seen.)

use erlmcp_bench_lines::{self as lines, LINE};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Bytes.
const SIZE: usize = 1 << 26;

pub struct Arena {
    start: AtomicPtr<u8>,
    used: AtomicUsize,
}

#[global_allocator]
static ARENA: Arena = Arena {
    start: AtomicPtr::new(std::ptr::null_mut()),
    used: AtomicUsize::new(0),
};

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn region() -> Layout {
    Layout::from_size_align(SIZE, LINE).expect("a power of two")
}

impl Arena {
    /// Made at its first use by whoever is quickest.
    fn start(&self) -> *mut u8 {
        let start = self.start.load(Ordering::Acquire);
        if !start.is_null() {
            return start;
        }
        // SAFETY: the size is not 0.
        let made = unsafe { System.alloc_zeroed(region()) };
        assert!(!made.is_null(), "no memory");
        let null = std::ptr::null_mut();
        match self
            .start
            .compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => made,
            Err(other) => {
                // SAFETY: it was allocated so, just now.
                unsafe { System.dealloc(made, region()) };
                other
            }
        }
    }

    fn contains(&self, at: *const u8) -> bool {
        let start = self.start.load(Ordering::Acquire).addr();
        start != 0 && (start..start + SIZE).contains(&at.addr())
    }
}

// SAFETY: the region is never freed and no part of it is given out twice; all else is the system's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IS_INSIDE.get() {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        // As the system's: what begins in the midst of a line shares it.
        let size = layout.size().next_multiple_of(16) + layout.align();
        let at = self.used.fetch_add(size, Ordering::Relaxed);
        if at + size > SIZE {
            return std::ptr::null_mut();
        }
        let at = self.start().wrapping_add(at);
        at.wrapping_add(at.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !self.contains(at) {
            // SAFETY: the caller's promise, and the system gave it.
            unsafe { System.dealloc(at, layout) }
        }
    }
}

/// What `body` allocates is watched.
pub fn inside<T>(body: impl FnOnce() -> T) -> T {
    IS_INSIDE.set(true);
    let made = body();
    IS_INSIDE.set(false);
    made
}

/// Of what was allocated between two moments, what each line held.
pub struct Watch {
    from: usize,
    before: Vec<[u8; LINE]>,
}

impl Watch {
    /// Of what `make` allocates, and of what is allocated next, up to so many bytes.
    pub fn of<T>(spare: usize, make: impl FnOnce() -> T) -> (T, Watch) {
        let from = ARENA.used.fetch_add(LINE, Ordering::Relaxed) / LINE;
        let made = inside(make);
        let to = (ARENA.used.load(Ordering::Relaxed) + spare) / LINE;
        assert!(to * LINE < SIZE, "too much to watch");
        let mut watch = Watch {
            from,
            before: vec![[0; LINE]; to - from],
        };
        watch.changed(|_| ());
        (made, watch)
    }

    fn changed(&mut self, mut tell: impl FnMut(&[u8; LINE])) {
        let start = ARENA.start();
        for (number, before) in (self.from..).zip(&mut self.before) {
            // SAFETY: within the region, all of which was zeroed, and nobody else writes it now.
            let now = unsafe { &*start.wrapping_add(number * LINE).cast::<[u8; LINE]>() };
            if now != before {
                *before = *now;
                tell(now);
            }
        }
    }

    /// Tells the model which lines were written since it was last asked.
    pub fn tell(&mut self) {
        self.changed(lines::write);
    }
}
