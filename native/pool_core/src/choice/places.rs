//! Cells by key: consistent hashing with bounded loads.
//!
//! A key belongs to one of the places that there are, by jump consistent hashing (Lamping and
//! Veach, "A fast, minimal memory, consistent hash algorithm", 2014): when a place is added only
//! those keys move that go to it. Where the place has no room, or has nobody, another takes the
//! key in (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", 2016). Not
//! the next one, as there, or the neighbour of many gone places would get all their keys, but
//! places drawn by key (Chen, Coleman, Shrivastava, "Revisiting consistent hashing with bounded
//! loads", 2021), so that they are spread, each staying where it was as long as it can.

use super::bits::Bits;

/// So many places are drawn before the next one with room is taken.
const DRAWS: u32 = 16;

pub struct Places {
    ready: Bits<3>,
    /// One more than the highest place so far.
    count: u32,
}

impl Places {
    pub fn new() -> Self {
        Places {
            ready: Bits::new(),
            count: 0,
        }
    }

    pub fn contains(&self, cell: u32) -> bool {
        self.ready.contains(cell)
    }

    pub fn insert(&mut self, cell: u32) {
        self.count = self.count.max(cell + 1);
        self.ready.insert(cell);
    }

    pub fn remove(&mut self, cell: u32) {
        self.ready.remove(cell);
    }

    pub fn of_key(&self, key: u64) -> Option<u32> {
        let mut state = mix(key);
        let place = jump(state, self.count);
        if self.contains(place) {
            return Some(place);
        }
        let mask = self.count.next_power_of_two() - 1;
        for _ in 0..DRAWS {
            state = mix(state);
            let place = state as u32 & mask;
            if self.contains(place) {
                return Some(place);
            }
        }
        self.ready.next_cyclic(state as u32 & mask)
    }

    /// Bytes outside this struct.
    pub fn memory(&self) -> usize {
        self.ready.memory()
    }
}

/// The step and the finish of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The place, of `count`, of a key whose bits are well mixed. It follows the key's places as
/// their number grows from one: `place` is the last to which it moved, `next` the one at which it
/// will move again.
fn jump(mut key: u64, count: u32) -> u32 {
    const TWO_TO_31: f64 = (1u64 << 31) as f64;
    let (mut place, mut next) = (0, 0);
    while next < count {
        place = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let random = ((key >> 33) + 1) as f64;
        // Beyond all places where it does not fit.
        next = (f64::from(place + 1) * (TWO_TO_31 / random)) as u32;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the published algorithm.
    #[test]
    fn jump_is_as_published() {
        for (key, count, place) in [
            (1, 1, 0),
            (42, 57, 43),
            (1, 128, 55),
            (129, 128, 120),
            (256, 1024, 520),
            (0xdead_10cc, 1, 0),
            (0xdead_10cc, 666, 361),
        ] {
            assert_eq!(jump(key, count), place, "{key} of {count}");
        }
    }

    #[test]
    fn nothing_is_ready() {
        let mut places = Places::new();
        assert_eq!(places.of_key(5), None);
        places.insert(7);
        assert_eq!(places.of_key(5), Some(7));
        places.remove(7);
        assert_eq!(places.of_key(5), None);
    }

    const KEYS: u64 = 100_000;

    fn of_keys(places: &Places) -> Vec<u32> {
        let place = |key| places.of_key(key).expect("some are ready");
        (0..KEYS).map(place).collect()
    }

    fn ready(cells: impl IntoIterator<Item = u32>) -> Places {
        let mut places = Places::new();
        cells.into_iter().for_each(|cell| places.insert(cell));
        places
    }

    /// Keys come to no other place than the one added, and to that one about their share.
    #[test]
    fn adding_a_place_moves_few_keys() {
        for count in [1, 2, 10, 63, 64, 100] {
            let mut places = ready(0..count);
            let before = of_keys(&places);
            places.insert(count);
            let after = of_keys(&places);
            let moved = before.iter().zip(&after).filter(|(was, is)| was != is);
            let moved: Vec<u32> = moved.map(|(_, is)| *is).collect();
            assert!(moved.iter().all(|place| *place == count));
            let share = KEYS as usize / (count as usize + 1);
            assert!((share * 9 / 10..=share * 11 / 10).contains(&moved.len()));
        }
    }

    /// Only its keys move when a place is full, and to all others alike; then they return.
    #[test]
    fn a_full_place_moves_its_own_keys() {
        let mut places = ready(0..10);
        let before = of_keys(&places);
        places.remove(4);
        let full = of_keys(&places);
        let mut taken_in = [0; 10];
        for (was, is) in before.iter().zip(&full) {
            assert!(was == is || *was == 4);
            if *was == 4 {
                taken_in[*is as usize] += 1;
            }
        }
        assert_eq!(taken_in[4], 0);
        let share = KEYS / 10 / 9;
        for (cell, taken_in) in taken_in
            .into_iter()
            .enumerate()
            .filter(|(cell, _)| *cell != 4)
        {
            assert!(
                (share * 8 / 10..=share * 12 / 10).contains(&taken_in),
                "{cell}: {taken_in}"
            );
        }
        places.insert(4);
        assert_eq!(of_keys(&places), before);
    }

    /// Where most places have nobody any more, the others share the keys, and adding one again
    /// takes keys from all and moves none between others.
    #[test]
    fn gone_places_burden_nobody_more_than_others() {
        let mut places = ready(0..100);
        (0..100)
            .filter(|cell| cell % 4 != 0)
            .for_each(|cell| places.remove(cell));
        let before = of_keys(&places);
        let mut by_place = [0; 100];
        before
            .iter()
            .for_each(|place| by_place[*place as usize] += 1);
        let share = KEYS / 25;
        let held = by_place.iter().copied().filter(|count| *count > 0);
        assert_eq!(held.clone().count(), 25);
        assert!(held.clone().max() < Some(share * 13 / 10), "{by_place:?}");
        assert!(held.min() > Some(share * 7 / 10), "{by_place:?}");
        places.insert(50);
        let after = of_keys(&places);
        assert!(before
            .iter()
            .zip(&after)
            .all(|(was, is)| was == is || *is == 50));
    }
}
