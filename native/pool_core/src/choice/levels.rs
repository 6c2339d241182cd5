//! Cells by load: a list for each load, the cell longest with that load first.
//!
//! A load costs five bytes here once a cell has had it, which is less than each of the uses does
//! that were in flight then.

use super::bits::Bits;

/// Of a load that no cell has, and of a cell that is not in the set.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    load: u32,
    /// In a ring: after the last comes the first.
    next: u32,
    prev: u32,
}

pub struct Levels {
    nodes: Vec<Node>,
    /// By load, the first cell with it.
    first: Vec<u32>,
    /// The loads that cells have.
    loads: Bits<4>,
}

impl Levels {
    pub fn new() -> Self {
        Levels {
            nodes: Vec::new(),
            first: Vec::new(),
            loads: Bits::new(),
        }
    }

    pub fn contains(&self, cell: u32) -> bool {
        let node = self.nodes.get(cell as usize);
        node.is_some_and(|node| node.load != NONE)
    }

    pub fn insert(&mut self, cell: u32, load: u32) {
        if cell as usize >= self.nodes.len() {
            let out = Node {
                load: NONE,
                next: NONE,
                prev: NONE,
            };
            self.nodes.resize(cell as usize + 1, out);
        }
        if load as usize >= self.first.len() {
            self.first.resize(load as usize + 1, NONE);
        }
        let next = self.first[load as usize];
        if next == NONE {
            self.first[load as usize] = cell;
            self.loads.insert(load);
            self.nodes[cell as usize] = Node {
                load,
                next: cell,
                prev: cell,
            };
        } else {
            let prev = std::mem::replace(&mut self.nodes[next as usize].prev, cell);
            self.nodes[prev as usize].next = cell;
            self.nodes[cell as usize] = Node { load, next, prev };
        }
    }

    pub fn remove(&mut self, cell: u32) {
        let node = &mut self.nodes[cell as usize];
        let Node { load, next, prev } = *node;
        node.load = NONE;
        if next == cell {
            self.first[load as usize] = NONE;
            self.loads.remove(load);
            return;
        }
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        let first = &mut self.first[load as usize];
        if *first == cell {
            *first = next;
        }
    }

    pub fn change(&mut self, cell: u32, load: u32) {
        self.remove(cell);
        self.insert(cell, load);
    }

    /// The first cell of the least load.
    pub fn first(&self) -> Option<u32> {
        let load = self.loads.first()?;
        Some(self.first[load as usize])
    }

    /// Bytes outside this struct.
    pub fn memory(&self) -> usize {
        let nodes = self.nodes.capacity() * size_of::<Node>();
        nodes + self.first.capacity() * size_of::<u32>() + self.loads.memory()
    }
}
