//! What `src/sync.rs` is in the library.

pub use loom::hint::spin_loop;
use loom::sync::atomic as of_loom;
pub use loom::sync::atomic::Ordering;
pub use loom::sync::Arc;
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Each try more multiplies the interleavings and adds none that matters.
pub const TRIES: usize = 1;

/// Loom's own locks make a thread that tries wait where the lock is about to be taken.
pub struct Mutex<T> {
    is_locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: as std's.
unsafe impl<T: Send> Sync for Mutex<T> {}

pub struct MutexGuard<'a, T>(&'a Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Mutex {
            is_locked: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let taken =
            (self.is_locked).compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| MutexGuard(self))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: locked.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: locked.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.0.is_locked.store(false, Ordering::Release);
    }
}

pub struct RwLock<T> {
    /// The number of readers, or [`WRITER`].
    state: AtomicUsize,
    value: UnsafeCell<T>,
}

const WRITER: usize = usize::MAX;

// SAFETY: as std's.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

pub struct ReadGuard<'a, T>(&'a RwLock<T>);
pub struct WriteGuard<'a, T>(&'a RwLock<T>);

impl<T> RwLock<T> {
    pub fn new(value: T) -> Self {
        RwLock {
            state: AtomicUsize::new(0),
            value: UnsafeCell::new(value),
        }
    }

    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        let enter = |readers| (readers != WRITER).then(|| readers + 1);
        let entered = (self.state).fetch_update(Ordering::Acquire, Ordering::Relaxed, enter);
        entered.is_ok().then(|| ReadGuard(self))
    }

    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let taken = (self.state).compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| WriteGuard(self))
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: no writer is there.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: nobody else is there.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: nobody else is there.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(1, Ordering::Release);
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        self.0.state.store(0, Ordering::Release);
    }
}

/// One of loom's atomics. Loom orders a write anew only against the last access of the variable,
/// which hides the loads of others behind one of the writer's own: so each access begins with a
/// write of a variable beside it. It adds no order in memory.
#[derive(Debug)]
pub struct Atomic<A> {
    atomic: A,
    beside: of_loom::AtomicUsize,
    /// Whether the variable exists: tables are freed in the models.
    mark: std::sync::atomic::AtomicU64,
}

const ALIVE: u64 = 0x616c_6976_6521_6b6b;

impl<A> Atomic<A> {
    fn around(atomic: A) -> Self {
        Atomic {
            atomic,
            beside: of_loom::AtomicUsize::new(0),
            mark: std::sync::atomic::AtomicU64::new(ALIVE),
        }
    }
}

impl<A> Deref for Atomic<A> {
    type Target = A;
    fn deref(&self) -> &A {
        self.beside.fetch_add(1, Ordering::Relaxed);
        let mark = self.mark.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(mark, ALIVE, "used after it was freed");
        &self.atomic
    }
}

impl<A> Drop for Atomic<A> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.beside.fetch_add(1, Ordering::Relaxed);
        }
        self.mark.store(0, std::sync::atomic::Ordering::SeqCst);
    }
}

macro_rules! atomics {
    ($($name:ident($value:ty);)+) => {$(
        pub type $name = Atomic<of_loom::$name>;
        impl $name {
            pub fn new(value: $value) -> Self {
                Atomic::around(of_loom::$name::new(value))
            }
        }
    )+};
}

atomics! {
    AtomicBool(bool);
    AtomicU8(u8);
    AtomicU64(u64);
    AtomicUsize(usize);
}

pub type AtomicPtr<T> = Atomic<of_loom::AtomicPtr<T>>;

impl<T> AtomicPtr<T> {
    pub fn new(value: *mut T) -> Self {
        Atomic::around(of_loom::AtomicPtr::new(value))
    }
}

/// Stands for crossbeam's queue, with less order among its operations than that gives. Places
/// are used once.
pub struct ArrayQueue<T> {
    places: Box<[AtomicPtr<T>]>,
    tail: AtomicUsize,
    head: AtomicUsize,
}

impl<T> ArrayQueue<T> {
    pub fn new(capacity: usize) -> Self {
        let place = || AtomicPtr::new(std::ptr::null_mut());
        ArrayQueue {
            places: (0..capacity).map(|_| place()).collect(),
            tail: AtomicUsize::new(0),
            head: AtomicUsize::new(0),
        }
    }

    pub fn push(&self, value: T) -> Result<(), T> {
        let at = self.tail.fetch_add(1, Ordering::Relaxed);
        if at >= self.places.len() {
            return Err(value);
        }
        // A swap, since loom lets a store come before a swap that did not see it.
        self.places[at].swap(Box::into_raw(Box::new(value)), Ordering::Release);
        Ok(())
    }

    /// For one reader.
    pub fn pop(&self) -> Option<T> {
        let at = self.head.load(Ordering::Relaxed);
        let value = self
            .places
            .get(at)?
            .swap(std::ptr::null_mut(), Ordering::Acquire);
        if value.is_null() {
            return None;
        }
        self.head.store(at + 1, Ordering::Relaxed);
        // SAFETY: made by `push` and taken out once.
        Some(*unsafe { Box::from_raw(value) })
    }

    pub fn is_empty(&self) -> bool {
        let at = self.head.load(Ordering::Relaxed);
        (self.places.get(at)).is_none_or(|place| place.load(Ordering::Acquire).is_null())
    }
}

impl<T> Drop for ArrayQueue<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
