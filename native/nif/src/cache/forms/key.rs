//! Keys as bytes.

use super::build::{external, Atoms};
use super::encode::encode;
use super::large_maps::needs_scheduler;
use super::words::{is_cell, is_immediate, word};
use super::{hash, Form, Scratch};
use rustler::sys::*;

/// Longer keys are refused: hashing and comparing them would take too long.
pub const LONGEST_KEY: usize = cache_core::MAX_KEY_BYTES;

/// Why a term gives no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoKey {
    /// Its external form is needed.
    Complex,
    /// It is longer than [`LONGEST_KEY`].
    TooLarge,
}

/// A key, as long as the call that reads it.
pub struct Key<'a> {
    pub form: Form,
    pub bytes: &'a [u8],
    pub hash: u64,
    term: ErlNifTerm,
}

impl<'a> Key<'a> {
    /// `external` is what `term_to_binary/1` makes of the term, if it has been asked for.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    #[inline(always)]
    pub unsafe fn read(
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        external: Option<&'a [u8]>,
        scratch: &'a mut Scratch,
    ) -> Result<Self, NoKey> {
        let word = word(term);
        if is_immediate(word) {
            return Ok(Key {
                form: Form::Word,
                bytes: scratch.word(word),
                hash: hash::word(word),
                term,
            });
        }
        // SAFETY: the caller's promise.
        unsafe {
            // Asked first, since that is quick to tell.
            if !is_cell(word) && enif_is_tuple(env, term) == 0 {
                if let Some(bytes) = crate::boundary::inspect_binary(env, term) {
                    return Self::with(Form::Binary, bytes, term);
                }
            }
            Self::read_other(env, term, external, scratch)
        }
    }

    #[inline(never)]
    unsafe fn read_other(
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        external: Option<&'a [u8]>,
        scratch: &'a mut Scratch,
    ) -> Result<Self, NoKey> {
        // SAFETY: the caller's promise.
        unsafe {
            if let Ok(bytes) = encode(env, term, true, scratch) {
                return Self::with(Form::Flat, bytes, term);
            }
            let bytes = external.ok_or(NoKey::Complex)?;
            if bytes.len() > LONGEST_KEY {
                return Err(NoKey::TooLarge);
            }
            Ok(Key {
                form: Form::External,
                bytes,
                hash: hash::term(term),
                term,
            })
        }
    }

    #[inline(always)]
    fn with(form: Form, bytes: &'a [u8], term: ErlNifTerm) -> Result<Self, NoKey> {
        if bytes.len() > LONGEST_KEY {
            return Err(NoKey::TooLarge);
        }
        Ok(Key {
            form,
            bytes,
            hash: hash::bytes(form, bytes),
            term,
        })
    }

    /// Whether this is the key that has these bytes in this form. Equal terms may differ in their
    /// external forms (a fun names the process that made it): there the VM has the last word.
    ///
    /// # Safety
    /// `env` must be the calling environment, the key read from it, and `stored` another key's
    /// bytes.
    #[inline(always)]
    pub unsafe fn same(&self, env: *mut ErlNifEnv, form: Form, stored: &[u8]) -> bool {
        if form != self.form {
            return false;
        }
        if form == Form::Word {
            // Without a call to compare memory.
            return stored.first_chunk::<8>() == self.bytes.first_chunk();
        }
        // SAFETY: the caller's promise.
        self.bytes == stored || form == Form::External && unsafe { self.identical(env, stored) }
    }

    #[cold]
    #[inline(never)]
    unsafe fn identical(&self, env: *mut ErlNifEnv, stored: &[u8]) -> bool {
        // SAFETY: the caller's promise; any thread may ask what it is.
        unsafe {
            if enif_thread_type() == ERL_NIF_THR_UNDEFINED && needs_scheduler(stored) {
                // No key is made here of which that could be said.
                return false;
            }
            external(env, stored, Atoms::Any)
                .is_some_and(|stored| enif_is_identical(self.term, stored) != 0)
        }
    }
}
