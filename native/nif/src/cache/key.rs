//! Keys for `cache_core`, of terms.

use super::forms::{self, Form, NoKey, Scratch};
use crate::boundary::word;
use rustler::sys::*;

/// Runs a body with a key: `with_key!(Env, Term, External, IfTooLarge, |key: &Key| ...)`. Answers
/// `complex` where the key's external form is needed, which `External` then is.
///
/// # Safety
/// `env` must be the calling environment and the terms its.
macro_rules! with_key {
    ($env:expr, $term:expr, $external:expr, $too_large:expr, $body:expr) => {{
        let mut scratch = $crate::cache::forms::Scratch::new();
        match $crate::cache::key::read_key($env, $term, $external, &mut scratch) {
            Ok(key) => $crate::cache::key::shown($env, &key, $body),
            Err($crate::cache::forms::NoKey::Complex) => $crate::atoms::complex().as_c_arg(),
            Err($crate::cache::forms::NoKey::TooLarge) => $too_large,
        }
    }};
}
pub(super) use with_key;

/// # Safety
/// `env` must be the calling environment and the terms its.
#[inline(always)]
pub unsafe fn read_key<'a>(
    env: *mut ErlNifEnv,
    term: ErlNifTerm,
    external: ErlNifTerm,
    scratch: &'a mut Scratch,
) -> Result<forms::Key<'a>, NoKey> {
    // SAFETY: the caller's promise.
    unsafe {
        // `[]`, an immediate, stands for none.
        let external = if word(external) & 3 == 3 {
            None
        } else {
            crate::boundary::inspect_binary(env, external)
        };
        forms::Key::read(env, term, external, scratch)
    }
}

/// # Safety
/// `env` must be the environment that the key was read from.
#[inline(always)]
pub unsafe fn shown<R>(
    env: *mut ErlNifEnv,
    key: &forms::Key,
    body: impl FnOnce(&cache_core::Key) -> R,
) -> R {
    // SAFETY: the caller's promise.
    let same = |stored: &[u8]| unsafe { key.same(env, Form::External, stored) };
    body(&cache_core::Key {
        hash: key.hash,
        form: key.form as u8,
        bytes: key.bytes,
        same: (key.form == Form::External).then_some(&same as cache_core::Same),
    })
}
