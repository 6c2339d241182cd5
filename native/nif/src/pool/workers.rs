//! Workers, as their keepers and a pool's manager see them.

use super::checkout::given;
use super::handle::{local_pid, with_pool, Vm};
use super::worker::Worker;
use crate::atoms;
use crate::boundary::small;
use crate::clock::nanoseconds;
use crate::tried::Fault;
use pool_core::choice::CELLS;
use pool_core::pool::{Mode, Pool, Retired};
use rustler::sys::*;
use rustler::types::atom::Atom;

unsafe fn add(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 4],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let keeper = match local_pid(env, args[2]) {
            None if args[2] != atoms::none().as_c_arg() => return Ok(enif_make_badarg(env)),
            keeper => keeper,
        };
        let uses = if args[3] == atoms::infinity().as_c_arg() {
            Some(u64::MAX)
        } else {
            small(args[3]).and_then(|uses| u64::try_from(uses).ok())
        };
        let Some(uses) = uses.filter(|&uses| uses > 0) else {
            return Ok(enif_make_badarg(env));
        };
        let worker = Worker::new(args[1], keeper).ok_or(Fault::Wrong(atoms::system_limit()))?;
        let (cell, is_closed) = with_pool(env, args[0], |pool, _| {
            let cell = pool.add(worker, uses, nanoseconds());
            (cell, pool.mode() == Mode::Closed)
        })?;
        Ok(match cell {
            Some(cell) => enif_make_uint64(env, cell),
            None if is_closed => atoms::closed().as_c_arg(),
            None => atoms::full().as_c_arg(),
        })
    }
}
tried_nif!("pool_add", 4, add);

/// Calls `body` with a pool and the number of a worker's cell.
///
/// # Safety
/// `env` must be the calling environment and `args` its terms.
unsafe fn with_cell(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    body: impl FnOnce(&mut Pool<Vm>, u64) -> Atom,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(cell) = given(args[1]) else {
            return Ok(enif_make_badarg(env));
        };
        with_pool(env, args[0], |pool, _| body(pool, cell).as_c_arg())
    }
}

fn ok_if(is_there: bool) -> Atom {
    if is_there {
        atoms::ok()
    } else {
        atoms::gone()
    }
}

unsafe fn remove(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_cell(env, args, |pool, cell| {
            ok_if(pool.remove(cell, nanoseconds()))
        })
    }
}
tried_nif!("pool_remove", 2, remove);

unsafe fn retire(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_cell(env, args, |pool, cell| {
            match pool.retire(cell, nanoseconds()) {
                Some(Retired::Removed) => atoms::removed(),
                Some(Retired::Retiring) => atoms::retiring(),
                None => atoms::gone(),
            }
        })
    }
}
tried_nif!("pool_retire", 2, retire);

unsafe fn take(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_cell(env, args, |pool, cell| match pool.take_away(cell) {
            Some(true) => atoms::ok(),
            Some(false) => atoms::busy(),
            None => atoms::gone(),
        })
    }
}
tried_nif!("pool_take", 2, take);

unsafe fn ready(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_cell(env, args, |pool, cell| {
            ok_if(pool.bring_back(cell, nanoseconds()))
        })
    }
}
tried_nif!("pool_ready", 2, ready);

unsafe fn mode(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let modes = [
            (atoms::open(), Mode::Open),
            (atoms::suspended(), Mode::Suspended),
            (atoms::draining(), Mode::Draining),
            (atoms::closed(), Mode::Closed),
        ];
        let Some((_, mode)) = modes
            .into_iter()
            .find(|(name, _)| name.as_c_arg() == args[1])
        else {
            return Ok(enif_make_badarg(env));
        };
        with_pool(env, args[0], |pool, _| {
            pool.set_mode(mode, nanoseconds());
            atoms::ok().as_c_arg()
        })
    }
}
tried_nif!("pool_mode", 2, mode);

unsafe fn resize(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let max = small(args[1]).and_then(|max| u32::try_from(max).ok());
        let Some(max) = max.filter(|&max| max <= CELLS) else {
            return Ok(enif_make_badarg(env));
        };
        with_pool(env, args[0], |pool, _| {
            pool.resize(max);
            atoms::ok().as_c_arg()
        })
    }
}
tried_nif!("pool_resize", 2, resize);

unsafe fn demand(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let waiting = with_pool(env, args[0], |pool, _| pool.demand())?;
        Ok(enif_make_uint(env, waiting))
    }
}
tried_nif!("pool_demand", 1, demand);
