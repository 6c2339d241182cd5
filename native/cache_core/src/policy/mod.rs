//! Who leaves when a shard is full. A policy knows entries by the small dense numbers that the
//! shard gives them (and gives again after a removal); what it must know of an entry it asks
//! through [`Entries`].

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
