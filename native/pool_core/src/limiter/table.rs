//! A hash table whose keys are their own hashes: 128 bits that nobody can foresee.
//!
//! Open addressing with linear probing, so that a look-up mostly touches one line of memory, and
//! removal by shifting back, so that none is left behind by what comes and goes.

/// A key is never 0, which is of no entry.
const NONE: u128 = 0;

/// Of a table that has any.
const LEAST_SLOTS: usize = 4;

#[derive(Clone, Copy)]
struct Slot<V> {
    key: u128,
    value: V,
}

pub struct Table<V> {
    /// A power of two, or none. At least a quarter of them are empty.
    slots: Box<[Slot<V>]>,
    len: usize,
}

impl<V: Copy + Default> Default for Table<V> {
    fn default() -> Self {
        Table {
            slots: Box::default(),
            len: 0,
        }
    }
}

impl<V: Copy + Default> Table<V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// In bytes.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Where a key is, or the empty slot that it would be in.
    #[inline(always)]
    fn find(&self, key: u128) -> Option<usize> {
        debug_assert!(key != NONE);
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = key as usize & mask;
        loop {
            let found = self.slots[at].key;
            if found == key || found == NONE {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    #[inline(always)]
    pub fn get(&self, key: u128) -> Option<&V> {
        let slot = &self.slots[self.find(key)?];
        (slot.key == key).then_some(&slot.value)
    }

    #[inline(always)]
    pub fn get_mut(&mut self, key: u128) -> Option<&mut V> {
        let at = self.find(key)?;
        let slot = &mut self.slots[at];
        (slot.key == key).then_some(&mut slot.value)
    }

    /// Whether one more makes [`Self::insert`] grow.
    pub fn is_full(&self) -> bool {
        4 * (self.len + 1) > 3 * self.slots.len()
    }

    /// The key must not be there.
    pub fn insert(&mut self, key: u128, value: V) {
        if self.is_full() {
            self.rebuild(|_, _| true);
        }
        if let Some(at) = self.find(key) {
            debug_assert!(self.slots[at].key == NONE);
            self.slots[at] = Slot { key, value };
            self.len += 1;
        }
    }

    pub fn remove(&mut self, key: u128) -> Option<V> {
        let mut empty = self.find(key)?;
        let removed = self.slots[empty];
        if removed.key == NONE {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = empty;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot.key == NONE {
                break;
            }
            // One that is further from where its search begins than the empty slot is.
            let home = slot.key as usize & mask;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(empty) & mask {
                self.slots[empty] = slot;
                empty = at;
            }
        }
        self.slots[empty].key = NONE;
        self.len -= 1;
        Some(removed.value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u128, &V)> {
        let taken = self.slots.iter().filter(|slot| slot.key != NONE);
        taken.map(|slot| (slot.key, &slot.value))
    }

    /// Keeps some in as many slots as suit them: at most half of them are taken then.
    pub fn rebuild(&mut self, keep: impl Fn(u128, &V) -> bool) {
        let kept = self.iter().filter(|&(key, value)| keep(key, value)).count();
        let count = (2 * (kept + 1)).next_power_of_two().max(LEAST_SLOTS);
        let vacant = Slot {
            key: NONE,
            value: V::default(),
        };
        let slots = vec![vacant; count].into_boxed_slice();
        let old = std::mem::replace(&mut self.slots, slots);
        self.len = 0;
        for slot in old {
            if slot.key != NONE && keep(slot.key, &slot.value) {
                self.insert(slot.key, slot.value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn is_a_map(
            steps in prop::collection::vec((0..4u8, 1..40u128, any::<u32>()), 0..400),
            shift in prop::sample::select(vec![0, 2, 64]),
        ) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (step, key, value) in steps {
                // Keys that begin their search at the same few slots, at all or at one.
                let key = key << shift | u128::from(shift == 64);
                match step {
                    0 | 1 => match table.get_mut(key) {
                        Some(old) => {
                            prop_assert_eq!(map.insert(key, value), Some(*old));
                            *old = value;
                        }
                        None => {
                            table.insert(key, value);
                            prop_assert_eq!(map.insert(key, value), None);
                        }
                    },
                    2 => prop_assert_eq!(table.remove(key), map.remove(&key)),
                    _ => {
                        table.rebuild(|key, _| key % 3 != 0);
                        map.retain(|key, _| key % 3 != 0);
                    }
                }
                prop_assert_eq!(table.len(), map.len());
                prop_assert!(table.slots.len() * 3 >= table.len() * 4);
            }
            let mut held: Vec<_> = table.iter().map(|(key, &value)| (key, value)).collect();
            held.sort_unstable();
            prop_assert_eq!(held, Vec::from_iter(map.clone()));
            for (key, value) in map {
                prop_assert_eq!(table.get(key), Some(&value));
            }
        }
    }

    #[test]
    fn memory_follows_what_is_kept() {
        let mut table = Table::default();
        (1..=3000).for_each(|key| table.insert(key, 0_u128));
        assert_eq!(table.memory(), 4096 * 32);
        table.rebuild(|key, _| key <= 100);
        assert_eq!((table.len(), table.memory()), (100, 256 * 32));
        (1..=100).for_each(|key| assert!(table.get(key).is_some()));
    }
}
