//! Leases: integers that stand for what somebody has, each once, and that end with their owner.

use crate::owners::Owners;
use crate::slab::{Slab, NONE};
use std::ops::{Index, IndexMut};

const INDEX_BITS: u32 = 24;
/// There are never more.
const MOST: u32 = 1 << INDEX_BITS;

/// Leases with an `L` each, of owners of which a `T` each is kept.
pub struct Leases<L, T> {
    leases: Slab<Lease<L>>,
    owners: Owners<T>,
    /// Generations begin with it: of one table nobody can tell the leases of another.
    seed: u32,
}

#[derive(Default)]
struct Lease<L> {
    generation: u32,
    is_taken: bool,
    owner: u32,
    /// In the list of the owner's leases.
    next: u32,
    previous: u32,
    value: L,
}

/// A number for an index and the generation of what is there; below 2^56.
#[inline]
pub fn number(generation: u32, index: u32) -> u64 {
    u64::from(generation) << INDEX_BITS | u64::from(index)
}

/// Back again. A number that is none has a generation or an index that nothing has.
#[inline]
pub fn parts(number: u64) -> (u64, u32) {
    let index = number & u64::from(MOST - 1);
    (number >> INDEX_BITS, index as u32)
}

impl<L: Default, T> Leases<L, T> {
    pub fn new(seed: u32) -> Self {
        Leases {
            leases: Slab::default(),
            owners: Owners::new(),
            seed,
        }
    }

    /// A lease for the owner of this number. What is in it is what was there before. `keep` is asked
    /// where the owner is new. `None` where it gives nothing, or there are too many.
    #[inline]
    pub fn take(&mut self, owner: u64, keep: impl FnOnce() -> Option<T>) -> Option<u32> {
        let owner = self.owners.enter(owner, keep)?;
        let index = self.leases.take(MOST)?;
        let entry = self.owners.get(owner);
        let next = std::mem::replace(&mut entry.first, index);
        entry.count += 1;
        if next != NONE {
            self.leases[next].previous = index;
        }
        let lease = &mut self.leases[index];
        lease.is_taken = true;
        lease.owner = owner;
        lease.next = next;
        lease.previous = NONE;
        Some(index)
    }

    /// The lease ends: its number is no lease's any more.
    #[inline]
    pub fn end(&mut self, index: u32) {
        let lease = &mut self.leases[index];
        debug_assert!(lease.is_taken);
        lease.is_taken = false;
        lease.generation = lease.generation.wrapping_add(1);
        let (owner, next, previous) = (lease.owner, lease.next, lease.previous);
        if next != NONE {
            self.leases[next].previous = previous;
        }
        let entry = self.owners.get(owner);
        entry.count -= 1;
        if previous == NONE {
            entry.first = next;
        } else {
            self.leases[previous].next = next;
        }
        self.leases.release(index);
    }

    #[inline]
    pub fn number(&self, index: u32) -> u64 {
        number(self.leases[index].generation ^ self.seed, index)
    }

    /// The lease of a number.
    #[inline]
    pub fn find(&self, number: u64) -> Option<u32> {
        let (generation, index) = parts(number);
        let lease = self.leases.get(index)?;
        let is_it = lease.is_taken && u64::from(lease.generation ^ self.seed) == generation;
        is_it.then_some(index)
    }

    /// The number of the owner of a lease.
    pub fn owner(&self, index: u32) -> u64 {
        self.owners.id(self.leases[index].owner)
    }

    /// One of those that an owner has.
    pub fn first_of(&mut self, owner: u64) -> Option<u32> {
        let owner = self.owners.find(owner)?;
        let first = self.owners.get(owner).first;
        (first != NONE).then_some(first)
    }

    /// An owner without leases leaves; what was kept of it is given.
    pub fn leave(&mut self, owner: u64) -> Option<T> {
        let owner = self.owners.find(owner)?;
        self.owners.leave(owner)
    }

    /// Those there are.
    pub fn count(&self) -> u32 {
        self.leases.used()
    }

    pub fn owners(&self) -> u32 {
        self.owners.count()
    }

    /// The leases among the indices from here on, of which so many are looked at; and where to
    /// go on.
    pub fn page(&self, from: u32, most: u32) -> (impl Iterator<Item = u32> + '_, Option<u32>) {
        let end = self.leases.made().min(from.saturating_add(most));
        let indices = (from..end).filter(|&index| self.leases[index].is_taken);
        (indices, (end < self.leases.made()).then_some(end))
    }

    pub fn memory(&self) -> usize {
        self.leases.memory() + self.owners.memory()
    }
}

impl<L: Default, T> Index<u32> for Leases<L, T> {
    type Output = L;

    #[inline]
    fn index(&self, index: u32) -> &L {
        &self.leases[index].value
    }
}

impl<L: Default, T> IndexMut<u32> for Leases<L, T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut L {
        &mut self.leases[index].value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    #[derive(Debug, Clone)]
    enum Step {
        Take(u64),
        End(usize),
        Leave(u64),
    }

    proptest! {
        #[test]
        fn each_owner_has_its_leases(seed: u32, steps in prop::collection::vec(prop_oneof![
            4 => (0..6u64).prop_map(Step::Take),
            3 => (0..100usize).prop_map(Step::End),
            1 => (0..6u64).prop_map(Step::Leave),
        ], 0..200)) {
            let mut leases = Leases::<u64, u64>::new(seed);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let mut ended = HashSet::new();
            let mut known = HashSet::new();
            for step in steps {
                match step {
                    Step::Take(owner) => {
                        let is_new = known.insert(owner);
                        let mut asked = false;
                        let index = leases.take(owner, || { asked = true; Some(owner) }).unwrap();
                        prop_assert_eq!(asked, is_new);
                        leases[index] = owner;
                        let number = leases.number(index);
                        prop_assert!(!ended.contains(&number));
                        taken.push((owner, number));
                    }
                    Step::End(nth) if !taken.is_empty() => {
                        let (owner, number) = taken.swap_remove(nth % taken.len());
                        let index = leases.find(number).unwrap();
                        prop_assert_eq!(leases.owner(index), owner);
                        leases.end(index);
                        ended.insert(number);
                    }
                    Step::End(_) => (),
                    Step::Leave(owner) => {
                        while let Some(index) = leases.first_of(owner) {
                            prop_assert_eq!(leases[index], owner);
                            let number = leases.number(index);
                            taken.retain(|(_, other)| *other != number);
                            ended.insert(number);
                            leases.end(index);
                        }
                        prop_assert_eq!(leases.leave(owner).is_some(), known.remove(&owner));
                        prop_assert!(taken.iter().all(|(other, _)| *other != owner));
                    }
                }
                prop_assert_eq!(leases.count() as usize, taken.len());
                prop_assert_eq!(leases.owners() as usize, known.len());
                prop_assert!(ended.iter().all(|number| leases.find(*number).is_none()));
                let mut listed = HashMap::new();
                let mut from = Some(0);
                while let Some(start) = from {
                    let (page, next) = leases.page(start, 7);
                    listed.extend(page.map(|index| (leases.number(index), leases.owner(index))));
                    from = next;
                }
                prop_assert_eq!(listed, taken.iter().map(|(owner, number)| (*number, *owner)).collect());
            }
        }
    }

    #[test]
    fn another_tables_lease_is_none_here() {
        let (mut one, mut other) = (Leases::<(), ()>::new(1), Leases::<(), ()>::new(2));
        let (mine, theirs) = (one.take(1, || Some(())), other.take(1, || Some(())));
        assert_eq!(mine, theirs);
        assert!(one.find(other.number(theirs.unwrap())).is_none());
        assert!(one.find(u64::MAX).is_none());
    }
}
