//! A lock that nobody waits for. Who cannot get it comes back later, or, where it must be done
//! and there is no later, leaves it to whoever has the lock, who does it before giving it up.
//! (Hendler, Incze, Shavit, Tzafrir, Flat Combining, 2010, is the idea at its fullest.)

use crate::sync::{AtomicU32, Ordering, SegQueue, UnsafeCell};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What such a lock guards.
pub trait Combine {
    /// What can be left to whoever has the lock.
    type Deferred;
    /// What is to be done once the lock is free again, such as sending messages.
    type Effect;

    fn apply(&mut self, deferred: Self::Deferred);
    /// Those that wait for the lock to be free.
    fn effects(&mut self) -> &mut Vec<Self::Effect>;
}

pub struct Combining<T: Combine> {
    /// Whether it is held and whether something was deferred since: in one word, so that whoever
    /// defers either gets the lock or is seen by its holder.
    word: AtomicU32,
    deferred: SegQueue<T::Deferred>,
    value: UnsafeCell<T>,
}

const FREE: u32 = 0;
const HELD: u32 = 1;
const PENDING: u32 = 2;

// SAFETY: the value is used by one thread at a time, the queue may be used by all.
unsafe impl<T: Combine + Send> Sync for Combining<T> where T::Deferred: Send {}
// SAFETY: as above.
unsafe impl<T: Combine + Send> Send for Combining<T> where T::Deferred: Send {}

/// Gives the lock up, also where a body panics.
struct Held<'a, T: Combine> {
    lock: &'a Combining<T>,
    is_free: bool,
    effects: Vec<T::Effect>,
}

impl<T: Combine> Combining<T> {
    pub fn new(value: T) -> Self {
        Combining {
            word: AtomicU32::new(FREE),
            deferred: SegQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Calls `body` if the lock is free. With its result come the effects that are to be done now,
    /// its own and others'.
    #[inline(always)]
    pub fn try_with<R>(&self, body: impl FnOnce(&mut T) -> R) -> Option<(R, Vec<T::Effect>)> {
        self.word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        let mut held = Held::new(self);
        // SAFETY: the lock is held.
        let result = self.value.with_mut(|value| unsafe { body(&mut *value) });
        held.give_up();
        Some((result, std::mem::take(&mut held.effects)))
    }

    /// Has it applied by this thread if the lock is free, else by the one that holds it. The effects
    /// that are to be done now are given.
    pub fn defer(&self, deferred: T::Deferred) -> Vec<T::Effect> {
        let mut deferred = Some(deferred);
        let done = self.try_with(|value| deferred.take().map(|deferred| value.apply(deferred)));
        let deferred = match (done, deferred) {
            (None, Some(deferred)) => deferred,
            (done, _) => return done.map_or_else(Vec::new, |(_, effects)| effects),
        };
        self.deferred.push(deferred);
        let before = self.word.fetch_or(HELD | PENDING, Ordering::AcqRel);
        if before & HELD != 0 {
            return Vec::new();
        }
        let mut held = Held::new(self);
        held.give_up();
        std::mem::take(&mut held.effects)
    }
}

impl<'a, T: Combine> Held<'a, T> {
    fn new(lock: &'a Combining<T>) -> Self {
        Held {
            lock,
            is_free: false,
            effects: Vec::new(),
        }
    }

    #[inline(always)]
    fn give_up(&mut self) {
        let lock = self.lock;
        loop {
            // SAFETY: the lock is held.
            lock.value.with_mut(|value| unsafe {
                let effects = (*value).effects();
                if !effects.is_empty() {
                    self.effects.append(effects);
                }
            });
            if self.try_to_free() {
                return;
            }
            self.apply_deferred();
        }
    }

    /// Not where something was deferred.
    #[inline(always)]
    fn try_to_free(&mut self) -> bool {
        let word = &self.lock.word;
        self.is_free = word
            .compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed)
            .is_ok();
        self.is_free
    }

    #[cold]
    #[inline(never)]
    fn apply_deferred(&self) {
        // Marked again by whoever defers from here on.
        self.lock.word.swap(HELD, Ordering::AcqRel);
        while let Some(deferred) = self.lock.deferred.pop() {
            // SAFETY: the lock is held.
            self.lock
                .value
                .with_mut(|value| unsafe { (*value).apply(deferred) });
        }
    }

    /// The effects go to the next holder. Another panic, which what the first has left behind may
    /// well lead to, must not leave from here: it would end the VM.
    #[cold]
    #[inline(never)]
    fn give_up_after_a_panic(&mut self) {
        // SAFETY: the lock is held.
        self.lock.value.with_mut(|value| unsafe {
            let effects = (*value).effects();
            self.effects.append(effects);
            effects.append(&mut self.effects);
        });
        let mut is_some_left = true;
        while !self.is_free {
            if is_some_left {
                self.lock.word.fetch_or(PENDING, Ordering::AcqRel);
            }
            if !self.try_to_free() {
                let applied = catch_unwind(AssertUnwindSafe(|| self.apply_deferred()));
                is_some_left = applied.is_err();
            }
        }
    }
}

impl<T: Combine> Drop for Held<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.is_free {
            self.give_up_after_a_panic();
        }
    }
}
