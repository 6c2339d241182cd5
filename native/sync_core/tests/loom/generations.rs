//! Handles: one that leads somewhere leads to its own value, whole and not yet dropped.

use crate::explore;
use crate::handles::Handles;
use crate::sections::{self, READERS};
use crate::sync::{AtomicU64, Ordering};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

struct Value {
    /// Written before it is shown and when it is dropped: loom notices if it is read meanwhile.
    number: UnsafeCell<u32>,
    dropped: Arc<AtomicUsize>,
}

// SAFETY: written by its first and its last owner only.
unsafe impl Sync for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: as above.
        self.number.with_mut(|number| unsafe { *number = 0 });
        self.dropped.fetch_add(1, SeqCst);
    }
}

struct Fixture {
    handles: Handles<Value>,
    dropped: Arc<AtomicUsize>,
}

impl Fixture {
    fn new() -> Arc<Self> {
        Arc::new(Fixture {
            handles: Handles::new(1),
            dropped: Arc::new(AtomicUsize::new(0)),
        })
    }

    fn insert(&self, number: u32) -> u64 {
        let value = |_| Value {
            number: UnsafeCell::new(number),
            dropped: Arc::clone(&self.dropped),
        };
        self.handles.insert(value).unwrap()
    }

    fn get(&self, handle: u64) -> Option<u32> {
        let section = sections::enter();
        let value = self.handles.get(handle, &section)?;
        // SAFETY: it is not dropped in the section.
        Some(value.number.with(|number| unsafe { *number }))
    }

    /// Removes what is left, so that all was dropped once.
    fn finish(&self, inserted: usize) {
        for handle in self.handles.list() {
            assert!(self.handles.remove(handle));
        }
        READERS.reclaim(9);
        assert_eq!(self.dropped.load(SeqCst), inserted);
    }
}

#[test]
fn a_place_is_used_again_while_its_old_handle_is_looked_up() {
    explore(3, || {
        let fixture = Fixture::new();
        let first = fixture.insert(1);
        let writer = {
            let fixture = Arc::clone(&fixture);
            loom::thread::spawn(move || {
                assert!(fixture.handles.remove(first));
                fixture.insert(2)
            })
        };
        assert!(matches!(fixture.get(first), None | Some(1)));
        assert!(matches!(fixture.get(first), None | Some(1)));
        let second = writer.join().unwrap();
        assert_ne!(first, second);
        assert_eq!((fixture.get(first), fixture.get(second)), (None, Some(2)));
        fixture.finish(2);
    });
}

#[test]
fn two_insert_at_once() {
    explore(3, || {
        let fixture = Fixture::new();
        let shown = Arc::new(AtomicU64::new(0));
        let threads = [1, 2].map(|number| {
            let (fixture, shown) = (Arc::clone(&fixture), Arc::clone(&shown));
            loom::thread::spawn(move || {
                let handle = fixture.insert(number);
                // The handle alone says nothing of the order in memory.
                shown.store(handle, Ordering::Relaxed);
                handle
            })
        });
        let seen = shown.load(Ordering::Relaxed);
        assert!(matches!(fixture.get(seen), None | Some(1 | 2)));
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        assert_ne!(one, other);
        assert_eq!((fixture.get(one), fixture.get(other)), (Some(1), Some(2)));
        assert_eq!(fixture.handles.list().len(), 2);
        fixture.finish(2);
    });
}

#[test]
fn two_remove_the_same() {
    explore(3, || {
        let fixture = Fixture::new();
        let handle = fixture.insert(1);
        let threads = [(); 2].map(|()| {
            let fixture = Arc::clone(&fixture);
            loom::thread::spawn(move || fixture.handles.remove(handle))
        });
        let removed = threads.map(|thread| thread.join().unwrap());
        assert!(removed[0] != removed[1]);
        assert_eq!(fixture.get(handle), None);
        fixture.finish(1);
    });
}
