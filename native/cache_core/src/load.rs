//! What the cache weighs and what it may: the one counter that all shards share. It is written
//! only when the sum changes.

use crate::sync::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

pub struct Load {
    used: CachePadded<AtomicU64>,
    capacity: AtomicU64,
}

impl Load {
    pub fn new(capacity: u64) -> Self {
        Load {
            used: CachePadded::new(AtomicU64::new(0)),
            capacity: AtomicU64::new(capacity),
        }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    pub fn set_capacity(&self, capacity: u64) {
        self.capacity.store(capacity, Ordering::Relaxed);
    }

    pub fn is_within(&self) -> bool {
        self.used() <= self.capacity()
    }

    /// Evicts what `added` needs beyond what is free and what was freed, at most `most` times and
    /// until `evict` has no more; returns the weight. Others may do the same at once: what
    /// [`Self::settle`] says counts.
    pub fn make_room(
        &self,
        added: u64,
        freed: u64,
        most: usize,
        mut evict: impl FnMut() -> Option<u32>,
    ) -> u64 {
        let (used, capacity) = (self.used(), self.capacity());
        let mut evicted = 0;
        for _ in 0..most {
            if used + added <= capacity + freed + evicted {
                break;
            }
            match evict() {
                Some(weight) => evicted += u64::from(weight),
                None => break,
            }
        }
        evicted
    }

    /// Books a change, under the lock of the shard that it was made in; whether the bound holds
    /// afterwards.
    pub fn settle(&self, added: u64, freed: u64) -> bool {
        let used = if added > freed {
            let more = added - freed;
            self.used.fetch_add(more, Ordering::AcqRel) + more
        } else if freed > added {
            let less = freed - added;
            self.used.fetch_sub(less, Ordering::AcqRel) - less
        } else {
            // At capacity, where all weigh the same: the shared counter is not written.
            return true;
        };
        used <= self.capacity()
    }
}
