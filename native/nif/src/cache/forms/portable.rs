//! Keys and values between VMs: as external term format. Snapshots are written and read on
//! threads of our own, in environments of our own.

use super::build::{binary, build_key, build_value, external, Built};
use super::large_maps::needs_scheduler;
use super::value::INLINE;
use super::{Atoms, Form, Key, NotFlat, Scratch, Value};
use crate::cache::held::Held;
use rustler::sys::*;
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;
use std::ptr::NonNull;

/// What became of an external form.
pub enum Import<T> {
    Done(T),
    /// It must be decoded elsewhere: see [`needs_scheduler`].
    NeedsScheduler,
    /// The VM cannot make a term of it or has no memory.
    Undecodable,
}

/// The version byte, then the tag and the length of a binary.
const VERSION: u8 = 131;
const BINARY: u8 = 109;

/// A compressed form says itself how much room it wants: none is made here, and none taken.
const COMPRESSED: u8 = 80;

/// Sizes of external forms whose terms are kept instead, as the door does
/// (`erlmcp_native_cache_terms`).
const COPIED: RangeInclusive<usize> = INLINE + 1..=128 * 1024;
/// And the most that such a term may take, since a NIF copies it at once.
const COPIED_SIZE: usize = 256 * 1024;

/// An environment that belongs to no process.
pub struct Room(NonNull<ErlNifEnv>);

// SAFETY: an environment of no process may be used by any thread, one at a time.
unsafe impl Send for Room {}

impl Room {
    /// `None` when there is no memory.
    pub fn new() -> Option<Room> {
        // SAFETY: it may be called anywhere.
        NonNull::new(unsafe { enif_alloc_env() }).map(Room)
    }

    fn env(&mut self) -> *mut ErlNifEnv {
        self.0.as_ptr()
    }

    /// Ends the terms made here.
    fn clear(&mut self) {
        // SAFETY: no function here lets a term out.
        unsafe { enif_clear_env(self.env()) };
    }

    /// Appends a key's external form.
    ///
    /// # Safety
    /// Form and bytes must be those of a [`Key`] of this VM.
    pub unsafe fn export_key(&mut self, form: Form, bytes: &[u8], out: &mut Vec<u8>) {
        match form {
            Form::External | Form::Copied => out.extend_from_slice(bytes),
            Form::Binary => export_binary(bytes, out),
            // SAFETY: the caller's promise; the environment is ours.
            Form::Word | Form::Flat => unsafe {
                let term = build_key(self.env(), form, bytes);
                self.export_term(term, out);
            },
        }
    }

    /// Appends a value's external form.
    ///
    /// # Safety
    /// All must be what a [`Value`] of this VM was held as.
    pub unsafe fn export_value(
        &mut self,
        form: Form,
        held: &Held,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) {
        let bytes = match held {
            Held::Shared(queue) => queue.bytes(),
            _ => bytes,
        };
        match form {
            Form::External => out.extend_from_slice(bytes),
            Form::Binary => export_binary(bytes, out),
            // SAFETY: the caller's promise; the environment is ours.
            Form::Word | Form::Flat | Form::Copied => unsafe {
                match build_value(self.env(), form, held, bytes) {
                    Built::Term(term) | Built::External(term) => self.export_term(term, out),
                }
            },
        }
    }

    /// # Safety
    /// `term` must be of this environment.
    unsafe fn export_term(&mut self, term: ErlNifTerm, out: &mut Vec<u8>) {
        let mut binary = MaybeUninit::<ErlNifBinary>::uninit();
        // SAFETY: the caller's promise; the binary is filled and then ours.
        unsafe {
            let made = enif_term_to_binary(self.env(), term, binary.as_mut_ptr());
            assert_ne!(made, 0, "memory for an external form");
            let mut binary = binary.assume_init();
            out.extend_from_slice(std::slice::from_raw_parts(binary.data, binary.size));
            enif_release_binary(&mut binary);
        }
        self.clear();
    }

    /// Reads a key's external form and gives it to `read`, with the environment that it is of;
    /// `None` if the VM cannot make a term of it here, or it is too long for a key.
    pub fn import_key<T>(
        &mut self,
        bytes: &[u8],
        atoms: Atoms,
        read: impl FnOnce(*mut ErlNifEnv, Key<'_>) -> T,
    ) -> Option<T> {
        let mut scratch = Scratch::new();
        // SAFETY: the environment is ours, and the terms do not outlive it.
        let result = unsafe {
            let env = self.env();
            let term = import(env, bytes, atoms)?;
            Key::read(env, term, Some(bytes), &mut scratch).map(|key| read(env, key))
        };
        self.clear();
        result.ok()
    }

    /// Reads a value's external form and gives how it is held to `read`: its form, what the entry
    /// holds and the bytes that belong into it.
    pub fn import_value<T>(
        &mut self,
        bytes: &[u8],
        atoms: Atoms,
        read: impl FnOnce(Form, Held, &[u8]) -> T,
    ) -> Import<T> {
        if needs_scheduler(bytes) {
            return Import::NeedsScheduler;
        }
        let mut scratch = Scratch::new();
        // SAFETY: the environment is ours, and the terms do not outlive it.
        let result = unsafe {
            let env = self.env();
            let Some(term) = import(env, bytes, atoms) else {
                return Import::Undecodable;
            };
            let value = match Value::read(env, term, &mut scratch) {
                Ok(value) => Some(value),
                Err(NotFlat) => COPIED
                    .contains(&bytes.len())
                    .then(|| super::size::of_term(env, term))
                    .filter(|size| *size <= COPIED_SIZE)
                    .map(|size| Value::copied(term, size))
                    .or_else(|| Value::read_external(env, binary(env, bytes))),
            };
            value.and_then(|value| {
                let held = value.hold(env)?;
                Some(read(value.form, held, value.bytes()))
            })
        };
        self.clear();
        result.map_or(Import::Undecodable, Import::Done)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: it is freed once.
        unsafe { enif_free_env(self.env()) };
    }
}

/// # Safety
/// `env` must be one that the calling thread owns.
unsafe fn import(env: *mut ErlNifEnv, bytes: &[u8], atoms: Atoms) -> Option<ErlNifTerm> {
    if bytes.get(1) == Some(&COMPRESSED) || needs_scheduler(bytes) {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { external(env, bytes, atoms) }
}

fn export_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[VERSION, BINARY]);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}
