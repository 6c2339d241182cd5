//! Threads of ours: those that live as long as there is something to care for, and those that drop
//! what would take a scheduler too long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Drops something large on a thread of its own, or here where none can be started.
pub fn drop_elsewhere<T: Send + 'static>(name: &str, value: T) {
    let thread = thread::Builder::new().name(name.into());
    // What is not started drops what it was given.
    let _ = thread.spawn(move || drop(value));
}

/// A thread that one at a time runs of.
pub struct Keeper {
    name: &'static str,
    runs: AtomicBool,
}

impl Keeper {
    pub const fn new(name: &'static str) -> Self {
        Keeper {
            name,
            runs: AtomicBool::new(false),
        }
    }

    /// Makes sure that the thread runs; whether it does. `body` returns soon after
    /// [`may_end`](Self::may_end) said so.
    pub fn ensure(&self, body: fn()) -> bool {
        if self.runs.swap(true, Ordering::AcqRel) {
            return true;
        }
        let name = String::from(self.name);
        let started = thread::Builder::new().name(name).spawn(body);
        if started.is_err() {
            self.runs.store(false, Ordering::Release);
        }
        started.is_ok()
    }

    /// To be asked by the thread that has nothing more to do. `is_wanted`: whether there is
    /// something to do after all.
    pub fn may_end(&self, is_wanted: impl FnOnce() -> bool) -> bool {
        // A swap: it either comes before that of whoever has something to do, and another thread
        // is started, or sees that, and what there is to do.
        self.runs.swap(false, Ordering::AcqRel);
        !is_wanted() || self.runs.swap(true, Ordering::AcqRel)
    }
}
