//! Handles that are integers: an index and a generation, so that one of something that is gone, or
//! one that nobody gave out, is known as such.

use crate::sections::{self, Section};
use crate::sync::{AtomicPtr, AtomicU32, Ordering, SegQueue, FIRST};
use std::hash::{BuildHasher, RandomState};
use std::ptr;
use std::sync::OnceLock;

const INDEX_BITS: u32 = 24;
const KIND_BITS: u32 = 3;
/// Handles are below 2^59: small integers of the VM.
const GENERATION_BITS: u32 = 59 - INDEX_BITS - KIND_BITS;

/// Each segment has twice as many places as the one before.
const SEGMENTS: usize = ((1 << INDEX_BITS) / FIRST).ilog2() as usize;

/// What handles of one kind lead to. Meant for statics: what is left in it is not dropped.
pub struct Handles<T> {
    kind: u64,
    segments: [AtomicPtr<Place<T>>; SEGMENTS],
    free: SegQueue<u32>,
    made: AtomicU32,
    /// Of a place, what its generations begin with: of one handle nobody can tell those of others.
    seed: OnceLock<RandomState>,
}

struct Place<T> {
    entry: AtomicPtr<Entry<T>>,
    generation: AtomicU32,
}

struct Entry<T> {
    handle: u64,
    value: T,
}

// SAFETY: values are lent to any thread and dropped by any.
unsafe impl<T: Send + Sync> Sync for Handles<T> {}

/// The segment of an index, and where in it.
#[inline(always)]
fn place_of(index: usize) -> (usize, usize) {
    let nth = index + FIRST;
    let segment = nth.ilog2() - FIRST.ilog2();
    (segment as usize, nth - (FIRST << segment))
}

impl<T: Send + Sync + 'static> Handles<T> {
    /// Of several tables, each has a kind of its own, below 8.
    pub const fn new(kind: u64) -> Self {
        assert!(kind < 1 << KIND_BITS);
        Handles {
            kind,
            segments: [const { AtomicPtr::new(ptr::null_mut()) }; SEGMENTS],
            free: SegQueue::new(),
            made: AtomicU32::new(0),
            seed: OnceLock::new(),
        }
    }

    #[inline(always)]
    fn place(&self, handle: u64) -> Option<&Place<T>> {
        let index = handle as usize & ((1 << INDEX_BITS) - 1);
        let (segment, at) = place_of(index);
        let segment = self.segments.get(segment)?.load(Ordering::Acquire);
        if segment.is_null() {
            return None;
        }
        // SAFETY: a segment has as many places as `place_of` tells and is never freed.
        Some(unsafe { &*segment.add(at) })
    }

    #[inline(always)]
    pub fn get<'s>(&self, handle: u64, _section: &'s Section) -> Option<&'s T> {
        let entry = self.place(handle)?.entry.load(Ordering::Acquire);
        // SAFETY: `remove` retires what it takes away, and the section is older.
        let entry = unsafe { entry.as_ref() }?;
        (entry.handle == handle).then_some(&entry.value)
    }

    /// The handle of a new value, which `make` gets to know; `None` where there are too many.
    pub fn insert(&self, make: impl FnOnce(u64) -> T) -> Option<u64> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self
                .made
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |made| {
                    (place_of(made as usize).0 < SEGMENTS).then_some(made + 1)
                })
                .ok()?,
        };
        let segment = place_of(index as usize).0;
        if self.segments[segment].load(Ordering::Acquire).is_null() {
            self.grow(segment);
        }
        let place = self.place(u64::from(index))?;
        let seed = self.seed.get_or_init(RandomState::new).hash_one(index) as u32;
        let generation = place.generation.fetch_add(1, Ordering::Relaxed) ^ seed;
        let handle = u64::from(generation) << (INDEX_BITS + KIND_BITS)
            | self.kind << INDEX_BITS
            | u64::from(index);
        let value = make(handle);
        let entry = Box::into_raw(Box::new(Entry { handle, value }));
        place.entry.store(entry, Ordering::Release);
        Some(handle)
    }

    #[cold]
    fn grow(&self, segment: usize) {
        let places: Box<[Place<T>]> = (0..FIRST << segment)
            .map(|_| Place {
                entry: AtomicPtr::new(ptr::null_mut()),
                generation: AtomicU32::new(0),
            })
            .collect();
        let places = Box::into_raw(places);
        let first = places.cast::<Place<T>>();
        let slot = &self.segments[segment];
        let swapped =
            slot.compare_exchange(ptr::null_mut(), first, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_err() {
            // SAFETY: made above and shown to nobody.
            drop(unsafe { Box::from_raw(places) });
        }
    }

    /// Whether there was such a one. Its value is dropped when nobody sees it any more. Not to be
    /// called in a section.
    pub fn remove(&self, handle: u64) -> bool {
        let section = sections::enter();
        let Some(place) = self.place(handle) else {
            return false;
        };
        let entry = place.entry.load(Ordering::Acquire);
        // SAFETY: alive for the section, in which no other can come to be at the same address.
        if unsafe { entry.as_ref() }.is_none_or(|entry| entry.handle != handle) {
            return false;
        }
        let taken = place
            .entry
            .compare_exchange(entry, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        drop(section);
        if taken {
            self.free.push((handle & ((1 << INDEX_BITS) - 1)) as u32);
            // SAFETY: made by `insert`, and taken by this thread alone.
            unsafe { sections::retire(entry) };
        }
        taken
    }

    /// The handles there are. Not to be called in a section.
    pub fn list(&self) -> Vec<u64> {
        let _section = sections::enter();
        (0..self.made.load(Ordering::Acquire))
            .filter_map(|index| {
                let entry = self.place(u64::from(index))?.entry.load(Ordering::Acquire);
                // SAFETY: as in `get`.
                unsafe { entry.as_ref() }.map(|entry| entry.handle)
            })
            .collect()
    }
}

const _: () = assert!(GENERATION_BITS == 32);
