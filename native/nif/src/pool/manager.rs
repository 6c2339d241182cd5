//! What a pool's manager says of it, for those who look.

use super::handle::POOLS;
use crate::atoms;
use crate::owned::Owned;
use crate::tried::{tried, Fault};
use parking_lot::RwLock;
use rustler::sys::*;

/// Why no worker could be started, while there is none.
#[derive(Default)]
pub struct Failure(RwLock<Option<Owned>>);

unsafe fn set_failure(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        POOLS.with(env, args[0], |live, _| {
            let failure = if args[1] == atoms::none().as_c_arg() {
                None
            } else {
                Some(Owned::new(args[1]).ok_or(Fault::Wrong(atoms::system_limit()))?)
            };
            *tried(|| live.failure.0.try_write())? = failure;
            Ok(atoms::ok().as_c_arg())
        })?
    }
}
tried_nif!("pool_failure", 2, set_failure);

unsafe fn failure(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        POOLS.with(env, args[0], |live, _| {
            let failure = tried(|| live.failure.0.try_read())?;
            Ok(match &*failure {
                None => atoms::none().as_c_arg(),
                Some(reason) => {
                    let parts = [atoms::failed().as_c_arg(), reason.copy(env)];
                    enif_make_tuple_from_array(env, parts.as_ptr(), 2)
                }
            })
        })?
    }
}
tried_nif!("pool_failure", 1, failure);

unsafe fn manager(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { POOLS.with(env, args[0], |live, _| enif_make_pid(env, live.manager())) }
}
tried_nif!("pool_manager", 1, manager);

unsafe fn names(env: *mut ErlNifEnv, _args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment.
    unsafe { POOLS.names(env) }
}
nif!("pool_names", 0, DirtyCpu, names);
