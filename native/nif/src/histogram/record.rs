//! Recording: the hot path.

use super::handle::{charge, with_histogram, MANY_BUCKETS};
use crate::atoms;
use crate::boundary::{cell, guarded, inspect_binary, small};
use crate::clock;
use crate::tried::Fault;
use histogram_core::shard::Shard;
use rustler::sys::*;
use smallvec::SmallVec;
use sync_core::sections;

/// A value to record: a non-negative integer; those of 2^64 and above count as the largest below.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[inline(always)]
unsafe fn value(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<u64> {
    match small(term) {
        Some(value) => u64::try_from(value).ok(),
        // SAFETY: the caller's promise.
        None => unsafe { large(env, term) },
    }
}

/// # Safety
/// As for [`value`].
#[cold]
#[inline(never)]
unsafe fn large(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<u64> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut value = 0;
        if enif_get_uint64(env, term, &mut value) != 0 {
            return Some(value);
        }
        let kind = enif_term_type(env, term);
        let is_integer = matches!(kind, ErlNifTermType::ERL_NIF_TERM_TYPE_INTEGER);
        (is_integer && enif_compare(term, enif_make_int(env, 0)) > 0).then_some(u64::MAX)
    }
}

fn wrong_value() -> Fault {
    Fault::Wrong(atoms::invalid_value())
}

/// Records where this thread has recorded by the handle before; whether it did.
#[inline(always)]
fn record_kept(handle: ErlNifTerm, value: u64) -> bool {
    let Some(handle) = small(handle) else {
        return false;
    };
    let section = sections::enter();
    let shard = section.kept(handle.cast_unsigned()).cast::<Shard>();
    // SAFETY: by the handle of a histogram, `record_found` keeps the thread's shard of it.
    unsafe { shard.as_ref() }.is_some_and(|shard| shard.try_record(value))
}

/// Records, and keeps where, for [`record_kept`].
///
/// # Safety
/// `env` must be the calling environment and `histogram` a term of it.
unsafe fn record_found(
    env: *mut ErlNifEnv,
    histogram: ErlNifTerm,
    value: u64,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        with_histogram(env, histogram, |live, section| {
            let thread = section.thread();
            live.histogram.record(thread, value);
            let own = small(histogram).zip(live.histogram.own_shard(thread));
            if let Some((handle, shard)) = own {
                // SAFETY: the shard is freed with its histogram, which the registry retires.
                section.keep(handle.cast_unsigned(), shard);
            }
            atoms::ok().as_c_arg()
        })
    }
}

fn record_quickly(args: &[ErlNifTerm; 2]) -> bool {
    let value = small(args[1]).and_then(|value| u64::try_from(value).ok());
    value.is_some_and(|value| record_kept(args[0], value))
}

unsafe fn record(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let value = value(env, args[1]).ok_or_else(wrong_value)?;
        record_found(env, args[0], value)
    }
}
tried_nif!("histogram_record", 2, record, record_quickly);

unsafe fn record_corrected(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let value = value(env, args[1]).ok_or_else(wrong_value)?;
        let interval = self::value(env, args[2]).ok_or(Fault::Wrong(atoms::invalid_interval()))?;
        with_histogram(env, args[0], |live, section| {
            let buckets = live.histogram.corrected_buckets(value, interval) as usize;
            if !on_dirty && buckets > MANY_BUCKETS {
                return Err(Fault::Large);
            }
            live.histogram
                .record_corrected(section.thread(), value, interval);
            if buckets > FEW {
                // Each is found and counted by some divisions.
                charge(env, 8 * buckets);
            }
            Ok(atoms::ok().as_c_arg())
        })?
    }
}
tried_nif!("histogram_record_corrected", 3, record_corrected);

fn stop_quickly(args: &[ErlNifTerm; 2]) -> bool {
    clock::elapsed(args[1]).is_some_and(|elapsed| record_kept(args[0], elapsed))
}

unsafe fn stop(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    let elapsed = clock::elapsed(args[1]).ok_or_else(wrong_value)?;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { record_found(env, args[0], elapsed) }
}
tried_nif!("histogram_stop", 2, stop, stop_quickly);

/// So many values are recorded in one turn on a scheduler, a list's or a binary's.
const SLICE: usize = 8192;
/// So many are worth no reductions.
const FEW: usize = 256;
/// Of a list so many are read before any is recorded; a longer one is looked at twice.
const READ_AHEAD: usize = 2048;
const REDUCTIONS_BY_SLICE: i32 = 10;

const NAME: *const std::ffi::c_char = c"histogram_record_many".as_ptr();

unsafe fn record_many(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        if let Some(bytes) = inspect_binary(env, args[1]) {
            if bytes.len() % 8 != 0 {
                return Err(wrong_value());
            }
            return record_packed(env, args, 0);
        }
        let mut values = SmallVec::<[u64; READ_AHEAD]>::new();
        let mut rest = args[1];
        while values.len() < READ_AHEAD {
            let Some((head, tail)) = cell(env, rest) else {
                break;
            };
            values.push(value(env, head).ok_or_else(wrong_value)?);
            rest = tail;
        }
        if enif_is_empty_list(env, rest) != 0 {
            if values.len() > FEW {
                charge(env, values.len());
            }
            return with_histogram(env, args[0], |live, section| {
                let values = values.iter().copied();
                live.histogram.record_all(section.thread(), values);
                atoms::ok().as_c_arg()
            });
        }
        check_list(env, args, rest)
    }
}
tried_nif!("histogram_record_many", 2, record_many);

/// Goes on in the process's next turn with the histogram, the values and where it is.
///
/// # Safety
/// `env` must be the calling environment and the terms its.
unsafe fn go_on(
    env: *mut ErlNifEnv,
    next: unsafe extern "C" fn(*mut ErlNifEnv, i32, *const ErlNifTerm) -> ErlNifTerm,
    args: &[ErlNifTerm; 2],
    at: ErlNifTerm,
) -> ErlNifTerm {
    let args = [args[0], args[1], at];
    // SAFETY: the caller's promise.
    unsafe {
        enif_consume_timeslice(env, REDUCTIONS_BY_SLICE);
        enif_schedule_nif(env, NAME, 0, next, 3, args.as_ptr())
    }
}

/// Declares the function that a longer call goes on as.
macro_rules! continued {
    ($name:ident, $body:path) => {
        unsafe extern "C" fn $name(
            env: *mut ErlNifEnv,
            _argc: i32,
            argv: *const ErlNifTerm,
        ) -> ErlNifTerm {
            // SAFETY: scheduled by `go_on` with three arguments.
            guarded(env, || unsafe {
                let [histogram, values, at] = *argv.cast::<[ErlNifTerm; 3]>();
                match $body(env, &[histogram, values], at) {
                    Ok(answer) => answer,
                    Err(Fault::Wrong(reason)) => reason.as_c_arg(),
                    Err(Fault::Busy | Fault::Large) => go_on(env, $name, &[histogram, values], at),
                }
            })
        }
    };
}

/// Records a binary from the value of this number on.
///
/// # Safety
/// `env` must be the calling environment and `args` its terms: a histogram and a binary.
unsafe fn record_packed(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    from: usize,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = inspect_binary(env, args[1]).ok_or_else(wrong_value)?;
        let (values, _) = bytes.as_chunks::<8>();
        let left = values.get(from..).unwrap_or(&[]);
        let now = &left[..left.len().min(SLICE)];
        with_histogram(env, args[0], |live, section| {
            let values = now.iter().map(|&value| u64::from_ne_bytes(value));
            live.histogram.record_all(section.thread(), values);
        })?;
        if now.len() == left.len() {
            if now.len() > FEW {
                charge(env, now.len());
            }
            return Ok(atoms::ok().as_c_arg());
        }
        let at = enif_make_uint64(env, (from + SLICE) as u64);
        Ok(go_on(env, packed_on, args, at))
    }
}

/// # Safety
/// As for [`record_packed`], and `from` a number.
unsafe fn packed_from(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    from: ErlNifTerm,
) -> Result<ErlNifTerm, Fault> {
    let mut number = 0;
    // SAFETY: the caller's promise.
    unsafe {
        enif_get_uint64(env, from, &mut number);
        record_packed(env, args, number as usize)
    }
}
continued!(packed_on, packed_from);

/// Looks at a long list's values from here on; records them all once all are right.
///
/// # Safety
/// `env` must be the calling environment and the terms its.
unsafe fn check_list(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    from: ErlNifTerm,
) -> Result<ErlNifTerm, Fault> {
    let mut rest = from;
    // SAFETY: the caller's promise.
    unsafe {
        for _ in 0..SLICE {
            let Some((head, tail)) = cell(env, rest) else {
                if enif_is_empty_list(env, rest) == 0 {
                    return Err(wrong_value());
                }
                return record_list(env, args, args[1]);
            };
            value(env, head).ok_or_else(wrong_value)?;
            rest = tail;
        }
        Ok(go_on(env, check_on, args, rest))
    }
}
continued!(check_on, check_list);

/// Records a long list's values from here on.
///
/// # Safety
/// `env` must be the calling environment and the terms its, the values looked at.
unsafe fn record_list(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    from: ErlNifTerm,
) -> Result<ErlNifTerm, Fault> {
    let mut rest = from;
    // SAFETY: the caller's promise.
    unsafe {
        with_histogram(env, args[0], |live, section| {
            let values = std::iter::from_fn(|| {
                let (head, tail) = cell(env, rest)?;
                rest = tail;
                value(env, head)
            });
            live.histogram
                .record_all(section.thread(), values.take(SLICE));
        })?;
        if enif_is_empty_list(env, rest) != 0 {
            return Ok(atoms::ok().as_c_arg());
        }
        Ok(go_on(env, record_on, args, rest))
    }
}
continued!(record_on, record_list);
