//! Values as they are held.

use super::encode::encode;
use super::words::{is_cell, is_immediate, word};
use super::{Form, NotFlat, Scratch};
use crate::cache::held::{Held, Queue};
use rustler::sys::*;

/// Binaries up to this size are copied into the entry, longer ones are shared with the VM.
pub const INLINE: usize = 1024;

/// A value, as long as the call that reads it.
pub struct Value<'a> {
    pub form: Form,
    content: Content<'a>,
}

enum Content<'a> {
    Word(ErlNifTerm),
    Bytes(&'a [u8]),
    Shared(ErlNifTerm),
}

impl<'a> Value<'a> {
    /// A term as it is.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    #[inline(always)]
    pub unsafe fn read(
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        scratch: &'a mut Scratch,
    ) -> Result<Self, NotFlat> {
        let word = word(term);
        if is_immediate(word) {
            return Ok(Value {
                form: Form::Word,
                content: Content::Word(term),
            });
        }
        // SAFETY: the caller's promise.
        unsafe {
            if !is_cell(word) && enif_is_tuple(env, term) == 0 {
                if let Some(bytes) = crate::boundary::inspect_binary(env, term) {
                    return Ok(Self::of_binary(Form::Binary, term, bytes));
                }
            }
            Ok(Value {
                form: Form::Flat,
                content: Content::Bytes(encode(env, term, false, scratch)?),
            })
        }
    }

    /// A term of which `binary` is the external form; `None` when that is no binary.
    ///
    /// # Safety
    /// `env` must be the calling environment and `binary` a term of it.
    pub unsafe fn read_external(env: *mut ErlNifEnv, binary: ErlNifTerm) -> Option<Self> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { crate::boundary::inspect_binary(env, binary)? };
        Some(Self::of_binary(Form::External, binary, bytes))
    }

    #[inline(always)]
    fn of_binary(form: Form, binary: ErlNifTerm, bytes: &'a [u8]) -> Self {
        let content = if bytes.len() <= INLINE {
            Content::Bytes(bytes)
        } else {
            Content::Shared(binary)
        };
        Value { form, content }
    }

    /// The bytes that belong into the entry.
    #[inline(always)]
    pub fn bytes(&self) -> &'a [u8] {
        match self.content {
            Content::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// What the entry holds beside the bytes; `None` when there is no memory.
    ///
    /// # Safety
    /// `env` must be the environment that the value was read from.
    #[inline(always)]
    pub unsafe fn hold(&self, env: *mut ErlNifEnv) -> Option<Held> {
        match self.content {
            Content::Word(word) => Some(Held::Word(word)),
            Content::Bytes(_) => Some(Held::Bytes),
            // SAFETY: the caller's promise.
            Content::Shared(binary) => unsafe { Queue::new(env, binary) }.map(Held::Shared),
        }
    }
}
