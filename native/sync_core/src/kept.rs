//! What a thread has looked up lately, so that it finds it again by one comparison.

use std::cell::Cell;
use std::ptr;

const PLACES: usize = 16;

/// One thread's. Everything in it is forgotten as soon as anything was retired, of whatever kind.
pub struct Kept {
    places: [Cell<(u64, *const ())>; PLACES],
    /// How many things had been retired when the first of these was kept.
    retired: Cell<u64>,
}

// SAFETY: readers are shared to be looked at by who frees; this part of them is used by
// their own thread alone, through a section, which stays on its thread.
unsafe impl Sync for Kept {}
// SAFETY: as above; the pointers are used in sections only.
unsafe impl Send for Kept {}

impl Kept {
    pub const fn new() -> Self {
        Kept {
            places: [const { Cell::new((0, ptr::null())) }; PLACES],
            retired: Cell::new(0),
        }
    }

    /// What was kept by this key, or null; `retired` is how many things have been retired by now.
    #[inline(always)]
    pub fn get(&self, key: u64, retired: u64) -> *const () {
        if self.retired.get() != retired {
            self.forget(retired);
        }
        let (kept, value) = self.place(key).get();
        if kept == key {
            value
        } else {
            ptr::null()
        }
    }

    #[inline(always)]
    fn place(&self, key: u64) -> &Cell<(u64, *const ())> {
        &self.places[key as usize % PLACES]
    }

    #[cold]
    #[inline(never)]
    fn forget(&self, retired: u64) {
        for place in &self.places {
            place.set((0, ptr::null()));
        }
        self.retired.set(retired);
    }

    pub fn set(&self, key: u64, value: *const ()) {
        self.place(key).set((key, value));
    }
}
