//! The flat form: terms as words of 64 bits.
//!
//! An immediate is its own word. Every other term has a header whose lowest two bits are zero,
//! which no term's are: its kind, and how many parts or bytes it has. A binary's bytes, padded
//! with zeros, and a number's bits follow their header; the parts of tuples, lists and maps stand
//! before it, so that a stack is all that reading needs. Since a header says what it takes, no
//! two terms have the same words.

use rustler::sys::*;

/// So many words the flat form of a term may have. The largest map of its kind fits.
pub const WORDS: usize = 192;
/// The longest binary inside of a flat term: longer ones are shared by the VM.
pub const BINARY: usize = 64;
/// The most keys of a map that the VM keeps as two sorted tuples.
pub const MAP: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Float,
    /// Of 64 bits with sign, beyond the immediate ones.
    Integer,
    /// Beyond those.
    Unsigned,
    Binary,
    Tuple,
    List,
    /// The last part is what stands in place of the end.
    Improper,
    /// The keys, then the values.
    Map,
}

/// The header of a term with so many parts or bytes.
#[inline(always)]
pub const fn header(kind: Kind, count: usize) -> u64 {
    (count as u64) << 8 | (kind as u64) << 2
}

/// A header's kind and count.
#[inline(always)]
pub const fn parse_header(word: u64) -> (Kind, usize) {
    let kind = match word >> 2 & 0x3F {
        0 => Kind::Float,
        1 => Kind::Integer,
        2 => Kind::Unsigned,
        3 => Kind::Binary,
        4 => Kind::Tuple,
        5 => Kind::List,
        6 => Kind::Improper,
        _ => Kind::Map,
    };
    (kind, (word >> 8) as usize)
}

/// The lowest two bits of a term say where it is; those of a header are zero.
const TAG: u64 = 0b11;
const LIST: u64 = 0b01;
const BOXED: u64 = 0b10;
const IMMEDIATE: u64 = 0b11;

pub use crate::boundary::word;

/// # Safety
/// `word` must be that of an immediate, or of a term of the environment it is used in.
#[inline(always)]
pub unsafe fn term(word: u64) -> ErlNifTerm {
    // SAFETY: both are transparent over the same integer.
    unsafe { std::mem::transmute::<usize, ErlNifTerm>(word as usize) }
}

/// Whether the word is the whole term: it is then valid everywhere and for ever.
#[inline(always)]
pub const fn is_immediate(word: u64) -> bool {
    word & TAG == IMMEDIATE
}

/// Whether the word is that of a list's cell.
#[inline(always)]
pub const fn is_cell(word: u64) -> bool {
    word & TAG == LIST
}

/// Whether the word is no term, but a header.
#[inline(always)]
pub const fn is_header(word: u64) -> bool {
    word & TAG == 0
}

/// Whether the terms of this VM have the bits that are relied on above.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn as_expected(env: *mut ErlNifEnv) -> bool {
    // SAFETY: the caller's promise; every array holds as many terms of `env` as said.
    unsafe {
        let nil = enif_make_list_from_array(env, std::ptr::null(), 0);
        let atom = crate::atoms::ok().as_c_arg();
        let mut process = std::mem::MaybeUninit::<ErlNifPid>::uninit();
        if enif_self(env, process.as_mut_ptr()).is_null() {
            return false;
        }
        let mut bytes = ErlNifTerm::default();
        enif_make_new_binary(env, 1, &mut bytes).write(0);
        let immediates = [
            nil,
            atom,
            enif_make_pid(env, process.assume_init()),
            enif_make_int64(env, 0),
            enif_make_int64(env, -1),
            enif_make_int64(env, i64::from(i16::MAX)),
        ];
        let boxed = [
            bytes,
            enif_make_double(env, 1.5),
            enif_make_int64(env, i64::MIN),
            enif_make_tuple_from_array(env, [nil].as_ptr(), 1),
            enif_make_new_map(env),
            enif_make_ref(env),
        ];
        let cell = enif_make_list_cell(env, atom, nil);
        immediates.into_iter().all(|term| is_immediate(word(term)))
            && boxed.into_iter().all(|term| word(term) & TAG == BOXED)
            && is_cell(word(cell))
    }
}
