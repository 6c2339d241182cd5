//! The table that is read without a lock, under reclamation by epochs: nothing freed is ever
//! reached, and no key that is there all the time is missed.

use crate::explore;
use crate::index::{Index, Occupancy, Retired};
use crate::sync::{AtomicBool, Ordering};
use loom::cell::UnsafeCell;
use loom::sync::atomic::fence;
use loom::sync::Arc;
use std::ptr::NonNull;
use std::sync::Mutex as StdMutex;

/// Keys of the same tens begin at the same slot: in a new table, at the one of that number.
fn hash(key: u32) -> u64 {
    u64::from(key / 10) << 28 | 7 << 48
}

struct Entry {
    /// In a cell, so that loom notices if it is read before it is written.
    key: UnsafeCell<u32>,
    value: u32,
    is_freed: AtomicBool,
}

impl Entry {
    fn key(&self) -> u32 {
        // SAFETY: written once, before it is published.
        self.key.with(|key| unsafe { *key })
    }
}

#[derive(Clone, Copy)]
enum Free {
    /// Once no reader is pinned who could have seen it: as early as an epoch may.
    WhenUnseen,
    /// Entries only, to show that the models notice.
    AtOnce,
}

/// A shard, as far as readers see it.
struct Shared {
    index: Index<Entry>,
    /// Of the one thread that reads.
    is_pinned: AtomicBool,
    free: Free,
    /// The memory of entries stays until the end, so that reads after free can be noticed.
    entries: StdMutex<Vec<NonNull<Entry>>>,
    tables: StdMutex<Vec<Retired<Entry>>>,
}

// SAFETY: retired tables and the list of entries are the writer's.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// The one who holds the lock.
struct Writer {
    shared: Arc<Shared>,
    occupancy: Occupancy,
    /// How often the table was replaced.
    growths: usize,
}

impl Shared {
    /// The value of a key, as a reader sees it.
    fn get(&self, key: u32) -> Option<u32> {
        self.is_pinned.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let is = |entry: &Entry| {
            assert!(
                !entry.is_freed.load(Ordering::Relaxed),
                "a freed entry was reached"
            );
            entry.key() == key
        };
        // SAFETY: pinned.
        let found = unsafe { self.index.get(hash(key), is) };
        let value = found.map(|entry| {
            // SAFETY: entries stay until the end.
            let entry = unsafe { entry.as_ref() };
            let value = entry.value;
            assert!(
                !entry.is_freed.load(Ordering::Relaxed),
                "an entry was freed in use"
            );
            value
        });
        self.is_pinned.store(false, Ordering::Release);
        value
    }

    /// Whether no reader is pinned who could have seen what the index no longer shows.
    fn is_unseen(&self) -> bool {
        fence(Ordering::SeqCst);
        !self.is_pinned.load(Ordering::Acquire)
    }
}

impl Writer {
    fn new(free: Free, keys: &[u32]) -> Self {
        let shared = Shared {
            index: Index::default(),
            is_pinned: AtomicBool::new(false),
            free,
            entries: StdMutex::default(),
            tables: StdMutex::default(),
        };
        let mut writer = Writer {
            shared: Arc::new(shared),
            occupancy: Occupancy::EMPTY,
            growths: 0,
        };
        for key in keys {
            writer.put(*key, 0);
        }
        writer
    }

    fn entry(&self, key: u32, value: u32) -> NonNull<Entry> {
        let entry = Box::leak(Box::new(Entry {
            key: UnsafeCell::new(key),
            value,
            is_freed: AtomicBool::new(false),
        }));
        let entry = NonNull::from(entry);
        self.shared.entries.lock().unwrap().push(entry);
        entry
    }

    fn retire(&self, entry: NonNull<Entry>) {
        if matches!(self.shared.free, Free::AtOnce) || self.shared.is_unseen() {
            // SAFETY: entries stay until the end.
            unsafe { entry.as_ref() }
                .is_freed
                .store(true, Ordering::Relaxed);
        }
    }

    fn put(&mut self, key: u32, value: u32) {
        let new = self.entry(key, value);
        let index = &self.shared.index;
        match index.find(hash(key), |entry| entry.key() == key) {
            Some((place, old)) => {
                index.replace(place, hash(key), new);
                self.retire(old);
            }
            None => {
                let low = |entry: &Entry| hash(entry.key()) as u32;
                if let Some(table) = index.insert(&mut self.occupancy, hash(key), new, low) {
                    self.growths += 1;
                    if self.shared.is_unseen() {
                        // SAFETY: no reader is pinned who could have it.
                        unsafe { table.free() };
                    } else {
                        self.shared.tables.lock().unwrap().push(table);
                    }
                }
            }
        }
    }

    fn remove(&mut self, key: u32) {
        let index = &self.shared.index;
        let found = index.find(hash(key), |entry| entry.key() == key);
        let (place, old) = found.expect("the key is there");
        index.remove(&mut self.occupancy, place);
        self.retire(old);
    }

    fn finish(&self) {
        for table in self.shared.tables.lock().unwrap().drain(..) {
            // SAFETY: all readers have ended.
            unsafe { table.free() };
        }
        for entry in self.shared.entries.lock().unwrap().drain(..) {
            // SAFETY: as above; made by `entry`.
            drop(unsafe { Box::from_raw(entry.as_ptr()) });
        }
    }
}

/// One writes, one reads, side by side.
fn beside(
    preemptions: usize,
    free: Free,
    keys: &'static [u32],
    write: impl Fn(&mut Writer) + Send + Sync + Clone + 'static,
    read: impl Fn(&Shared) + Send + Sync + 'static,
) {
    explore(preemptions, move || {
        let mut writer = Writer::new(free, keys);
        let shared = Arc::clone(&writer.shared);
        let write = write.clone();
        let thread = loom::thread::spawn(move || {
            write(&mut writer);
            writer
        });
        read(&shared);
        thread.join().unwrap().finish();
    });
}

fn replaces(writer: &mut Writer) {
    writer.put(30, 1);
    writer.put(30, 2);
}

#[test]
fn a_replaced_key_is_never_missed_nor_seen_to_go_back() {
    beside(4, Free::WhenUnseen, &[30], replaces, |shared| {
        let (first, second) = (shared.get(30), shared.get(30));
        assert!(first.is_some() && first <= second);
    });
}

#[test]
fn keys_beyond_a_removed_one_are_never_missed() {
    let write = |writer: &mut Writer| {
        writer.remove(30);
        writer.put(33, 1); // in the grave
        writer.remove(31);
    };
    beside(3, Free::WhenUnseen, &[30, 31, 32], write, |shared| {
        assert_eq!(shared.get(32), Some(0));
        assert!(matches!(shared.get(33), None | Some(1)));
        assert_eq!(shared.get(32), Some(0));
    });
}

#[test]
fn keys_before_cleared_graves_are_never_missed() {
    let write = |writer: &mut Writer| {
        writer.remove(30);
        writer.remove(31);
        writer.remove(32); // clears all three
        writer.put(30, 1);
        writer.put(31, 1);
    };
    beside(2, Free::WhenUnseen, &[29, 30, 31, 32], write, |shared| {
        let seen = shared.get(31);
        assert_eq!(shared.get(29), Some(0));
        let then = shared.get(31);
        assert!(seen != Some(1) || then == Some(1));
    });
}

/// One more makes the table grow.
const FULL: [u32; 13] = [0, 1, 10, 20, 21, 40, 50, 60, 70, 80, 90, 100, 101];

fn grows(writer: &mut Writer) {
    writer.put(102, 1);
    assert_eq!(writer.growths, 1);
    writer.put(101, 1);
    writer.remove(21);
}

fn reads_beside_growth(shared: &Shared) {
    assert!(matches!(shared.get(101), Some(0 | 1)));
    assert!(matches!(shared.get(21), None | Some(0)));
    assert!(matches!(shared.get(102), None | Some(1)));
}

#[test]
fn no_key_is_missed_while_the_table_grows() {
    beside(2, Free::WhenUnseen, &FULL, grows, reads_beside_growth);
}

#[test]
#[should_panic(expected = "freed")]
fn the_model_notices_an_entry_that_is_freed_too_early() {
    beside(3, Free::AtOnce, &[30], replaces, |shared| {
        shared.get(30);
    });
}
