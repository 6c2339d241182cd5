//! Pools: the work is in `pool_core`, here are its terms and messages.

mod checkout;
mod effects;
mod handle;
mod info;
mod manager;
mod reference;
pub mod watch;
mod worker;
mod workers;

use rustler::sys::ErlNifEnv;

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    // SAFETY: the caller's promise.
    unsafe { watch::load(env) && reference::load(env) }
}
