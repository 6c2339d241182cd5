//! Words and bytes to terms.

use super::words::{self, is_immediate, parse_header, Kind, MAP, WORDS};
use super::Form;
use crate::cache::held::Held;
use rustler::sys::*;
use std::mem::MaybeUninit;

/// The longest external form that is decoded here. The VM takes at most some 40 ns a byte
/// (large maps of small integers), 330 us.
pub const DECODED: usize = 8 * 1024;

/// A value's term.
pub enum Built {
    Term(ErlNifTerm),
    /// The binary that `binary_to_term/1` makes the value of: it yields, a NIF cannot.
    External(ErlNifTerm),
}

/// The value that is held so; `bytes` are those beside it.
///
/// # Safety
/// `env` must be the calling environment or one that the calling thread owns, and the form, what
/// is held and the bytes what [`super::Value`] made.
#[inline(always)]
pub unsafe fn build_value(env: *mut ErlNifEnv, form: Form, held: &Held, bytes: &[u8]) -> Built {
    // SAFETY: the caller's promise.
    unsafe {
        match held {
            Held::Word(word) => Built::Term(*word),
            Held::Bytes => match form {
                Form::External => external(env, bytes, Atoms::Any)
                    .map_or_else(|| Built::External(binary(env, bytes)), Built::Term),
                Form::Flat => Built::Term(flat(env, bytes)),
                _ => Built::Term(binary(env, bytes)),
            },
            Held::Shared(queue) if form == Form::External => {
                let bytes = queue.bytes();
                (bytes.len() <= DECODED)
                    .then(|| external(env, bytes, Atoms::Any))
                    .flatten()
                    .map_or_else(|| Built::External(queue.term(env)), Built::Term)
            }
            Held::Shared(queue) => Built::Term(queue.term(env)),
            Held::Copied(copied) => Built::Term(copied.term(env)),
        }
    }
}

/// The key that has these bytes.
///
/// # Safety
/// `env` must be the calling environment or one that the calling thread owns; form and bytes must
/// be those of a [`super::Key`].
pub unsafe fn build_key(env: *mut ErlNifEnv, form: Form, bytes: &[u8]) -> ErlNifTerm {
    // SAFETY: the caller's promise; a key in the external form was made by the VM from a term.
    unsafe {
        match form {
            Form::Word => words::term(read_word(bytes, 0)),
            Form::Binary => binary(env, bytes),
            Form::Flat => flat(env, bytes),
            Form::External | Form::Copied => {
                external(env, bytes, Atoms::Any).expect("a key's external form is valid")
            }
        }
    }
}

/// Which atoms an external form may name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Atoms {
    Any,
    /// Those that the VM has already: atoms are never freed.
    Existing,
}

/// The term of an external form; `None` if it is none that this VM can make.
///
/// # Safety
/// `env` must be the calling environment or one that the calling thread owns.
#[inline(always)]
pub(super) unsafe fn external(
    env: *mut ErlNifEnv,
    bytes: &[u8],
    atoms: Atoms,
) -> Option<ErlNifTerm> {
    let options = match atoms {
        Atoms::Any => 0,
        Atoms::Existing => ERL_NIF_BIN2TERM_SAFE,
    };
    let mut term = ErlNifTerm::default();
    // SAFETY: the caller's promise; the bytes are only read.
    let read = unsafe {
        enif_binary_to_term(
            env,
            bytes.as_ptr().cast_mut(),
            bytes.len(),
            &mut term,
            options,
        )
    };
    // Nothing may follow the term.
    (read != 0 && read == bytes.len()).then_some(term)
}

#[inline(always)]
pub(super) unsafe fn binary(env: *mut ErlNifEnv, bytes: &[u8]) -> ErlNifTerm {
    let mut term = ErlNifTerm::default();
    // SAFETY: the caller's promise; the VM gives room for as many bytes as asked for.
    unsafe {
        let room = enif_make_new_binary(env, bytes.len(), &mut term);
        room.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
    term
}

#[inline(always)]
fn read_word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[8 * at..8 * at + 8]);
    u64::from_ne_bytes(word)
}

/// The term of the flat form.
unsafe fn flat(env: *mut ErlNifEnv, bytes: &[u8]) -> ErlNifTerm {
    let count = bytes.len() / 8;
    assert!(count <= WORDS, "too many words");
    let mut terms = [const { MaybeUninit::<ErlNifTerm>::uninit() }; WORDS];
    let (mut at, mut depth) = (0, 0);
    while at < count {
        let word = read_word(bytes, at);
        at += 1;
        // SAFETY: the caller's promise: these are the words of a term, so that a header finds its
        // parts on the stack or its bytes behind it. Each word read pushes at most one term, so
        // the stack has room for it.
        unsafe {
            let term = if is_immediate(word) {
                words::term(word)
            } else {
                let (kind, size) = parse_header(word);
                let parts = |wanted: usize| terms[depth - wanted..depth].as_ptr().cast();
                match kind {
                    Kind::Tuple => {
                        let term = enif_make_tuple_from_array(env, parts(size), size as u32);
                        depth -= size;
                        term
                    }
                    Kind::Map => {
                        let keys = parts(2 * size);
                        depth -= 2 * size;
                        map(env, keys, size)
                    }
                    Kind::List => {
                        let term = enif_make_list_from_array(env, parts(size), size as u32);
                        depth -= size;
                        term
                    }
                    Kind::Binary => {
                        let term = binary(env, &bytes[8 * at..8 * at + size]);
                        at += size.div_ceil(8);
                        term
                    }
                    Kind::Float => {
                        at += 1;
                        enif_make_double(env, f64::from_bits(read_word(bytes, at - 1)))
                    }
                    Kind::Integer => {
                        at += 1;
                        enif_make_int64(env, read_word(bytes, at - 1) as i64)
                    }
                    Kind::Unsigned => {
                        at += 1;
                        enif_make_uint64(env, read_word(bytes, at - 1))
                    }
                    Kind::Improper => {
                        depth -= 1;
                        let mut list = terms[depth].assume_init();
                        for _ in 0..size {
                            depth -= 1;
                            list = enif_make_list_cell(env, terms[depth].assume_init(), list);
                        }
                        list
                    }
                }
            };
            terms.get_unchecked_mut(depth).write(term);
            depth += 1;
        }
    }
    assert_eq!(depth, 1, "one term");
    // SAFETY: it was pushed.
    unsafe { terms[0].assume_init() }
}

/// The map of `size` keys, at `keys`, and the values behind them.
#[inline(always)]
unsafe fn map(env: *mut ErlNifEnv, keys: *const ErlNifTerm, size: usize) -> ErlNifTerm {
    assert!(size <= MAP, "a small map");
    let mut map = ErlNifTerm::default();
    // SAFETY: the caller's promise.
    unsafe {
        if size == 0 {
            return enif_make_new_map(env);
        }
        let made = enif_make_map_from_arrays(env, keys, keys.add(size), size, &mut map);
        assert_ne!(made, 0, "keys differ");
    }
    map
}
