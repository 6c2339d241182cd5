//! NIFs that never wait: for a lock they try again later, for much work they go elsewhere.

/// Declares a NIF that may find a lock busy, or much to do: its body
/// `unsafe fn(*mut ErlNifEnv, &[ErlNifTerm; ARITY], on_dirty: bool) -> Result<ErlNifTerm, Fault>`
/// runs again where a lock was busy, and on a dirty CPU scheduler where it says so. One that is
/// called very often may have an `fn(&[ErlNifTerm; ARITY]) -> bool` that is tried first and does
/// what it can in a few instructions; where it did, the answer is `ok`.
macro_rules! tried_nif {
    ($name:literal, $arity:literal, $body:path) => {
        tried_nif!($name, $arity, $body, |_| false);
    };
    ($name:literal, $arity:literal, $body:path, $quick:expr) => {
        const _: () = {
            use rustler::sys::{enif_consume_timeslice, enif_schedule_nif, ErlNifEnv, ErlNifTerm};
            use rustler::SchedulerFlags::{DirtyCpu, Normal};
            const NAME: *const std::ffi::c_char = concat!($name, "\0").as_ptr().cast();

            unsafe extern "C" fn on_dirty(
                env: *mut ErlNifEnv,
                _argc: i32,
                argv: *const ErlNifTerm,
            ) -> ErlNifTerm {
                // SAFETY: scheduled below with the arguments of a NIF of this arity.
                $crate::boundary::guarded(env, || unsafe {
                    run(env, &*argv.cast::<[ErlNifTerm; $arity]>(), true)
                })
            }
            unsafe extern "C" fn on_normal(
                env: *mut ErlNifEnv,
                _argc: i32,
                argv: *const ErlNifTerm,
            ) -> ErlNifTerm {
                // SAFETY: as above.
                $crate::boundary::guarded(env, || unsafe {
                    run(env, &*argv.cast::<[ErlNifTerm; $arity]>(), false)
                })
            }
            #[inline(never)]
            unsafe fn run(
                env: *mut ErlNifEnv,
                args: &[ErlNifTerm; $arity],
                is_dirty: bool,
            ) -> ErlNifTerm {
                use $crate::tried::Fault;
                // SAFETY: `env` is the calling environment and `args` its terms.
                unsafe {
                    let (flags, next) = match $body(env, args, is_dirty) {
                        Ok(answer) => return answer,
                        Err(Fault::Wrong(reason)) => return reason.as_c_arg(),
                        Err(Fault::Busy) if !is_dirty => {
                            enif_consume_timeslice(env, 100);
                            (Normal, on_normal as unsafe extern "C" fn(_, _, _) -> _)
                        }
                        Err(_) => (DirtyCpu, on_dirty as unsafe extern "C" fn(_, _, _) -> _),
                    };
                    enif_schedule_nif(env, NAME, flags as i32, next, $arity, args.as_ptr())
                }
            }
            unsafe fn here(env: *mut ErlNifEnv, args: &[ErlNifTerm; $arity]) -> ErlNifTerm {
                let quick: fn(&[ErlNifTerm; $arity]) -> bool = $quick;
                if quick(args) {
                    return $crate::atoms::ok().as_c_arg();
                }
                // SAFETY: as above.
                unsafe { run(env, args, false) }
            }
            nif!($name, $arity, Normal, here);
        };
    };
}

use rustler::types::atom::Atom;

/// Why a NIF did not answer.
pub enum Fault {
    /// A lock is held by another thread.
    Busy,
    /// Too much for a normal scheduler.
    Large,
    /// An argument is wrong: which, and how.
    Wrong(Atom),
}

/// Tries a lock, which is never held for long.
pub fn tried<G>(lock: impl Fn() -> Option<G>) -> Result<G, Fault> {
    sync_core::tried(lock).ok_or(Fault::Busy)
}
