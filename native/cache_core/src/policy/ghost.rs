//! The keys that left a short while ago, as fingerprints: 4 to 8 bytes each.

use super::mix;

/// One cache line.
const BUCKET: usize = 16;

/// Buckets by the upper bits of the mixed hash, each a queue of its own (newest first), all of
/// them cut to the same length, so that together they remember about as many as asked. No clock
/// and no order between the buckets: what a key in a crowded bucket loses, another one gains.
pub(super) struct Ghost {
    buckets: Vec<[u32; BUCKET]>,
}

/// No fingerprint; [`fingerprint`] never gives it.
const FREE: u32 = 0;

fn fingerprint(hash: u32) -> u32 {
    mix(hash) | 1
}

impl Ghost {
    pub fn new() -> Self {
        Ghost {
            buckets: Vec::new(),
        }
    }

    /// The upper bits, as many as there are bits in the number of buckets (a power of two).
    fn bucket(fingerprint: u32, buckets: usize) -> usize {
        ((u64::from(fingerprint) * buckets as u64) >> 32) as usize
    }

    /// Remembers a key; of the older ones only so many that about `room` are kept.
    pub fn insert(&mut self, hash: u32, room: usize) {
        self.fit(room);
        let limit = room.div_ceil(self.buckets.len()).clamp(1, BUCKET);
        let fingerprint = fingerprint(hash);
        let at = Self::bucket(fingerprint, self.buckets.len());
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
        let fingerprint = fingerprint(hash);
        let at = Self::bucket(fingerprint, self.buckets.len());
        let bucket = &mut self.buckets[at];
        let Some(place) = bucket.iter().position(|&one| one == fingerprint) else {
            return false;
        };
        bucket[place..].rotate_left(1);
        bucket[BUCKET - 1] = FREE;
        true
    }

    /// Grows by halving every bucket as the shard grows; starts again when it got much smaller.
    fn fit(&mut self, room: usize) {
        let wanted = room.div_ceil(BUCKET).next_power_of_two();
        let now = self.buckets.len();
        if now == 0 || wanted * 4 <= now {
            self.buckets = vec![[FREE; BUCKET]; wanted];
        } else if wanted > now {
            let mut buckets = vec![[FREE; BUCKET]; wanted];
            for old in &self.buckets {
                // Oldest first, so that the newest comes to lie in front.
                for &fingerprint in old.iter().rev().filter(|&&one| one != FREE) {
                    let bucket = &mut buckets[Self::bucket(fingerprint, wanted)];
                    bucket.rotate_right(1);
                    bucket[0] = fingerprint;
                }
            }
            self.buckets = buckets;
        }
    }

    pub fn memory(&self) -> usize {
        self.buckets.capacity() * std::mem::size_of::<[u32; BUCKET]>()
    }
}
