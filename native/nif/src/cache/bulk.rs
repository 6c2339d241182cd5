//! What looks at many entries: in slices, between which the scheduler goes on to others.

use super::clock;
use super::core::{Core, Terms};
use super::events::Reason;
use super::forms::{build_key, Form, Scratch, INLINE};
use super::handle::{changing, with_core};
use super::options::{self, Names};
use crate::atoms;
use crate::boundary::inspect_binary;
use cache_core::glob::Glob;
use cache_core::{Cause, Cursor, Entry};
use rustler::sys::*;

/// Entries of one slice.
const SLICE: usize = 256;

/// A cursor as a small integer.
fn number(cursor: Cursor) -> u64 {
    u64::from(cursor.shard) << 32 | u64::from(cursor.id)
}

/// Where a walk goes on: a cursor, or `done`.
unsafe fn place(env: *mut ErlNifEnv, next: Option<Cursor>) -> ErlNifTerm {
    match next {
        // SAFETY: the caller's promise: the calling environment.
        Some(next) => unsafe { enif_make_uint64(env, number(next)) },
        None => atoms::done().as_c_arg(),
    }
}

unsafe fn cursor(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Cursor> {
    let mut number = 0;
    // SAFETY: the caller's promise: the calling environment and a term of it.
    let is_number = unsafe { enif_get_uint64(env, term, &mut number) } != 0;
    is_number.then_some(Cursor {
        shard: (number >> 32) as u32,
        id: number as u32,
    })
}

/// Goes on as this NIF in the process's next turn.
unsafe fn go_on(
    env: *mut ErlNifEnv,
    name: &std::ffi::CStr,
    function: unsafe extern "C" fn(*mut ErlNifEnv, i32, *const ErlNifTerm) -> ErlNifTerm,
    args: &[ErlNifTerm],
) -> ErlNifTerm {
    // SAFETY: the caller's promise: the calling environment and its terms.
    unsafe {
        enif_consume_timeslice(env, 100);
        enif_schedule_nif(
            env,
            name.as_ptr(),
            0,
            function,
            args.len() as i32,
            args.as_ptr(),
        )
    }
}

// --- Clearing and shrinking ---

unsafe fn cache_clear(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { clear(env, &[args[0], enif_make_int64(env, -1)]) }
}
nif!("cache_clear", 1, Normal, cache_clear);

unsafe extern "C" fn clear_on(
    env: *mut ErlNifEnv,
    _argc: i32,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: scheduled with two terms.
    crate::boundary::guarded(env, || unsafe { clear(env, &*argv.cast()) })
}

/// What comes after a slice of [`clear`].
enum Cleared {
    All,
    /// The part of the flights to go on with.
    Flights(usize),
    Entries(Cursor),
}

/// The second argument is a cursor, or a number below zero for a part of the flights, which come
/// first: what was computed before is not to follow what is cleared.
unsafe fn clear(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let mut part = 0;
        let part = (enif_get_int64(env, args[1], &mut part) != 0 && part < 0)
            .then_some((-1 - part) as usize);
        let Some(from) = part.map_or_else(|| cursor(env, args[1]), |_| Some(Cursor::default()))
        else {
            return enif_make_badarg(env);
        };
        let cleared = changing(env, args[0], |core, pin| {
            if let Some(next) = part.and_then(|part| core.supersede_from(part)) {
                return Cleared::Flights(next);
            }
            let on_removed = &mut |entry: &Entry<Terms>, cause| core.removed(entry, cause);
            let all = |_: &Entry<Terms>| Some(Cause::Cleared);
            match (core.cache).sweep(from, SLICE, clock::now(), pin, on_removed, all) {
                Ok(None) => Cleared::All,
                Ok(Some(next)) => Cleared::Entries(next),
                // Those that the slice has removed are gone: it begins again.
                Err(_) => Cleared::Entries(from),
            }
        });
        let next = match cleared {
            None => return enif_make_badarg(env),
            Some(Cleared::All) => return atoms::ok().as_c_arg(),
            Some(Cleared::Flights(part)) => enif_make_int64(env, -1 - part as i64),
            Some(Cleared::Entries(at)) => enif_make_uint64(env, number(at)),
        };
        go_on(env, c"cache_clear", clear_on, &[args[0], next])
    }
}

unsafe fn cache_resize(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let mut capacity = 0;
        if enif_get_uint64(env, args[1], &mut capacity) == 0 || capacity == 0 {
            return enif_make_badarg(env);
        }
        match with_core(env, args[0], |core, _| core.cache.resize(capacity)) {
            None => enif_make_badarg(env),
            Some(false) => super::error(env, atoms::too_large()),
            Some(true) => shrink(env, &[args[0], atoms::ok().as_c_arg()]),
        }
    }
}
nif!("cache_resize", 2, Normal, cache_resize);

unsafe extern "C" fn shrink_on(
    env: *mut ErlNifEnv,
    _argc: i32,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: scheduled with two terms.
    crate::boundary::guarded(env, || unsafe { shrink(env, &*argv.cast()) })
}

/// Evicts what is too much, and then answers the second argument.
pub unsafe fn shrink(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let holds = changing(env, args[0], |core, pin| {
            let on_removed = &mut |entry: &Entry<Terms>, cause| core.removed(entry, cause);
            core.cache.shrink(pin, on_removed)
        });
        match holds {
            // Dropped meanwhile: nothing is too much.
            None | Some(true) => args[1],
            Some(false) => go_on(env, c"cache_shrink", shrink_on, args),
        }
    }
}

// --- Walking ---

/// Milliseconds of work would be too much for the values of one slice: bytes that it shows.
const BYTES: usize = 64 * 1024;

/// Arguments: cache, cursor or `start`, `keys` or `entries`, how many to look at.
unsafe fn cache_scan(env: *mut ErlNifEnv, args: &[ErlNifTerm; 4]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let [cache, from, what, limit] = *args;
        let from = if from == atoms::start().as_c_arg() {
            Some(Cursor::default())
        } else {
            cursor(env, from)
        };
        let mut most = 0;
        let with_values = what == atoms::entries().as_c_arg();
        let is_right = enif_get_uint64(env, limit, &mut most) != 0
            && most > 0
            && (with_values || what == atoms::keys().as_c_arg());
        let Some(from) = from.filter(|_| is_right) else {
            return Some(enif_make_badarg(env));
        };
        let walked = with_core(env, cache, |core, pin| {
            let mut list = enif_make_list_from_array(env, std::ptr::null(), 0);
            let mut next = Some(from);
            let (mut looked_at, mut bytes) = (0, 0);
            let now = clock::now();
            while let Some(at) = next.filter(|_| looked_at < most && bytes < BYTES) {
                const STEP: usize = 8;
                let step = core.cache.walk(at, STEP, pin, |entry| {
                    if !entry.is_fresh(|| now) {
                        return;
                    }
                    bytes += entry.key_bytes().len() + super::core::decoded_bytes(entry) + 64;
                    let item = if with_values {
                        let pair = [key_of(env, entry), core.answer(env, entry)];
                        enif_make_tuple_from_array(env, pair.as_ptr(), 2)
                    } else {
                        key_of(env, entry)
                    };
                    list = enif_make_list_cell(env, item, list);
                });
                looked_at += STEP as u64;
                next = match step {
                    Ok(next) => next,
                    // Nothing was shown: another call will go on here.
                    Err(_) if at == from => return None,
                    Err(_) => break,
                };
            }
            let next = place(env, next);
            enif_consume_timeslice(env, (bytes / 640).clamp(1, 100) as i32);
            Some(enif_make_tuple_from_array(env, [list, next].as_ptr(), 2))
        });
        walked.unwrap_or_else(|| Some(enif_make_badarg(env)))
    }
}
retried_nif!("cache_scan", 4, Normal, cache_scan);

/// `{key, Key}`, or `{external, Binary}` for a key that the door decodes.
pub unsafe fn key_of(env: *mut ErlNifEnv, entry: &Entry<Terms>) -> ErlNifTerm {
    // SAFETY: the calling environment; the entry's form and bytes belong together.
    unsafe {
        let (form, bytes) = (Form::from_number(entry.key_form()), entry.key_bytes());
        let (tag, form) = if form == Form::External && bytes.len() > INLINE {
            (atoms::external(), Form::Binary)
        } else {
            (atoms::key(), form)
        };
        let key = build_key(env, form, bytes);
        enif_make_tuple_from_array(env, [tag.as_c_arg(), key].as_ptr(), 2)
    }
}

/// Deletes the binary keys that begin with a prefix or match a pattern, among as many entries as
/// one slice on a dirty scheduler looks at. Arguments: cache, cursor or `start`, `{prefix, Binary}`
/// or `{glob, Binary}`, how many to look at.
unsafe fn cache_purge(env: *mut ErlNifEnv, args: &[ErlNifTerm; 4]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let [cache, from, what, limit] = *args;
        let from = if from == atoms::start().as_c_arg() {
            Some(Cursor::default())
        } else {
            cursor(env, from)
        };
        let mut most = 0;
        let is_count = enif_get_uint64(env, limit, &mut most) != 0 && most > 0;
        let what = crate::boundary::tuple::<2>(env, what)
            .and_then(|[kind, text]| Some((kind, inspect_binary(env, text)?)));
        let (Some(from), true, Some((kind, text))) = (from, is_count, what) else {
            return enif_make_badarg(env);
        };
        let glob = if kind == atoms::glob().as_c_arg() {
            Glob::new(text).map(Some)
        } else {
            (kind == atoms::prefix().as_c_arg()).then_some(None)
        };
        let Some(glob) = glob else {
            return enif_make_badarg(env);
        };
        let reason = match &glob {
            Some(_) => Reason::Pattern,
            None => Reason::Prefix,
        };
        let is_match = |form: u8, key: &[u8]| {
            form == Form::Binary as u8
                && match &glob {
                    Some(glob) => glob.matches(key),
                    None => key.starts_with(text),
                }
        };
        let condemn = |entry: &Entry<Terms>| {
            is_match(entry.key_form(), entry.key_bytes()).then_some(Cause::Explicit)
        };
        let purged = changing(env, cache, |core, pin| {
            if from == Cursor::default() {
                let is_match = |stored: &[u8]| {
                    (stored.split_first()).is_some_and(|(form, key)| is_match(*form, key))
                };
                // A dirty scheduler may wait.
                while core.flights.supersede_all(is_match).is_err() {
                    std::thread::yield_now();
                }
            }
            let mut count = 0_u64;
            let on_removed = &mut |entry: &Entry<Terms>, cause| {
                if cause == Cause::Explicit {
                    count += 1;
                    core.removed_by(entry, reason);
                } else {
                    core.removed(entry, cause);
                }
            };
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let step = core
                .cache
                .sweep(from, most, clock::now(), pin, on_removed, condemn);
            // After a busy lock the next call finds those gone that this one has counted.
            (count, step.unwrap_or(Some(from)))
        });
        match purged {
            None => enif_make_badarg(env),
            Some((count, next)) => {
                let next = place(env, next);
                let parts = [enif_make_uint64(env, count), next];
                enif_make_tuple_from_array(env, parts.as_ptr(), 2)
            }
        }
    }
}
nif!("cache_purge", 4, DirtyCpu, cache_purge);

// --- Tags, and rows of the table ---

/// Arguments: cache, `tag` or `dependents`, name.
unsafe fn cache_invalidate(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let names = if args[1] == atoms::tag().as_c_arg() {
            Some(Names::Tags)
        } else if args[1] == atoms::dependents().as_c_arg() {
            Some(Names::Dependencies)
        } else {
            None
        };
        let mut scratch = Scratch::new();
        let name = names.and_then(|names| options::name(env, names, args[2], &mut scratch));
        let Some((hash, name)) = name else {
            return Some(enif_make_badarg(env));
        };
        let count = with_core(env, args[0], |core, _| {
            core.cache.tags().invalidate(hash, &name)
        });
        match count {
            None => Some(enif_make_badarg(env)),
            Some(Err(_)) => None,
            Some(Ok(count)) => Some(super::ok(env, enif_make_uint64(env, count))),
        }
    }
}
retried_nif!("cache_invalidate", 3, Normal, cache_invalidate);

/// At most so many rows of the table whose entries are gone, as a list.
pub unsafe fn rows(env: *mut ErlNifEnv, core: &Core, most: usize) -> ErlNifTerm {
    // SAFETY: the calling environment.
    unsafe {
        let mut list = enif_make_list_from_array(env, std::ptr::null(), 0);
        for _ in 0..most {
            let Some(row) = core.dead_rows.pop() else {
                break;
            };
            list = enif_make_list_cell(env, enif_make_uint64(env, row), list);
        }
        list
    }
}

unsafe fn cache_dead(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> ErlNifTerm {
    const MOST: u64 = 1000;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let mut most = 0;
        if enif_get_uint64(env, args[1], &mut most) == 0 {
            return enif_make_badarg(env);
        }
        with_core(env, args[0], |core, _| {
            let most = most.min(MOST) as usize;
            let mut list = rows(env, core, most);
            for row in std::iter::from_fn(|| core.taken_rows.pop()).take(most) {
                list = enif_make_list_cell(env, enif_make_uint64(env, row), list);
            }
            list
        })
        .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_dead", 2, Normal, cache_dead);
