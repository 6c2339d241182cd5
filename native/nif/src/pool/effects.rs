//! What a pool wants to be done, once it is not locked any more.

use super::handle::{Live, Vm, POOLS};
use super::reference::Reference;
use super::worker::Worker;
use crate::atoms;
use crate::clock::nanoseconds;
use parking_lot::Mutex;
use pool_core::pool::{Deferred, Effect, Why};
use rustler::sys::*;
use std::ptr;
use sync_core::sections;

/// What wakes somebody who waits.
#[derive(Clone, Copy)]
pub struct Message {
    pub to: ErlNifPid,
    pub reference: Reference,
}

/// Does it. `env` is the calling environment, or null on a thread of ours or a dirty scheduler.
///
/// # Safety
/// As just said. The thread must be in no section.
#[inline]
pub unsafe fn run(env: *mut ErlNifEnv, handle: u64, effects: Vec<Effect<Vm>>) {
    for effect in effects {
        // SAFETY: the caller's promise.
        unsafe { run_one(env, handle, effect) };
    }
}

/// # Safety
/// As for [`run`].
unsafe fn run_one(env: *mut ErlNifEnv, handle: u64, effect: Effect<Vm>) {
    // SAFETY: the caller's promise.
    unsafe {
        match effect {
            Effect::Wake(message) => message.reference.send(env, &message.to),
            Effect::Keeper(worker, cell, why) => tell_keeper(env, &worker, cell, why),
            Effect::Grow => tell_manager(env, handle, atoms::grow()),
            Effect::Drained => tell_manager(env, handle, atoms::drained()),
            Effect::Unused => drop(POOLS.remove(handle)),
            Effect::Ended(watch, worker) => drop((watch, worker)),
            Effect::More(owner) => go_on(env, handle, owner),
        }
    }
}

/// # Safety
/// As for [`run`].
unsafe fn tell_keeper(env: *mut ErlNifEnv, worker: &Worker, cell: u64, why: Why) {
    let why = match why {
        Why::Reset => atoms::reset(),
        Why::Broken => atoms::broken(),
        Why::Retire => atoms::retire(),
    };
    if let Some(keeper) = &worker.keeper {
        // SAFETY: the caller's promise.
        unsafe {
            send(env, keeper, |own| {
                let parts = [
                    atoms::erlmcp_native_pool().as_c_arg(),
                    enif_make_uint64(own, cell),
                    why.as_c_arg(),
                ];
                enif_make_tuple_from_array(own, parts.as_ptr(), 3)
            });
        }
    }
}

/// # Safety
/// As for [`run`].
unsafe fn tell_manager(env: *mut ErlNifEnv, handle: u64, what: rustler::types::atom::Atom) {
    let manager = {
        let section = sections::enter();
        POOLS.handles.get(handle, &section).map(Live::manager)
    };
    if let Some(manager) = manager {
        // SAFETY: the caller's promise.
        unsafe {
            send(env, &manager, |own| {
                let parts = [atoms::erlmcp_native_pool().as_c_arg(), what.as_c_arg()];
                enif_make_tuple_from_array(own, parts.as_ptr(), 2)
            });
        }
    }
}

/// # Safety
/// As for [`run`].
unsafe fn send(
    env: *mut ErlNifEnv,
    to: &ErlNifPid,
    message: impl FnOnce(*mut ErlNifEnv) -> ErlNifTerm,
) {
    // SAFETY: the caller's promise; the environment is of this message alone.
    unsafe {
        let own = enif_alloc_env();
        if !own.is_null() {
            let message = message(own);
            // Whoever has ended needs none.
            let _ = enif_send(env, to, own, message);
            enif_free_env(own);
        }
    }
}

/// Owners of which something is left to be taken back, by pool; and whether a thread does it.
static LEFT: Mutex<(Vec<(u64, u64)>, bool)> = Mutex::new((Vec::new(), false));

/// Has what is left of an owner that had very much taken back by a thread, one for all of them.
///
/// # Safety
/// As for [`run`].
unsafe fn go_on(env: *mut ErlNifEnv, handle: u64, owner: u64) {
    let is_done = {
        let mut left = LEFT.lock();
        left.0.push((handle, owner));
        std::mem::replace(&mut left.1, true)
    };
    if is_done {
        return;
    }
    let thread = std::thread::Builder::new().name("erlmcp_pool".into());
    // SAFETY: that thread has no environment.
    let body = || unsafe { take_back(ptr::null_mut()) };
    if thread.spawn(move || sections::as_own_thread(body)).is_err() {
        // SAFETY: the caller's promise.
        unsafe { take_back(env) };
    }
}

/// # Safety
/// As for [`run`].
unsafe fn take_back(env: *mut ErlNifEnv) {
    let next = || {
        let mut left = LEFT.lock();
        let next = left.0.pop();
        left.1 = next.is_some();
        next
    };
    while let Some((handle, owner)) = next() {
        // What is left after that is put there again.
        // SAFETY: the caller's promise.
        unsafe { run(env, handle, deferred(handle, owner)) };
        std::thread::yield_now();
    }
}

/// Tells a pool that an owner has ended.
fn deferred(handle: u64, owner: u64) -> Vec<Effect<Vm>> {
    let now = nanoseconds();
    defer(handle, Deferred::Died { owner, now })
}

/// Has a pool do something as soon as it can. Not to be called in a section.
pub fn defer(handle: u64, deferred: Deferred) -> Vec<Effect<Vm>> {
    let section = sections::enter();
    let live = POOLS.handles.get(handle, &section);
    live.map_or_else(Vec::new, |live| live.pool.defer(deferred))
}

/// The process that a watch was for has ended.
///
/// # Safety
/// As for [`super::watch::Down`].
pub unsafe fn owner_down(env: *mut ErlNifEnv, handle: u64, owner: u64) {
    let effects = deferred(handle, owner);
    // SAFETY: `env` is the environment of this call.
    unsafe { run(env, handle, effects) };
}
