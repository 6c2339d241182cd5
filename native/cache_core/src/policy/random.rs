//! A victim at random: what is left of an order costs nothing on a hit.

use crate::slab::reserve;

const ABSENT: u32 = u32::MAX;

pub struct Random {
    ids: Vec<u32>,
    /// Where in `ids` an entry stands, or `ABSENT`.
    places: Vec<u32>,
    /// The last to be put stays while there are others: it is what they make room for.
    newest: u32,
    state: u64,
}

impl Random {
    pub(super) fn new() -> Self {
        Random {
            ids: Vec::new(),
            places: Vec::new(),
            newest: ABSENT,
            state: 0,
        }
    }

    pub(super) fn insert(&mut self, id: u32) {
        let index = id as usize;
        if index >= self.places.len() {
            let more = index + 1 - self.places.len();
            reserve(&mut self.places, more);
            self.places.resize(index + 1, ABSENT);
        }
        if self.places[index] == ABSENT {
            self.places[index] = self.ids.len() as u32;
            reserve(&mut self.ids, 1);
            self.ids.push(id);
        }
        self.newest = id;
    }

    pub(super) fn replace(&mut self, id: u32) {
        self.newest = id;
    }

    pub(super) fn remove(&mut self, id: u32) {
        let Some(place) = self.places.get_mut(id as usize) else {
            return;
        };
        let place = std::mem::replace(place, ABSENT) as usize;
        if place < self.ids.len() {
            self.ids.swap_remove(place);
            if let Some(&moved) = self.ids.get(place) {
                self.places[moved as usize] = place as u32;
            }
        }
    }

    pub(super) fn evict(&mut self) -> Option<u32> {
        let len = self.ids.len();
        let draw = next(&mut self.state) >> 32;
        let place = ((draw * len as u64) >> 32) as usize;
        let mut victim = *self.ids.get(place)?;
        if victim == self.newest {
            victim = self.ids[(place + 1) % len];
        }
        self.remove(victim);
        Some(victim)
    }

    pub(super) fn order(&self) -> Vec<u32> {
        self.ids.clone()
    }

    pub(super) fn memory(&self) -> usize {
        (self.ids.capacity() + self.places.capacity()) * std::mem::size_of::<u32>()
    }
}

/// The next number of the SplitMix64 sequence.
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
