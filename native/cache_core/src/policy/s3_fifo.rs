//! S3-FIFO (Yang et al., SOSP 2023): a small queue for what is new, a main one for what was hit
//! there or came back soon, and the ghosts of those that left the small one, as many as there
//! are entries. A hit only raises the entry's own count.

use super::ghost::Ghost;
use super::lists::Lists;
use super::{Entries, MAX_VISITS};

const SMALL: usize = 0;
const MAIN: usize = 1;

/// The small queue's part of the weight, as a divisor.
const SMALL_PART: u64 = 10;
/// Hits in the small queue that take an entry to the main one.
const PROMOTE: u8 = 2;
/// Entries that one eviction may pass over. Each pass takes a hit's mark away, so the mean is far
/// lower; when a whole shard is marked, the least marked of so many goes.
const STEPS: usize = 128;

pub struct S3Fifo {
    lists: Lists<2>,
    ghost: Ghost,
    /// The last to be put stays while there are others: it is what they make room for.
    newest: Option<u32>,
}

impl S3Fifo {
    pub(super) fn new() -> Self {
        S3Fifo {
            lists: Lists::new(),
            ghost: Ghost::new(),
            newest: None,
        }
    }

    pub(super) fn insert(&mut self, id: u32, entries: &impl Entries) {
        let list = match self.ghost.take(entries.hash(id)) {
            true => MAIN,
            false => SMALL,
        };
        self.lists.push_front(list, id, entries.weight(id));
        self.newest = Some(id);
    }

    pub(super) fn replace(&mut self, id: u32, old_weight: u32, entries: &impl Entries) {
        self.lists.reweigh(id, old_weight, entries.weight(id));
        let visits = entries.visits(id);
        if visits < MAX_VISITS {
            entries.set_visits(id, visits + 1);
        }
        self.newest = Some(id);
    }

    pub(super) fn remove(&mut self, id: u32, weight: u32) {
        self.lists.unlink(id, weight);
    }

    pub(super) fn evict(&mut self, entries: &impl Entries) -> Option<u32> {
        let mut least: Option<(u8, u32)> = None;
        for _ in 0..STEPS {
            let small = self.lists.back_but(SMALL, self.newest);
            let main = self.lists.back_but(MAIN, self.newest);
            let is_due = self.lists.weight(SMALL) > self.lists.total_weight() / SMALL_PART;
            match (small, main) {
                (Some(id), main) if is_due || main.is_none() => {
                    if entries.visits(id) < PROMOTE {
                        return Some(self.leave(id, entries));
                    }
                    entries.set_visits(id, 0);
                    self.lists.move_to_front(MAIN, id, entries.weight(id));
                }
                (_, Some(id)) => {
                    let visits = entries.visits(id);
                    if visits == 0 {
                        return Some(self.leave(id, entries));
                    }
                    entries.set_visits(id, visits - 1);
                    self.lists.move_to_front(MAIN, id, entries.weight(id));
                    if least.is_none_or(|(fewest, _)| visits < fewest) {
                        least = Some((visits, id));
                    }
                }
                (_, None) => {
                    let last = self.lists.back(SMALL).or_else(|| self.lists.back(MAIN))?;
                    return Some(self.leave(last, entries));
                }
            }
        }
        let id = least
            .map(|(_, id)| id)
            .or_else(|| self.lists.back_but(MAIN, self.newest))?;
        Some(self.leave(id, entries))
    }

    fn leave(&mut self, id: u32, entries: &impl Entries) -> u32 {
        if self.lists.unlink(id, entries.weight(id)) == Some(SMALL) {
            let room = self.lists.total_len();
            self.ghost.insert(entries.hash(id), room);
        }
        id
    }

    pub(super) fn order(&self) -> Vec<u32> {
        let small = self.lists.back_to_front(SMALL);
        small.chain(self.lists.back_to_front(MAIN)).collect()
    }

    pub(super) fn memory(&self) -> usize {
        self.lists.memory() + self.ghost.memory()
    }
}
