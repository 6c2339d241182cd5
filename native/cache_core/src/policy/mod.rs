//! Who leaves when a shard is full. A policy knows entries by the small dense numbers that the
//! shard gives them (and gives again after a removal); what it must know of an entry it asks
//! through [`Entries`].

mod fifo;
mod ghost;
mod lfu;
mod lists;
mod lru;
mod random;
mod s3_fifo;

use fifo::Fifo;
use lfu::Lfu;
use lru::Lru;
use random::Random;
use s3_fifo::S3Fifo;

/// What a policy may ask about the entries of its shard.
pub trait Entries {
    fn weight(&self, id: u32) -> u32;
    /// The same for equal keys; well mixed.
    fn hash(&self, id: u32) -> u32;
    /// The hits since the count was last set, at most 3. Hits are counted without the lock.
    fn visits(&self, id: u32) -> u8;
    fn set_visits(&self, id: u32, visits: u8);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lru,
    S3Fifo,
    Fifo,
    Lfu,
    Random,
}

/// The most that an entry's count of hits says.
pub const MAX_VISITS: u8 = 3;

/// The order in which a shard's entries leave. Every call takes constant time (seen over many, or
/// with bounded steps), whatever the number of entries; none looks further than its own shard,
/// and what is a part of the whole is a part of what the shard holds now.
///
/// Numbers must be below 2^30 - 1. Calls about an entry that is not in do nothing, so that hits
/// may be told late.
pub enum Policy {
    Lru(Lru),
    S3Fifo(S3Fifo),
    Fifo(Fifo),
    Lfu(Box<Lfu>),
    Random(Random),
}

impl Policy {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Lru => Policy::Lru(Lru::new()),
            Kind::S3Fifo => Policy::S3Fifo(S3Fifo::new()),
            Kind::Fifo => Policy::Fifo(Fifo::new()),
            Kind::Lfu => Policy::Lfu(Box::new(Lfu::new())),
            Kind::Random => Policy::Random(Random::new()),
        }
    }

    /// Takes a new entry in, as one that was not hit yet.
    pub fn insert(&mut self, id: u32, entries: &impl Entries) {
        match self {
            Policy::Lru(policy) => policy.insert(id),
            Policy::S3Fifo(policy) => policy.insert(id, entries),
            Policy::Fifo(policy) => policy.insert(id),
            Policy::Lfu(policy) => policy.insert(id, entries),
            Policy::Random(policy) => policy.insert(id),
        }
    }

    /// An entry got a new value, and with it perhaps another weight: that is a use. The count of
    /// its hits must have been carried over.
    pub fn replace(&mut self, id: u32, old_weight: u32, entries: &impl Entries) {
        match self {
            Policy::Lru(policy) => policy.access(id),
            Policy::S3Fifo(policy) => policy.replace(id, old_weight, entries),
            Policy::Lfu(policy) => policy.replace(id, old_weight, entries),
            Policy::Fifo(policy) => policy.replace(id),
            Policy::Random(policy) => policy.replace(id),
        }
    }

    /// Whether hits must be told by [`Policy::access`]; if not, the entry's count is enough.
    pub fn wants_access(&self) -> bool {
        matches!(self, Policy::Lru(_) | Policy::Lfu(_))
    }

    pub fn access(&mut self, id: u32, entries: &impl Entries) {
        match self {
            Policy::Lru(policy) => policy.access(id),
            Policy::Lfu(policy) => policy.access(id, entries),
            Policy::S3Fifo(_) | Policy::Fifo(_) | Policy::Random(_) => {}
        }
    }

    /// An entry of this weight was removed for another reason than [`Policy::evict`].
    pub fn remove(&mut self, id: u32, weight: u32) {
        match self {
            Policy::Lru(policy) => policy.remove(id),
            Policy::S3Fifo(policy) => policy.remove(id, weight),
            Policy::Fifo(policy) => policy.remove(id),
            Policy::Lfu(policy) => policy.remove(id, weight),
            Policy::Random(policy) => policy.remove(id),
        }
    }

    /// Chooses who leaves, and forgets it. `None` if there is no entry. The last that was put, for
    /// which there must be room, is chosen only when it is the only one.
    pub fn evict(&mut self, entries: &impl Entries) -> Option<u32> {
        match self {
            Policy::Lru(policy) => policy.evict(),
            Policy::S3Fifo(policy) => policy.evict(entries),
            Policy::Fifo(policy) => policy.evict(),
            Policy::Lfu(policy) => policy.evict(entries),
            Policy::Random(policy) => policy.evict(),
        }
    }

    /// All entries, those that would leave first in front: put into an empty shard in this order,
    /// the best are the last to go.
    pub fn order(&self) -> Vec<u32> {
        match self {
            Policy::Lru(policy) => policy.order(),
            Policy::S3Fifo(policy) => policy.order(),
            Policy::Fifo(policy) => policy.order(),
            Policy::Lfu(policy) => policy.order(),
            Policy::Random(policy) => policy.order(),
        }
    }

    /// The bytes that the policy uses beside the entries.
    pub fn memory(&self) -> usize {
        match self {
            Policy::Lru(policy) => policy.memory(),
            Policy::S3Fifo(policy) => policy.memory(),
            Policy::Fifo(policy) => policy.memory(),
            Policy::Lfu(policy) => policy.memory(),
            Policy::Random(policy) => policy.memory(),
        }
    }
}

/// Spreads all bits of a hash over all bits (the finalizer of MurmurHash3): the shard's own
/// entries share some of them.
fn mix(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
    hash ^ hash >> 16
}
