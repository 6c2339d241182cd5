//! Workers as a pool keeps them.

use crate::boundary::{immediate, word};
use crate::owned::Owned;
use rustler::sys::*;
use std::sync::Arc;

/// A worker and the process that looks after it.
#[derive(Clone)]
pub struct Worker {
    term: Kept,
    pub keeper: Option<ErlNifPid>,
}

#[derive(Clone)]
enum Kept {
    /// An immediate, as pids and ports are.
    Word(u64),
    Term(Arc<Owned>),
}

impl Worker {
    /// `None` where there is no memory.
    ///
    /// # Safety
    /// `term` must be valid.
    pub unsafe fn new(term: ErlNifTerm, keeper: Option<ErlNifPid>) -> Option<Self> {
        const TAG: u64 = 0b11;
        let bits = word(term);
        let term = if bits & TAG == TAG {
            Kept::Word(bits)
        } else {
            // SAFETY: the caller's promise.
            Kept::Term(Arc::new(unsafe { Owned::new(term) }?))
        };
        Some(Worker { term, keeper })
    }

    /// # Safety
    /// `env` must be the calling environment.
    #[inline(always)]
    pub unsafe fn term(&self, env: *mut ErlNifEnv) -> ErlNifTerm {
        match &self.term {
            Kept::Word(bits) => immediate(*bits),
            // SAFETY: the caller's promise.
            Kept::Term(term) => unsafe { term.copy(env) },
        }
    }
}
