//! Where a shard's entries are found: open addressing, read without a lock, written by whoever
//! holds the shard's lock, replaced whole when it fills up.
//!
//! A slot is empty, a grave, or points to an entry with 16 bits of the hash above the address. A
//! key's entry never moves within a table, so that a reader who sees a table at all either
//! meets the entry or an empty slot; a table that was replaced still shows what it held then.

use crate::sync::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

/// Addresses of user space end below bit 48 on x86-64 and aarch64.
const TAG_SHIFT: u32 = 48;
const ADDRESS: usize = (1 << TAG_SHIFT) - 1;
const GRAVE: usize = 1;
const MIN_SLOTS: usize = 16;

struct Table<T> {
    slots: Box<[AtomicPtr<T>]>,
}

/// A table out of use, to be freed when no reader can hold it.
pub struct Retired<T>(NonNull<Table<T>>);

/// A place in the table, good until the next insertion or removal.
#[derive(Clone, Copy)]
pub struct Place(usize);

pub struct Index<T> {
    table: AtomicPtr<Table<T>>,
}

/// What the writer knows of the table: kept under the shard's lock, one for each index.
pub struct Occupancy {
    live: usize,
    graves: usize,
}

impl Occupancy {
    /// Of a new index.
    pub const EMPTY: Self = Occupancy { live: 0, graves: 0 };
}

/// Where a key's probe begins and what its slot carries above the address.
#[derive(Clone, Copy)]
struct Probe {
    hash: u32,
    tag: usize,
}

impl Probe {
    #[inline]
    fn new(hash: u64) -> Self {
        Probe {
            hash: hash as u32,
            tag: (hash >> TAG_SHIFT) as usize,
        }
    }
}

#[inline]
fn address<T>(slot: *mut T) -> *mut T {
    slot.map_addr(|bits| bits & ADDRESS)
}

#[inline]
fn is_entry<T>(slot: *mut T) -> bool {
    slot.addr() > GRAVE
}

impl<T> Table<T> {
    fn new(slots: usize) -> *mut Self {
        let slots = (0..slots)
            .map(|_| AtomicPtr::new(ptr::null_mut()))
            .collect();
        Box::into_raw(Box::new(Table { slots }))
    }

    /// Where the probe for a hash begins: any number of slots will do.
    #[inline]
    fn start(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        let next = at + 1;
        if next == self.slots.len() {
            0
        } else {
            next
        }
    }

    fn before(&self, at: usize) -> usize {
        at.checked_sub(1).unwrap_or(self.slots.len() - 1)
    }

    /// The slot of the entry that `is` accepts, and what it holds.
    #[inline]
    fn find(&self, probe: Probe, is: impl Fn(&T) -> bool) -> Option<(usize, NonNull<T>)> {
        let mut at = self.start(probe.hash);
        // One slot is always empty.
        for _ in 0..self.slots.len() {
            // Pairs with the release of whoever published the entry.
            let slot = self.slots[at].load(Ordering::Acquire);
            if slot.is_null() {
                return None;
            }
            if slot.addr() >> TAG_SHIFT == probe.tag && is_entry(slot) {
                let entry = NonNull::new(address(slot))?;
                // SAFETY: an entry that a slot held while the reader was pinned is not freed
                // before the reader unpins.
                if is(unsafe { entry.as_ref() }) {
                    return Some((at, entry));
                }
            }
            at = self.after(at);
        }
        None
    }

    /// Where an entry whose key is not here belongs.
    fn vacancy(&self, probe: Probe) -> (usize, bool) {
        let mut at = self.start(probe.hash);
        loop {
            let slot = self.slots[at].load(Ordering::Relaxed);
            if !is_entry(slot) {
                return (at, !slot.is_null());
            }
            at = self.after(at);
        }
    }

    fn put(&self, at: usize, probe: Probe, entry: NonNull<T>) {
        let tagged = entry
            .as_ptr()
            .map_addr(|bits| bits | probe.tag << TAG_SHIFT);
        self.slots[at].store(tagged, Ordering::Release);
    }
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Index {
            table: AtomicPtr::new(Table::new(MIN_SLOTS)),
        }
    }
}

impl<T> Index<T> {
    /// For readers.
    ///
    /// # Safety
    /// Retired tables and removed entries must outlive the caller's use of what is returned: the
    /// caller has pinned.
    #[inline]
    pub unsafe fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<NonNull<T>> {
        // Pairs with the release in `grow`.
        let table = self.table.load(Ordering::Acquire);
        // SAFETY: a table is freed only when no reader that could load it is pinned.
        let table = unsafe { &*table };
        table.find(Probe::new(hash), is).map(|(_, entry)| entry)
    }

    /// For readers: what is here now. What comes or goes meanwhile may be seen or not.
    ///
    /// # Safety
    /// As for [`Index::get`].
    pub unsafe fn each(&self, mut see: impl FnMut(&T)) {
        // Pairs with the release in `grow`.
        let table = self.table.load(Ordering::Acquire);
        // SAFETY: as in `get`.
        for slot in unsafe { &(*table).slots } {
            let slot = slot.load(Ordering::Acquire);
            if let Some(entry) = NonNull::new(address(slot)).filter(|_| is_entry(slot)) {
                // SAFETY: as in `find`.
                see(unsafe { entry.as_ref() });
            }
        }
    }

    fn current(&self) -> &Table<T> {
        // SAFETY: only the writer, who is asking, retires the table.
        unsafe { &*self.table.load(Ordering::Relaxed) }
    }

    /// For the writer.
    pub fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<(Place, NonNull<T>)> {
        self.current()
            .find(Probe::new(hash), is)
            .map(|(at, entry)| (Place(at), entry))
    }

    /// For the writer: where an entry is, by the low 32 bits of its hash.
    pub fn locate(&self, hash: u32, entry: *const T) -> Option<Place> {
        let table = self.current();
        let mut at = table.start(hash);
        for _ in 0..table.slots.len() {
            let slot = table.slots[at].load(Ordering::Relaxed);
            if slot.is_null() {
                break;
            }
            if ptr::addr_eq(address(slot), entry) {
                return Some(Place(at));
            }
            at = table.after(at);
        }
        None
    }

    /// Puts `entry` in the place of one with the same key (and so the same hash).
    pub fn replace(&self, place: Place, hash: u64, entry: NonNull<T>) {
        self.current().put(place.0, Probe::new(hash), entry);
    }

    /// Adds an entry whose key is not here. `hash_of` gives the low 32 bits of an entry's hash.
    pub fn insert(
        &self,
        occupancy: &mut Occupancy,
        hash: u64,
        entry: NonNull<T>,
        hash_of: impl Fn(&T) -> u32,
    ) -> Option<Retired<T>> {
        let slots = self.current().slots.len();
        // At most 13 of 16 slots are taken: probes stay short.
        let is_full = (occupancy.live + occupancy.graves + 1) * 16 > slots * 13;
        let retired = is_full.then(|| self.grow(occupancy, hash_of));
        let probe = Probe::new(hash);
        let (at, was_grave) = self.current().vacancy(probe);
        self.current().put(at, probe, entry);
        occupancy.live += 1;
        occupancy.graves -= usize::from(was_grave);
        retired
    }

    pub fn remove(&self, occupancy: &mut Occupancy, place: Place) {
        let table = self.current();
        let next = table.slots[table.after(place.0)].load(Ordering::Relaxed);
        if next.is_null() {
            // No probe goes on from here, nor from the graves before.
            let mut at = place.0;
            table.slots[at].store(ptr::null_mut(), Ordering::Release);
            at = table.before(at);
            while table.slots[at].load(Ordering::Relaxed).addr() == GRAVE {
                table.slots[at].store(ptr::null_mut(), Ordering::Release);
                occupancy.graves -= 1;
                at = table.before(at);
            }
        } else {
            let grave = ptr::without_provenance_mut(GRAVE);
            table.slots[place.0].store(grave, Ordering::Release);
            occupancy.graves += 1;
        }
        occupancy.live -= 1;
    }

    /// A table without graves, larger if there are many entries.
    fn grow(&self, occupancy: &mut Occupancy, hash_of: impl Fn(&T) -> u32) -> Retired<T> {
        let old = self.current();
        // Half of the slots are live afterwards, so that graves have some way to go.
        let slots = MIN_SLOTS.max((occupancy.live + 1) * 2);
        let new = Table::new(slots);
        // SAFETY: just made, and not yet anyone else's.
        let table = unsafe { &*new };
        for slot in &old.slots {
            let slot = slot.load(Ordering::Relaxed);
            if let Some(entry) = NonNull::new(address(slot)).filter(|_| is_entry(slot)) {
                let probe = Probe {
                    // SAFETY: what the current table holds is alive under the lock.
                    hash: hash_of(unsafe { entry.as_ref() }),
                    tag: slot.addr() >> TAG_SHIFT,
                };
                let (at, _) = table.vacancy(probe);
                table.put(at, probe, entry);
            }
        }
        occupancy.graves = 0;
        let old = self.table.swap(new, Ordering::AcqRel);
        Retired(NonNull::new(old).expect("a table"))
    }

    pub fn memory(&self) -> usize {
        self.current().slots.len() * size_of::<AtomicPtr<T>>()
    }
}

impl<T> Retired<T> {
    /// # Safety
    /// No reader holds the table any more.
    pub unsafe fn free(self) {
        // SAFETY: made by `Table::new`; the caller's promise.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<T> Drop for Index<T> {
    fn drop(&mut self) {
        let table = self.table.load(Ordering::Relaxed);
        // SAFETY: made by `Table::new`; borrowed mutably, so no reader is there.
        drop(unsafe { Box::from_raw(table) });
    }
}
