//! `json_split`: where the documents of a stream's chunk end.

use super::decode::charge;
use crate::atoms;
use crate::boundary::inspect_binary;
use json_core::{Framing, Splitter};
use rustler::sys::*;

/// The door splits larger chunks in windows of this size: one may hold a document every other
/// byte.
const WINDOW: usize = 32 * 1024;

/// `json_split(Window, State)` gives `{[{Start, Length, IsComplete}], State}`, where the first
/// state is `lines` or `concatenated`.
unsafe fn json_split(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        match inspect_binary(env, args[0]) {
            Some(chunk) if chunk.len() <= WINDOW => split(env, chunk, args[1]),
            _ => enif_make_badarg(env),
        }
    }
}
nif!("json_split", 2, Normal, json_split);

/// # Safety
/// `env` must be the calling environment and `state` a term of it.
unsafe fn split(env: *mut ErlNifEnv, chunk: &[u8], state: ErlNifTerm) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(mut splitter) = splitter(env, state) else {
            return enif_make_badarg(env);
        };
        let mut extents = Vec::new();
        let mut from = 0;
        while let Some(extent) = splitter.next(chunk, from) {
            let complete = if extent.complete {
                atoms::r#true()
            } else {
                atoms::r#false()
            };
            let fields = [
                enif_make_uint64(env, extent.start as u64),
                enif_make_uint64(env, (extent.end - extent.start) as u64),
                complete.as_c_arg(),
            ];
            extents.push(enif_make_tuple_from_array(env, fields.as_ptr(), 3));
            from = extent.end;
        }
        charge(env, chunk.len());
        let answer = [
            enif_make_list_from_array(env, extents.as_ptr(), extents.len() as u32),
            enif_make_uint64(env, splitter.to_bits()),
        ];
        enif_make_tuple_from_array(env, answer.as_ptr(), 2)
    }
}

/// # Safety
/// `env` must be the calling environment and `state` a term of it.
unsafe fn splitter(env: *mut ErlNifEnv, state: ErlNifTerm) -> Option<Splitter> {
    if state == atoms::lines().as_c_arg() {
        return Some(Splitter::new(Framing::Lines));
    }
    if state == atoms::concatenated().as_c_arg() {
        return Some(Splitter::new(Framing::Concatenated));
    }
    let mut bits = 0;
    // SAFETY: the caller's promise.
    let read = unsafe { enif_get_uint64(env, state, &mut bits) };
    if read == 0 {
        None
    } else {
        Splitter::from_bits(bits)
    }
}
