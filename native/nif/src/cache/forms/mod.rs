//! How keys and values are held outside of a process.
//!
//! | form | what | bytes |
//! |---|---|---|
//! | word | immediates: small integers, atoms, `[]`, local pids and ports | the term's word |
//! | binary | a binary | its own |
//! | flat | small tuples, lists, maps, floats, integers of 64 bits | see [`words`] |
//! | external | every other term | external term format, made by the caller in Erlang |
//! | copied | values with an external form of 1 to 128 KB | none: see [`crate::cache::held`] |
//!
//! A key's form and bytes are equal to another's if and only if the terms are under `=:=`, except
//! in the external form, where [`Key::same`] asks the VM. Words hold atoms and pids by their
//! number in this VM, hence none of this leaves it: see [`portable`] for what does.

mod build;
mod encode;
mod hash;
mod key;
mod large_maps;
pub mod portable;
mod size;
mod value;
mod words;

pub use build::{build_key, build_value, Atoms, Built, DECODED};
pub use encode::Scratch;
pub use key::{Key, NoKey, LONGEST_KEY};
pub use value::{Value, INLINE};

use rustler::sys::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// The forms in which bytes may be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Form {
    Word = 0,
    Binary = 1,
    Flat = 2,
    External = 3,
    /// Of values only: a term that is copied from an environment of its own. (The number between
    /// is the core's.)
    Copied = 5,
}

impl Form {
    /// From the number that an entry keeps.
    #[inline(always)]
    pub fn from_number(number: u8) -> Form {
        match number {
            0 => Form::Word,
            1 => Form::Binary,
            2 => Form::Flat,
            5 => Form::Copied,
            _ => Form::External,
        }
    }
}

/// The term is of none of the forms that are made here: it is to come in the external one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotFlat;

/// Whether `0.0 =:= -0.0`, as it was before OTP 27.
static ZEROS_EQUAL: AtomicBool = AtomicBool::new(false);

/// Learns at load what differs between VMs, and whether this one's terms are laid out as
/// [`words`] takes them to be.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = enif_make_double(env, 0.0);
        let negative = enif_make_double(env, -0.0);
        let equal = enif_is_identical(zero, negative) != 0;
        // Relaxed: written before any NIF can be called.
        ZEROS_EQUAL.store(equal, Ordering::Relaxed);
        words::as_expected(env)
    }
}

/// A float's bits; those of equal keys are equal.
#[inline(always)]
fn float_bits(value: f64, key: bool) -> u64 {
    if key && value == 0.0 && ZEROS_EQUAL.load(Ordering::Relaxed) {
        0
    } else {
        value.to_bits()
    }
}
