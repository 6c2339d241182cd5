//! What is asked of one key.

use super::handle::{number, with_shards, Kind, Limiter, LIMITERS, NORMAL, PRIORITIES};
use crate::atoms;
use crate::boundary::{boolean, small};
use crate::clock::nanoseconds;
use crate::tried::Fault;
use pool_core::limiter::shard::Outcome;
use pool_core::limiter::{Ask, Verdict, LARGEST, NEVER};
use rustler::sys::*;
use smallvec::SmallVec;

/// What there is to tell of a change, and of which of several it is.
pub type Events = SmallVec<[(rustler::Atom, usize); 4]>;

/// Nanoseconds as milliseconds, never too few.
///
/// # Safety
/// `env` must be the calling environment.
unsafe fn milliseconds(env: *mut ErlNifEnv, nanoseconds: u64) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    match nanoseconds {
        NEVER => atoms::infinity().as_c_arg(),
        // SAFETY: the caller's promise.
        _ => unsafe { enif_make_uint64(env, nanoseconds.div_ceil(1_000_000)) },
    }
}

/// # Safety
/// `env` must be the calling environment and `value` a term of it.
#[inline(always)]
pub unsafe fn make_ok(env: *mut ErlNifEnv, value: ErlNifTerm) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe { enif_make_tuple_from_array(env, [atoms::ok().as_c_arg(), value].as_ptr(), 2) }
}

/// # Safety
/// `env` must be the calling environment.
pub unsafe fn make_refused(env: *mut ErlNifEnv, wait: u64) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let parts = [
            atoms::error().as_c_arg(),
            atoms::rate_limited().as_c_arg(),
            milliseconds(env, wait),
        ];
        enif_make_tuple_from_array(env, parts.as_ptr(), 3)
    }
}

/// `{ok, Left}` or `{error, rate_limited, RetryAfter}`.
///
/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
pub unsafe fn make_verdict(env: *mut ErlNifEnv, verdict: Verdict) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        match verdict {
            Verdict::Taken { left, .. } => {
                make_ok(env, crate::boundary::make_integer(env, left.cast_signed()))
            }
            Verdict::Refused { wait } => make_refused(env, wait),
        }
    }
}

/// The answer, or `{events, Answer, [{blocked | unblocked, Nth}]}`.
///
/// # Safety
/// `env` must be the calling environment and `answer` a term of it.
#[cold]
#[inline(never)]
pub unsafe fn with_events(env: *mut ErlNifEnv, answer: ErlNifTerm, events: &Events) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let mut list = enif_make_list_from_array(env, [].as_ptr(), 0);
        for &(event, nth) in events.iter().rev() {
            let parts = [event.as_c_arg(), enif_make_uint64(env, nth as u64)];
            let event = enif_make_tuple_from_array(env, parts.as_ptr(), 2);
            list = enif_make_list_cell(env, event, list);
        }
        let parts = [atoms::events().as_c_arg(), answer, list];
        enif_make_tuple_from_array(env, parts.as_ptr(), 3)
    }
}

pub fn note(outcome: &Outcome, nth: usize, events: &mut Events) {
    if outcome.unblocked {
        events.push((atoms::unblocked(), nth));
    }
    if outcome.blocked {
        events.push((atoms::blocked(), nth));
    }
}

/// # Safety
/// `env` must be the calling environment and the terms its.
#[inline(always)]
unsafe fn take(
    env: *mut ErlNifEnv,
    limiter: &Limiter,
    key: u128,
    ask: &Ask,
    answer: impl FnOnce(Verdict) -> ErlNifTerm,
) -> Result<ErlNifTerm, Fault> {
    with_shards!(limiter, shards => {
        let mut shard = shards.lock(key)?;
        // Under the lock, so that it does not go back.
        let outcome = shard.take(&shards.rules, nanoseconds(), key, ask);
        drop(shard);
        let answer = answer(outcome.verdict);
        if outcome.blocked || outcome.unblocked {
            let mut events = Events::new();
            note(&outcome, 1, &mut events);
            // SAFETY: the caller's promise.
            return Ok(unsafe { with_events(env, answer, &events) });
        }
        Ok(answer)
    })
}

/// No term is this.
fn none() -> ErlNifTerm {
    atoms::none().as_c_arg()
}

unsafe fn check_one(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        LIMITERS.with(env, args[0], |limiter, _| {
            let key = limiter.secrets.key(env, args[1], none())?;
            let ask = limiter.ask(1, NORMAL);
            take(env, limiter, key, &ask, |verdict| {
                make_verdict(env, verdict)
            })
        })?
    }
}
tried_nif!("limiter_check", 2, check_one);

/// Cost and priority, the highest of which is 0.
///
/// # Safety
/// `env` must be the calling environment and the terms its.
pub unsafe fn read_ask(
    env: *mut ErlNifEnv,
    cost: ErlNifTerm,
    priority: ErlNifTerm,
) -> Result<(u64, usize), Fault> {
    // SAFETY: the caller's promise.
    let cost = unsafe { number(env, cost) }.filter(|cost| (1..=LARGEST).contains(cost));
    let priority = small(priority)
        .and_then(|priority| usize::try_from(priority).ok())
        .filter(|&priority| priority < PRIORITIES);
    cost.zip(priority)
        .ok_or(Fault::Wrong(atoms::invalid_value()))
}

unsafe fn check(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 5],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (cost, priority) = read_ask(env, args[2], args[3])?;
        LIMITERS.with(env, args[0], |limiter, _| {
            let key = limiter.secrets.key(env, args[1], args[4])?;
            let ask = limiter.ask(cost, priority);
            take(env, limiter, key, &ask, |verdict| {
                make_verdict(env, verdict)
            })
        })?
    }
}
tried_nif!("limiter_check", 5, check);

unsafe fn reserve(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 5],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (cost, priority) = read_ask(env, args[2], args[3])?;
        LIMITERS.with(env, args[0], |limiter, _| {
            let plan = &limiter.leaky()?.rules.plan;
            let key = limiter.secrets.key(env, args[1], args[4])?;
            let ask = limiter.ask(cost, priority);
            take(env, limiter, key, &ask, |verdict| match verdict {
                Verdict::Taken { ahead, .. } => {
                    make_ok(env, milliseconds(env, plan.nanoseconds(ahead)))
                }
                Verdict::Refused { wait } => make_refused(env, wait),
            })
        })?
    }
}
tried_nif!("limiter_reserve", 5, reserve);

unsafe fn peek(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 5],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (cost, priority) = read_ask(env, args[2], args[3])?;
        LIMITERS.with(env, args[0], |limiter, _| {
            let key = limiter.secrets.key(env, args[1], args[4])?;
            let ask = limiter.ask(cost, priority);
            let verdict = match &limiter.kind {
                Kind::Held(permits) => permits.look(key, &ask),
                _ => with_shards!(limiter, shards => {
                    Ok(shards.lock(key)?.look(&shards.rules, nanoseconds(), key, &ask))
                }),
            }?;
            Ok(make_verdict(env, verdict))
        })?
    }
}
tried_nif!("limiter_peek", 5, peek);

/// `true` where the key was shut out.
unsafe fn reset(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        LIMITERS.with(env, args[0], |limiter, _| {
            let key = limiter.secrets.key(env, args[1], args[2])?;
            with_shards!(limiter, shards => {
                let was_blocked = shards.lock(key)?.forget(&shards.rules, nanoseconds(), key);
                Ok(boolean(was_blocked))
            })
        })?
    }
}
tried_nif!("limiter_reset", 3, reset);

unsafe fn unblock(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        LIMITERS.with(env, args[0], |limiter, _| {
            let key = limiter.secrets.key(env, args[1], args[2])?;
            let was_blocked = match &limiter.kind {
                Kind::Held(permits) => permits.unblock(key)?,
                _ => with_shards!(limiter, shards => {
                    Ok(shards.lock(key)?.unblock(nanoseconds(), key))
                })?,
            };
            Ok(boolean(was_blocked))
        })?
    }
}
tried_nif!("limiter_unblock", 3, unblock);

/// For how many more milliseconds a key is shut out.
unsafe fn blocked_for(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        LIMITERS.with(env, args[0], |limiter, _| {
            let key = limiter.secrets.key(env, args[1], args[2])?;
            let blocked = match &limiter.kind {
                Kind::Held(permits) => permits.blocked_for(key)?,
                _ => with_shards!(limiter, shards => {
                    Ok(shards.lock(key)?.blocked_for(nanoseconds(), key))
                })?,
            };
            Ok(milliseconds(env, blocked))
        })?
    }
}
tried_nif!("limiter_blocked_for", 3, blocked_for);
