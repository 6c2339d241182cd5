//! References that outlive the call that brought them.
//!
//! An environment for each of those who wait would take 2.5 KB and longer to make than all else. A
//! reference of `make_ref/0` is three words that mean the same anywhere: a header and a number. Here
//! they are kept, and shown to the VM, which copies them into the message.

use crate::boundary::word;
use rustler::sys::*;
use std::sync::atomic::{AtomicU64, Ordering};

const MOST_WORDS: usize = 4;
/// Of a term that points to words, the low bits.
const TAG_MASK: u64 = 0b11;
const BOXED: u64 = 0b10;
/// The number of words after a header is above these.
const HEADER_BITS: u32 = 6;

/// The header of what `make_ref/0` makes. Found out at load.
static HEADER: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
pub struct Reference([u64; MOST_WORDS]);

/// # Safety
/// `term` must be valid.
unsafe fn header(term: ErlNifTerm) -> Option<*const u64> {
    let word = word(term);
    (word & TAG_MASK == BOXED)
        .then(|| std::ptr::with_exposed_provenance::<u64>((word & !TAG_MASK) as usize))
}

impl Reference {
    /// `None` where the term is none that `make_ref/0` makes.
    ///
    /// # Safety
    /// `env` must be the calling environment and `term` a term of it.
    #[inline]
    pub unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Self> {
        // SAFETY: the caller's promise. That a term points to its header, and that a header tells
        // how many words follow, was found to be so at load.
        unsafe {
            if enif_is_ref(env, term) == 0 {
                return None;
            }
            let header = header(term)?;
            if *header != HEADER.load(Ordering::Relaxed) {
                return None;
            }
            let count = 1 + (*header >> HEADER_BITS) as usize;
            let mut words = [0; MOST_WORDS];
            std::ptr::copy_nonoverlapping(header, words.as_mut_ptr(), count.min(MOST_WORDS));
            Some(Reference(words))
        }
    }

    /// A term that is valid as long as `self` is, and only to be copied.
    #[inline]
    fn term(&self) -> ErlNifTerm {
        let word = self.0.as_ptr().expose_provenance() as u64 | BOXED;
        crate::boundary::immediate(word)
    }

    /// Sends it as a message. `env` is the calling environment, or null on a thread of ours or a
    /// dirty scheduler.
    ///
    /// # Safety
    /// As just said.
    #[inline]
    pub unsafe fn send(&self, env: *mut ErlNifEnv, to: &ErlNifPid) {
        // SAFETY: the caller's promise; without an environment of its own the message is copied.
        // Whoever has ended needs none.
        let _ = unsafe { enif_send(env, to, std::ptr::null_mut(), self.term()) };
    }
}

/// Whether references of this VM are as they are relied on above.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn load(env: *mut ErlNifEnv) -> bool {
    // SAFETY: the caller's promise; the header is looked at only where the term points to one, and
    // the copy only where it has the same words.
    unsafe {
        let (one, other) = (enif_make_ref(env), enif_make_ref(env));
        let Some(first) = header(one) else {
            return false;
        };
        HEADER.store(*first, Ordering::Relaxed);
        let is_short = ((*first >> HEADER_BITS) as usize) < MOST_WORDS;
        is_short
            && [one, other].into_iter().all(|term| {
                Reference::read(env, term).is_some_and(|reference| {
                    let copy = enif_make_copy(env, reference.term());
                    enif_is_identical(copy, term) != 0
                })
            })
            && Reference::read(env, crate::atoms::ok().as_c_arg()).is_none()
    }
}
