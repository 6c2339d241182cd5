//! First in, first out: neither hits nor new values change the order.

use super::lists::Lists;

pub struct Fifo {
    /// One list, so nobody asks for its weight: all weigh 0 here.
    lists: Lists<1>,
}

impl Fifo {
    pub(super) fn new() -> Self {
        Fifo {
            lists: Lists::new(),
        }
    }

    pub(super) fn insert(&mut self, id: u32) {
        self.lists.push_front(0, id, 0);
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.lists.unlink(id, 0);
    }

    pub(super) fn evict(&mut self) -> Option<u32> {
        let victim = self.lists.back(0)?;
        self.lists.unlink(victim, 0);
        Some(victim)
    }

    pub(super) fn order(&self) -> Vec<u32> {
        self.lists.back_to_front(0).collect()
    }

    pub(super) fn memory(&self) -> usize {
        self.lists.memory()
    }
}
