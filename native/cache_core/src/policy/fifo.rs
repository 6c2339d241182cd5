//! First in, first out: neither hits nor new values change the order.

use super::lists::Lists;

pub struct Fifo {
    /// One list, so nobody asks for its weight: all weigh 0 here.
    lists: Lists<1>,
    /// The last to be put stays while there are others: it is what they make room for.
    newest: Option<u32>,
}

impl Fifo {
    pub(super) fn new() -> Self {
        Fifo {
            lists: Lists::new(),
            newest: None,
        }
    }

    pub(super) fn insert(&mut self, id: u32) {
        self.lists.push_front(0, id, 0);
        self.newest = Some(id);
    }

    pub(super) fn replace(&mut self, id: u32) {
        self.newest = Some(id);
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.lists.unlink(id, 0);
    }

    pub(super) fn evict(&mut self) -> Option<u32> {
        let others = self.lists.back_but(0, self.newest);
        let victim = others.or_else(|| self.lists.back(0))?;
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
