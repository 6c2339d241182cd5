//! The keys that left a short while ago, as fingerprints: 2 to 4 bytes each.

use super::mix;

/// One cache line.
const BUCKET: usize = 32;

/// Buckets, each a queue of its own (newest first), all of them cut to the same length, so that
/// together they remember about as many as asked. No clock and no order between the buckets: what
/// a key in a crowded bucket loses, another one gains. A stranger is taken for one remembered once
/// in two thousand times.
pub(super) struct Ghost {
    buckets: Vec<[u16; BUCKET]>,
}

const FREE: u16 = 0;

impl Ghost {
    pub fn new() -> Self {
        Ghost {
            buckets: Vec::new(),
        }
    }

    /// The bucket by the upper bits (the number of buckets is a power of two), the fingerprint,
    /// which is not `FREE`, by the lower.
    fn place(&self, hash: u32) -> (usize, u16) {
        let hash = mix(hash);
        let bucket = (u64::from(hash) * self.buckets.len() as u64) >> 32;
        (bucket as usize, (hash as u16).max(1))
    }

    /// Remembers a key; of the older ones only so many that about `room` are kept.
    pub fn insert(&mut self, hash: u32, room: usize) {
        self.fit(room);
        let limit = room.div_ceil(self.buckets.len()).clamp(1, BUCKET);
        let (at, fingerprint) = self.place(hash);
        let bucket = &mut self.buckets[at];
        bucket[limit..].fill(FREE);
        bucket[..limit].rotate_right(1);
        bucket[0] = fingerprint;
    }

    /// Whether the key was remembered; it is not any more.
    pub fn take(&mut self, hash: u32) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let (at, fingerprint) = self.place(hash);
        let bucket = &mut self.buckets[at];
        let Some(place) = bucket.iter().position(|&one| one == fingerprint) else {
            return false;
        };
        bucket[place..].rotate_left(1);
        bucket[BUCKET - 1] = FREE;
        true
    }

    /// Starts again when the shard has become much larger or smaller than the ghosts are for. A
    /// shard that is still filling up has none.
    fn fit(&mut self, room: usize) {
        let wanted = room.div_ceil(BUCKET).next_power_of_two();
        let now = self.buckets.len();
        if wanted > now || wanted * 4 <= now {
            self.buckets = vec![[FREE; BUCKET]; wanted];
        }
    }

    pub fn memory(&self) -> usize {
        self.buckets.capacity() * std::mem::size_of::<[u16; BUCKET]>()
    }
}
