//! What an entry holds of its value, and large binaries that are shared with the VM.

use crate::owned::Owned;
use rustler::sys::*;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// What an entry holds of its value beside the bytes in it.
pub enum Held {
    /// An immediate, which is valid everywhere.
    Word(ErlNifTerm),
    /// Nothing: the bytes in the entry are all.
    Bytes,
    Shared(Queue),
    Copied(Copied),
}
const _: () = assert!(size_of::<Held>() <= 16);

/// A term in an environment of its own, from which the VM copies it faster than it decodes an
/// external form (nested maps by half, atoms tenfold).
pub struct Copied(NonNull<Content>);

struct Content {
    term: Owned,
    size: usize,
}

// SAFETY: the content is written before anyone else can see it and may be sent and shared.
unsafe impl Send for Copied {}
// SAFETY: as above.
unsafe impl Sync for Copied {}

impl Copied {
    /// The memory of an environment: most is a process that the VM pretends for it and room that
    /// it adds to the term's.
    pub const OVERHEAD: usize = 2_500;

    /// `size`: the bytes that the term takes, nearly. `None` when there is no memory.
    ///
    /// # Safety
    /// `term` must be valid.
    pub unsafe fn new(term: ErlNifTerm, size: usize) -> Option<Copied> {
        // SAFETY: the caller's promise.
        let term = unsafe { Owned::new(term)? };
        let content = Box::leak(Box::new(Content { term, size }));
        Some(Copied(NonNull::from(content)))
    }

    fn content(&self) -> &Content {
        // SAFETY: it lives as long as this.
        unsafe { self.0.as_ref() }
    }

    pub fn size(&self) -> usize {
        self.content().size
    }

    /// # Safety
    /// `env` must be the calling environment or one that the calling thread owns.
    pub unsafe fn term(&self, env: *mut ErlNifEnv) -> ErlNifTerm {
        // SAFETY: the caller's promise.
        unsafe { self.content().term.copy(env) }
    }

    /// For an entry that owns it from now on.
    pub fn into_word(self) -> u64 {
        std::mem::ManuallyDrop::new(self)
            .0
            .as_ptr()
            .expose_provenance() as u64
    }

    /// # Safety
    /// The word must be from [`Copied::into_word`], and it not yet freed; who gets it owns it, or
    /// must forget it.
    pub unsafe fn from_word(word: u64) -> Self {
        let content = std::ptr::with_exposed_provenance_mut(word as usize);
        // SAFETY: the caller's promise.
        Copied(unsafe { NonNull::new_unchecked(content) })
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // SAFETY: made from a box, and freed once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A reference to a binary of the VM. The interface has none by itself, but an I/O queue keeps
/// one to each binary put into it, and makes terms of it: nothing is copied either way.
pub struct Queue(NonNull<ErlNifIOQueue>);

// SAFETY: a queue is filled before anyone else can see it and destroyed when no one can any more
// (it is owned by value). Between the two there are only `enif_ioq_peek_head` and `enif_ioq_peek`,
// which only read the queue and count the binary's references atomically (so erl_nif.c and
// erl_io_queue.c before and after OTP 27, where binaries changed, and the machine code of 25):
// the manual's rule that a queue is one thread's is for those that change it. Destroying drops a
// reference to the binary, atomically, and frees memory of the VM's, which any thread may.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// The memory of a queue (200 bytes in OTP 25) and of a binary's header.
    pub const OVERHEAD: usize = 208 + 32;

    /// Refers to `binary`; `None` when there is no memory.
    ///
    /// # Safety
    /// `env` must be the calling environment and `binary` a binary of it that is not empty.
    pub unsafe fn new(env: *mut ErlNifEnv, binary: ErlNifTerm) -> Option<Queue> {
        let mut tail = ErlNifTerm::default();
        let mut vector = MaybeUninit::<ErlNifIOVec>::uninit();
        let mut filled = vector.as_mut_ptr();
        // SAFETY: the caller's promise. The vector has room for as many as it is filled with,
        // and need not be released since it belongs to `env`.
        unsafe {
            let list = enif_make_list_from_array(env, [binary].as_ptr(), 1);
            if enif_inspect_iovec(env, 1, list, &mut tail, &mut filled) == 0 {
                return None;
            }
            let queue = enif_ioq_create(ErlNifIOQueueOpts::ERL_NIF_IOQ_NORMAL);
            // From here on it is destroyed when dropped.
            let queue = Queue(NonNull::new(queue)?);
            (enif_ioq_enqv(queue.0.as_ptr(), filled, 0) != 0).then_some(queue)
        }
    }

    /// For an entry that owns it from now on.
    pub fn into_word(self) -> u64 {
        std::mem::ManuallyDrop::new(self)
            .0
            .as_ptr()
            .expose_provenance() as u64
    }

    /// # Safety
    /// The word must be from [`Queue::into_word`], and the queue not yet destroyed; who gets it
    /// owns it, or must forget it.
    #[inline(always)]
    pub unsafe fn from_word(word: u64) -> Self {
        let queue = std::ptr::with_exposed_provenance_mut(word as usize);
        // SAFETY: the caller's promise.
        Queue(unsafe { NonNull::new_unchecked(queue) })
    }

    /// The binary.
    ///
    /// # Safety
    /// `env` must be the calling environment or one that the calling thread owns.
    #[inline(always)]
    pub unsafe fn term(&self, env: *mut ErlNifEnv) -> ErlNifTerm {
        let mut term = ErlNifTerm::default();
        // SAFETY: the caller's promise; the queue is never empty.
        unsafe { enif_ioq_peek_head(env, self.0.as_ptr(), std::ptr::null_mut(), &mut term) };
        term
    }

    /// The binary's bytes.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        let mut count = 0;
        // SAFETY: the queue's vector has one element, since a binary is put in whole; it stays
        // where it is as long as the queue does.
        unsafe {
            let vector = enif_ioq_peek(self.0.as_ptr(), &mut count);
            assert_eq!(count, 1, "one binary");
            &*vector
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is destroyed once.
        unsafe { enif_ioq_destroy(self.0.as_ptr()) };
    }
}
