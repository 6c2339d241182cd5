//! The instance as the validator sees it: a tree in one arena, built by events without
//! recursion, its strings borrowed where the source allows it.

use bumpalo::Bump;
use smallvec::SmallVec;

/// Objects with more members than this are kept sorted and searched by halving.
pub const SCANNED_MEMBERS: usize = 16;

#[derive(Clone, Copy, Debug)]
pub enum Slot<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A JSON number literal that `i64` does not hold.
    Text(&'a str),
    Str(&'a str),
    Array(&'a [Slot<'a>]),
    Object(&'a [Member<'a>]),
}

#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub key: &'a str,
    pub value: Slot<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    TooDeep,
    TooManyNodes,
}

struct Frame<'a> {
    object: bool,
    start: u32,
    /// The key under which the enclosing object holds this value.
    key: &'a str,
}

/// Takes the events of one value. Events out of order are the caller's mistake and give a wrong
/// tree, never memory unsafety.
pub struct Builder<'a> {
    arena: &'a Bump,
    items: SmallVec<[Slot<'a>; 16]>,
    members: SmallVec<[Member<'a>; 16]>,
    frames: SmallVec<[Frame<'a>; 8]>,
    key: &'a str,
    root: Slot<'a>,
    nodes: usize,
    /// Bytes of the keys on the way to what is open, and the most there were.
    path: usize,
    longest_path: usize,
    max_nodes: usize,
    max_depth: usize,
}

impl<'a> Builder<'a> {
    pub fn new(arena: &'a Bump, max_depth: usize, max_nodes: usize) -> Self {
        Builder {
            arena,
            items: SmallVec::new(),
            members: SmallVec::new(),
            frames: SmallVec::new(),
            key: "",
            root: Slot::Null,
            nodes: 0,
            path: 0,
            longest_path: 0,
            max_nodes: max_nodes.min(u32::MAX as usize),
            max_depth,
        }
    }

    pub fn arena(&self) -> &'a Bump {
        self.arena
    }

    #[inline]
    pub fn value(&mut self, value: Slot<'a>) -> Result<(), BuildError> {
        self.nodes += 1;
        if self.nodes > self.max_nodes {
            return Err(BuildError::TooManyNodes);
        }
        self.place(self.key, value);
        self.key = "";
        Ok(())
    }

    #[inline]
    fn place(&mut self, key: &'a str, value: Slot<'a>) {
        match self.frames.last() {
            None => self.root = value,
            Some(Frame { object: true, .. }) => self.members.push(Member { key, value }),
            Some(_) => self.items.push(value),
        }
    }

    /// The name of the member whose value comes next.
    #[inline]
    pub fn key(&mut self, key: &'a str) {
        self.key = key;
        self.longest_path = self.longest_path.max(self.path + key.len());
    }

    fn open(&mut self, object: bool, start: usize) -> Result<(), BuildError> {
        self.nodes += 1;
        if self.frames.len() == self.max_depth {
            return Err(BuildError::TooDeep);
        }
        if self.nodes > self.max_nodes {
            return Err(BuildError::TooManyNodes);
        }
        self.frames.push(Frame {
            object,
            start: start as u32,
            key: self.key,
        });
        self.path += self.key.len();
        self.key = "";
        Ok(())
    }

    pub fn open_array(&mut self) -> Result<(), BuildError> {
        self.open(false, self.items.len())
    }

    pub fn open_object(&mut self) -> Result<(), BuildError> {
        self.open(true, self.members.len())
    }

    /// Ends the innermost array or object.
    pub fn close(&mut self) {
        self.close_with(true);
    }

    /// Ends the innermost array or object, whose keys are known to differ.
    pub fn close_distinct(&mut self) {
        self.close_with(false);
    }

    #[inline]
    fn close_with(&mut self, may_repeat: bool) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        self.path -= frame.key.len();
        let start = frame.start as usize;
        let value = if frame.object {
            let members = &mut self.members[start..];
            let kept = if may_repeat || members.len() > SCANNED_MEMBERS {
                first_of_each_key(members)
            } else {
                members.len()
            };
            let members = self.arena.alloc_slice_copy(&members[..kept]);
            self.members.truncate(start);
            Slot::Object(members)
        } else {
            let items = self.arena.alloc_slice_copy(&self.items[start..]);
            self.items.truncate(start);
            Slot::Array(items)
        };
        self.place(frame.key, value);
    }

    /// How many arrays and objects are open.
    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    pub fn finish(self) -> Instance<'a> {
        Instance {
            root: self.arena.alloc(self.root),
            nodes: self.nodes,
            longest_path: self.longest_path,
        }
    }
}

/// Moves the first member of each key to the front and returns how many those are.
fn first_of_each_key(members: &mut [Member<'_>]) -> usize {
    if members.len() > SCANNED_MEMBERS {
        // Stable: among equal keys the first stays first.
        members.sort_by(|a, b| a.key.cmp(b.key));
        let mut kept = 1;
        for next in 1..members.len() {
            if members[next].key != members[kept - 1].key {
                members[kept] = members[next];
                kept += 1;
            }
        }
        return kept;
    }
    let mut kept = 0;
    for next in 0..members.len() {
        let member = members[next];
        if members[..kept].iter().all(|seen| seen.key != member.key) {
            members[kept] = member;
            kept += 1;
        }
    }
    kept
}

/// A built instance.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    pub root: &'a Slot<'a>,
    pub nodes: usize,
    /// Bytes of the keys on the way to its deepest part.
    pub longest_path: usize,
}
