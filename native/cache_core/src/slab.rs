//! The entries of a shard by number. Numbers are dense and given again, so that policies and
//! deadlines can name an entry in 32 bits.

use crate::entry::{Entry, Host, Pointer};
use crate::policy::Entries;

/// Room for so many more items, for a quarter more than there are at least: a `Vec` that doubles
/// has on the mean half as much again of what nobody uses.
pub(crate) fn reserve<T>(items: &mut Vec<T>, more: usize) {
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 4).max(4));
    }
}

pub struct Slab<H: Host> {
    slots: Vec<Option<Pointer<H>>>,
    free: Vec<u32>,
}

// SAFETY: the slab owns its entries, which may be read and released on any thread (`Host`).
unsafe impl<H: Host> Send for Slab<H> {}

impl<H: Host> Slab<H> {
    pub fn new() -> Self {
        Slab {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Numbers are below this.
    pub fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// A number for a new entry, to be followed by [`Slab::set`].
    pub fn reserve(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            reserve(&mut self.slots, 1);
            self.slots.push(None);
            self.slots.len() as u32 - 1
        })
    }

    pub fn set(&mut self, id: u32, entry: Pointer<H>) {
        self.slots[id as usize] = Some(entry);
    }

    pub fn get(&self, id: u32) -> Option<&Entry<H>> {
        let entry = (*self.slots.get(id as usize)?)?;
        // SAFETY: an entry is taken out of the slab before it is freed.
        Some(unsafe { entry.as_ref() })
    }

    pub fn remove(&mut self, id: u32) -> Option<Pointer<H>> {
        let entry = self.slots.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(entry)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry<H>> {
        (0..self.end()).filter_map(|id| self.get(id))
    }

    pub fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Pointer<H>>>() + self.free.capacity() * 4
    }
}

impl<H: Host> Entries for Slab<H> {
    fn weight(&self, id: u32) -> u32 {
        self.get(id).map_or(0, Entry::weight)
    }

    fn hash(&self, id: u32) -> u32 {
        self.get(id).map_or(0, Entry::hash)
    }

    fn visits(&self, id: u32) -> u8 {
        self.get(id).map_or(0, Entry::visits)
    }

    fn set_visits(&self, id: u32, visits: u8) {
        if let Some(entry) = self.get(id) {
            entry.set_visits(visits);
        }
    }
}

impl<H: Host> Drop for Slab<H> {
    fn drop(&mut self) {
        for entry in self.slots.drain(..).flatten() {
            // SAFETY: a slab is dropped when nobody reads its shard any more.
            unsafe { Entry::free(entry) };
        }
    }
}
