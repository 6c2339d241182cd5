//! The native cache: its parts are in `cache_core`, here are its terms.

/// Declares a NIF whose body gives `None` where a lock was busy: it runs again in the process's
/// next turn, on a scheduler of the same kind. The body is `unsafe fn(*mut ErlNifEnv, &[ErlNifTerm; ARITY]) -> Option<ErlNifTerm>`.
macro_rules! retried_nif {
    ($name:literal, $arity:literal, $schedule:ident, $body:path) => {
        const _: () = {
            use rustler::sys::{enif_consume_timeslice, enif_schedule_nif, ErlNifEnv, ErlNifTerm};

            unsafe extern "C" fn again(
                env: *mut ErlNifEnv,
                _argc: i32,
                argv: *const ErlNifTerm,
            ) -> ErlNifTerm {
                // SAFETY: scheduled below with the arguments of a NIF of this arity.
                $crate::boundary::guarded(env, || unsafe {
                    run(env, &*argv.cast::<[ErlNifTerm; $arity]>())
                })
            }

            unsafe fn run(env: *mut ErlNifEnv, args: &[ErlNifTerm; $arity]) -> ErlNifTerm {
                // SAFETY: `env` is the calling environment and `args` its terms.
                unsafe {
                    if let Some(answer) = $body(env, args) {
                        return answer;
                    }
                    const NAME: *const std::ffi::c_char = concat!($name, "\0").as_ptr().cast();
                    enif_consume_timeslice(env, 100);
                    const FLAGS: i32 = rustler::SchedulerFlags::$schedule as i32;
                    enif_schedule_nif(env, NAME, FLAGS, again, $arity, args.as_ptr())
                }
            }
            nif!($name, $arity, $schedule, run);
        };
    };
}

mod bulk;
mod clock;
mod core;
mod events;
mod fetch;
pub mod forms;
mod get;
mod handle;
mod held;
mod info;
mod keeper;
mod key;
mod options;
mod put;
mod snapshot;
mod waiters;

use crate::atoms;
use crate::boundary::boolean;
use rustler::sys::*;

/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    // SAFETY: the caller's promise.
    unsafe { forms::load(env) && handle::load(env) && snapshot::load(env) }
}

/// `{ok, Term}`.
///
/// # Safety
/// `env` must be the calling environment and the term its.
#[inline(always)]
unsafe fn ok(env: *mut ErlNifEnv, term: ErlNifTerm) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe { enif_make_tuple_from_array(env, [atoms::ok().as_c_arg(), term].as_ptr(), 2) }
}

/// `{error, Reason}`.
///
/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
unsafe fn error(env: *mut ErlNifEnv, reason: rustler::Atom) -> ErlNifTerm {
    let parts = [atoms::error().as_c_arg(), reason.as_c_arg()];
    // SAFETY: the caller's promise.
    unsafe { enif_make_tuple_from_array(env, parts.as_ptr(), 2) }
}
