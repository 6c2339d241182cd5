//! Sections: nothing is freed that someone still sees, and everything in the end.

use crate::explore;
use crate::readers::Readers;
use crate::sections::{self, Section, READERS};
use crate::sync::{AtomicPtr, Ordering};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Stays until the end, so that reads after it was freed are noticed: loom sees a read beside the
/// write of freeing.
struct Value(UnsafeCell<u32>);

const ALIVE: u32 = 7;

/// What is retired for a value.
struct Frees {
    value: *mut Value,
    freed: Arc<AtomicUsize>,
}

// SAFETY: freed once, by whoever holds it.
unsafe impl Send for Frees {}

impl Drop for Frees {
    fn drop(&mut self) {
        // SAFETY: values stay until the end.
        unsafe { &*self.value }.0.with_mut(|value| {
            // SAFETY: loom notices if anyone reads it meanwhile.
            unsafe { *value = 0 }
        });
        self.freed.fetch_add(1, SeqCst);
    }
}

struct Fixture {
    /// What readers find; null when it was taken away.
    shown: AtomicPtr<Value>,
    freed: Arc<AtomicUsize>,
}

impl Fixture {
    fn new() -> Arc<Self> {
        Arc::new(Fixture {
            shown: AtomicPtr::new(Self::value()),
            freed: Arc::new(AtomicUsize::new(0)),
        })
    }

    fn value() -> *mut Value {
        Box::into_raw(Box::new(Value(UnsafeCell::new(ALIVE))))
    }

    /// Reads in a section.
    fn read(&self, enter: fn() -> Section) {
        let _section = enter();
        let value = self.shown.load(Ordering::Acquire);
        // SAFETY: values stay until the end.
        if let Some(value) = unsafe { value.as_ref() } {
            // SAFETY: loom notices if it is being freed.
            let value = value.0.with(|value| unsafe { *value });
            assert_eq!(value, ALIVE, "freed, but seen");
        }
    }

    /// Reads what this thread has kept, else keeps what it finds.
    fn read_kept(&self) {
        const KEY: u64 = 3;
        let section = sections::enter();
        let kept = section.kept(KEY).cast::<Value>();
        let found = if kept.is_null() {
            self.shown.load(Ordering::Acquire).cast_const()
        } else {
            kept
        };
        // SAFETY: values stay until the end.
        if let Some(value) = unsafe { found.as_ref() } {
            // SAFETY: loom notices if it is being freed.
            let alive = value.0.with(|value| unsafe { *value });
            assert_eq!(alive, ALIVE, "freed, but seen");
            // SAFETY: retired by `replace`, and found after asking what was kept.
            unsafe { section.keep(KEY, value) };
        }
    }

    fn replace(&self, by: *mut Value) -> *mut Value {
        let value = self.shown.swap(by, Ordering::AcqRel);
        if value.is_null() {
            return value;
        }
        let freed = Arc::clone(&self.freed);
        let garbage = Box::into_raw(Box::new(Frees { value, freed }));
        // SAFETY: nobody finds the value any more.
        unsafe { sections::retire(garbage) };
        value
    }
}

/// One thread reads twice, another takes away twice.
fn read_beside(preemptions: usize, enter: fn() -> Section) {
    explore(preemptions, move || {
        let fixture = Fixture::new();
        let reader = {
            let fixture = Arc::clone(&fixture);
            loom::thread::spawn(move || {
                fixture.read(enter);
                fixture.read(enter);
            })
        };
        let values = [
            fixture.replace(Fixture::value()),
            fixture.replace(ptr::null_mut()),
        ];
        READERS.reclaim(9);
        reader.join().unwrap();
        READERS.reclaim(9);
        assert_eq!(fixture.freed.load(SeqCst), 2, "not freed");
        for value in values {
            // SAFETY: made by `value`, and all have ended.
            drop(unsafe { Box::from_raw(value) });
        }
    });
}

/// What a thread keeps from one section to the next is not used once it is freed.
#[test]
fn what_was_kept_is_forgotten_in_time() {
    explore(3, || {
        let fixture = Fixture::new();
        let reader = {
            let fixture = Arc::clone(&fixture);
            loom::thread::spawn(move || {
                fixture.read_kept();
                fixture.read_kept();
                fixture.read_kept();
            })
        };
        let value = fixture.replace(ptr::null_mut());
        reader.join().unwrap();
        READERS.reclaim(9);
        assert_eq!(fixture.freed.load(SeqCst), 1, "not freed");
        // SAFETY: made by `value`, and all have ended.
        drop(unsafe { Box::from_raw(value) });
    });
}

#[test]
fn nothing_is_freed_that_is_seen() {
    read_beside(3, sections::enter);
}

#[test]
#[should_panic]
fn the_model_notices_that_the_fence_is_missing() {
    read_beside(3, sections::enter_unfenced);
}

#[test]
fn two_free_while_one_reads() {
    explore(2, || {
        let fixture = Fixture::new();
        let second = Fixture::value();
        let threads = [second, ptr::null_mut()].map(|by| {
            let fixture = Arc::clone(&fixture);
            loom::thread::spawn(move || fixture.replace(by) as usize)
        });
        fixture.read(sections::enter);
        let taken = threads.map(|thread| thread.join().unwrap());
        READERS.reclaim(9);
        let taken = taken.into_iter().filter(|value| *value != 0);
        assert_eq!(fixture.freed.load(SeqCst), taken.clone().count());
        let last = fixture.shown.load(Ordering::Relaxed) as usize;
        for value in taken.chain([last]).filter(|value| *value != 0) {
            // SAFETY: made by `value`, and all have ended.
            drop(unsafe { Box::from_raw(value as *mut Value) });
        }
    });
}

/// Where there is no barrier, nothing is freed.
#[test]
fn garbage_waits_for_a_barrier() {
    static BARRIERS: AtomicUsize = AtomicUsize::new(0);
    fn barrier() -> bool {
        BARRIERS.fetch_add(1, SeqCst) >= 2
    }
    explore(1, || {
        BARRIERS.store(0, SeqCst);
        let readers = Readers::new(barrier);
        let reader = readers.register(0);
        let freed = Arc::new(AtomicUsize::new(0));
        let value = Fixture::value();
        let garbage = Box::into_raw(Box::new(Frees {
            value,
            freed: Arc::clone(&freed),
        }));
        reader.enter();
        // SAFETY: a box that nobody else knows of.
        unsafe { readers.retire(garbage) };
        // Two have failed; this one tells that the reader may see it.
        readers.reclaim(9);
        assert_eq!(BARRIERS.load(SeqCst), 3);
        reader.leave();
        reader.enter();
        assert_eq!(freed.load(SeqCst), 0);
        readers.reclaim(9);
        assert_eq!(freed.load(SeqCst), 1);
        // SAFETY: made by `value`, and freed.
        drop(unsafe { Box::from_raw(value) });
    });
}
