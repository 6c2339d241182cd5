//! What may be done without the lock that a [`Machine`] is in: what changes nothing but a count.
//!
//! Whoever changed the machine sets the gate before giving the lock up. Who reads it then acts as if
//! it had come before the next one who gets the lock.

use super::machine::{Entry, Machine, StateName, SKEW};
use std::sync::atomic::{AtomicU64, Ordering};

pub struct Gate {
    /// What may be done, and above it when the period began.
    word: AtomicU64,
    /// Up to when calls are refused.
    until: AtomicU64,
}

/// Nothing.
const ASK: u64 = 0;
/// Calls pass, and what becomes of them must be told.
const PASS: u64 = 1;
/// Calls pass, and one that succeeds soon enough changes nothing.
const CALM: u64 = 2;
/// Calls are refused.
const REFUSE: u64 = 3;
const BITS: u32 = 2;

impl Gate {
    pub fn new(machine: &Machine) -> Self {
        let gate = Gate {
            word: AtomicU64::new(ASK),
            until: AtomicU64::new(0),
        };
        gate.set(machine);
        gate
    }

    /// To be called by who holds the machine's lock.
    #[inline]
    pub fn set(&self, machine: &Machine) {
        let what = match machine.state() {
            StateName::Closed | StateName::Disabled if machine.is_calm() => CALM,
            StateName::Closed | StateName::Disabled => PASS,
            StateName::HalfOpen => ASK,
            StateName::Open => {
                let until = machine.open_until().unwrap_or(u64::MAX);
                self.until.store(until, Ordering::Relaxed);
                REFUSE
            }
        };
        let word = machine.since() << BITS | what;
        if self.word.load(Ordering::Relaxed) != word {
            // After `until`: who reads this reads that, or a later one.
            self.word.store(word, Ordering::Release);
        }
    }

    /// What the machine would answer; `None` where it must be asked.
    #[inline(always)]
    pub fn enter(&self, now: u64) -> Option<Entry> {
        let word = self.word.load(Ordering::Acquire);
        match word & ((1 << BITS) - 1) {
            PASS | CALM => Some(Entry::Pass(now.max(word >> BITS))),
            REFUSE => {
                let until = self.until.load(Ordering::Relaxed);
                let left = (until != u64::MAX).then(|| until.saturating_sub(now));
                (now < until).then_some(Entry::Refused(left))
            }
            _ => None,
        }
    }

    /// Whether a success, that was not slow, of a call that began then changes nothing.
    #[inline(always)]
    pub fn is_nothing(&self, began: u64, now: u64) -> bool {
        let word = self.word.load(Ordering::Acquire);
        let since = word >> BITS;
        word & ((1 << BITS) - 1) == CALM && began >= since && began <= now.max(since) + SKEW
    }
}
