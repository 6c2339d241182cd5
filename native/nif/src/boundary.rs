//! The one way into the library: every NIF is declared by `nif!`, which catches panics and, in
//! a `call_time` build, counts the thread CPU time of calls on normal schedulers.

use rustler::sys::{
    enif_get_list_cell, enif_get_tuple, enif_init_resource_type, enif_inspect_binary,
    enif_make_int64, enif_make_map_from_arrays, enif_make_new_binary, enif_raise_exception,
    enif_schedule_nif, enif_system_info, ErlNifBinary, ErlNifEnv, ErlNifMonitor, ErlNifPid,
    ErlNifResourceFlags, ErlNifResourceType, ErlNifResourceTypeInit, ErlNifSysInfo, ErlNifTerm,
};
use rustler::types::atom::Atom;
use rustler::{Env, NifResult, Term};
use std::ffi::{c_void, CStr};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Must equal the integer that `erlmcp_native_nif:init/0` passes; changed whenever the meaning
/// of a NIF's arguments changes.
const ABI: i64 = 1;

/// Takes `{ABI, Vocabulary}`.
pub fn load(env: Env, load_info: Term) -> bool {
    load_info
        .decode::<(i64, Term)>()
        .is_ok_and(|(abi, vocabulary)| abi == ABI && crate::json::vocabulary::load(vocabulary))
        && load_parts(env.as_c_arg())
}

fn load_parts(env: *mut ErlNifEnv) -> bool {
    sync_core::sections::prepare();
    crate::clock::calibrate();
    // SAFETY: this is the environment of the library's load.
    unsafe {
        smalls_are_as_expected(env)
            && crate::owner::load(env)
            && crate::pool::load(env)
            && crate::breaker::load(env)
            && crate::cache::load(env)
    }
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

/// Declares a NIF that reads the texts among its arguments: here where they are at most
/// [`DIRTY_BYTES`] together, on a dirty CPU scheduler where they are more or where the body asks
/// for it by `None`. The body is
/// `unsafe fn(*mut ErlNifEnv, &[ErlNifTerm; ARITY], on_dirty: bool) -> Option<ErlNifTerm>`.
macro_rules! text_nif {
    ($name:literal, $arity:literal, texts: [$($text:literal),+], $body:path) => {
        const _: () = {
            use rustler::sys::{enif_make_badarg, ErlNifEnv, ErlNifTerm};

            const NAME: &std::ffi::CStr =
                match std::ffi::CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a NIF's name has no zeroes"),
                };

            unsafe extern "C" fn on_dirty(
                env: *mut ErlNifEnv,
                _argc: i32,
                argv: *const ErlNifTerm,
            ) -> ErlNifTerm {
                // SAFETY: scheduled below with the arguments of a NIF of this arity.
                $crate::boundary::guarded(env, || unsafe {
                    let args = &*argv.cast::<[ErlNifTerm; $arity]>();
                    $body(env, args, true).unwrap_or_else(|| enif_make_badarg(env))
                })
            }

            unsafe fn here(env: *mut ErlNifEnv, args: &[ErlNifTerm; $arity]) -> ErlNifTerm {
                // SAFETY: `env` is the calling environment and `args` its terms.
                unsafe {
                    let size: usize = [$(args[$text]),+]
                        .map(|text| {
                            $crate::boundary::inspect_binary(env, text).map_or(0, <[u8]>::len)
                        })
                        .iter()
                        .sum();
                    if size <= $crate::boundary::DIRTY_BYTES {
                        if let Some(answer) = $body(env, args, false) {
                            return answer;
                        }
                    }
                    $crate::boundary::schedule_dirty(env, NAME, on_dirty, args)
                }
            }
            nif!($name, $arity, Normal, here);
        };
    };
}

/// Larger texts are read on a dirty scheduler where what they hold is not known beforehand: the
/// slowest take some 20 ns a byte.
pub const DIRTY_BYTES: usize = 32 * 1024;

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

/// The bytes of a binary.
///
/// # Safety
/// `env` must be the calling environment; the bytes are lent until the call ends.
#[inline(always)]
pub unsafe fn inspect_binary<'e>(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<&'e [u8]> {
    let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
    // SAFETY: the caller's promise; on success the structure is filled in, and the bytes stay
    // where they are as long as the term does.
    unsafe {
        if enif_inspect_binary(env, term, binary.as_mut_ptr()) == 0 {
            return None;
        }
        let binary = binary.assume_init_ref();
        Some(if binary.size == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(binary.data, binary.size)
        })
    }
}

/// The elements of a tuple of this arity.
///
/// # Safety
/// `env` must be the calling environment and the term its.
pub unsafe fn tuple<const N: usize>(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
) -> Option<[ErlNifTerm; N]> {
    let mut arity = 0;
    let mut parts = std::ptr::null();
    // SAFETY: the caller's promise; a tuple lends its elements.
    unsafe {
        let is_tuple = enif_get_tuple(env, term, &mut arity, &mut parts) != 0;
        (is_tuple && arity as usize == N).then(|| *parts.cast::<[ErlNifTerm; N]>())
    }
}

/// Head and tail of a list's first cell.
///
/// # Safety
/// `env` must be the calling environment and `list` a term of it.
#[inline(always)]
pub unsafe fn cell(env: *mut ErlNifEnv, list: ErlNifTerm) -> Option<(ErlNifTerm, ErlNifTerm)> {
    let (mut head, mut tail) = (list, list);
    // SAFETY: the caller's promise.
    let is_cell = unsafe { enif_get_list_cell(env, list, &mut head, &mut tail) != 0 };
    is_cell.then_some((head, tail))
}

/// A map; no key may be there twice.
///
/// # Safety
/// `env` must be the calling environment and the values its.
pub unsafe fn make_map<const N: usize>(
    env: *mut ErlNifEnv,
    pairs: [(Atom, ErlNifTerm); N],
) -> ErlNifTerm {
    let mut keys = pairs.map(|(key, _)| key.as_c_arg());
    let mut values = pairs.map(|(_, value)| value);
    let mut map = MaybeUninit::uninit();
    // SAFETY: the caller's promise.
    unsafe {
        let is_map = enif_make_map_from_arrays(
            env,
            keys.as_mut_ptr(),
            values.as_mut_ptr(),
            N,
            map.as_mut_ptr(),
        );
        assert!(is_map != 0, "a key is there twice");
        map.assume_init()
    }
}

/// Goes on as `function` on a dirty CPU scheduler, with the same arguments.
///
/// # Safety
/// `env` must be the calling environment and `args` what `function` takes.
pub unsafe fn schedule_dirty(
    env: *mut ErlNifEnv,
    name: &std::ffi::CStr,
    function: unsafe extern "C" fn(*mut ErlNifEnv, i32, *const ErlNifTerm) -> ErlNifTerm,
    args: &[ErlNifTerm],
) -> ErlNifTerm {
    const DIRTY_CPU: i32 = rustler::SchedulerFlags::DirtyCpu as i32;
    let count = args.len() as i32;
    // SAFETY: the caller's promise.
    unsafe {
        enif_schedule_nif(
            env,
            name.as_ptr(),
            DIRTY_CPU,
            function,
            count,
            args.as_ptr(),
        )
    }
}

/// The threads to expect: the VM's schedulers of all sorts and a few of ours.
pub fn threads_foreseen() -> usize {
    let mut info = MaybeUninit::<ErlNifSysInfo>::zeroed();
    // SAFETY: filled up to the size given.
    let info = unsafe {
        enif_system_info(info.as_mut_ptr(), size_of::<ErlNifSysInfo>());
        info.assume_init()
    };
    // As many dirty CPU schedulers as others at most; ten dirty I/O ones unless more were asked for.
    2 * usize::try_from(info.scheduler_threads).unwrap_or(1).max(1) + 10 + 22
}

/// The bits of a term. They stay valid for immediates only.
#[inline(always)]
pub fn word(term: ErlNifTerm) -> u64 {
    // SAFETY: a term is one word.
    unsafe { std::mem::transmute::<ErlNifTerm, usize>(term) as u64 }
}

/// The term of such bits.
#[inline(always)]
pub fn immediate(word: u64) -> ErlNifTerm {
    // SAFETY: a term is one word, and this one was an immediate.
    unsafe { std::mem::transmute::<usize, ErlNifTerm>(word as usize) }
}

/// The lowest bits of a small integer; above them is the integer.
const SMALL: u64 = 0b1111;
const SMALL_BITS: u32 = 4;

/// The integer that a term is, if it is a small one: a call into the VM saved, 2 ns of the 25 that
/// the shortest NIFs take.
#[inline(always)]
pub fn small(term: ErlNifTerm) -> Option<i64> {
    let word = word(term);
    (word & SMALL == SMALL).then_some(word.cast_signed() >> SMALL_BITS)
}

/// An integer as a term.
///
/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
pub unsafe fn make_integer(env: *mut ErlNifEnv, integer: i64) -> ErlNifTerm {
    let word = integer << SMALL_BITS | SMALL.cast_signed();
    if word >> SMALL_BITS == integer {
        immediate(word.cast_unsigned())
    } else {
        // SAFETY: the caller's promise.
        unsafe { enif_make_int64(env, integer) }
    }
}

/// Whether the small integers of this VM have the bits that are relied on above.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn smalls_are_as_expected(env: *mut ErlNifEnv) -> bool {
    const LEAST: i64 = i64::MIN >> SMALL_BITS;
    // SAFETY: the caller's promise.
    unsafe {
        let smalls = [0, 1, -1, 1 << 32, !LEAST, LEAST];
        let larges = [!LEAST + 1, LEAST - 1, i64::MAX, i64::MIN];
        let made = |integer| enif_make_int64(env, integer);
        smalls.into_iter().all(|integer| {
            made(integer) == make_integer(env, integer) && small(made(integer)) == Some(integer)
        }) && larges
            .into_iter()
            .all(|integer| small(made(integer)).is_none())
            && small(crate::atoms::ok().as_c_arg()).is_none()
    }
}

/// A new binary.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn make_binary(env: *mut ErlNifEnv, bytes: &[u8]) -> ErlNifTerm {
    let mut term = MaybeUninit::uninit();
    // SAFETY: the caller's promise; the room is as large as asked for.
    unsafe {
        let room = enif_make_new_binary(env, bytes.len(), term.as_mut_ptr());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), room, bytes.len());
        term.assume_init()
    }
}

/// An atom.
pub fn boolean(is: bool) -> ErlNifTerm {
    if is {
        crate::atoms::r#true()
    } else {
        crate::atoms::r#false()
    }
    .as_c_arg()
}

/// What the VM calls with an object that it frees, or whose monitored process has ended.
pub type Destructor = unsafe extern "C" fn(*mut ErlNifEnv, *mut c_void);
pub type Down =
    unsafe extern "C" fn(*mut ErlNifEnv, *mut c_void, *const ErlNifPid, *const ErlNifMonitor);

/// Makes a type of resource objects and puts it where it is looked for; whether it could.
///
/// # Safety
/// `env` must be the environment of the library's load.
pub unsafe fn make_resource_type(
    env: *mut ErlNifEnv,
    name: &CStr,
    destructor: Option<Destructor>,
    down: Down,
    kind: &AtomicPtr<ErlNifResourceType>,
) -> bool {
    let callbacks = ErlNifResourceTypeInit {
        dtor: destructor.map_or(ptr::null(), |function| (function as *const c_void).cast()),
        stop: ptr::null(),
        down: (down as *const c_void).cast(),
        members: 3,
        dyncall: ptr::null(),
    };
    // SAFETY: the caller's promise; the VM copies what is behind the pointers.
    unsafe {
        let made = enif_init_resource_type(
            env,
            name.as_ptr(),
            &callbacks,
            ErlNifResourceFlags::ERL_NIF_RT_CREATE,
            ptr::null_mut(),
        );
        kind.store(made.cast_mut(), Ordering::Relaxed);
        !made.is_null()
    }
}
