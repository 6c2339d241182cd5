//! Exact least recently used, by the `lru` crate. What is recent is what [`Lru::access`] was
//! told, so the order is as late as the batches of hits are.

use std::hash::{BuildHasherDefault, Hasher};

use lru::LruCache;

pub struct Lru {
    order: LruCache<u32, (), BuildHasherDefault<Spread>>,
}

/// Entry numbers are dense: a multiplication by an odd number keeps the low bits (the bucket)
/// without collisions and fills the high ones (the tag).
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Lru {
    pub(super) fn new() -> Self {
        Lru {
            order: LruCache::unbounded_with_hasher(BuildHasherDefault::default()),
        }
    }

    pub(super) fn insert(&mut self, id: u32) {
        self.order.put(id, ());
    }

    pub(super) fn access(&mut self, id: u32) {
        self.order.promote(&id);
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.order.pop(&id);
    }

    pub(super) fn evict(&mut self) -> Option<u32> {
        self.order.pop_lru().map(|(id, ())| id)
    }

    pub(super) fn order(&self) -> Vec<u32> {
        self.order.iter().rev().map(|(&id, ())| id).collect()
    }

    pub(super) fn memory(&self) -> usize {
        // A node of the crate (key, two links) as the allocator rounds it, and a place in its
        // index (pointer to the key, pointer to the node, a control byte) at 7/8 full or less.
        const NODE: usize = 32;
        const PLACE: usize = 17;
        let len = self.order.len();
        len * NODE + (len * 8 / 7).next_power_of_two() * PLACE
    }
}
