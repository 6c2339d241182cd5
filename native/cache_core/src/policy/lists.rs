//! Doubly linked lists of entry numbers, all in one array: 8 bytes an entry, an entry in at most
//! one list, every operation in constant time.

use crate::slab::reserve;

const ID_BITS: u32 = 30;
const NONE: u32 = (1 << ID_BITS) - 1;

/// The two upper bits of `prev` say which list: 0 none, else its index + 1.
#[derive(Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
}

const UNLINKED: Node = Node {
    prev: NONE,
    next: NONE,
};

#[derive(Clone, Copy)]
struct List {
    front: u32,
    back: u32,
    len: u32,
    weight: u64,
}

const EMPTY: List = List {
    front: NONE,
    back: NONE,
    len: 0,
    weight: 0,
};

/// `N` lists (at most 3), named by their index. The front is where entries come in.
pub(super) struct Lists<const N: usize> {
    nodes: Vec<Node>,
    lists: [List; N],
}

impl<const N: usize> Lists<N> {
    pub fn new() -> Self {
        const { assert!(N < 1 << (u32::BITS - ID_BITS)) };
        Lists {
            nodes: Vec::new(),
            lists: [EMPTY; N],
        }
    }

    pub fn len(&self, list: usize) -> usize {
        self.lists[list].len as usize
    }

    pub fn weight(&self, list: usize) -> u64 {
        self.lists[list].weight
    }

    pub fn total_len(&self) -> usize {
        self.lists.iter().map(|list| list.len as usize).sum()
    }

    pub fn total_weight(&self) -> u64 {
        self.lists.iter().map(|list| list.weight).sum()
    }

    /// The list that holds `id`.
    pub fn list_of(&self, id: u32) -> Option<usize> {
        let node = self.nodes.get(id as usize)?;
        ((node.prev >> ID_BITS) as usize).checked_sub(1)
    }

    pub fn back(&self, list: usize) -> Option<u32> {
        Some(self.lists[list].back).filter(|&id| id != NONE)
    }

    /// The last entry that is not `spared`.
    pub fn back_but(&self, list: usize, spared: Option<u32>) -> Option<u32> {
        self.back_to_front(list).find(|&id| Some(id) != spared)
    }

    /// Puts an unlinked entry in; one that is linked stays where it is.
    pub fn push_front(&mut self, list: usize, id: u32, weight: u32) {
        if id >= NONE || self.list_of(id).is_some() {
            return;
        }
        if id as usize >= self.nodes.len() {
            let more = id as usize + 1 - self.nodes.len();
            reserve(&mut self.nodes, more);
            self.nodes.resize(id as usize + 1, UNLINKED);
        }
        let tag = (list as u32 + 1) << ID_BITS;
        let front = self.lists[list].front;
        self.nodes[id as usize] = Node {
            prev: tag | NONE,
            next: front,
        };
        match front {
            NONE => self.lists[list].back = id,
            _ => self.nodes[front as usize].prev = tag | id,
        }
        let list = &mut self.lists[list];
        list.front = id;
        list.len += 1;
        list.weight += u64::from(weight);
    }

    /// Takes `id`, of this weight, out of its list, and says which that was.
    pub fn unlink(&mut self, id: u32, weight: u32) -> Option<usize> {
        let list = self.list_of(id)?;
        let tag = (list as u32 + 1) << ID_BITS;
        let Node { prev, next } = std::mem::replace(&mut self.nodes[id as usize], UNLINKED);
        let prev = prev & NONE;
        match prev {
            NONE => self.lists[list].front = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NONE => self.lists[list].back = prev,
            _ => self.nodes[next as usize].prev = tag | prev,
        }
        let at = &mut self.lists[list];
        at.len -= 1;
        at.weight = at.weight.saturating_sub(u64::from(weight));
        Some(list)
    }

    /// Moves a linked entry to the front of `list`, its own or another.
    pub fn move_to_front(&mut self, list: usize, id: u32, weight: u32) {
        if self.unlink(id, weight).is_some() {
            self.push_front(list, id, weight);
        }
    }

    /// The entry keeps its place, its weight changes.
    pub fn reweigh(&mut self, id: u32, old: u32, new: u32) {
        if let Some(list) = self.list_of(id) {
            let weight = &mut self.lists[list].weight;
            *weight = weight.saturating_sub(u64::from(old)) + u64::from(new);
        }
    }

    /// From the back to the front.
    pub fn back_to_front(&self, list: usize) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(self.back(list), |&id| {
            Some(self.nodes[id as usize].prev & NONE).filter(|&id| id != NONE)
        })
    }

    pub fn memory(&self) -> usize {
        self.nodes.capacity() * std::mem::size_of::<Node>()
    }
}
