//! Entries by index, in chunks: growing copies nothing, however many there are.

use std::ops::{Index, IndexMut};

const CHUNK_BITS: u32 = 8;
const CHUNK: usize = 1 << CHUNK_BITS;

/// No entry's index.
pub const NONE: u32 = u32::MAX;

pub struct Slab<T> {
    chunks: Vec<Box<[Entry<T>]>>,
    /// First of those that are free.
    free: u32,
    made: u32,
    used: u32,
}

struct Entry<T> {
    value: T,
    next_free: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            chunks: Vec::new(),
            free: NONE,
            made: 0,
            used: 0,
        }
    }
}

impl<T: Default> Slab<T> {
    /// One that was free, as whoever had it left it. `None` where there are `most`.
    #[inline]
    pub fn take(&mut self, most: u32) -> Option<u32> {
        let index = self.free;
        let index = if index != NONE {
            self.free = self.entry(index).next_free;
            index
        } else if self.made < most {
            if self.made as usize == self.chunks.len() * CHUNK {
                self.grow();
            }
            self.made += 1;
            self.made - 1
        } else {
            return None;
        };
        self.used += 1;
        Some(index)
    }

    #[cold]
    fn grow(&mut self) {
        let entry = || Entry {
            value: T::default(),
            next_free: NONE,
        };
        self.chunks.push((0..CHUNK).map(|_| entry()).collect());
    }

    #[inline]
    pub fn release(&mut self, index: u32) {
        let free = self.free;
        self.entry(index).next_free = free;
        self.free = index;
        self.used -= 1;
    }

    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        let chunk = self.chunks.get((index >> CHUNK_BITS) as usize)?;
        Some(&chunk[index as usize & (CHUNK - 1)].value)
    }

    #[inline]
    fn entry(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.chunks[(index >> CHUNK_BITS) as usize][index as usize & (CHUNK - 1)]
    }

    /// Those in use.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Indices are below this.
    pub fn made(&self) -> u32 {
        self.made
    }

    pub fn memory(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Entry<T>>()
    }
}

impl<T: Default> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.chunks[(index >> CHUNK_BITS) as usize][index as usize & (CHUNK - 1)].value
    }
}

impl<T: Default> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.entry(index).value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_reused_and_bounded() {
        let mut slab = Slab::<u64>::default();
        let taken: Vec<_> = (0..600).filter_map(|_| slab.take(500)).collect();
        assert_eq!(taken, (0..500).collect::<Vec<_>>());
        for index in &taken {
            slab[*index] = u64::from(*index);
        }
        slab.release(7);
        slab.release(300);
        assert_eq!((slab.take(500), slab.take(500)), (Some(300), Some(7)));
        assert_eq!(slab.take(500), None);
        assert_eq!((slab[300], slab[7]), (300, 7), "what was there stays there");
        assert_eq!(slab.used(), 500);
        assert!(slab.get(499).is_some() && slab.get(5000).is_none());
    }
}
