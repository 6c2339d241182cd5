//! Taking workers and giving them back: the hot path.

use super::effects::{owner_down, Message};
use super::handle::{with_pool, MOST_MS, MS, POOLS};
use super::reference::Reference;
use super::watch::Watch;
use super::worker::Worker;
use crate::atoms;
use crate::boundary::{small, word};
use crate::clock::nanoseconds;
use crate::histogram::handle::HISTOGRAMS;
use crate::tried::Fault;
use pool_core::pool::{Answer, Want, PRIORITIES};
use rustler::sys::*;
use std::mem::MaybeUninit;
use sync_core::sections;

/// The calling process.
///
/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
unsafe fn caller(env: *mut ErlNifEnv) -> Option<ErlNifPid> {
    let mut pid = MaybeUninit::uninit();
    // SAFETY: the caller's promise.
    unsafe { (!enif_self(env, pid.as_mut_ptr()).is_null()).then(|| pid.assume_init()) }
}

/// What a process wants, from a priority and a key.
#[inline(always)]
fn want(owner: u64, priority: ErlNifTerm, key: ErlNifTerm) -> Option<Want> {
    let priority = u8::try_from(small(priority)?).ok()?;
    // Without a key, whoever asks is one.
    let key = match key == atoms::none().as_c_arg() {
        true => owner,
        false => u64::try_from(small(key)?).ok()?,
    };
    (usize::from(priority) < PRIORITIES).then_some(Want {
        owner,
        priority,
        key,
    })
}

/// The word of a pid: a number that no other process has.
#[inline(always)]
unsafe fn number(env: *mut ErlNifEnv, pid: &ErlNifPid) -> u64 {
    // SAFETY: the caller's promise.
    word(unsafe { enif_make_pid(env, *pid) })
}

/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
unsafe fn answered(env: *mut ErlNifEnv, answer: Answer<Worker>) -> ErlNifTerm {
    let atom = match answer {
        // SAFETY: the caller's promise.
        Answer::Granted { worker, lease, .. } => unsafe {
            let parts = [
                atoms::ok().as_c_arg(),
                worker.term(env),
                crate::boundary::make_integer(env, lease.cast_signed()),
            ];
            return enif_make_tuple_from_array(env, parts.as_ptr(), 3);
        },
        // Told by whoever knows for how long.
        Answer::Waiting(_) => atoms::wait(),
        Answer::Wait => atoms::wait(),
        Answer::Woken => atoms::woken(),
        Answer::Overloaded => atoms::overloaded(),
        Answer::Timeout => atoms::timeout(),
        Answer::Closed => atoms::closed(),
        Answer::Stale => atoms::stale(),
        Answer::Refused => atoms::system_limit(),
    };
    atom.as_c_arg()
}

/// # Safety
/// `env` must be the calling environment.
#[cold]
#[inline(never)]
unsafe fn watched(
    env: *mut ErlNifEnv,
    process: &ErlNifPid,
    spare: Option<Watch>,
    handle: u64,
    owner: u64,
) -> Option<Watch> {
    // SAFETY: the caller's promise.
    unsafe {
        match spare {
            Some(watch) => watch.again(env, process, owner),
            None => Watch::new(env, process, owner_down, handle, owner),
        }
    }
}

unsafe fn checkout(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(pid) = caller(env) else {
            return Ok(enif_make_badarg(env));
        };
        let owner = number(env, &pid);
        let Some(want) = want(owner, args[1], args[2]) else {
            return Ok(enif_make_badarg(env));
        };
        let answer = with_pool(env, args[0], |pool, handle| {
            let watch = |spare| watched(env, &pid, spare, handle, owner);
            pool.checkout(want, nanoseconds(), watch)
        })?;
        Ok(answered(env, answer))
    }
}
tried_nif!("pool_checkout", 3, checkout);

unsafe fn wait(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 5],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let is_default = args[4] == atoms::default().as_c_arg();
        let timeout = milliseconds(args[4]);
        let (Some(to), Some(reference), true) = (
            caller(env),
            Reference::read(env, args[3]),
            is_default || timeout.is_some(),
        ) else {
            return Ok(enif_make_badarg(env));
        };
        let owner = number(env, &to);
        let Some(want) = want(owner, args[1], args[2]) else {
            return Ok(enif_make_badarg(env));
        };
        let message = Message { to, reference };
        let answer = with_pool(env, args[0], |pool, handle| {
            let watch = |spare| watched(env, &to, spare, handle, owner);
            let now = nanoseconds();
            let timeout = timeout.unwrap_or(pool.checkout_timeout());
            let deadline = now.saturating_add(timeout);
            let answer = pool.wait(want, message, deadline, now, watch);
            (answer, timeout, handle)
        })?;
        Ok(match answer {
            // With the handle, since by the name there may be another pool when it is claimed.
            (Answer::Waiting(lease), timeout, handle) => {
                let parts = [
                    atoms::wait().as_c_arg(),
                    crate::boundary::make_integer(env, lease.cast_signed()),
                    match timeout {
                        u64::MAX => atoms::infinity().as_c_arg(),
                        timeout => enif_make_uint64(env, timeout / MS),
                    },
                    enif_make_uint64(env, handle),
                ];
                enif_make_tuple_from_array(env, parts.as_ptr(), 4)
            }
            (answer, ..) => answered(env, answer),
        })
    }
}
tried_nif!("pool_wait", 5, wait);

/// Nanoseconds, of a time in milliseconds or `infinity`.
pub fn milliseconds(term: ErlNifTerm) -> Option<u64> {
    if term == atoms::infinity().as_c_arg() {
        return Some(u64::MAX);
    }
    let milliseconds = u64::try_from(small(term)?).ok()?;
    (milliseconds <= MOST_MS).then(|| milliseconds * MS)
}

/// A lease, or another number that a pool gave out. What is none is none of the pool's.
pub fn given(term: ErlNifTerm) -> Option<u64> {
    u64::try_from(small(term)?).ok()
}

unsafe fn claim(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let none = args[2] == atoms::none().as_c_arg();
        let reference = Reference::read(env, args[2]);
        let (Some(lease), Some(to), true) =
            (given(args[1]), caller(env), none || reference.is_some())
        else {
            return Ok(enif_make_badarg(env));
        };
        let message = reference.map(|reference| Message { to, reference });
        let answer = with_pool(env, args[0], |pool, _| {
            pool.claim(lease, message, nanoseconds())
        })?;
        if let Answer::Granted {
            waited: Some(waited),
            ..
        } = answer
        {
            record_wait(env, args[0], waited)?;
        }
        Ok(answered(env, answer))
    }
}
tried_nif!("pool_claim", 3, claim);

/// # Safety
/// `env` must be the calling environment and `pool` a term of it.
unsafe fn record_wait(env: *mut ErlNifEnv, pool: ErlNifTerm, waited: u64) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let histogram = unsafe { POOLS.with(env, pool, |live, _| live.wait_histogram) };
    let section = sections::enter();
    let histogram = histogram.ok().flatten();
    if let Some(live) = histogram.and_then(|handle| HISTOGRAMS.handles.get(handle, &section)) {
        live.histogram.record(section.thread(), waited);
    }
    Ok(())
}

unsafe fn cancel(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(lease) = given(args[1]) else {
            return Ok(enif_make_badarg(env));
        };
        let answer = with_pool(env, args[0], |pool, _| pool.cancel(lease, nanoseconds()))?;
        Ok(answered(env, answer))
    }
}
tried_nif!("pool_cancel", 2, cancel);

unsafe fn checkin(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let is_broken = args[2] == atoms::broken().as_c_arg();
        let is_reset = args[2] == atoms::reset().as_c_arg();
        let (Some(lease), true) = (
            given(args[1]),
            is_broken || is_reset || args[2] == atoms::ok().as_c_arg(),
        ) else {
            return Ok(enif_make_badarg(env));
        };
        let was_lent = with_pool(env, args[0], |pool, _| match is_reset {
            true => pool.checkin_to_reset(lease, nanoseconds()),
            false => pool.checkin(lease, is_broken, nanoseconds()),
        })?;
        Ok(if was_lent {
            atoms::ok()
        } else {
            atoms::stale()
        }
        .as_c_arg())
    }
}
tried_nif!("pool_checkin", 3, checkin);
