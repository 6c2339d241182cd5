//! What a job answers, as a term.

use crate::atoms;
use cache_core::snapshot::{Error, Written};
use rustler::sys::*;
use rustler::types::atom::Atom;

#[derive(Default)]
pub struct Loaded {
    pub loaded: u64,
    /// The key was there already.
    pub present: u64,
    pub expired: u64,
    pub too_large: u64,
    /// Of atoms that this node does not have, for the most part.
    pub undecodable: u64,
}

pub enum Answer {
    Saved(Written),
    Loaded(Loaded),
    NoCache,
    Failed(Error),
    Panicked,
}

impl Answer {
    /// # Safety
    /// `env` must be one that the calling thread owns.
    pub unsafe fn term(&self, env: *mut ErlNifEnv) -> ErlNifTerm {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Answer::Saved(written) => counts(
                    env,
                    &[
                        (atoms::entries(), written.records),
                        (atoms::bytes(), written.bytes),
                    ],
                ),
                Answer::Loaded(loaded) => counts(
                    env,
                    &[
                        (atoms::loaded(), loaded.loaded),
                        (atoms::present(), loaded.present),
                        (atoms::expired(), loaded.expired),
                        (atoms::too_large(), loaded.too_large),
                        (atoms::undecodable(), loaded.undecodable),
                    ],
                ),
                Answer::NoCache => failed(env, atoms::no_cache().as_c_arg()),
                Answer::Panicked => failed(env, atoms::nif_panicked().as_c_arg()),
                Answer::Failed(error) => failed(env, reason(env, error)),
            }
        }
    }
}

unsafe fn counts(env: *mut ErlNifEnv, counts: &[(Atom, u64)]) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let mut map = enif_make_new_map(env);
        for (name, count) in counts {
            let count = enif_make_uint64(env, *count);
            enif_make_map_put(env, map, name.as_c_arg(), count, &mut map);
        }
        pair(env, atoms::ok().as_c_arg(), map)
    }
}

unsafe fn failed(env: *mut ErlNifEnv, reason: ErlNifTerm) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe { pair(env, atoms::error().as_c_arg(), reason) }
}

unsafe fn pair(env: *mut ErlNifEnv, first: ErlNifTerm, second: ErlNifTerm) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe { enif_make_tuple_from_array(env, [first, second].as_ptr(), 2) }
}

unsafe fn reason(env: *mut ErlNifEnv, error: &Error) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        match error {
            Error::Foreign => atoms::not_a_snapshot().as_c_arg(),
            Error::Newer(version) => {
                let version = enif_make_uint64(env, u64::from(*version));
                pair(env, atoms::newer_version().as_c_arg(), version)
            }
            Error::Truncated => atoms::truncated().as_c_arg(),
            Error::Damaged(offset) => {
                let offset = enif_make_uint64(env, *offset);
                pair(env, atoms::damaged().as_c_arg(), offset)
            }
            Error::Busy => atoms::busy().as_c_arg(),
            Error::Cancelled => atoms::cancelled().as_c_arg(),
            Error::Io(error) => pair(env, atoms::file().as_c_arg(), posix(env, error)),
        }
    }
}

/// The atom that the file module has for it, or its number where that would be a rare one.
unsafe fn posix(env: *mut ErlNifEnv, error: &std::io::Error) -> ErlNifTerm {
    let name = match error.raw_os_error() {
        Some(libc::EACCES) => c"eacces",
        Some(libc::EDQUOT) => c"edquot",
        Some(libc::EFBIG) => c"efbig",
        Some(libc::EIO) => c"eio",
        Some(libc::EISDIR) => c"eisdir",
        Some(libc::ELOOP) => c"eloop",
        Some(libc::EMFILE) => c"emfile",
        Some(libc::ENAMETOOLONG) => c"enametoolong",
        Some(libc::ENFILE) => c"enfile",
        Some(libc::ENOENT) => c"enoent",
        Some(libc::ENOSPC) => c"enospc",
        Some(libc::ENOTDIR) => c"enotdir",
        Some(libc::EPERM) => c"eperm",
        Some(libc::EROFS) => c"erofs",
        // SAFETY: the caller's promise.
        Some(number) => return unsafe { enif_make_int64(env, number.into()) },
        None if error.kind() == std::io::ErrorKind::AlreadyExists => c"eexist",
        None => c"eio",
    };
    // SAFETY: the caller's promise; the name is a C string.
    unsafe { enif_make_atom(env, name.as_ptr()) }
}
