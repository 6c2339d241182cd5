//! Who has what: for each owner a list of its leases, so that all of them can be taken back when it
//! ends.

use crate::slab::{Slab, NONE};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Maps in so many shards grow one at a time: none for long.
const SHARDS: usize = 64;

/// Owners by a number that each has, such as the word of a pid. Of each is kept a `T`, such as what
/// tells of its end.
pub struct Owners<T> {
    indices: [HashMap<u64, u32, BuildHasherDefault<Multiply>>; SHARDS],
    owners: Slab<Owner<T>>,
}

pub struct Owner<T> {
    pub id: u64,
    /// First of the leases that it has, and how many there are.
    pub first: u32,
    pub count: u32,
    kept: Option<T>,
}

impl<T> Default for Owner<T> {
    fn default() -> Self {
        Owner {
            id: 0,
            first: NONE,
            count: 0,
            kept: None,
        }
    }
}

/// The numbers come from the VM, not from whoever would have them collide.
#[derive(Default)]
pub struct Multiply(u64);

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * u128::from(ODD);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[inline]
fn shard(id: u64) -> usize {
    (id.wrapping_mul(ODD) >> 58) as usize
}

impl<T> Owners<T> {
    pub fn new() -> Self {
        Owners {
            indices: std::array::from_fn(|_| HashMap::default()),
            owners: Slab::default(),
        }
    }

    /// The owner of this number. Where it is new, `keep` gives what is kept of it; if that gives
    /// nothing it does not become one.
    #[inline]
    pub fn enter(&mut self, id: u64, keep: impl FnOnce() -> Option<T>) -> Option<u32> {
        match self.indices[shard(id)].get(&id) {
            Some(&index) => Some(index),
            None => self.add(id, keep()?),
        }
    }

    #[inline(never)]
    fn add(&mut self, id: u64, kept: T) -> Option<u32> {
        let index = self.owners.take(NONE)?;
        self.owners[index] = Owner {
            id,
            first: NONE,
            count: 0,
            kept: Some(kept),
        };
        self.indices[shard(id)].insert(id, index);
        Some(index)
    }

    pub fn find(&self, id: u64) -> Option<u32> {
        self.indices[shard(id)].get(&id).copied()
    }

    /// An owner that has no lease leaves; what was kept of it is given.
    pub fn leave(&mut self, index: u32) -> Option<T> {
        let owner = &mut self.owners[index];
        debug_assert_eq!(owner.count, 0);
        let (id, kept) = (owner.id, owner.kept.take());
        self.indices[shard(id)].remove(&id);
        self.owners.release(index);
        kept
    }

    #[inline]
    pub fn get(&mut self, index: u32) -> &mut Owner<T> {
        &mut self.owners[index]
    }

    pub fn id(&self, index: u32) -> u64 {
        self.owners[index].id
    }

    pub fn count(&self) -> u32 {
        self.owners.used()
    }

    pub fn memory(&self) -> usize {
        let indices: usize = self.indices.iter().map(HashMap::capacity).sum();
        self.owners.memory() + indices * (size_of::<(u64, u32)>() + 1)
    }
}

impl<T> Default for Owners<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_and_go() {
        let mut owners = Owners::new();
        for id in 0..10_000 {
            assert_eq!(owners.find(id), None);
            let index = owners.enter(id, || Some(id + 1)).unwrap();
            assert_eq!(owners.enter(id, || unreachable!()), Some(index));
            assert_eq!(owners.id(index), id);
        }
        assert_eq!(owners.enter(20_000, || None), None);
        for id in (0..10_000).step_by(2) {
            let index = owners.find(id).unwrap();
            assert_eq!(owners.leave(index), Some(id + 1));
            assert_eq!(owners.find(id), None);
        }
        assert_eq!(owners.count(), 5_000);
        assert!(owners.memory() > 0);
    }
}
