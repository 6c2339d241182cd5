//! What `src/sync.rs` is in the library, and in `histogram_core`, whose models use it too.

#![allow(unused_imports)] // each of them uses some

pub use loom::cell::UnsafeCell;
pub use loom::hint::spin_loop;
use loom::sync::atomic as of_loom;
pub use loom::sync::atomic::{fence, Ordering};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Mutex, OnceLock};

pub const FIRST: usize = 1;

/// A number that all types of atomics are kept as, and beside it one that each access begins with
/// a write of: loom orders a write anew only against the last access of the variable, which hides the
/// loads of others behind one of the writer's own. It adds no order in memory.
type Cell = (of_loom::AtomicU64, of_loom::AtomicU64);

thread_local! {
    /// Loom wants to know an atomic before the threads that use it, and makes none in constants:
    /// they are made beforehand, and taken from here.
    static CELLS: RefCell<Vec<Rc<Cell>>> = const { RefCell::new(Vec::new()) };
}

/// To be called first in a model, which can use so many atomics.
pub fn prepare(count: usize) {
    let zero = || of_loom::AtomicU64::new(0);
    let cells = (0..count).map(|_| Rc::new((zero(), zero()))).collect();
    CELLS.set(cells);
}

/// Kept as the difference from the first value.
pub struct Atomic<V: Word> {
    initial: V,
    cell: OnceLock<Rc<Cell>>,
}

// SAFETY: loom's threads are all on one of the system's.
unsafe impl<V: Word> Send for Atomic<V> {}
// SAFETY: as above.
unsafe impl<V: Word> Sync for Atomic<V> {}

pub trait Word: Copy {
    fn into_word(self) -> u64;
    fn from_word(word: u64) -> Self;
}

impl<V: Word> Atomic<V> {
    pub const fn new(initial: V) -> Self {
        Atomic {
            initial,
            cell: OnceLock::new(),
        }
    }

    fn inner(&self) -> &of_loom::AtomicU64 {
        let take = || CELLS.with_borrow_mut(|cells| cells.pop().expect("prepare more"));
        let (atomic, beside) = &**self.cell.get_or_init(take);
        beside.fetch_add(1, Ordering::Relaxed);
        atomic
    }

    fn kept(&self, value: V) -> u64 {
        value.into_word().wrapping_sub(self.initial.into_word())
    }

    fn value(&self, kept: u64) -> V {
        V::from_word(kept.wrapping_add(self.initial.into_word()))
    }

    pub fn load(&self, order: Ordering) -> V {
        self.value(self.inner().load(order))
    }

    pub fn store(&self, value: V, order: Ordering) {
        self.inner().store(self.kept(value), order);
    }

    pub fn swap(&self, value: V, order: Ordering) -> V {
        self.value(self.inner().swap(self.kept(value), order))
    }

    pub fn compare_exchange(
        &self,
        current: V,
        new: V,
        success: Ordering,
        failure: Ordering,
    ) -> Result<V, V> {
        let (current, new) = (self.kept(current), self.kept(new));
        let exchanged = self
            .inner()
            .compare_exchange(current, new, success, failure);
        exchanged
            .map(|kept| self.value(kept))
            .map_err(|kept| self.value(kept))
    }

    pub fn fetch_update(
        &self,
        success: Ordering,
        failure: Ordering,
        mut update: impl FnMut(V) -> Option<V>,
    ) -> Result<V, V> {
        let mut before = self.load(failure);
        while let Some(after) = update(before) {
            match self.compare_exchange(before, after, success, failure) {
                Ok(before) => return Ok(before),
                Err(other) => before = other,
            }
        }
        Err(before)
    }
}

macro_rules! numbers {
    ($($name:ident($number:ty);)+) => {$(
        pub type $name = Atomic<$number>;
        impl Word for $number {
            fn into_word(self) -> u64 {
                u64::from(self)
            }
            fn from_word(word: u64) -> Self {
                word as $number
            }
        }
        impl Atomic<$number> {
            pub fn fetch_add(&self, by: $number, order: Ordering) -> $number {
                self.value(self.inner().fetch_add(u64::from(by), order))
            }
            pub fn fetch_or(&self, bits: $number, order: Ordering) -> $number {
                let update = |before: $number| Some(before | bits);
                self.fetch_update(order, Ordering::Relaxed, update).unwrap()
            }
            pub fn fetch_max(&self, other: $number, order: Ordering) -> $number {
                let update = |before: $number| Some(before.max(other));
                self.fetch_update(order, Ordering::Relaxed, update).unwrap()
            }
            pub fn fetch_min(&self, other: $number, order: Ordering) -> $number {
                let update = |before: $number| Some(before.min(other));
                self.fetch_update(order, Ordering::Relaxed, update).unwrap()
            }
        }
    )+};
}

numbers! {
    AtomicU32(u32);
    AtomicU64(u64);
}

pub type AtomicPtr<T> = Atomic<*mut T>;

impl<T> Word for *mut T {
    fn into_word(self) -> u64 {
        self as usize as u64
    }
    fn from_word(word: u64) -> Self {
        word as usize as *mut T
    }
}

/// Stands for crossbeam's queue, with less order among its operations than that gives: a push comes
/// before the pop that takes it.
pub struct SegQueue<T> {
    items: Mutex<VecDeque<(T, AtomicU32)>>,
    /// Of which all threads know.
    beside: AtomicU32,
}

impl<T> SegQueue<T> {
    pub const fn new() -> Self {
        SegQueue {
            items: Mutex::new(VecDeque::new()),
            beside: AtomicU32::new(0),
        }
    }

    pub fn push(&self, value: T) {
        let order = AtomicU32::new(0);
        order.store(1, Ordering::Release);
        self.beside.load(Ordering::Relaxed);
        self.items.lock().unwrap().push_back((value, order));
    }

    pub fn pop(&self) -> Option<T> {
        self.beside.load(Ordering::Relaxed);
        let (value, order) = self.items.lock().unwrap().pop_front()?;
        order.fetch_add(1, Ordering::Acquire);
        Some(value)
    }

    pub fn len(&self) -> usize {
        self.beside.load(Ordering::Relaxed);
        self.items.lock().unwrap().len()
    }
}
