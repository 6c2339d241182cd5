//! The one way into the library: every NIF is declared by `nif!`, which catches panics and, in
//! a `call_time` build, counts the thread CPU time of calls on normal schedulers.

use rustler::sys::{enif_raise_exception, ErlNifEnv, ErlNifTerm};
use rustler::{Env, NifResult, Term};

/// Must equal the integer that `erlmcp_native_nif:init/0` passes; changed whenever the meaning
/// of a NIF's arguments changes.
const ABI: i64 = 1;

/// Takes `{ABI, Vocabulary}`.
pub fn load(_env: Env, load_info: Term) -> bool {
    load_info
        .decode::<(i64, Term)>()
        .is_ok_and(|(abi, vocabulary)| abi == ABI && crate::json::vocabulary::load(vocabulary))
}

/// Declares a NIF: name, arity, scheduler and a body
/// `unsafe fn(*mut ErlNifEnv, &[ErlNifTerm; ARITY]) -> ErlNifTerm`.
///
/// rustler's own attribute costs about 20 ns a call more (a vector of arguments).
macro_rules! nif {
    ($name:literal, $arity:literal, $schedule:ident, $body:path) => {
        const _: () = {
            #[cfg(feature = "call_time")]
            static USED: $crate::call_time::CallTime =
                $crate::call_time::CallTime::new(concat!($name, "/", $arity));
            #[cfg(feature = "call_time")]
            rustler::codegen_runtime::inventory::submit!($crate::call_time::Counted(&USED));

            unsafe extern "C" fn entry(
                env: *mut rustler::sys::ErlNifEnv,
                _argc: i32,
                argv: *const rustler::sys::ErlNifTerm,
            ) -> rustler::sys::ErlNifTerm {
                #[cfg(feature = "call_time")]
                let _span = matches!(
                    rustler::SchedulerFlags::$schedule,
                    rustler::SchedulerFlags::Normal
                )
                .then(|| $crate::call_time::Span::start(&USED));
                // SAFETY: the VM passes as many terms as the arity declared below.
                let args = unsafe { &*argv.cast::<[rustler::sys::ErlNifTerm; $arity]>() };
                // SAFETY: `env` is the calling environment and `args` its terms.
                $crate::boundary::guarded(env, || unsafe { $body(env, args) })
            }
            rustler::codegen_runtime::inventory::submit!(rustler::Nif {
                name: concat!($name, "\0").as_ptr().cast(),
                arity: $arity,
                flags: rustler::SchedulerFlags::$schedule as u32,
                raw_func: entry,
            });
        };
    };
}

#[inline(always)]
pub fn guarded(env: *mut ErlNifEnv, body: impl FnOnce() -> ErlNifTerm) -> ErlNifTerm {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
        Ok(term) => term,
        // SAFETY: `env` is the calling environment.
        Err(_) => unsafe { enif_raise_exception(env, crate::atoms::nif_panicked().as_c_arg()) },
    }
}

/// Runs a body written with rustler's types.
///
/// # Safety
/// `env` must be the calling environment and `args` terms of it.
pub unsafe fn with_terms<const N: usize>(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; N],
    body: impl for<'a> FnOnce(Env<'a>, [Term<'a>; N]) -> NifResult<Term<'a>>,
) -> ErlNifTerm {
    use rustler::codegen_runtime::NifReturnable;
    let lifetime = ();
    // SAFETY: the caller's promise; the environment does not outlive this call.
    unsafe {
        let env = Env::new(&lifetime, env);
        let terms = args.map(|term| Term::new(env, term));
        body(env, terms).into_returned(env).apply(env)
    }
}
