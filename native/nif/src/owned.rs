//! Terms that outlive the call that brought them.

use rustler::sys::*;
use std::ptr::NonNull;

/// A term in an environment of its own.
pub struct Owned {
    env: NonNull<ErlNifEnv>,
    term: ErlNifTerm,
}

// SAFETY: the term is written once, before anyone else sees it; afterwards it is only copied
// from, which reads it and counts references atomically (`enif_make_copy` in erl_nif.c).
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    /// `None` when there is no memory. The term should be small: it is copied at once.
    ///
    /// # Safety
    /// `term` must be valid.
    pub unsafe fn new(term: ErlNifTerm) -> Option<Owned> {
        // SAFETY: the caller's promise.
        unsafe {
            let env = NonNull::new(enif_alloc_env())?;
            let term = enif_make_copy(env.as_ptr(), term);
            Some(Owned { env, term })
        }
    }

    /// # Safety
    /// `env` must be the calling environment or one that the calling thread owns.
    pub unsafe fn copy(&self, env: *mut ErlNifEnv) -> ErlNifTerm {
        // SAFETY: the caller's promise.
        unsafe { enif_make_copy(env, self.term) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { enif_free_env(self.env.as_ptr()) };
    }
}
