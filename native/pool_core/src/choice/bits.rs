//! A set of numbers below 64^LEVELS, as a tree of words: a bit of a word says whether the word
//! below it has any. So the next number of the set is found in at most two words of each level.

pub struct Bits<const LEVELS: usize> {
    /// The numbers themselves first, the root last.
    levels: [Vec<u64>; LEVELS],
}

impl<const LEVELS: usize> Bits<LEVELS> {
    pub fn new() -> Self {
        Bits {
            levels: [const { Vec::new() }; LEVELS],
        }
    }

    pub fn contains(&self, number: u32) -> bool {
        let (word, bit) = place(number as usize);
        let word = self.levels[0].get(word);
        word.is_some_and(|word| word & bit != 0)
    }

    pub fn insert(&mut self, number: u32) {
        let mut at = number as usize;
        debug_assert!(at < 1 << (6 * LEVELS));
        if at >> 6 >= self.levels[0].len() {
            self.grow(at);
        }
        for level in &mut self.levels {
            let (word, bit) = place(at);
            let was = level[word];
            level[word] |= bit;
            if was != 0 {
                break;
            }
            at >>= 6;
        }
    }

    #[cold]
    fn grow(&mut self, mut highest: usize) {
        for level in &mut self.levels {
            highest >>= 6;
            level.resize(highest + 1, 0);
        }
    }

    /// Takes out a number that may be at most as great as the greatest ever put in.
    pub fn remove(&mut self, number: u32) {
        let mut at = number as usize;
        for level in &mut self.levels {
            let (word, bit) = place(at);
            level[word] &= !bit;
            if level[word] != 0 {
                break;
            }
            at >>= 6;
        }
    }

    /// The least number in the set.
    pub fn first(&self) -> Option<u32> {
        self.next(0)
    }

    /// The least number in the set that is not below `from`.
    pub fn next(&self, from: u32) -> Option<u32> {
        let mut at = from as usize;
        for (height, level) in self.levels.iter().enumerate() {
            let word = *level.get(at >> 6)?;
            let rest = word & (u64::MAX << (at & 63));
            if rest != 0 {
                at = (at & !63) | rest.trailing_zeros() as usize;
                return Some(self.descend(height, at));
            }
            at = (at >> 6) + 1;
        }
        None
    }

    /// As [`Self::next`], and after the greatest number comes the least.
    pub fn next_cyclic(&self, from: u32) -> Option<u32> {
        self.next(from).or_else(|| self.first())
    }

    /// The least number below the bit `at` of a level.
    fn descend(&self, height: usize, mut at: usize) -> u32 {
        for level in self.levels[..height].iter().rev() {
            at = (at << 6) | level[at].trailing_zeros() as usize;
        }
        at as u32
    }

    /// Bytes outside this struct.
    pub fn memory(&self) -> usize {
        let words: usize = self.levels.iter().map(Vec::capacity).sum();
        words * size_of::<u64>()
    }
}

fn place(at: usize) -> (usize, u64) {
    (at >> 6, 1 << (at & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn as_a_sorted_set(ops in prop::collection::vec(
            (any::<bool>(), prop_oneof![0..20u32, 0..300_000u32, 4_090..4_100u32]), 1..200,
        )) {
            let mut bits = Bits::<4>::new();
            let mut model = BTreeSet::new();
            for (is_insert, number) in ops {
                if is_insert {
                    bits.insert(number);
                    model.insert(number);
                } else if model.remove(&number) {
                    bits.remove(number);
                }
                prop_assert_eq!(bits.first(), model.first().copied());
                prop_assert_eq!(bits.contains(number), model.contains(&number));
                for from in [number, number + 1, number / 2, 2 * number, u32::MAX] {
                    let next = model.range(from..).next().copied();
                    prop_assert_eq!(bits.next(from), next);
                    let next = next.or(model.first().copied());
                    prop_assert_eq!(bits.next_cyclic(from), next);
                }
            }
        }
    }

    #[test]
    fn the_greatest_number() {
        let mut bits = Bits::<2>::new();
        assert_eq!(bits.first(), None);
        bits.insert(64 * 64 - 1);
        assert_eq!(bits.first(), Some(4095));
        assert_eq!(bits.next(4096), None);
        assert_eq!(bits.next_cyclic(4096), Some(4095));
        assert!(!bits.contains(4096));
    }
}
