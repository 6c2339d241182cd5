//! How often keys were asked for lately: a count-min sketch of 4-bit counters in four rows, all
//! of a key's counters in one cache line, halved again and again so that the past fades.

/// Four rows of two words of sixteen counters.
type Block = [u64; 8];

/// Entries for which one block is enough.
const ENTRIES: usize = 16;
/// Counts per entry after which all are halved.
const SAMPLE: usize = 10;
const MAX: u64 = 15;

pub(crate) struct Sketch {
    blocks: Vec<Block>,
    additions: usize,
}

impl Sketch {
    pub fn new() -> Self {
        Sketch {
            blocks: vec![[0; 8]],
            additions: 0,
        }
    }

    /// Room for so many entries. What was counted stays: the number of blocks is a power of two
    /// and a key's block its lower bits, so a doubled table is its old self twice.
    pub fn fit(&mut self, entries: usize) {
        while self.blocks.len() * ENTRIES < entries {
            self.blocks.extend_from_within(..);
        }
    }

    /// The block, and for each row word and shift of the counter.
    fn places(&self, hash: u64) -> (usize, [(usize, u32); 4]) {
        let block = hash as usize & (self.blocks.len() - 1);
        let rows = std::array::from_fn(|row| {
            let bits = (hash >> (32 + 8 * row)) as u32;
            (2 * row + (bits & 1) as usize, (bits >> 1 & 15) * 4)
        });
        (block, rows)
    }

    /// Counts one more use of the key with this (well mixed) hash, among so many entries.
    pub fn add(&mut self, hash: u64, entries: usize) {
        let (block, rows) = self.places(hash);
        let block = &mut self.blocks[block];
        let mut added = false;
        for (word, shift) in rows {
            if block[word] >> shift & MAX < MAX {
                block[word] += 1 << shift;
                added = true;
            }
        }
        self.additions += usize::from(added);
        if self.additions >= entries.max(ENTRIES) * SAMPLE {
            self.age();
        }
    }

    /// At most 15, and never less than what was counted since it was last halved.
    pub fn count(&self, hash: u64) -> u8 {
        let (block, rows) = self.places(hash);
        let counts = rows.map(|(word, shift)| (self.blocks[block][word] >> shift & MAX) as u8);
        counts.into_iter().min().unwrap_or(0)
    }

    fn age(&mut self) {
        for word in self.blocks.iter_mut().flatten() {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
        self.additions /= 2;
    }

    pub fn memory(&self) -> usize {
        self.blocks.capacity() * std::mem::size_of::<Block>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u64) -> u64 {
        let z = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^ z >> 31
    }

    #[test]
    fn counts_are_never_too_low_and_seldom_too_high() {
        let mut sketch = Sketch::new();
        sketch.fit(1_000);
        for key in 0..1_000 {
            for _ in 0..key % 8 {
                sketch.add(hash(key), 1_000);
            }
        }
        let mut exact = 0;
        for key in 0..1_000 {
            let count = u64::from(sketch.count(hash(key)));
            assert!(count >= key % 8, "{key}: {count}");
            exact += u64::from(count == key % 8);
        }
        assert!(exact > 900, "{exact}");
    }

    #[test]
    fn a_count_stops_at_fifteen_and_fades_by_half() {
        let mut sketch = Sketch::new();
        for _ in 0..100 {
            sketch.add(1, 1_000);
        }
        assert_eq!(sketch.count(1), 15);
        sketch.age();
        assert_eq!(sketch.count(1), 7);
    }

    #[test]
    fn growth_keeps_the_counts() {
        let mut sketch = Sketch::new();
        for key in 0..16 {
            sketch.add(hash(key), 1_000);
        }
        let before: Vec<u8> = (0..16).map(|key| sketch.count(hash(key))).collect();
        sketch.fit(100_000);
        let after: Vec<u8> = (0..16).map(|key| sketch.count(hash(key))).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn halving_comes_by_itself() {
        let mut sketch = Sketch::new();
        for key in 0..1_000 {
            sketch.add(hash(key), 16);
        }
        let set: u32 = sketch.blocks.iter().flatten().map(|w| w.count_ones()).sum();
        assert!(sketch.additions < 160 && set < 400, "{set}");
    }
}
