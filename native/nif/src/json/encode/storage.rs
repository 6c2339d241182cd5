//! Text in a binary of the VM, so that the result is not copied.

use json_core::write::{Buffer, Storage};
use rustler::sys::*;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

#[derive(Default)]
pub(crate) struct VmBinary(Option<ErlNifBinary>);

// SAFETY: the block is the binary's, of the size asked for, and only `grow` moves it.
unsafe impl Storage for VmBinary {
    fn grow(&mut self, text: &[u8], capacity: usize) -> (NonNull<u8>, usize) {
        // SAFETY: an allocated binary is writable until it is made a term.
        unsafe {
            let done = match &mut self.0 {
                Some(binary) => enif_realloc_binary(binary, capacity),
                empty => {
                    let mut binary = MaybeUninit::uninit();
                    let done = enif_alloc_binary(capacity, binary.as_mut_ptr());
                    if done != 0 {
                        let binary = empty.insert(binary.assume_init());
                        binary
                            .data
                            .copy_from_nonoverlapping(text.as_ptr(), text.len());
                    }
                    done
                }
            };
            match &self.0 {
                Some(binary) if done != 0 => (NonNull::new_unchecked(binary.data), binary.size),
                _ => panic!("no memory for {capacity} bytes"),
            }
        }
    }
}

impl Drop for VmBinary {
    fn drop(&mut self) {
        if let Some(binary) = &mut self.0 {
            // SAFETY: it is ours and no term.
            unsafe { enif_release_binary(binary) };
        }
    }
}

impl VmBinary {
    /// Whether the text has not needed it.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The text as a term.
    ///
    /// # Safety
    /// `env` is the calling environment.
    pub unsafe fn finish(env: *mut ErlNifEnv, text: &mut Buffer<VmBinary>) -> ErlNifTerm {
        let len = text.len();
        // SAFETY: the caller's promise; the new binary has `len` bytes.
        unsafe {
            if text.storage().is_empty() {
                let mut term = ErlNifTerm::default();
                let data = enif_make_new_binary(env, len, &mut term);
                data.copy_from_nonoverlapping(text.bytes().as_ptr(), len);
                return term;
            }
            text.settle();
            match text.storage().0.take() {
                Some(mut binary) => enif_make_binary(env, &mut binary),
                None => enif_make_badarg(env),
            }
        }
    }
}
