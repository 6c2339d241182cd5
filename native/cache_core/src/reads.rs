//! The hits of one thread that the policy has yet to hear of. The thread that owns the ring adds
//! to it; whoever takes `draining` empties it.

use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub const CAPACITY: usize = 64;

pub struct Reads {
    slots: [AtomicU64; CAPACITY],
    /// How many were ever added, written by the owner alone.
    tail: AtomicUsize,
    /// How many were ever taken out, written by who drains.
    head: AtomicUsize,
    draining: AtomicBool,
}

impl Reads {
    pub fn new() -> Self {
        Reads {
            slots: std::array::from_fn(|_| AtomicU64::new(0)),
            tail: AtomicUsize::new(0),
            head: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
        }
    }

    /// For the owner: the number of reads that wait, this one included, or `None` if there was no
    /// room for it.
    #[inline]
    pub fn push(&self, read: u64) -> Option<usize> {
        let tail = self.tail.load(Ordering::Relaxed);
        // Pairs with the release in `drain`: the slot has been read before it is written.
        let waiting = tail.wrapping_sub(self.head.load(Ordering::Acquire));
        if waiting == CAPACITY {
            return None;
        }
        self.slots[tail % CAPACITY].store(read, Ordering::Relaxed);
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        Some(waiting + 1)
    }

    pub fn is_empty(&self) -> bool {
        self.tail.load(Ordering::Relaxed) == self.head.load(Ordering::Relaxed)
    }

    /// Takes reads out, oldest first, until `apply` refuses one, which stays.
    pub fn drain(&self, mut apply: impl FnMut(u64) -> bool) {
        let (acquire, relaxed) = (Ordering::Acquire, Ordering::Relaxed);
        if (self
            .draining
            .compare_exchange(false, true, acquire, relaxed))
        .is_err()
        {
            return;
        }
        let mut head = self.head.load(Ordering::Relaxed);
        // Pairs with the release in `push`: the slots up to there are written.
        let tail = self.tail.load(Ordering::Acquire);
        while head != tail && apply(self.slots[head % CAPACITY].load(Ordering::Relaxed)) {
            head = head.wrapping_add(1);
        }
        self.head.store(head, Ordering::Release);
        self.draining.store(false, Ordering::Release);
    }
}
