//! What a breaker is made with. Times are nanoseconds.

use std::num::NonZeroU32;

#[derive(Clone, Debug)]
pub struct Settings {
    /// So many failures in a row open it.
    pub failures: Option<NonZeroU32>,
    /// Such shares of the calls in the window open it, from so many calls on.
    pub failure_rate: Option<f64>,
    pub slow_rate: Option<f64>,
    pub minimum_calls: u32,
    pub window: Option<Span>,
    /// A call that takes longer is slow.
    pub slow_call: Option<u64>,
    pub wait: Wait,
    /// Calls that a half-open breaker admits, at least 1.
    pub probes: u32,
    /// Those of them that must succeed for it to close: from 1 to all.
    pub successes: u32,
    /// After this time a probe has failed.
    pub probe_timeout: Option<u64>,
}

/// How much of the past counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    Calls(NonZeroU32),
    Time(u64),
}

/// How long it stays open.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When it has been closed before.
    pub first: u64,
    /// By what each further one is longer than the last, at least 1.0.
    pub factor: f64,
    pub longest: u64,
    /// The part of a wait, from 0.0 to 1.0, that it may be shorter or longer by.
    pub jitter: f64,
}
