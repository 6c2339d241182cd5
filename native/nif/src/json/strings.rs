//! Binaries for decoded strings. None keeps more than 1 KB, or eight times itself, alive.
//!
//! On OTP 25 and 26 `enif_make_new_binary` costs 37 ns and more, `enif_make_sub_binary` 5. So
//! short strings share chunks: those of up to 24 bytes a heap binary of 64 (the collector turns
//! such small parts into binaries of their own), those of up to 256 bytes one of 1 KB.

use rustler::sys::{enif_make_new_binary, enif_make_sub_binary, ErlNifEnv, ErlNifTerm};

const TINY: usize = 24;
const TINY_CHUNK: usize = 64; // the largest heap binary
const SMALL: usize = 256;
const SMALL_CHUNK: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Refer to the input only where that keeps little else alive.
    Auto,
    Copy,
    Reference,
}

struct Chunk {
    term: ErlNifTerm,
    data: *mut u8,
    free: usize,
    size: usize,
}

impl Chunk {
    fn none() -> Self {
        Chunk {
            term: ErlNifTerm::default(),
            data: std::ptr::null_mut(),
            free: 0,
            size: 0,
        }
    }
}

pub struct Strings {
    env: *mut ErlNifEnv,
    input: ErlNifTerm,
    input_size: usize,
    policy: Policy,
    tiny: Chunk,
    small: Chunk,
}

impl Strings {
    /// # Safety
    /// `env` must be the calling environment and outlive the value; `input` a binary of it of
    /// `input_size` bytes.
    pub unsafe fn new(
        env: *mut ErlNifEnv,
        input: ErlNifTerm,
        input_size: usize,
        policy: Policy,
    ) -> Self {
        Strings {
            env,
            input,
            input_size,
            policy,
            tiny: Chunk::none(),
            small: Chunk::none(),
        }
    }

    /// A binary of these bytes, which stand at `offset` of the input, if given.
    #[inline(always)]
    pub fn make(&mut self, bytes: &[u8], offset: Option<usize>) -> ErlNifTerm {
        if bytes.len() <= TINY && self.policy != Policy::Reference {
            return self.make_stable(bytes).0;
        }
        match offset {
            Some(offset) if self.may_refer(bytes.len()) => {
                // SAFETY: the extent lies inside the input.
                unsafe { enif_make_sub_binary(self.env, self.input, offset, bytes.len()) }
            }
            _ => self.make_stable(bytes).0,
        }
    }

    #[inline(always)]
    fn may_refer(&self, length: usize) -> bool {
        match self.policy {
            Policy::Auto => {
                length > TINY && (self.input_size <= SMALL_CHUNK || length >= self.input_size / 8)
            }
            Policy::Copy => false,
            Policy::Reference => true,
        }
    }

    /// A binary that is a copy, and its bytes, which stay where they are until the call ends.
    #[inline(always)]
    pub fn make_stable<'e>(&mut self, bytes: &[u8]) -> (ErlNifTerm, &'e [u8]) {
        match bytes.len() {
            0..=TINY => Self::part(self.env, &mut self.tiny, TINY_CHUNK, bytes),
            65..=SMALL => Self::part(self.env, &mut self.small, SMALL_CHUNK, bytes),
            _ => Self::whole(self.env, bytes),
        }
    }

    #[inline(always)]
    fn part<'e>(
        env: *mut ErlNifEnv,
        chunk: &mut Chunk,
        size: usize,
        bytes: &[u8],
    ) -> (ErlNifTerm, &'e [u8]) {
        // Not `<`: an empty string must not be taken from the chunk that is not there yet.
        if chunk.free <= bytes.len() {
            chunk.size = size;
            chunk.free = size;
            // SAFETY: `env` is the calling environment; the new binary has `size` bytes, which
            // are zeroed so that no part of it is read before it is written.
            unsafe {
                chunk.data = enif_make_new_binary(env, size, &mut chunk.term).cast();
                chunk.data.write_bytes(0, size);
            }
        }
        let at = chunk.size - chunk.free;
        chunk.free -= bytes.len();
        // SAFETY: `at` and the length lie inside the chunk, and the bytes are written before
        // they are lent. Nothing moves a term before the call ends.
        unsafe {
            let place = chunk.data.add(at);
            place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            let term = enif_make_sub_binary(env, chunk.term, at, bytes.len());
            (term, std::slice::from_raw_parts(place, bytes.len()))
        }
    }

    #[inline(never)]
    fn whole<'e>(env: *mut ErlNifEnv, bytes: &[u8]) -> (ErlNifTerm, &'e [u8]) {
        let mut term = ErlNifTerm::default();
        // SAFETY: `env` is the calling environment; the new binary has as many bytes as are
        // copied, and nothing moves it before the call ends.
        unsafe {
            let place: *mut u8 = enif_make_new_binary(env, bytes.len(), &mut term).cast();
            place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            (term, std::slice::from_raw_parts(place, bytes.len()))
        }
    }
}
