//! Hashes of keys. The seed is drawn when the library is loaded, so that keys which collide
//! cannot be made up beforehand.

use super::Form;
use foldhash::quality::FoldHasher;
use foldhash::SharedSeed;
use rustler::sys::*;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

struct Seeds {
    shared: SharedSeed,
    each: u64,
}

#[inline(always)]
fn hasher(form: Form) -> FoldHasher<'static> {
    static SEEDS: OnceLock<Seeds> = OnceLock::new();
    let seeds = SEEDS.get_or_init(|| Seeds {
        shared: SharedSeed::from_u64(RandomState::new().hash_one(0)),
        each: RandomState::new().hash_one(1),
    });
    FoldHasher::with_seed(seeds.each ^ form as u64, &seeds.shared)
}

#[inline(always)]
pub fn word(word: u64) -> u64 {
    let mut hasher = hasher(Form::Word);
    hasher.write_u64(word);
    hasher.finish()
}

#[inline(always)]
pub fn bytes(form: Form, bytes: &[u8]) -> u64 {
    let mut hasher = hasher(form);
    hasher.write(bytes);
    hasher.finish()
}

/// Equal for terms that are under `=:=`, whatever their external forms. The VM's hash has 32 bits,
/// which are spread over 64.
///
/// # Safety
/// `term` must be a term of the calling environment.
pub unsafe fn term(term: ErlNifTerm) -> u64 {
    let mut hasher = hasher(Form::External);
    let salt = hasher.finish();
    // SAFETY: the caller's promise.
    hasher.write_u64(unsafe { enif_hash(ErlNifHash::ERL_NIF_INTERNAL_HASH, term, salt) });
    hasher.finish()
}
