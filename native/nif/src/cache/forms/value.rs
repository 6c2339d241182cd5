//! Values as they are held.

use super::encode::encode;
use super::words::{is_cell, is_immediate, word};
use super::{Form, NotFlat, Scratch};
use crate::cache::held::{Copied, Held, Queue};
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
    Copied { term: ErlNifTerm, size: usize },
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

    /// `{Term, Size}`: a term without references into larger binaries, and the bytes that it
    /// takes, few enough to copy it in a NIF; `None` when it is no such pair.
    ///
    /// # Safety
    /// `env` must be the calling environment and `pair` a term of it.
    pub unsafe fn read_copied(env: *mut ErlNifEnv, pair: ErlNifTerm) -> Option<Self> {
        let (mut arity, mut parts, mut size) = (0, std::ptr::null(), 0);
        // SAFETY: the caller's promise; a pair has two elements.
        let term = unsafe {
            if enif_get_tuple(env, pair, &mut arity, &mut parts) == 0 || arity != 2 {
                return None;
            }
            if enif_get_uint64(env, *parts.add(1), &mut size) == 0 {
                return None;
            }
            *parts
        };
        Some(Self::copied(term, usize::try_from(size).ok()?))
    }

    /// A term that is to be copied, and the bytes that it takes.
    pub fn copied(term: ErlNifTerm, size: usize) -> Self {
        Value {
            form: Form::Copied,
            content: Content::Copied { term, size },
        }
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
            // SAFETY: the caller's promise.
            Content::Copied { term, size } => unsafe { Copied::new(term, size) }.map(Held::Copied),
        }
    }
}
