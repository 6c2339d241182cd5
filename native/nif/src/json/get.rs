//! `json_get`: one value of a text, by its path.

use super::build::{Builder, Refusal, Room};
use super::decode::{charge, raise, vocabulary, work, Call};
use crate::atoms;
use crate::boundary::inspect_binary;
use json_core::{Limits, Parser, Reason, Stop};
use rustler::sys::*;

text_nif!("json_get", 3, texts: [0], get);

/// Why no value was got.
enum Miss {
    BadPath,
    NotFound,
    Malformed,
}

impl From<Stop> for Miss {
    fn from(_: Stop) -> Self {
        Miss::Malformed
    }
}

/// `json_get(Binary, Vocabulary, Path)` gives `{ok, Term}` or `{error, not_found}`. `None` asks
/// for a dirty scheduler.
///
/// # Safety
/// `env` must be the calling environment and `args` those of `json_get`.
unsafe fn get(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3], on_dirty: bool) -> Option<ErlNifTerm> {
    // SAFETY: the caller's promise.
    let Some(input) = (unsafe { inspect_binary(env, args[0]) }) else {
        // SAFETY: as above.
        return Some(unsafe { enif_make_badarg(env) });
    };
    let call = Call::default();
    let limits = Limits {
        work: work(on_dirty),
        ..call.limits
    };
    let mut parser = Parser::new(input, limits);
    // SAFETY: the caller's promise.
    unsafe {
        let Some(vocabulary) = vocabulary(env, args[1]) else {
            return Some(enif_make_badarg(env));
        };
        let mut room = Room::new();
        let input_term = (args[0], input.len());
        let mut builder = Builder::new(
            env,
            input_term,
            &call.options,
            vocabulary,
            on_dirty,
            &mut room,
        );
        let found = follow(env, &mut parser, args[2])
            .and_then(|()| Ok(parser.value(&mut builder)?))
            .and_then(|()| builder.take().ok_or(Miss::Malformed));
        charge(env, parser.offset());
        let pair = |first: rustler::Atom, second| {
            enif_make_tuple_from_array(env, [first.as_c_arg(), second].as_ptr(), 2)
        };
        Some(match found {
            Ok(value) => pair(atoms::ok(), value),
            Err(Miss::NotFound) => pair(atoms::error(), atoms::not_found().as_c_arg()),
            Err(Miss::BadPath) => enif_make_badarg(env),
            Err(Miss::Malformed) => {
                let error = parser.error();
                match (&error.reason, builder.refusal) {
                    (Reason::WorkLimit, _) | (_, Some(Refusal::NotHere)) => return None,
                    (_, refusal) => raise(env, input, &error, refusal),
                }
            }
        })
    }
}

/// Goes to the value at the end of the path. The path is read only as far as the text goes
/// along, so that its length costs nothing.
///
/// # Safety
/// `env` must be the calling environment and `path` a term of it.
unsafe fn follow(
    env: *mut ErlNifEnv,
    parser: &mut Parser,
    mut path: ErlNifTerm,
) -> Result<(), Miss> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut head = ErlNifTerm::default();
        let mut tail = ErlNifTerm::default();
        while enif_get_list_cell(env, path, &mut head, &mut tail) != 0 {
            let mut index = 0;
            let found = if let Some(key) = inspect_binary(env, head) {
                parser.find_member(key)?
            } else if enif_get_uint64(env, head, &mut index) != 0 {
                parser.find_element(index)?
            } else {
                return Err(Miss::BadPath);
            };
            if !found {
                return Err(Miss::NotFound);
            }
            path = tail;
        }
        if enif_is_empty_list(env, path) == 0 {
            return Err(Miss::BadPath);
        }
        Ok(())
    }
}
