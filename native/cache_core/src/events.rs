//! What happened to entries, for those who subscribed: a bounded queue each, which counts what it
//! had no room for, and one wake-up each time that it stops being empty.

use crate::sync::{
    spin_loop, Arc, ArrayQueue, AtomicBool, AtomicU64, AtomicU8, AtomicUsize, Ordering, RwLock,
    TRIES,
};

/// The keys of a queue take no more than this, however many events it has room for.
pub const KEY_BYTES: usize = 16 << 20;

/// `E` is what an event is to the caller.
pub struct Subscriber<E> {
    /// A set of bits, of whatever meaning to the caller.
    kinds: u8,
    /// With the size of each event's key.
    queue: ArrayQueue<(E, usize)>,
    key_bytes: AtomicUsize,
    dropped: AtomicU64,
    /// Whether the subscriber has been or is about to be told that there are events: set by the
    /// first to push one, cleared by the reader that finds no more.
    told: AtomicBool,
    /// Whether it is yet to be told.
    due: AtomicBool,
    closed: AtomicBool,
    /// Events of the whole hub that no queue was found for, and how many were so at the last look.
    missed: Arc<AtomicU64>,
    missed_seen: AtomicU64,
}

impl<E> Subscriber<E> {
    /// At most `max` events, and whether there may be more. If not, the next event tells again.
    pub fn pull(&self, max: usize, mut each: impl FnMut(E)) -> bool {
        let mut count = 0;
        while count < max {
            if let Some((event, size)) = self.queue.pop() {
                self.key_bytes.fetch_sub(size, Ordering::Relaxed);
                each(event);
                count += 1;
                continue;
            }
            // Both sides read and write `told` at once, so that one of them comes second: a push
            // that comes before is seen below, one that comes after tells.
            self.told.swap(false, Ordering::AcqRel);
            if self.queue.is_empty() || self.told.swap(true, Ordering::AcqRel) {
                return false;
            }
        }
        true
    }

    /// Events that found no room since the last call.
    pub fn take_dropped(&self) -> u64 {
        let missed = self.missed.load(Ordering::Relaxed);
        let seen = self.missed_seen.swap(missed, Ordering::Relaxed);
        self.dropped.swap(0, Ordering::Relaxed) + missed.saturating_sub(seen)
    }

    /// Nothing comes any more. It goes from the hub at the next sweep.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether the subscriber is to be told.
    fn push(&self, size: usize, event: impl FnOnce() -> E) -> bool {
        let sum = self.key_bytes.fetch_add(size, Ordering::Relaxed) + size;
        if sum > KEY_BYTES || self.queue.push((event(), size)).is_err() {
            self.key_bytes.fetch_sub(size, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        !self.told.swap(true, Ordering::AcqRel)
    }
}

/// The subscribers of one cache; `H` is the caller's handle of each.
pub struct Hub<H> {
    subscribers: RwLock<Vec<H>>,
    /// The kinds that anybody wants.
    kinds: AtomicU8,
    /// Whether anybody is yet to be told.
    due: AtomicBool,
    missed: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The list is in use; nothing was done.
    Busy,
    /// There are [`SUBSCRIBERS`] already.
    Full,
}

/// Each takes part of every change.
pub const SUBSCRIBERS: usize = 64;

impl<H> Default for Hub<H> {
    fn default() -> Self {
        Hub {
            subscribers: RwLock::new(Vec::new()),
            kinds: AtomicU8::new(0),
            due: AtomicBool::new(false),
            missed: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl<H> Hub<H> {
    /// What [`Self::add`] takes, wrapped by the caller.
    pub fn subscriber<E>(&self, kinds: u8, capacity: usize) -> Subscriber<E> {
        Subscriber {
            kinds,
            queue: ArrayQueue::new(capacity.max(1)),
            key_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            told: AtomicBool::new(false),
            due: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            missed: Arc::clone(&self.missed),
            missed_seen: AtomicU64::new(self.missed.load(Ordering::Relaxed)),
        }
    }

    pub fn add<E>(&self, handle: H) -> Result<(), Refused>
    where
        H: AsRef<Subscriber<E>>,
    {
        self.change(|list| {
            if list.len() == SUBSCRIBERS {
                return Err(Refused::Full);
            }
            list.push(handle);
            Ok(())
        })
    }

    /// Takes out the subscribers that are closed. `Busy` leaves them for another time: they get
    /// nothing more as it is.
    pub fn sweep<E>(&self) -> Result<(), Refused>
    where
        H: AsRef<Subscriber<E>>,
    {
        let any = match self.subscribers.try_read() {
            Some(list) => list.iter().any(|handle| handle.as_ref().is_closed()),
            None => return Err(Refused::Busy),
        };
        if any {
            self.change(|_| Ok(()))
        } else {
            Ok(())
        }
    }

    fn change<E>(
        &self,
        change: impl FnOnce(&mut Vec<H>) -> Result<(), Refused>,
    ) -> Result<(), Refused>
    where
        H: AsRef<Subscriber<E>>,
    {
        for _ in 0..TRIES {
            if let Some(mut list) = self.subscribers.try_write() {
                let (gone, mut kept): (Vec<H>, Vec<H>) = list
                    .drain(..)
                    .partition(|handle| handle.as_ref().is_closed());
                let answer = change(&mut kept);
                let kinds = kept
                    .iter()
                    .fold(0, |sum, handle| sum | handle.as_ref().kinds);
                *list = kept;
                self.kinds.store(kinds, Ordering::Relaxed);
                drop(list);
                drop(gone); // with what is in their queues
                return answer;
            }
            spin_loop();
        }
        Err(Refused::Busy)
    }

    /// Whether anybody wants events of this kind: cheap, and to be asked first.
    #[inline]
    pub fn wants(&self, kind: u8) -> bool {
        self.kinds.load(Ordering::Relaxed) & kind != 0
    }

    /// Puts an event into the queue of each subscriber who wants its kind. Never blocks. `size`
    /// is that of the event's key.
    pub fn publish<E>(&self, kind: u8, size: usize, event: impl Fn() -> E)
    where
        H: AsRef<Subscriber<E>>,
    {
        for _ in 0..TRIES {
            if let Some(list) = self.subscribers.try_read() {
                for subscriber in list.iter().map(AsRef::as_ref) {
                    if subscriber.kinds & kind != 0
                        && !subscriber.is_closed()
                        && subscriber.push(size, &event)
                    {
                        subscriber.due.store(true, Ordering::Release);
                        self.due.store(true, Ordering::Release);
                    }
                }
                return;
            }
            spin_loop();
        }
        // Somebody is being added or removed, and the scheduler cannot wait for that.
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives each subscriber that has events and has not been told to `tell`, once. To be called
    /// when whatever published is done, outside of locks.
    #[inline]
    pub fn collect<E>(&self, tell: impl FnMut(&H))
    where
        H: AsRef<Subscriber<E>>,
    {
        if self.due.load(Ordering::Relaxed) {
            self.collect_due(tell);
        }
    }

    #[cold]
    fn collect_due<E>(&self, mut tell: impl FnMut(&H))
    where
        H: AsRef<Subscriber<E>>,
    {
        // While the list is being changed it stays due, for whoever calls next.
        let Some(list) = self.subscribers.try_read() else {
            return;
        };
        if self.due.swap(false, Ordering::AcqRel) {
            for handle in list.iter() {
                let subscriber = handle.as_ref();
                if subscriber.due.swap(false, Ordering::AcqRel) && !subscriber.is_closed() {
                    tell(handle);
                }
            }
        }
    }
}
