//! Keys: any term, as a hash of 128 bits.

use crate::atoms;
use crate::boundary::{inspect_binary, word};
use crate::cache::forms::{self, Form, NoKey, Scratch};
use crate::tried::Fault;
use pool_core::limiter::hash::Secret;
use rustler::sys::*;
use std::hash::{BuildHasher, RandomState};

/// A secret for each form, so that no binary is taken for what another term looks like inside.
pub struct Secrets {
    word: Secret,
    binary: Secret,
    other: [Secret; 2],
}

/// The lowest two bits of an immediate, and of a list's cell.
const TAG: u64 = 0b11;
const IMMEDIATE: u64 = 0b11;
const CELL: u64 = 0b01;

/// Charges the caller with what hashing takes: some 10 us for so many bytes, a hundredth of its time.
///
/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
unsafe fn charge(env: *mut ErlNifEnv, bytes: &[u8]) {
    const BY_HUNDREDTH: usize = 8192;
    if bytes.len() >= BY_HUNDREDTH {
        // SAFETY: the caller's promise.
        unsafe { enif_consume_timeslice(env, (bytes.len() / BY_HUNDREDTH).min(100) as i32) };
    }
}

impl Secrets {
    /// Drawn anew.
    pub fn new() -> Self {
        let half = || RandomState::new().hash_one(0);
        let secret = || Secret([half(), half()]);
        Secrets {
            word: secret(),
            binary: secret(),
            other: [secret(), secret()],
        }
    }

    /// The key that a term is. Its `external` form is asked for by `complex` where it is needed.
    ///
    /// # Safety
    /// `env` must be the calling environment and the terms its.
    #[inline(always)]
    pub unsafe fn key(
        &self,
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        external: ErlNifTerm,
    ) -> Result<u128, Fault> {
        // SAFETY: the caller's promise.
        unsafe { self.key_and_size(env, term, external) }.map(|(key, _)| key)
    }

    /// As [`Self::key`], and how many bytes were hashed. Many are charged.
    ///
    /// # Safety
    /// As for [`Self::key`].
    #[inline(always)]
    pub unsafe fn key_and_size(
        &self,
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        external: ErlNifTerm,
    ) -> Result<(u128, usize), Fault> {
        let word = word(term);
        if word & TAG == IMMEDIATE {
            return Ok((self.word.word(word), 0));
        }
        // SAFETY: the caller's promise.
        unsafe {
            if word & TAG != CELL {
                if let Some(bytes) = inspect_binary(env, term) {
                    if bytes.len() <= forms::LONGEST_KEY {
                        charge(env, bytes);
                        return Ok((self.binary.bytes(bytes), bytes.len()));
                    }
                }
            }
            self.other(env, term, external)
        }
    }

    /// # Safety
    /// As for [`Self::key`].
    #[cold]
    #[inline(never)]
    unsafe fn other(
        &self,
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        external: ErlNifTerm,
    ) -> Result<(u128, usize), Fault> {
        let mut scratch = Scratch::new();
        // SAFETY: the caller's promise.
        let key = unsafe {
            let external = inspect_binary(env, external);
            forms::Key::read(env, term, external, &mut scratch)
        };
        match key {
            Ok(key) => {
                let secret = self.other[usize::from(key.form == Form::External)];
                // SAFETY: the caller's promise.
                unsafe { charge(env, key.bytes) };
                Ok((secret.bytes(key.bytes), key.bytes.len()))
            }
            Err(NoKey::Complex) => Err(Fault::Wrong(atoms::complex())),
            Err(NoKey::TooLarge) => Err(Fault::Wrong(atoms::too_large())),
        }
    }
}
