//! Which of the workers that have room is used next.
//!
//! A set of cells (small indices, used again after they have gone) in the order, or with the
//! numbers, that its strategy needs. Whatever is done takes the same few steps, however many the
//! cells are, and memory only when a cell or a load comes that is the highest so far.

mod bits;
mod dense;
mod levels;
mod list;
mod places;

use bits::Bits;
use dense::Dense;
use fastrand::Rng;
use levels::Levels;
use list::List;
use places::Places;

/// Cells are below this number.
pub const CELLS: u32 = 100_000;

/// No cell has more uses in flight.
pub const LOAD: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The one unused longest; of shared ones, the one taken longest ago.
    Fifo,
    /// The one used last, so that what is not needed stays idle.
    Lifo,
    /// The next after the one chosen last, by index and from the first again after the last.
    RoundRobin,
    /// Any, all with the same probability.
    Random,
    /// The one with the fewest uses in flight; of several, the one that has had so many longest.
    LeastLoaded,
    /// The better of two at random: almost as good as the best of all (Mitzenmacher, "The power of
    /// two choices in randomized load balancing", 2001), and who has an old score does no harm.
    P2c,
    /// The same one for the same key, as far as it has room.
    Hash,
}

/// The cells that have room for one more use.
pub struct Ready {
    len: usize,
    cells: Cells,
}

enum Cells {
    Fifo(List),
    Lifo(List),
    /// And from where on the next is looked for.
    RoundRobin(Bits<3>, u32),
    Random(Dense, Rng),
    LeastLoaded(Levels),
    P2c(Dense, Rng),
    Hash(Places),
}

impl Ready {
    pub fn new(strategy: Strategy, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        let cells = match strategy {
            Strategy::Fifo => Cells::Fifo(List::new()),
            Strategy::Lifo => Cells::Lifo(List::new()),
            Strategy::RoundRobin => Cells::RoundRobin(Bits::new(), 0),
            Strategy::Random => Cells::Random(Dense::default(), rng),
            Strategy::LeastLoaded => Cells::LeastLoaded(Levels::new()),
            Strategy::P2c => Cells::P2c(Dense::default(), rng),
            Strategy::Hash => Cells::Hash(Places::new()),
        };
        Ready { len: 0, cells }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains(&self, cell: u32) -> bool {
        match &self.cells {
            Cells::Fifo(list) | Cells::Lifo(list) => list.contains(cell),
            Cells::RoundRobin(bits, _) => bits.contains(cell),
            Cells::Random(dense, _) | Cells::P2c(dense, _) => dense.contains(cell),
            Cells::LeastLoaded(levels) => levels.contains(cell),
            Cells::Hash(places) => places.contains(cell),
        }
    }

    /// The cell, which was not in the set, has room now, with `load` uses in flight.
    pub fn insert(&mut self, cell: u32, load: u32) {
        debug_assert!(cell < CELLS && load <= LOAD && !self.contains(cell));
        self.len += 1;
        match &mut self.cells {
            Cells::Fifo(list) => list.push_back(cell),
            Cells::Lifo(list) => list.push_front(cell),
            Cells::RoundRobin(bits, _) => bits.insert(cell),
            Cells::Random(dense, _) | Cells::P2c(dense, _) => dense.insert(cell),
            Cells::LeastLoaded(levels) => levels.insert(cell, load),
            Cells::Hash(places) => places.insert(cell),
        }
    }

    /// The cell, which was in the set, is full, or away, or gone.
    pub fn remove(&mut self, cell: u32) {
        debug_assert!(self.contains(cell));
        self.len -= 1;
        match &mut self.cells {
            Cells::Fifo(list) | Cells::Lifo(list) => list.remove(cell),
            Cells::RoundRobin(bits, _) => bits.remove(cell),
            Cells::Random(dense, _) | Cells::P2c(dense, _) => dense.remove(cell),
            Cells::LeastLoaded(levels) => levels.remove(cell),
            Cells::Hash(places) => places.remove(cell),
        }
    }

    /// The cell, which is in the set and has room for more, was taken once more, and has `load`
    /// uses in flight now.
    pub fn taken(&mut self, cell: u32, load: u32) {
        debug_assert!(load <= LOAD && self.contains(cell));
        match &mut self.cells {
            Cells::Fifo(list) => {
                list.remove(cell);
                list.push_back(cell);
            }
            Cells::Lifo(list) => {
                list.remove(cell);
                list.push_front(cell);
            }
            Cells::LeastLoaded(levels) => levels.change(cell, load),
            Cells::RoundRobin(..) | Cells::Random(..) | Cells::P2c(..) | Cells::Hash(_) => (),
        }
    }

    /// A use of the cell, which had room already, has ended; it has `load` in flight now.
    pub fn returned(&mut self, cell: u32, load: u32) {
        debug_assert!(load <= LOAD && self.contains(cell));
        if let Cells::LeastLoaded(levels) = &mut self.cells {
            levels.change(cell, load);
        }
    }

    /// Chooses one, which stays in the set. `key` is for [`Strategy::Hash`] and `score`, of which
    /// less is better, for [`Strategy::P2c`].
    pub fn pick(&mut self, key: u64, score: impl Fn(u32) -> u64) -> Option<u32> {
        match &mut self.cells {
            Cells::Fifo(list) | Cells::Lifo(list) => list.first(),
            Cells::RoundRobin(bits, next) => {
                let cell = bits.next_cyclic(*next)?;
                *next = cell + 1;
                Some(cell)
            }
            Cells::Random(dense, rng) => dense.any(rng),
            Cells::LeastLoaded(levels) => levels.first(),
            Cells::P2c(dense, rng) => dense.better_of_two(rng, score),
            Cells::Hash(places) => places.of_key(key),
        }
    }

    /// Bytes.
    pub fn memory(&self) -> usize {
        let outside = match &self.cells {
            Cells::Fifo(list) | Cells::Lifo(list) => list.memory(),
            Cells::RoundRobin(bits, _) => bits.memory(),
            Cells::Random(dense, _) | Cells::P2c(dense, _) => dense.memory(),
            Cells::LeastLoaded(levels) => levels.memory(),
            Cells::Hash(places) => places.memory(),
        };
        size_of::<Self>() + outside
    }
}
