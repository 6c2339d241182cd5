//! How much one call may do on a normal scheduler.
//!
//! Work is counted in units of about a nanosecond, which a cold cache can make several; so when
//! a portion of them is used up the clock decides whether there is another.

use rustler::sys::{enif_consume_timeslice, ErlNifEnv};
use std::time::{Duration, Instant};

/// One portion; small terms need no more, and no clock.
const PORTION: i64 = 10_000;

/// Portions are given out until so much time has passed since the first was used up.
const TIME: Duration = Duration::from_micros(250);

/// What a byte of a string may take when every one of them must be escaped.
const NANOSECONDS_PER_BYTE: u64 = 2;

pub(super) struct Budget {
    left: i64,
    /// When the first portion was used up; `None` while it is not.
    since: Option<Instant>,
    limited: bool,
    /// Something was asked for that no call's budget suffices for.
    pub too_large: bool,
}

impl Budget {
    pub const NORMAL: Budget = Budget {
        left: PORTION,
        since: None,
        limited: true,
        too_large: false,
    };
    pub const DIRTY: Budget = Budget {
        left: i64::MAX,
        since: None,
        limited: false,
        too_large: false,
    };

    #[inline(always)]
    pub fn spend(&mut self, units: i64) {
        self.left -= units;
    }

    /// Whether there is something left, after asking the clock if need be.
    #[inline(always)]
    pub fn suffices(&mut self) -> bool {
        self.left > 0 || self.next_portion(Duration::ZERO)
    }

    /// Whether a string of so many bytes may be written now; if so it is paid for.
    #[inline(always)]
    pub fn string(&mut self, bytes: usize) -> bool {
        let units = bytes as i64 / 2;
        if units > self.left {
            let time = Duration::from_nanos(bytes as u64 * NANOSECONDS_PER_BYTE);
            return self.next_portion(time);
        }
        self.left -= units;
        true
    }

    /// Units for work that cannot stop midway.
    pub fn undivided(&self) -> i64 {
        if self.limited {
            10 * PORTION
        } else {
            i64::MAX
        }
    }

    #[cold]
    #[inline(never)]
    fn next_portion(&mut self, ahead: Duration) -> bool {
        if self.limited {
            let since = *self.since.get_or_insert_with(Instant::now);
            if since.elapsed() + ahead > TIME {
                self.too_large |= ahead > TIME / 2;
                return false;
            }
        }
        self.left = if self.limited { PORTION } else { i64::MAX };
        true
    }

    /// Reductions for what was done; on a dirty scheduler there are none.
    ///
    /// # Safety
    /// `env` is the calling environment.
    pub unsafe fn charge(&self, env: *mut ErlNifEnv) {
        /// A hundredth of a timeslice, in nanoseconds.
        const PERCENT: u64 = 10_000;
        let used = match self.since {
            _ if !self.limited => return,
            Some(since) => since.elapsed().as_nanos() as u64 + PORTION as u64,
            None => (PORTION - self.left).max(0) as u64,
        };
        if used >= PERCENT / 5 {
            let percent = (1 + used / PERCENT).min(100);
            // SAFETY: the caller's promise.
            unsafe { enif_consume_timeslice(env, percent as i32) };
        }
    }
}
