//! What a new breaker is asked to be.

use crate::atoms;
use crate::boundary::{small, tuple};
use pool_core::breaker::{Settings, Span, Wait};
use rustler::sys::*;
use std::num::NonZeroU32;

const MOST_CALLS: u32 = 100_000;
const MOST_PROBES: u32 = 1_000;
/// In milliseconds: as nanoseconds, times and sums of some are far from the end of 64 bits.
const MOST_TIME: u64 = 1 << 40;
const NANOSECONDS: u64 = 1_000_000;

/// From a tuple as the door makes it.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
pub unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Settings> {
    // SAFETY: the caller's promise.
    unsafe {
        let terms: [ErlNifTerm; 13] = tuple(env, term)?;
        let settings = Settings {
            failures: unless(terms[0], atoms::infinity, number_of)?,
            failure_rate: unless(terms[1], atoms::none, |term| rate(env, term))?,
            slow_rate: unless(terms[2], atoms::none, |term| rate(env, term))?,
            minimum_calls: number(terms[3], MOST_CALLS)?.get(),
            window: unless(terms[4], atoms::none, |term| span(env, term))?,
            slow_call: unless(terms[5], atoms::none, time)?,
            wait: Wait {
                first: time(terms[6])?,
                factor: float(env, terms[7], 1.0, 1.0e6)?,
                longest: time(terms[8])?,
                jitter: float(env, terms[9], 0.0, 1.0)?,
            },
            probes: number(terms[10], MOST_PROBES)?.get(),
            successes: number(terms[11], MOST_PROBES)?.get(),
            probe_timeout: unless(terms[12], atoms::infinity, time)?,
        };
        (settings.successes <= settings.probes).then_some(settings)
    }
}

/// No answer where the term is neither the atom nor what `read` reads.
fn unless<T>(
    term: ErlNifTerm,
    atom: fn() -> rustler::Atom,
    read: impl FnOnce(ErlNifTerm) -> Option<T>,
) -> Option<Option<T>> {
    if term == atom().as_c_arg() {
        Some(None)
    } else {
        read(term).map(Some)
    }
}

fn number(term: ErlNifTerm, most: u32) -> Option<NonZeroU32> {
    let number = NonZeroU32::new(u32::try_from(small(term)?).ok()?)?;
    (number.get() <= most).then_some(number)
}

fn number_of(term: ErlNifTerm) -> Option<NonZeroU32> {
    number(term, MOST_CALLS)
}

/// Of milliseconds.
pub fn time(term: ErlNifTerm) -> Option<u64> {
    let milliseconds = u64::try_from(small(term)?).ok()?;
    (milliseconds < MOST_TIME).then(|| milliseconds * NANOSECONDS)
}

/// In milliseconds, of which one that has begun is one.
pub fn milliseconds(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(NANOSECONDS)
}

unsafe fn span(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Span> {
    // SAFETY: the caller's promise, as below.
    let [kind, length] = unsafe { tuple(env, term) }?;
    if kind == atoms::count().as_c_arg() {
        number(length, MOST_CALLS).map(Span::Calls)
    } else if kind == atoms::time().as_c_arg() {
        time(length).filter(|&time| time > 0).map(Span::Time)
    } else {
        None
    }
}

unsafe fn rate(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<f64> {
    // SAFETY: as above.
    unsafe { float(env, term, f64::MIN_POSITIVE, 1.0) }
}

unsafe fn float(env: *mut ErlNifEnv, term: ErlNifTerm, least: f64, most: f64) -> Option<f64> {
    let mut number = 0.0;
    // SAFETY: as above.
    let is_float = unsafe { enif_get_double(env, term, &mut number) != 0 };
    (is_float && number >= least && number <= most).then_some(number)
}
