//! HdrHistogram's formats.

use super::handle::{encoded, snapshot_of};
use super::snapshot::{error, number};
use crate::atoms;
use crate::boundary::{inspect_binary, make_binary};
use crate::tried::Fault;
use histogram_core::hdr::{is_tag, log_header, read_log_line, HdrError, Line};
use histogram_core::snapshot::Snapshot;
use rustler::sys::*;
use rustler::types::atom::Atom;

/// Deflating takes a quarter of a millisecond and more.
fn needs_dirty(on_dirty: bool) -> Result<(), Fault> {
    match on_dirty {
        true => Ok(()),
        false => Err(Fault::Large),
    }
}

fn reason(error: HdrError) -> Atom {
    match error {
        HdrError::NotHdr => atoms::not_hdr(),
        HdrError::Truncated => atoms::truncated(),
        HdrError::Deflate => atoms::damaged(),
        HdrError::Trailing => atoms::trailing_bytes(),
        HdrError::Parameters => atoms::unsupported_parameters(),
        HdrError::Range => atoms::out_of_range(),
        HdrError::TooLarge => atoms::too_large(),
        HdrError::Line => atoms::invalid_line(),
        HdrError::Base64 => atoms::invalid_base64(),
    }
}

/// The bytes of a binary, which are not a histogram's.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it; the bytes are lent until the call ends.
unsafe fn text<'e>(env: *mut ErlNifEnv, term: ErlNifTerm) -> Result<&'e str, Fault> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { inspect_binary(env, term) };
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.ok_or(Fault::Wrong(atoms::invalid_value()))
}

/// A time in seconds: not before the epoch, and not so late that milliseconds are lost.
///
/// # Safety
/// `env` must be the calling environment and `term` a term of it.
unsafe fn seconds(env: *mut ErlNifEnv, term: ErlNifTerm) -> Result<f64, Fault> {
    // SAFETY: the caller's promise.
    let seconds = unsafe { number(env, term) };
    let seconds = seconds.filter(|seconds| (0.0..1e12).contains(seconds));
    seconds.ok_or(Fault::Wrong(atoms::invalid_value()))
}

unsafe fn to_hdr(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    needs_dirty(on_dirty)?;
    let deflated = args[1] == crate::boundary::boolean(true);
    if !deflated && args[1] != crate::boundary::boolean(false) {
        return Err(Fault::Wrong(atoms::invalid_value()));
    }
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let snapshot = snapshot_of(env, args[0], on_dirty)?;
        Ok(make_binary(env, &snapshot.to_hdr(deflated)))
    }
}
tried_nif!("histogram_to_hdr", 2, to_hdr);

/// A snapshot, or `{error, Reason}`.
unsafe fn from_hdr(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    needs_dirty(on_dirty)?;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(bytes) = inspect_binary(env, args[0]) else {
            return Ok(error(env, atoms::not_hdr()));
        };
        Ok(match Snapshot::from_hdr(bytes) {
            Ok(snapshot) => encoded(env, &snapshot),
            Err(wrong) => error(env, reason(wrong)),
        })
    }
}
tried_nif!("histogram_from_hdr", 1, from_hdr);

/// What a log begins with; the time at which it does, in seconds since the epoch, or `undefined`.
unsafe fn hdr_log_header(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let start = match args[0] == atoms::undefined().as_c_arg() {
            true => None,
            false => Some(seconds(env, args[0])?),
        };
        Ok(make_binary(env, log_header(start).as_bytes()))
    }
}
tried_nif!("histogram_log_header", 1, hdr_log_header);

/// A histogram or snapshot, a tag or `undefined`, start and length in seconds, and what the
/// greatest value is divided by to be shown.
unsafe fn log_line(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 5],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    needs_dirty(on_dirty)?;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let tag = match args[1] == atoms::undefined().as_c_arg() {
            true => None,
            false => Some(text(env, args[1])?),
        };
        let (start, length) = (seconds(env, args[2])?, seconds(env, args[3])?);
        let divisor = number(env, args[4]).filter(|divisor| *divisor > 0.0);
        let divisor = divisor.ok_or(Fault::Wrong(atoms::invalid_value()))?;
        if !tag.is_none_or(is_tag) {
            return Err(Fault::Wrong(atoms::invalid_value()));
        }
        let snapshot = snapshot_of(env, args[0], on_dirty)?;
        let mut line = snapshot.to_log_line(tag, start, length, divisor);
        line.push('\n');
        Ok(make_binary(env, line.as_bytes()))
    }
}
tried_nif!("histogram_log_line", 5, log_line);

/// `{Tag | undefined, Start, Length, Snapshot}`, `undefined` where the line tells of none, or
/// `{error, Reason}`.
unsafe fn log_read(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    on_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    needs_dirty(on_dirty)?;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Ok(line) = text(env, args[0]) else {
            return Ok(error(env, atoms::invalid_line()));
        };
        let undefined = atoms::undefined().as_c_arg();
        Ok(match read_log_line(line) {
            Ok(None) => undefined,
            Ok(Some(Line {
                tag,
                start,
                length,
                snapshot,
            })) => {
                let tag = tag.map_or(undefined, |tag| make_binary(env, tag.as_bytes()));
                let parts = [
                    tag,
                    enif_make_double(env, start),
                    enif_make_double(env, length),
                    encoded(env, &snapshot),
                ];
                enif_make_tuple_from_array(env, parts.as_ptr(), 4)
            }
            Err(wrong) => error(env, reason(wrong)),
        })
    }
}
tried_nif!("histogram_log_read", 1, log_read);
