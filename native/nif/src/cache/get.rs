//! Reading.

use super::clock;
use super::core::Terms;
use super::handle::with_core;
use super::key::with_key;
use crate::atoms;
use cache_core::{Entry, Key, NEVER};
use rustler::sys::*;

/// Why a key is not looked up: the answer.
#[inline(always)]
unsafe fn not_found(env: *mut ErlNifEnv) -> ErlNifTerm {
    // SAFETY: the calling environment.
    unsafe { super::error(env, atoms::not_found()) }
}

unsafe fn cache_get(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_core(env, args[0], |core, pin| {
            with_key!(env, args[1], args[2], not_found(env), |key: &Key| {
                match core.cache.get(key, clock::now, pin) {
                    Some(entry) => core.answer(env, entry),
                    None => not_found(env),
                }
            })
        })
        .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_get", 3, Normal, cache_get);

unsafe fn cache_get_entry(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_core(env, args[0], |core, pin| {
            with_key!(env, args[1], args[2], not_found(env), |key: &Key| {
                match core.cache.get(key, clock::now, pin) {
                    Some(entry) => {
                        let parts = [
                            core.answer(env, entry),
                            enif_make_uint64(env, entry.version()),
                            time_left(env, entry),
                        ];
                        enif_make_tuple_from_array(env, parts.as_ptr(), 3)
                    }
                    None => not_found(env),
                }
            })
        })
        .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_get_entry", 3, Normal, cache_get_entry);

unsafe fn cache_is_key(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_core(env, args[0], |core, pin| {
            with_key!(env, args[1], args[2], super::boolean(false), |key: &Key| {
                super::boolean(core.cache.peek(key, clock::now, pin).is_some())
            })
        })
        .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_is_key", 3, Normal, cache_is_key);

unsafe fn cache_ttl(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_core(env, args[0], |core, pin| {
            with_key!(env, args[1], args[2], not_found(env), |key: &Key| {
                match core.cache.peek(key, clock::now, pin) {
                    Some(entry) => super::ok(env, time_left(env, entry)),
                    None => not_found(env),
                }
            })
        })
        .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_ttl", 3, Normal, cache_ttl);

/// Milliseconds, or `infinity`, until it is no longer served if it is not used.
unsafe fn time_left(env: *mut ErlNifEnv, entry: &Entry<Terms>) -> ErlNifTerm {
    // SAFETY: the calling environment.
    unsafe {
        match entry.unserved_at() {
            NEVER => atoms::infinity().as_c_arg(),
            at => enif_make_uint64(env, at.saturating_sub(clock::now())),
        }
    }
}
