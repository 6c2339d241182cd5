//! What a pool tells of itself. Lists are made on dirty schedulers, some of a pool at a time.

use super::checkout::milliseconds;
use super::handle::{with_pool, with_pool_and_sender, Vm, POOLS};
use crate::atoms;
use crate::boundary::{immediate, make_map, small};
use crate::clock::nanoseconds;
use crate::tried::Fault;
use pool_core::pool::{Mode, Page, Pool, WorkerState};
use rustler::sys::*;
use std::cmp::Reverse;
use std::ptr;

unsafe fn status(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let histogram = POOLS.with(env, args[0], |live, _| live.wait_histogram)?;
        with_pool(env, args[0], |pool, _| {
            let number = |number: u64| enif_make_uint64(env, number);
            let counts = pool.counts;
            let mode = match pool.mode() {
                Mode::Open => atoms::open(),
                Mode::Suspended => atoms::suspended(),
                Mode::Draining => atoms::draining(),
                Mode::Closed => atoms::closed(),
            };
            let limit = match pool.limit() {
                Some(limit) => number(limit.into()),
                None => atoms::infinity().as_c_arg(),
            };
            make_map(
                env,
                [
                    (atoms::mode(), mode.as_c_arg()),
                    (atoms::limit(), limit),
                    (
                        atoms::wait_histogram(),
                        histogram.map_or(atoms::none().as_c_arg(), number),
                    ),
                    (atoms::workers(), number(pool.size().into())),
                    (atoms::idle(), number(pool.idle().into())),
                    (atoms::away(), number(pool.away().into())),
                    (atoms::in_use(), number(pool.in_use())),
                    (atoms::waiting(), number(pool.waiting().into())),
                    (atoms::owners(), number(pool.owners().into())),
                    (atoms::memory(), number(pool.memory() as u64)),
                    (atoms::checkouts(), number(counts.checkouts)),
                    (atoms::waited(), number(counts.waited)),
                    (atoms::timeouts(), number(counts.timeouts)),
                    (atoms::overloads(), number(counts.overloads)),
                    (atoms::dropped(), number(counts.dropped)),
                    (atoms::reclaimed(), number(counts.reclaimed)),
                    (atoms::broken(), number(counts.broken)),
                    (atoms::handed_over(), number(counts.handed_over)),
                    (atoms::barged(), number(counts.barged)),
                ],
            )
        })
    }
}
tried_nif!("pool_status", 1, status);

/// As [`with_pool`], on a thread that may wait. What others left to it is sent in nobody's name: a process
/// may be killed while it is on a dirty scheduler, and what it sends from then on is lost.
///
/// # Safety
/// As for [`with_pool`].
unsafe fn with_pool_here<R>(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    mut body: impl FnMut(&mut Pool<Vm>) -> R,
) -> Result<R, Fault> {
    loop {
        // SAFETY: the caller's promise.
        match unsafe { with_pool_and_sender(env, ptr::null_mut(), term, |pool, _| body(pool)) } {
            Err(Fault::Busy) => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// All pages of something.
///
/// # Safety
/// As for [`with_pool`].
unsafe fn pages<T>(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    page: impl Fn(&Pool<Vm>, u32) -> Page<T>,
) -> Result<Vec<T>, Fault> {
    let (mut items, mut from) = (Vec::new(), Some(0));
    while let Some(start) = from {
        // SAFETY: the caller's promise.
        let next = unsafe { with_pool_here(env, term, |pool| page(pool, start)) }?;
        items.extend(next.items);
        from = next.next;
    }
    Ok(items)
}

/// # Safety
/// `env` must be the calling environment and the terms its.
unsafe fn list(
    env: *mut ErlNifEnv,
    terms: impl DoubleEndedIterator<Item = ErlNifTerm>,
) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let empty = enif_make_list_from_array(env, ptr::null(), 0);
        terms
            .rev()
            .fold(empty, |list, term| enif_make_list_cell(env, term, list))
    }
}

unsafe fn workers(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    if !on_dirty {
        return Err(Fault::Large);
    }
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let all = pages(env, args[0], |pool, from| pool.workers(from, nanoseconds()))?;
        let entries = all.into_iter().map(|worker| {
            let state = match worker.state {
                WorkerState::Idle => atoms::idle(),
                WorkerState::InUse => atoms::in_use(),
                WorkerState::Away => atoms::away(),
                WorkerState::Retiring => atoms::retiring(),
            };
            let parts = [
                enif_make_uint64(env, worker.number),
                worker.worker.term(env),
                enif_make_uint64(env, worker.uses),
                enif_make_uint(env, worker.in_use),
                state.as_c_arg(),
                enif_make_uint64(env, worker.latency),
                match &worker.worker.keeper {
                    Some(keeper) => enif_make_pid(env, *keeper),
                    None => atoms::none().as_c_arg(),
                },
            ];
            enif_make_tuple_from_array(env, parts.as_ptr(), parts.len() as u32)
        });
        Ok(list(env, entries.collect::<Vec<_>>().into_iter()))
    }
}
tried_nif!("pool_workers", 1, workers);

/// How many of something a list may have at most.
fn most(term: ErlNifTerm) -> Option<usize> {
    usize::try_from(small(term)?).ok()
}

unsafe fn idle(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    if !on_dirty {
        return Err(Fault::Large);
    }
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (Some(longer), Some(most)) = (milliseconds(args[1]), most(args[2])) else {
            return Ok(enif_make_badarg(env));
        };
        let mut idle = pages(env, args[0], |pool, from| pool.workers(from, nanoseconds()))?;
        idle.retain(|worker| worker.state == WorkerState::Idle && worker.idle > longer);
        idle.sort_by_key(|worker| Reverse(worker.idle));
        let mut taken = Vec::new();
        for worker in idle {
            if taken.len() == most {
                break;
            }
            let is_taken = with_pool_here(env, args[0], |pool| {
                pool.take_away_if_idle(worker.number, longer, nanoseconds())
            })?;
            if is_taken {
                taken.push(enif_make_uint64(env, worker.number));
            }
        }
        Ok(list(env, taken.into_iter()))
    }
}
tried_nif!("pool_idle", 3, idle);

unsafe fn leases(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    if !on_dirty {
        return Err(Fault::Large);
    }
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (Some(longer), Some(most)) = (milliseconds(args[1]), most(args[2])) else {
            return Ok(enif_make_badarg(env));
        };
        let mut held = pages(env, args[0], |pool, from| {
            pool.held(from, longer, nanoseconds())
        })?;
        held.sort_by_key(|lease| Reverse(lease.held));
        held.truncate(most);
        let entries = held.into_iter().map(|lease| {
            let parts = [
                enif_make_uint64(env, lease.lease),
                // The number of an owner is its pid.
                immediate(lease.owner),
                lease.worker.term(env),
                enif_make_uint64(env, lease.held / 1_000_000),
            ];
            enif_make_tuple_from_array(env, parts.as_ptr(), 4)
        });
        Ok(list(env, entries.collect::<Vec<_>>().into_iter()))
    }
}
tried_nif!("pool_leases", 3, leases);
