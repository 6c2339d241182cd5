//! The memory that a term takes.

use super::words::{is_cell, is_immediate, word, MAP};
use rustler::sys::*;
use std::mem::MaybeUninit;

/// The bytes of a term on a heap and of its binaries, nearly; for threads of our own, since the
/// term is walked to its end.
///
/// # Safety
/// `term` must be a term of `env`, which the calling thread owns.
pub(super) unsafe fn of_term(env: *mut ErlNifEnv, term: ErlNifTerm) -> usize {
    const WORD: usize = size_of::<usize>();
    let mut stack = vec![term];
    let mut bytes = 0;
    while let Some(term) = stack.pop() {
        if is_immediate(word(term)) {
            continue;
        }
        // SAFETY: the caller's promise; the parts of a term are terms of its environment.
        unsafe {
            if is_cell(word(term)) {
                let (mut head, mut tail) = Default::default();
                enif_get_list_cell(env, term, &mut head, &mut tail);
                bytes += 2 * WORD;
                stack.extend([tail, head]);
                continue;
            }
            match enif_term_type(env, term) {
                ErlNifTermType::ERL_NIF_TERM_TYPE_TUPLE => {
                    let (mut arity, mut elements) = (0, std::ptr::null());
                    enif_get_tuple(env, term, &mut arity, &mut elements);
                    for at in 0..arity as usize {
                        stack.push(*elements.add(at));
                    }
                    bytes += (1 + arity as usize) * WORD;
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_MAP => {
                    let size = push_pairs(env, term, &mut stack);
                    // Two tuples, or a tree of cells with a node for every few.
                    bytes += WORD
                        * if size <= MAP {
                            4 + 2 * size
                        } else {
                            5 * size / 2
                        };
                }
                ErlNifTermType::ERL_NIF_TERM_TYPE_BITSTRING => {
                    let size = crate::boundary::inspect_binary(env, term).map_or(0, <[u8]>::len);
                    bytes += 6 * WORD + size;
                }
                // Numbers, references, funs without what they enclose.
                _ => bytes += 5 * WORD,
            }
        }
    }
    bytes
}

/// The number of pairs.
///
/// # Safety
/// `map` must be a map of `env`.
unsafe fn push_pairs(env: *mut ErlNifEnv, map: ErlNifTerm, stack: &mut Vec<ErlNifTerm>) -> usize {
    let head = ErlNifMapIteratorEntry::ERL_NIF_MAP_ITERATOR_HEAD;
    let mut iterator = MaybeUninit::uninit();
    let (mut key, mut value) = Default::default();
    let mut size = 0;
    // SAFETY: the caller's promise; the iterator is used where it was created, and destroyed once.
    unsafe {
        if enif_map_iterator_create(env, map, iterator.as_mut_ptr(), head) == 0 {
            return 0;
        }
        while enif_map_iterator_get_pair(env, iterator.as_mut_ptr(), &mut key, &mut value) != 0 {
            stack.extend([key, value]);
            size += 1;
            enif_map_iterator_next(env, iterator.as_mut_ptr());
        }
        enif_map_iterator_destroy(env, iterator.as_mut_ptr());
    }
    size
}
