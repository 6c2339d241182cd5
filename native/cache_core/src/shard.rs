//! A part of the cache with a lock of its own. Shards are small, so that whatever must look at
//! all of one (a larger table, the deadlines anew) is short.

use crate::deadlines::Deadlines;
use crate::entry::{Cause, Entry, Host, Key, Parts, Pointer, NEVER};
use crate::index::{Index, Occupancy, Place};
use crate::policy::{Kind, Policy};
use crate::slab::Slab;
use crate::sync::{Mutex, MutexGuard, TRIES};
use crate::threads::Pin;

/// Told of every entry that leaves, under the shard's lock: to be quick.
pub type OnRemoved<'a, H> = &'a mut dyn FnMut(&Entry<H>, Cause);

pub(crate) struct Shard<H: Host> {
    index: Index<Entry<H>>,
    inner: Mutex<Inner<H>>,
}

struct Inner<H: Host> {
    occupancy: Occupancy,
    slab: Slab<H>,
    policy: Policy,
    deadlines: Deadlines,
    /// Of all entries.
    weight: u64,
    /// The version of the last entry made here.
    version: u64,
}

/// A shard and its lock.
pub(crate) struct Locked<'a, H: Host> {
    index: &'a Index<Entry<H>>,
    inner: MutexGuard<'a, Inner<H>>,
    pin: &'a Pin,
}

/// A key's entry, if it has one, dead or alive.
pub(crate) struct Found<H: Host> {
    place: Place,
    pub entry: Pointer<H>,
}

impl<H: Host> Shard<H> {
    pub fn new(kind: Kind, now: u64, versions_from: u64) -> Self {
        Shard {
            index: Index::default(),
            inner: Mutex::new(Inner {
                occupancy: Occupancy::EMPTY,
                slab: Slab::new(),
                policy: Policy::new(kind),
                deadlines: Deadlines::new(now),
                weight: 0,
                version: versions_from,
            }),
        }
    }

    #[inline]
    pub fn get<'p>(&self, key: &Key, _pin: &'p Pin) -> Option<&'p Entry<H>> {
        // SAFETY: `Locked` defers what it retires, so that it outlives the pin.
        unsafe {
            self.index
                .get(key.hash, |entry: &Entry<H>| entry.is(key))
                .map(|entry| entry.as_ref())
        }
    }

    pub fn lock<'a>(&'a self, pin: &'a Pin) -> Option<Locked<'a, H>> {
        let inner = if pin.may_wait() {
            self.inner.lock()
        } else {
            (0..TRIES).find_map(|_| {
                std::hint::spin_loop();
                self.inner.try_lock()
            })?
        };
        Some(Locked {
            index: &self.index,
            inner,
            pin,
        })
    }
}

impl<H: Host> Locked<'_, H> {
    pub fn find(&self, key: &Key) -> Option<Found<H>> {
        let (place, entry) = self.index.find(key.hash, |entry| entry.is(key))?;
        Some(Found { place, entry })
    }

    fn locate(&self, entry: &Entry<H>) -> Option<Place> {
        self.index.locate(entry.hash(), entry)
    }

    pub fn next_version(&mut self, step: u64) -> u64 {
        self.inner.version += step;
        self.inner.version
    }

    /// A number for a new entry of this key: that of the entry found, or a new one.
    pub fn number(&mut self, found: Option<&Found<H>>) -> u32 {
        match found {
            // SAFETY: what the index holds is alive under the lock.
            Some(found) => unsafe { found.entry.as_ref() }.id,
            None => self.inner.slab.reserve(),
        }
    }

    /// Lets readers see a new entry, in the place of the one found. Its number is from
    /// [`Locked::number`].
    pub fn publish(&mut self, key: &Key, found: Option<Found<H>>, parts: Parts<H>) -> &Entry<H> {
        let id = parts.id;
        let new = Entry::new(*key, parts);
        // SAFETY: just made, and freed only by a removal or replacement under this lock.
        let entry = unsafe { new.as_ref() };
        let inner = &mut *self.inner;
        let dead_at = entry.dead_at();
        inner.slab.set(id, new);
        inner.weight += u64::from(entry.weight);
        let had_until = match found {
            Some(found) => {
                self.index.replace(found.place, key.hash, new);
                // SAFETY: alive until it is retired below.
                let old = unsafe { found.entry.as_ref() };
                entry.set_visits(old.visits());
                inner.weight -= u64::from(old.weight);
                inner.policy.replace(id, old.weight, &inner.slab);
                let had_until = old.dead_at();
                self.retire(found.entry);
                had_until
            }
            None => {
                let hash_of = |entry: &Entry<H>| entry.hash();
                let retired = self
                    .index
                    .insert(&mut inner.occupancy, key.hash, new, hash_of);
                if let Some(table) = retired {
                    // SAFETY: the index shows another by now.
                    unsafe { self.pin.defer(move || table.free()) };
                }
                inner.policy.insert(id, &inner.slab);
                NEVER
            }
        };
        self.note_deadline(id, dead_at, had_until);
        entry
    }

    /// Sees to it that an entry comes up when it dies. One that has come up before does by
    /// itself.
    fn note_deadline(&mut self, id: u32, dead_at: u64, had_until: u64) {
        if dead_at < had_until {
            let inner = &mut *self.inner;
            inner.deadlines.push(dead_at, id);
            if inner.deadlines.len() > 2 * inner.slab.len() + 64 {
                let mortal = inner.slab.iter().filter(|entry| entry.dead_at() != NEVER);
                inner
                    .deadlines
                    .rebuild(mortal.map(|entry| (entry.dead_at(), entry.id)));
            }
        }
    }

    pub fn set_expires(&mut self, found: &Found<H>, expires: u64) {
        // SAFETY: what the index holds is alive under the lock.
        let entry = unsafe { found.entry.as_ref() };
        let had_until = entry.dead_at();
        entry.set_expires(expires);
        self.note_deadline(entry.id, entry.dead_at(), had_until);
    }

    /// Returns the weight that it had.
    pub fn remove(&mut self, found: &Found<H>) -> u32 {
        // SAFETY: what the index holds is alive under the lock.
        let entry = unsafe { found.entry.as_ref() };
        let (id, weight) = (entry.id, entry.weight);
        let inner = &mut *self.inner;
        inner.policy.remove(id, weight);
        self.unlink(found.place, id);
        weight
    }

    fn unlink(&mut self, place: Place, id: u32) {
        let inner = &mut *self.inner;
        self.index.remove(&mut inner.occupancy, place);
        if let Some(entry) = inner.slab.remove(id) {
            // SAFETY: alive until it is retired below.
            inner.weight -= u64::from(unsafe { entry.as_ref() }.weight);
            self.retire(entry);
        }
    }

    fn retire(&self, entry: Pointer<H>) {
        let outside = {
            // SAFETY: alive until it is freed.
            let entry = unsafe { entry.as_ref() };
            for tag in entry.extra().iter().flat_map(|extra| &extra.tags) {
                tag.leave();
            }
            // SAFETY: its value is released when it is freed.
            unsafe { H::outside(entry.form(), entry.word()) }
        };
        // SAFETY: no slot of the index shows it any more.
        unsafe { self.pin.defer(move || Entry::free(entry)) };
        self.pin.count_garbage(outside);
    }

    /// Makes the policy choose an entry and removes it; returns its weight.
    pub fn evict(&mut self, on_removed: OnRemoved<H>) -> Option<u32> {
        let inner = &mut *self.inner;
        let id = inner.policy.evict(&inner.slab)?;
        let entry = inner.slab.get(id)?;
        let weight = entry.weight;
        on_removed(entry, Cause::Size);
        let place = self.locate(self.inner.slab.get(id)?)?;
        self.unlink(place, id);
        Some(weight)
    }

    /// Removes one dead entry if the next one due is dead; returns its weight. `None` when no
    /// more are due.
    pub fn expire(&mut self, now: u64, on_removed: OnRemoved<H>) -> Option<u32> {
        let inner = &mut *self.inner;
        let id = inner.deadlines.pop(now)?;
        let Some(entry) = inner.slab.get(id) else {
            return Some(0);
        };
        if entry.end(now).is_none() {
            let dead_at = entry.dead_at();
            if dead_at != NEVER {
                inner.deadlines.push(dead_at, id);
            }
            return Some(0);
        }
        Some(self.bury(id, now, on_removed, |_| None))
    }

    /// Removes the entry of this number if it is dead or `condemn` names a cause; returns the
    /// weight that this freed.
    pub fn bury(
        &mut self,
        id: u32,
        now: u64,
        on_removed: OnRemoved<H>,
        condemn: impl FnOnce(&Entry<H>) -> Option<Cause>,
    ) -> u32 {
        let Some(entry) = self.inner.slab.get(id) else {
            return 0;
        };
        let Some(cause) = entry.end(now).or_else(|| condemn(entry)) else {
            return 0;
        };
        on_removed(entry, cause);
        let Some(place) = self.locate(entry) else {
            return 0;
        };
        let weight = entry.weight;
        let inner = &mut *self.inner;
        inner.policy.remove(id, weight);
        self.unlink(place, id);
        weight
    }

    /// A hit on the entry of this number, if it is still the same.
    pub fn access(&mut self, id: u32, is_same: impl FnOnce(&Entry<H>) -> bool) {
        let inner = &mut *self.inner;
        if inner.slab.get(id).is_some_and(is_same) {
            inner.policy.access(id, &inner.slab);
        }
    }

    pub fn get(&self, id: u32) -> Option<&Entry<H>> {
        self.inner.slab.get(id)
    }

    /// Numbers of entries are below this.
    pub fn end(&self) -> u32 {
        self.inner.slab.end()
    }

    pub fn len(&self) -> usize {
        self.inner.slab.len()
    }

    pub fn weight(&self) -> u64 {
        self.inner.weight
    }

    /// The numbers of the entries, the next to be evicted first.
    pub fn order(&self) -> Vec<u32> {
        self.inner.policy.order()
    }

    /// Of the bookkeeping, without the entries.
    pub fn memory(&self) -> usize {
        let inner = &*self.inner;
        self.index.memory() + inner.slab.memory() + inner.policy.memory() + inner.deadlines.memory()
    }
}
