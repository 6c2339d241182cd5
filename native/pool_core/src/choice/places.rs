//! Cells by key: consistent hashing with bounded loads.
//!
//! A key belongs to one of the places that there are: when a place is added only those keys move
//! that go to it. Where its place has no room, or has nobody, another takes the key in (Mirrokni,
//! Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", 2016). Not the next one, as
//! there, or the neighbour of many gone places would get all their keys, but one of some drawn by
//! key (Chen, Coleman, Shrivastava, "Revisiting consistent hashing with bounded loads", 2021), so
//! that they are spread, and each stays where it is as long as it can.

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
        let key = mix(key);
        let place = place_of(key, self.count);
        if self.contains(place) {
            return Some(place);
        }
        let mut state = !key;
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

/// The place, of `count`, of a key whose bits are well mixed, in constant time: by the steps of
/// BinomialHash (Coluzzi, Brocco, Antonucci, Leidi, 2024). Jump consistent hashing (Lamping, Veach,
/// 2014) spreads keys as evenly, in a time that grows with the logarithm of `count`.
///
/// Places are drawn below the next power of two until there is one that exists. If it is in the
/// upper half, that is the place. If it is in the lower, the place is the one that the key had when
/// there was only that half.
fn place_of(key: u64, count: u32) -> u32 {
    let upper = count.next_power_of_two();
    let lower = upper / 2;
    let mut hash = key;
    for _ in 0..u64::BITS {
        let place = draw(hash, upper);
        if place < lower {
            break;
        }
        if place < count {
            return place;
        }
        hash = mix(hash);
    }
    draw(key, lower.max(1))
}

/// A place below a power of two. The power of two at or below it comes from the lowest bits of
/// the hash, and where it is from there from others: that it was drawn in vain, in the upper half,
/// tells nothing about the place in the lower half.
fn draw(hash: u64, below: u32) -> u32 {
    let place = hash as u32 & (below - 1);
    if place < 2 {
        return place;
    }
    let power = 1 << place.ilog2();
    power + (mix(hash ^ u64::from(power)) as u32 & (power - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ready() {
        let mut places = Places::new();
        assert_eq!(places.of_key(5), None);
        places.insert(7);
        assert_eq!(places.of_key(5), Some(7));
        places.remove(7);
        assert_eq!(places.of_key(5), None);
    }

    const KEYS: u64 = 50_000;

    fn of_keys(places: &Places) -> Vec<u32> {
        let place = |key| places.of_key(key).expect("some are ready");
        (0..KEYS).map(place).collect()
    }

    fn ready(cells: impl IntoIterator<Item = u32>) -> Places {
        let mut places = Places::new();
        cells.into_iter().for_each(|cell| places.insert(cell));
        places
    }

    #[test]
    fn keys_are_spread_evenly() {
        for count in [1, 2, 3, 4, 5, 31, 32, 33, 48, 63, 100, 1_000] {
            let mut by_place = vec![0; count as usize];
            for place in of_keys(&ready(0..count)) {
                by_place[place as usize] += 1;
            }
            let share = KEYS as f64 / f64::from(count);
            let squares = by_place
                .iter()
                .map(|held| (f64::from(*held) - share).powi(2));
            let chi_square = squares.sum::<f64>() / share;
            // No more than four standard deviations above its mean.
            let freedom = f64::from(count - 1);
            assert!(
                chi_square <= freedom + 4.0 * (2.0 * freedom).sqrt(),
                "{count}: {chi_square}"
            );
        }
    }

    /// Keys come to no other place than the one added, and to that one about their share.
    #[test]
    fn adding_a_place_moves_few_keys() {
        for count in (1..70).chain([100, 127, 128, 129]) {
            let mut places = ready(0..count);
            let before = of_keys(&places);
            places.insert(count);
            let after = of_keys(&places);
            let moved = before.iter().zip(&after).filter(|(was, is)| was != is);
            let moved: Vec<u32> = moved.map(|(_, is)| *is).collect();
            assert!(moved.iter().all(|place| *place == count));
            let share = KEYS as usize / (count as usize + 1);
            assert!((share * 8 / 10..=share * 12 / 10).contains(&moved.len()));
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
