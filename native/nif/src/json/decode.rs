//! `json_decode`: the entry points, the options and the error terms.

use super::build::{Builder, DuplicateKeys, Keys, Objects, Options, Refusal, Room};
use super::strings::Policy;
use super::vocabulary::Vocabulary;
use crate::atoms;
use crate::boundary::inspect_binary;
use json_core::{line_and_column, Error, Limits, Parser, Reason};
use rustler::sys::*;
use rustler::{Binary, Encoder, Env, NifResult, Term};

/// Texts of up to so many bytes may take so much work on a normal scheduler: 0.6 ms at the most,
/// and for larger ones what is lost when the work is begun anew elsewhere. A large text with few
/// values is soon done wherever it is read; a hop to a busy dirty scheduler is not.
const WORK_HERE: [(usize, usize); 2] = [(48 * 1024, MOST_WORK), (160 * 1024, 2_000)];
const MOST_WORK: usize = 48_000;

/// A timeslice's hundredth, in bytes of input.
const BYTES_PER_PERCENT: usize = 2048;

/// `json_decode(Binary, Vocabulary, default | Options)`, see `erlmcp_native_json`. Raises `large`
/// for what `json_decode_large` must do.
unsafe fn json_decode(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(input) = inspect_binary(env, args[0]) else {
            return enif_make_badarg(env);
        };
        let here = WORK_HERE.iter().find(|(size, _)| input.len() <= *size);
        here.and_then(|(_, work)| decode(env, args, input, Some(*work)))
            .unwrap_or_else(|| enif_raise_exception(env, atoms::large().as_c_arg()))
    }
}
nif!("json_decode", 3, Normal, json_decode);

/// As `json_decode`, whatever the size.
unsafe fn json_decode_large(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        inspect_binary(env, args[0])
            .and_then(|input| decode(env, args, input, None))
            .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("json_decode_large", 3, DirtyCpu, json_decode_large);

/// Equals MAX_DIGITS in erlang/json/erlmcp_native_json.erl.
const MAX_DIGITS: usize = 100_000;

/// The work that [`json_core::Limits`] allow a call.
pub fn work(on_dirty: bool) -> usize {
    if on_dirty {
        usize::MAX
    } else {
        MOST_WORK
    }
}

/// What one call wants.
pub struct Call {
    pub options: Options,
    pub limits: Limits,
    /// Give `{Term, Rest}` instead of refusing what follows the value.
    pub trailing: bool,
}

impl Default for Call {
    #[inline(always)]
    fn default() -> Self {
        Call {
            options: Options::default(),
            limits: Limits {
                digits: MAX_DIGITS,
                ..Limits::default()
            },
            trailing: false,
        }
    }
}

impl Call {
    /// Reads `default` or the tuple of options.
    ///
    /// # Safety
    /// `env` must be the calling environment and `options` a term of it.
    #[inline(always)]
    pub unsafe fn read(env: *mut ErlNifEnv, options: ErlNifTerm) -> Option<Call> {
        if options == atoms::default().as_c_arg() {
            return Some(Call::default());
        }
        let lifetime = ();
        // SAFETY: the caller's promise.
        let options = unsafe { Term::new(Env::new(&lifetime, env), options) };
        Call::read_tuple(options).ok()
    }

    /// Reads `{{Keys, Objects, Null, DuplicateKeys, Strings}, {MaxDepth, MaxDigits, Trailing}}`,
    /// where the limits are integers, -1 for none.
    #[inline(never)]
    fn read_tuple(options: Term) -> NifResult<Call> {
        let (build, check): (Term, Term) = options.decode()?;
        let (keys, objects, null, duplicate_keys, strings): (Term, Term, Term, Term, Term) =
            build.decode()?;
        let (depth, digits, trailing): (i64, i64, bool) = check.decode()?;
        let one_of = |term: Term, atoms: &[rustler::Atom]| {
            atoms
                .iter()
                .position(|atom| *atom == term)
                .ok_or(rustler::Error::BadArg)
        };
        let keys = if let Ok(list) = keys.decode::<Vec<rustler::Atom>>() {
            let env = options.get_env();
            // An atom beyond Latin-1 has no text in this NIF version: its key stays a binary.
            let named = list.iter().filter_map(|atom| {
                let term = atom.to_term(env);
                Some((term.atom_to_string().ok()?.into_bytes(), term.as_c_arg()))
            });
            Keys::Atoms(named.collect())
        } else {
            match one_of(keys, &[atoms::binary(), atoms::existing_atom()])? {
                0 => Keys::Binary,
                _ => Keys::ExistingAtom,
            }
        };
        let objects = match one_of(objects, &[atoms::map(), atoms::proplist(), atoms::tuple()])? {
            0 => Objects::Map,
            1 => Objects::Proplist,
            _ => Objects::Tuple,
        };
        let duplicate_keys = match one_of(
            duplicate_keys,
            &[atoms::first(), atoms::last(), atoms::error()],
        )? {
            0 => DuplicateKeys::First,
            1 => DuplicateKeys::Last,
            _ => DuplicateKeys::Error,
        };
        let strings = match one_of(strings, &[atoms::auto(), atoms::copy(), atoms::reference()])? {
            0 => Policy::Auto,
            1 => Policy::Copy,
            _ => Policy::Reference,
        };
        let limit = |value| usize::try_from(value).unwrap_or(usize::MAX);
        Ok(Call {
            options: Options {
                keys,
                objects,
                null: null.as_c_arg(),
                duplicate_keys,
                strings,
            },
            limits: Limits {
                depth: limit(depth),
                digits: limit(digits),
                ..Limits::default()
            },
            trailing,
        })
    }
}

/// Decodes one text, with no more than this work if any is given. `None`: more is needed.
///
/// # Safety
/// `env` must be the calling environment, `args` those of `json_decode`, and `input` the bytes
/// of the first.
#[inline(always)]
unsafe fn decode(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    input: &[u8],
    work: Option<usize>,
) -> Option<ErlNifTerm> {
    let term = args[0];
    // SAFETY: the caller's promise.
    let (vocabulary, call) = unsafe { (vocabulary(env, args[1]), Call::read(env, args[2])) };
    let (Some(vocabulary), Some(call)) = (vocabulary, call) else {
        // SAFETY: as above.
        return Some(unsafe { enif_make_badarg(env) });
    };
    let limits = Limits {
        work: work.unwrap_or(usize::MAX),
        ..call.limits
    };
    let mut parser = Parser::new(input, limits);
    let mut room = Room::new();
    let input_term = (term, input.len());
    // SAFETY: the caller's promise.
    let mut builder = unsafe {
        Builder::new(
            env,
            input_term,
            &call.options,
            vocabulary,
            work.is_none(),
            &mut room,
        )
    };
    let read = parser
        .value(&mut builder)
        .and_then(|()| match call.trailing {
            true => Ok(()),
            false => parser.end(),
        });
    charge(env, parser.offset());
    match (read, builder.take()) {
        (Ok(()), Some(value)) if call.trailing => {
            let at = parser.offset();
            // SAFETY: the offset lies inside the binary; the terms are of `env`.
            Some(unsafe {
                let rest = enif_make_sub_binary(env, term, at, input.len() - at);
                enif_make_tuple_from_array(env, [value, rest].as_ptr(), 2)
            })
        }
        (Ok(()), Some(value)) => Some(value),
        _ => {
            let error = parser.error();
            match (&error.reason, builder.refusal) {
                (Reason::WorkLimit, _) | (_, Some(Refusal::NotHere)) => None,
                // SAFETY: `env` is the calling environment.
                (_, refusal) => Some(unsafe { raise(env, input, &error, refusal) }),
            }
        }
    }
}

/// Counts the work as reductions of the caller.
pub fn charge(env: *mut ErlNifEnv, bytes: usize) {
    if bytes >= BYTES_PER_PERCENT / 4 {
        let percent = (1 + bytes / BYTES_PER_PERCENT).min(100);
        // SAFETY: `env` is the calling environment of a process.
        unsafe { enif_consume_timeslice(env, percent as i32) };
    }
}

/// Raises `{json_error, Reason, Offset, Line, Column}`, which the door turns into what its
/// callers expect.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn raise(
    env: *mut ErlNifEnv,
    input: &[u8],
    error: &Error,
    refusal: Option<Refusal>,
) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the caller's promise; the reason is made in the same environment.
    let (env, reason) = unsafe {
        let reason = reason(env, error, refusal);
        let env = Env::new(&lifetime, env);
        (env, Term::new(env, reason))
    };
    let (line, column) = line_and_column(input, error.offset);
    let what = (
        atoms::json_error(),
        reason,
        error.offset as u64,
        line as u64,
        column as u64,
    );
    // SAFETY: `env` is the calling environment.
    unsafe { enif_raise_exception(env.as_c_arg(), what.encode(env).as_c_arg()) }
}

/// What is wrong, as OTP's `json` names it, or with the names of our limits.
///
/// # Safety
/// `env` must be the calling environment.
pub unsafe fn reason(env: *mut ErlNifEnv, error: &Error, refusal: Option<Refusal>) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the caller's promise.
    let env = unsafe { Env::new(&lifetime, env) };
    match (&error.reason, refusal) {
        (Reason::UnexpectedEnd, _) => atoms::unexpected_end().encode(env),
        (Reason::InvalidByte(byte), _) => (atoms::invalid_byte(), *byte).encode(env),
        (Reason::UnexpectedSequence(bytes), _) => {
            let mut binary = rustler::NewBinary::new(env, bytes.len());
            binary.copy_from_slice(bytes);
            (atoms::unexpected_sequence(), Binary::from(binary)).encode(env)
        }
        (Reason::DepthLimit(limit), _) => (atoms::max_depth(), *limit as u64).encode(env),
        (Reason::DigitLimit(limit), _) => (atoms::max_digits(), *limit as u64).encode(env),
        (Reason::Refused, Some(Refusal::DuplicateKey(key))) => {
            // SAFETY: the builder made the key in this environment.
            (atoms::duplicate_key(), unsafe { Term::new(env, key) }).encode(env)
        }
        (Reason::WorkLimit | Reason::Refused, _) => atoms::system_limit().encode(env),
    }
    .as_c_arg()
}

/// The literal tuple that the doors pass.
///
/// # Safety
/// `env` must be the calling environment; the terms are lent until the call ends.
#[inline(always)]
pub unsafe fn vocabulary<'e>(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Vocabulary<'e>> {
    let mut arity = 0;
    let mut terms = std::ptr::null();
    // SAFETY: the caller's promise; on success `terms` points to `arity` terms.
    unsafe {
        if enif_get_tuple(env, term, &mut arity, &mut terms) == 0 {
            return None;
        }
        Vocabulary::new(std::slice::from_raw_parts(terms, arity as usize))
    }
}
