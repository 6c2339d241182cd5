//! Those who wait for a flight: the aliases that the outcome is sent to.

use crate::boundary::word;
use rustler::sys::*;
use std::ptr::NonNull;

#[derive(Default)]
pub struct Waiters {
    /// Made when the first comes.
    env: Option<NonNull<ErlNifEnv>>,
    references: Vec<ErlNifTerm>,
    /// A hash of each, since to compare terms is a call.
    hashes: Vec<u32>,
    /// Those in `env` that have left.
    left: usize,
}

// SAFETY: the environment and its terms go with the value, and whoever has it borrowed mutably
// is the only one to use them.
unsafe impl Send for Waiters {}

impl Waiters {
    pub fn is_empty(&self) -> bool {
        self.references.is_empty()
    }

    /// Whether there was memory.
    ///
    /// # Safety
    /// `reference` must be a term of a calling environment.
    pub unsafe fn enter(&mut self, reference: ErlNifTerm) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let env = match self.env {
                Some(env) => env,
                None => match NonNull::new(enif_alloc_env()) {
                    Some(env) => *self.env.insert(env),
                    None => return false,
                },
            };
            self.references
                .push(enif_make_copy(env.as_ptr(), reference));
            self.hashes.push(hash(reference));
        }
        true
    }

    /// # Safety
    /// As [`Self::enter`].
    pub unsafe fn leave(&mut self, reference: ErlNifTerm) {
        // SAFETY: the caller's promise.
        unsafe {
            let hash = hash(reference);
            let mut from = 0;
            while let Some(step) = self.hashes[from..].iter().position(|other| *other == hash) {
                let at = from + step;
                if enif_is_identical(self.references[at], reference) != 0 {
                    self.references.swap_remove(at);
                    self.hashes.swap_remove(at);
                    self.left += 1;
                    break;
                }
                from = at + 1;
            }
            // An environment gives nothing back before its end.
            if self.left > self.references.len() + 1000 {
                self.compact();
            }
        }
    }

    unsafe fn compact(&mut self) {
        // SAFETY: the references are of the environment that is freed after they are copied.
        unsafe {
            let Some(new) = NonNull::new(enif_alloc_env()) else {
                return;
            };
            for reference in &mut self.references {
                *reference = enif_make_copy(new.as_ptr(), *reference);
            }
            if let Some(old) = self.env.replace(new) {
                enif_free_env(old.as_ptr());
            }
        }
        self.left = 0;
    }

    /// A list of at most so many, which leave.
    ///
    /// # Safety
    /// `env` must be the calling environment.
    pub unsafe fn take(&mut self, env: *mut ErlNifEnv, most: usize) -> ErlNifTerm {
        // SAFETY: the caller's promise.
        unsafe {
            let mut list = enif_make_list_from_array(env, std::ptr::null(), 0);
            for _ in 0..most {
                let Some(reference) = self.references.pop() else {
                    break;
                };
                list = enif_make_list_cell(env, enif_make_copy(env, reference), list);
            }
            list
        }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        if let Some(env) = self.env {
            // SAFETY: made by `enter` or `compact`, freed once.
            unsafe { enif_free_env(env.as_ptr()) };
        }
    }
}

unsafe fn hash(reference: ErlNifTerm) -> u32 {
    // SAFETY: the caller's promise: a term of a calling environment.
    unsafe { enif_hash(ErlNifHash::ERL_NIF_INTERNAL_HASH, reference, 0) as u32 }
}

/// Whether two pids are the same.
pub fn is_same(one: &ErlNifPid, other: &ErlNifPid) -> bool {
    // SAFETY: local pids are immediates, and no environment is asked for.
    let term = |pid: &ErlNifPid| unsafe { enif_make_pid(std::ptr::null_mut(), *pid) };
    word(term(one)) == word(term(other))
}
