//! Terms taken apart.
//!
//! Every function is unsafe for one reason: `env` must be the calling environment and the terms
//! its. What is borrowed from a term lives until the NIF returns.

pub(crate) use crate::boundary::{cell, inspect_binary as binary};
use rustler::sys::*;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The terms whose words are compared.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub nil: ErlNifTerm,
    pub null: ErlNifTerm,
    pub r#true: ErlNifTerm,
    pub r#false: ErlNifTerm,
}

impl Terms {
    pub unsafe fn get(env: *mut ErlNifEnv) -> &'static Terms {
        static TERMS: OnceLock<Terms> = OnceLock::new();
        TERMS.get_or_init(|| Terms {
            // SAFETY: the caller's promise; an empty list is the same word everywhere.
            nil: unsafe { enif_make_list_from_array(env, std::ptr::null(), 0) },
            null: crate::atoms::null().as_c_arg(),
            r#true: crate::atoms::r#true().as_c_arg(),
            r#false: crate::atoms::r#false().as_c_arg(),
        })
    }
}

#[inline(always)]
pub(crate) unsafe fn tuple<'a>(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<&'a [ErlNifTerm]> {
    let (mut arity, mut elements) = (0, std::ptr::null());
    // SAFETY: the caller's promise; there are `arity` elements.
    unsafe {
        if enif_get_tuple(env, term, &mut arity, &mut elements) == 0 || arity <= 0 {
            return None;
        }
        Some(std::slice::from_raw_parts(elements, arity as usize))
    }
}

/// The two elements of a pair.
pub(crate) unsafe fn pair(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
) -> Option<(ErlNifTerm, ErlNifTerm)> {
    // SAFETY: the caller's promise.
    match unsafe { tuple(env, term) } {
        Some([key, value]) => Some((*key, *value)),
        _ => None,
    }
}

/// Makes an iterator at the first pair of `map`, which must be one; it must be destroyed.
#[inline(always)]
pub(crate) unsafe fn iterate(
    env: *mut ErlNifEnv,
    map: ErlNifTerm,
    iterator: *mut ErlNifMapIterator,
) {
    let head = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
    // SAFETY: the caller's promise; creation fails for other terms only.
    let created = unsafe { enif_map_iterator_create(env, map, iterator, head) };
    assert_ne!(created, 0, "not a map");
}

/// The pair at the iterator, which moves on.
#[inline(always)]
pub(crate) unsafe fn next_pair(
    env: *mut ErlNifEnv,
    iterator: &mut ErlNifMapIterator,
) -> Option<(ErlNifTerm, ErlNifTerm)> {
    let (mut key, mut value) = Default::default();
    // SAFETY: the caller's promise; the iterator is created and not destroyed.
    unsafe {
        if enif_map_iterator_get_pair(env, iterator, &mut key, &mut value) == 0 {
            return None;
        }
        enif_map_iterator_next(env, iterator);
    }
    Some((key, value))
}

/// A float's value; `term` must be one.
#[inline(always)]
pub(crate) unsafe fn float(env: *mut ErlNifEnv, term: ErlNifTerm) -> f64 {
    let mut value = 0.0;
    // SAFETY: the caller's promise.
    unsafe { enif_get_double(env, term, &mut value) };
    value
}

/// The external term format of a small term, without its version byte.
unsafe fn external<T>(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    read: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    let mut binary = MaybeUninit::uninit();
    // SAFETY: the caller's promise; the binary is filled when the answer is not 0.
    unsafe {
        if enif_term_to_binary(env, term, binary.as_mut_ptr()) == 0 {
            return None;
        }
        let mut binary = binary.assume_init();
        let result = read(std::slice::from_raw_parts(binary.data, binary.size).get(1..)?);
        enif_release_binary(&mut binary);
        Some(result)
    }
}

/// An atom's text in UTF-8.
pub(crate) unsafe fn atom_text<T>(
    env: *mut ErlNifEnv,
    atom: ErlNifTerm,
    read: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    const LONGEST: usize = 255;
    let mut block = [0u8; LONGEST + 1];
    // SAFETY: the caller's promise; the block has the given size.
    let written = unsafe {
        let encoding = ErlNifCharEncoding::ERL_NIF_LATIN1;
        enif_get_atom(
            env,
            atom,
            block.as_mut_ptr().cast(),
            block.len() as u32,
            encoding,
        )
    };
    if let Some(text) = block.get(..(written as usize).wrapping_sub(1)) {
        if text.is_ascii() {
            return Some(read(text));
        }
    }
    // The interface of this age knows no other text than Latin-1.
    // SAFETY: the caller's promise.
    unsafe {
        external(env, atom, |bytes| match bytes {
            [119, _, text @ ..] | [118, _, _, text @ ..] => Some(read(text)),
            [100, _, _, text @ ..] | [115, _, text @ ..] => {
                let text: String = text.iter().map(|byte| char::from(*byte)).collect();
                Some(read(text.as_bytes()))
            }
            _ => None,
        })
        .flatten()
    }
}

/// How many 64-bit limbs a big integer may have to be written natively: conversion is quadratic.
const LIMBS: usize = 16;

/// Sign and magnitude of an integer beyond 64 bits; `None` when it is beyond 1,024.
pub(crate) unsafe fn big_integer(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
) -> Option<(bool, [u64; LIMBS])> {
    const BYTES: usize = LIMBS * 8;
    // 2^1024 and its negative as external terms: comparing with them is quick for any size.
    let mut limit = [0u8; 4 + BYTES + 1];
    limit[..3].copy_from_slice(&[131, 110, BYTES as u8 + 1]);
    limit[4 + BYTES] = 1;
    // SAFETY: the caller's promise.
    unsafe {
        for negative in [0, 1] {
            limit[3] = negative;
            let mut bound = ErlNifTerm::default();
            if enif_binary_to_term(env, limit.as_ptr(), limit.len(), &mut bound, 0) == 0 {
                return None;
            }
            let order = enif_compare(term, bound);
            if (negative == 0 && order >= 0) || (negative == 1 && order <= 0) {
                return None;
            }
        }
        external(env, term, |bytes| {
            let [110, len, sign, magnitude @ ..] = bytes else {
                return None;
            };
            let magnitude = magnitude.get(..usize::from(*len))?;
            let mut limbs = [0; LIMBS];
            for (at, byte) in magnitude.iter().enumerate() {
                *limbs.get_mut(at / 8)? |= u64::from(*byte) << (at % 8 * 8);
            }
            Some((*sign != 0, limbs))
        })
        .flatten()
    }
}
