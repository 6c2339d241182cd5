//! Cells in a row: a list within an array.

/// Of a cell that is not in the list.
const OUT: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    prev: u32,
}

pub struct List {
    /// The list's ends first, as a node between the last and the first, then the cells.
    nodes: Vec<Node>,
}

impl List {
    pub fn new() -> Self {
        let ends = Node { next: 0, prev: 0 };
        List { nodes: vec![ends] }
    }

    pub fn contains(&self, cell: u32) -> bool {
        let node = self.nodes.get(cell as usize + 1);
        node.is_some_and(|node| node.next != OUT)
    }

    pub fn first(&self) -> Option<u32> {
        self.nodes[0].next.checked_sub(1)
    }

    pub fn push_back(&mut self, cell: u32) {
        let last = self.nodes[0].prev;
        self.link(cell + 1, last, 0);
    }

    pub fn push_front(&mut self, cell: u32) {
        let first = self.nodes[0].next;
        self.link(cell + 1, 0, first);
    }

    fn link(&mut self, node: u32, prev: u32, next: u32) {
        let at = node as usize;
        if at >= self.nodes.len() {
            let out = Node {
                next: OUT,
                prev: OUT,
            };
            self.nodes.resize(at + 1, out);
        }
        self.nodes[at] = Node { next, prev };
        self.nodes[prev as usize].next = node;
        self.nodes[next as usize].prev = node;
    }

    pub fn remove(&mut self, cell: u32) {
        let node = &mut self.nodes[cell as usize + 1];
        let Node { next, prev } = *node;
        node.next = OUT;
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
    }

    /// Bytes outside this struct.
    pub fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
    }
}
