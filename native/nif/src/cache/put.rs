//! Writing one key.

use super::clock;
use super::core::{charge, expires, Core, Terms, SHARED, STORED};
use super::events::Reason;
use super::fetch::Token;
use super::forms::{self, Form, NoKey, NotFlat, Scratch};
use super::handle::changing;
use super::held::{Copied, Held, Queue};
use super::key::{read_key, shown};
use super::options::{Mode, NoExtra, PutOptions};
use crate::atoms;
use cache_core::threads::Pin;
use cache_core::{Action, Bound, Cause, Entry, Extra, Key, Outcome, Put, Value};
use rustler::sys::*;

/// A value read from its term.
enum Read<'a> {
    Flat(forms::Value<'a>),
    /// A row of the table.
    Row(u64),
}

impl<'a> Read<'a> {
    unsafe fn term(
        env: *mut ErlNifEnv,
        term: ErlNifTerm,
        form: ErlNifTerm,
        scratch: &'a mut Scratch,
    ) -> Option<Result<Self, NotFlat>> {
        // SAFETY: the caller's promise: `env` is the calling environment and the terms its.
        unsafe {
            if form == atoms::plain().as_c_arg() {
                Some(forms::Value::read(env, term, scratch).map(Read::Flat))
            } else if form == atoms::external().as_c_arg() {
                forms::Value::read_external(env, term).map(|value| Ok(Read::Flat(value)))
            } else if form == atoms::copied().as_c_arg() {
                forms::Value::read_copied(env, term).map(|value| Ok(Read::Flat(value)))
            } else if form == atoms::stored().as_c_arg() {
                let mut row = 0;
                let read = enif_get_uint64(env, term, &mut row) != 0;
                read.then_some(Ok(Read::Row(row)))
            } else {
                None
            }
        }
    }

    /// Takes hold of what the value refers to; of a row the door says how large it is. `None` when
    /// there is no memory.
    unsafe fn hold(&self, env: *mut ErlNifEnv, row_size: u64) -> Option<Value<'a, Terms>> {
        match self {
            Read::Row(row) => Some(Value::new(STORED, *row, b"", row_size)),
            Read::Flat(value) => {
                // SAFETY: the caller's promise.
                let held = unsafe { value.hold(env) }?;
                if let Held::Copied(copied) = &held {
                    // SAFETY: as above.
                    unsafe { charge(env, copied.size() / 4) };
                }
                Some(value_of(value.form, held, value.bytes()))
            }
        }
    }
}

/// A value of its parts.
#[inline(always)]
pub fn value_of(form: Form, held: Held, bytes: &[u8]) -> Value<'_, Terms> {
    let form = form as u8;
    match held {
        Held::Word(term) => Value::new(form, crate::boundary::word(term), bytes, 0),
        Held::Bytes => Value::new(form, 0, bytes, 0),
        Held::Shared(queue) => {
            let outside = (queue.bytes().len() + Queue::OVERHEAD) as u64;
            Value::new(form | SHARED, queue.into_word(), bytes, outside)
        }
        Held::Copied(copied) => {
            let outside = (copied.size() + Copied::OVERHEAD) as u64;
            Value::new(form, copied.into_word(), bytes, outside)
        }
    }
}

/// What was found where a put is conditional.
enum Found {
    Stored,
    Exists,
    Absent,
    Conflict(u64),
    /// Something newer has come since the value's flight began.
    Superseded,
}

/// `None` where a lock was busy.
unsafe fn put(
    env: *mut ErlNifEnv,
    core: &Core,
    pin: &Pin,
    args: &[ErlNifTerm; 5],
    mode: Mode,
    options: &PutOptions,
) -> Option<ErlNifTerm> {
    let [cache, key, external, term, form] = *args;
    let (mut key_scratch, mut scratch) = (Scratch::new(), Scratch::new());
    // SAFETY: the caller's promise: `env` is the calling environment and the terms its.
    unsafe {
        let key = match read_key(env, key, external, &mut key_scratch) {
            Ok(key) => key,
            Err(NoKey::Complex) => return Some(atoms::complex().as_c_arg()),
            Err(NoKey::TooLarge) => return Some(super::error(env, atoms::too_large())),
        };
        let Some(read) = Read::term(env, term, form, &mut scratch) else {
            return Some(enif_make_badarg(env));
        };
        let is_plain = form == atoms::plain().as_c_arg();
        let read = match (read, &core.table) {
            (Ok(Read::Flat(value)), Some(table))
                if is_plain && value.form == Form::Flat && enif_is_number(env, term) == 0 =>
            {
                return Some(store_in(env, core, table));
            }
            (Err(NotFlat), Some(table)) => return Some(store_in(env, core, table)),
            (Err(NotFlat), None) => return Some(atoms::complex_value().as_c_arg()),
            (Ok(read), _) => read,
        };
        if options.weight == 0 {
            if let Some(weigher) = &core.weigher {
                let parts = [atoms::weigh().as_c_arg(), weigher.copy(env)];
                return Some(enif_make_tuple_from_array(env, parts.as_ptr(), 2));
            }
        }
        let Some(value) = read.hold(env, options.weight) else {
            return Some(super::error(env, atoms::system_limit()));
        };
        shown(env, &key, |key| {
            put_value(env, core, pin, (cache, key), value, mode, options)
        })
    }
}

/// `{store, Table, IsSized}`: whether the row's bytes are wanted as the weight.
unsafe fn store_in(env: *mut ErlNifEnv, core: &Core, table: &crate::owned::Owned) -> ErlNifTerm {
    // SAFETY: the calling environment.
    unsafe {
        let is_sized = super::boolean(core.cache.bound() == Bound::Bytes);
        let parts = [atoms::store().as_c_arg(), table.copy(env), is_sized];
        enif_make_tuple_from_array(env, parts.as_ptr(), 3)
    }
}

unsafe fn put_value(
    env: *mut ErlNifEnv,
    core: &Core,
    pin: &Pin,
    (cache, key): (ErlNifTerm, &Key),
    value: Value<Terms>,
    mode: Mode,
    options: &PutOptions,
) -> Option<ErlNifTerm> {
    let is_row = value.form() == STORED;
    // SAFETY: the caller's promise.
    let read = |token| unsafe { Token::read(env, token) };
    let token = match options.token.map(read) {
        None => None,
        Some(Some(token)) if token.is_of(core) => Some(token),
        // SAFETY: as above.
        Some(_) => return Some(unsafe { enif_make_badarg(env) }),
    };
    if token.is_none() {
        core.supersede(key).ok()?;
    }
    let since = token.as_ref().map(|token| token.since);
    let now = clock::now();
    let ttl = options.life(&core.defaults);
    let expires = if options.ttl == Some(0) {
        now
    } else {
        expires(now, ttl, core.defaults.jitter, chance(key, now))
    };
    // SAFETY: the caller's promise.
    let extra = match unsafe { options.extra(env, core, now, since) } {
        Ok(extra) => extra,
        Err(NoExtra::Busy) => return None,
        Err(NoExtra::Superseded) => return Some(atoms::superseded().as_c_arg()),
    };
    let put = Put {
        value,
        weight: options.weight.max(1),
        ttl,
        expires,
        extra,
    };
    let on_removed = &mut |entry: &Entry<Terms>, cause| core.removed(entry, cause);
    let is_superseded = || token.is_some_and(|token| token.mark().is_superseded());
    let decide = |entry: Option<&Entry<Terms>>| match (mode, entry) {
        _ if is_superseded() => (Action::Keep, Found::Superseded),
        (Mode::Always, _) | (Mode::New, None) => (Action::Put(put), Found::Stored),
        (Mode::New, Some(_)) => (Action::Keep, Found::Exists),
        (Mode::Version(_), None) => (Action::Keep, Found::Absent),
        (Mode::Version(version), Some(entry)) if entry.version() != version => {
            (Action::Keep, Found::Conflict(entry.version()))
        }
        (Mode::Version(_), Some(_)) => (Action::Put(put), Found::Stored),
    };
    let (outcome, found) = core.cache.write(key, now, pin, on_removed, decide).ok()?;
    // SAFETY: as above.
    Some(unsafe { answer(env, (core, is_row), cache, mode, outcome, found) })
}

/// A number that differs from put to put.
fn chance(key: &Key, now: u64) -> u64 {
    let mut mixed = key.hash ^ now.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ mixed >> 31
}

unsafe fn answer(
    env: *mut ErlNifEnv,
    (core, is_row): (&Core, bool),
    cache: ErlNifTerm,
    mode: Mode,
    outcome: Outcome,
    found: Found,
) -> ErlNifTerm {
    // SAFETY: the calling environment.
    unsafe {
        match (outcome, found) {
            (Outcome::TooLarge, _) => super::error(env, atoms::too_large()),
            (_, Found::Superseded) => atoms::superseded().as_c_arg(),
            (_, Found::Exists) => super::error(env, atoms::exists()),
            (_, Found::Absent) => super::error(env, atoms::not_found()),
            (_, Found::Conflict(version)) => {
                let conflict = [atoms::conflict().as_c_arg(), enif_make_uint64(env, version)];
                let conflict = enif_make_tuple_from_array(env, conflict.as_ptr(), 2);
                let parts = [atoms::error().as_c_arg(), conflict];
                enif_make_tuple_from_array(env, parts.as_ptr(), 2)
            }
            (Outcome::Stored(version) | Outcome::Over(version), Found::Stored) => {
                let done = match mode {
                    // Who has put a row knows the table.
                    Mode::Always if is_row => dead_rows(env, core),
                    Mode::Always => atoms::ok().as_c_arg(),
                    Mode::New | Mode::Version(_) => super::ok(env, enif_make_uint64(env, version)),
                };
                if matches!(outcome, Outcome::Over(_)) {
                    super::bulk::shrink(env, &[cache, done])
                } else {
                    done
                }
            }
            (Outcome::Done, Found::Stored) => atoms::ok().as_c_arg(),
        }
    }
}

/// `ok`, or `{ok, Rows}` when there are rows of the table to delete.
unsafe fn dead_rows(env: *mut ErlNifEnv, core: &Core) -> ErlNifTerm {
    const MOST: usize = 64;
    // SAFETY: the calling environment.
    unsafe {
        if core.dead_rows.is_empty() {
            return atoms::ok().as_c_arg();
        }
        super::ok(env, super::bulk::rows(env, core, MOST))
    }
}

unsafe fn cache_put(env: *mut ErlNifEnv, args: &[ErlNifTerm; 5]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        changing(env, args[0], |core, pin| {
            put(env, core, pin, args, Mode::Always, &PutOptions::NONE)
        })
        .unwrap_or_else(|| Some(enif_make_badarg(env)))
    }
}
retried_nif!("cache_put", 5, Normal, cache_put);

unsafe fn cache_put_options(env: *mut ErlNifEnv, args: &[ErlNifTerm; 7]) -> Option<ErlNifTerm> {
    let [cache, key, external, value, form, mode, options] = *args;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (Some(mode), Some(options)) = (Mode::read(env, mode), PutOptions::read(env, options))
        else {
            return Some(enif_make_badarg(env));
        };
        changing(env, cache, |core, pin| {
            let args = [cache, key, external, value, form];
            put(env, core, pin, &args, mode, &options)
        })
        .unwrap_or_else(|| Some(enif_make_badarg(env)))
    }
}
retried_nif!("cache_put", 7, Normal, cache_put_options);

unsafe fn cache_delete(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        change(
            env,
            args[0],
            args[1],
            args[2],
            super::boolean(false),
            |core, pin, key| {
                core.supersede(key).ok()?;
                let on_removed = &mut |entry: &Entry<Terms>, cause| core.removed(entry, cause);
                let decide = |entry: Option<&Entry<Terms>>| (Action::Remove, entry.is_some());
                let (_, was) = core
                    .cache
                    .write(key, clock::now(), pin, on_removed, decide)
                    .ok()?;
                Some(super::boolean(was))
            },
        )
    }
}
retried_nif!("cache_delete", 3, Normal, cache_delete);

/// The row of a table is left to the table's owner, so that the taker finds it.
unsafe fn cache_take(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let none = super::error(env, atoms::not_found());
        change(env, args[0], args[1], args[2], none, |core, pin, key| {
            core.supersede(key).ok()?;
            let on_removed = &mut |entry: &Entry<Terms>, cause| match cause {
                Cause::Explicit => core.taken(entry),
                _ => core.removed(entry, cause),
            };
            let decide =
                |entry: Option<&Entry<Terms>>| (Action::Remove, entry.map(std::ptr::from_ref));
            let (_, entry) = core
                .cache
                .write(key, clock::now(), pin, on_removed, decide)
                .ok()?;
            // SAFETY: it was there after the pin, so it is not freed before the pin's end.
            Some(entry.map_or(none, |entry| core.answer(env, &*entry)))
        })
    }
}
retried_nif!("cache_take", 3, Normal, cache_take);

unsafe fn cache_touch(env: *mut ErlNifEnv, args: &[ErlNifTerm; 4]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(ttl) = super::options::time(env, args[3]) else {
            return Some(enif_make_badarg(env));
        };
        change(
            env,
            args[0],
            args[1],
            args[2],
            super::boolean(false),
            |core, pin, key| {
                let now = clock::now();
                let on_removed = &mut |entry: &Entry<Terms>, cause| core.removed(entry, cause);
                let decide = |entry: Option<&Entry<Terms>>| match entry {
                    Some(entry) => {
                        let ttl =
                            ttl.map_or(entry.ttl(), |ttl| if ttl == u64::MAX { 0 } else { ttl });
                        let at = expires(now, ttl, core.defaults.jitter, chance(key, now));
                        (Action::Touch(at), true)
                    }
                    None => (Action::Keep, false),
                };
                let (_, was) = core.cache.write(key, now, pin, on_removed, decide).ok()?;
                Some(super::boolean(was))
            },
        )
    }
}
retried_nif!("cache_touch", 4, Normal, cache_touch);

/// What became of a counter.
enum Sum {
    Is(i64),
    NotFound,
    NotInteger,
    Overflow,
}

/// Arguments: cache, key, its external form, increment, initial value or `none`, put's options for
/// an entry that is made.
unsafe fn cache_update_counter(env: *mut ErlNifEnv, args: &[ErlNifTerm; 6]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let mut increment = 0;
        let mut first = 0;
        let has_first = enif_get_int64(env, args[4], &mut first) != 0;
        let options = PutOptions::read(env, args[5]);
        let is_right = enif_get_int64(env, args[3], &mut increment) != 0
            && (has_first || args[4] == atoms::none().as_c_arg());
        let Some(options) = options.filter(|_| is_right) else {
            return Some(enif_make_badarg(env));
        };
        let first = has_first.then_some(first);
        let too_large = super::error(env, atoms::too_large());
        change(
            env,
            args[0],
            args[1],
            args[2],
            too_large,
            |core, pin, key| {
                let now = clock::now();
                core.supersede(key).ok()?;
                let extra = options.extra(env, core, now, None).ok()?;
                let on_removed = &mut |entry: &Entry<Terms>, cause| match cause {
                    Cause::Replaced => core.removed_by(entry, Reason::Update),
                    _ => core.removed(entry, cause),
                };
                let mut scratch = Scratch::new();
                let decide = |entry: Option<&Entry<Terms>>| {
                    let (old, weight) = match entry {
                        Some(entry) => (integer(env, entry), u64::from(entry.weight())),
                        None => (Ok(first), options.weight.max(1)),
                    };
                    let sum = match old {
                        Err(NotFlat) => return (Action::Keep, Sum::NotInteger),
                        Ok(None) => return (Action::Keep, Sum::NotFound),
                        Ok(Some(old)) => old.checked_add(increment),
                    };
                    let Some(sum) = sum else {
                        return (Action::Keep, Sum::Overflow);
                    };
                    let term = enif_make_int64(env, sum);
                    let read = forms::Value::read(env, term, &mut scratch).map(Read::Flat);
                    let Some(value) = read.ok().and_then(|read| read.hold(env, 0)) else {
                        return (Action::Keep, Sum::NotInteger);
                    };
                    let (ttl, expires, extra) = match entry {
                        Some(entry) => {
                            let extra = entry.extra().map(|extra| {
                                Box::new(Extra {
                                    used_at: now.into(),
                                    ..extra.clone()
                                })
                            });
                            (entry.ttl(), entry.expires(), extra)
                        }
                        None => {
                            let ttl = options.life(&core.defaults);
                            let at = expires(now, ttl, core.defaults.jitter, chance(key, now));
                            (ttl, at, extra)
                        }
                    };
                    let put = Put {
                        value,
                        weight,
                        ttl,
                        expires,
                        extra,
                    };
                    (Action::Put(put), Sum::Is(sum))
                };
                let (outcome, sum) = core.cache.write(key, now, pin, on_removed, decide).ok()?;
                Some(match (outcome, sum) {
                    (Outcome::TooLarge, _) => too_large,
                    (_, Sum::NotFound) => super::error(env, atoms::not_found()),
                    (_, Sum::NotInteger) => super::error(env, atoms::not_integer()),
                    (_, Sum::Overflow) => super::error(env, atoms::overflow()),
                    (Outcome::Over(_), Sum::Is(sum)) => {
                        let done = super::ok(env, enif_make_int64(env, sum));
                        super::bulk::shrink(env, &[args[0], done])
                    }
                    (_, Sum::Is(sum)) => super::ok(env, enif_make_int64(env, sum)),
                })
            },
        )
    }
}
retried_nif!("cache_update_counter", 6, Normal, cache_update_counter);

/// The integer that is an entry's value.
unsafe fn integer(env: *mut ErlNifEnv, entry: &Entry<Terms>) -> Result<Option<i64>, NotFlat> {
    if entry.form() != Form::Word as u8 && entry.form() != Form::Flat as u8 {
        return Err(NotFlat);
    }
    let mut value = 0;
    // SAFETY: the calling environment.
    unsafe {
        let forms::Built::Term(term) = super::core::built(env, entry) else {
            return Err(NotFlat);
        };
        let is_integer = enif_get_int64(env, term, &mut value) != 0;
        is_integer.then_some(Some(value)).ok_or(NotFlat)
    }
}

/// Runs a body that returns `None` where a lock was busy.
unsafe fn change(
    env: *mut ErlNifEnv,
    cache: ErlNifTerm,
    key: ErlNifTerm,
    external: ErlNifTerm,
    too_large: ErlNifTerm,
    body: impl FnOnce(&Core, &Pin, &Key) -> Option<ErlNifTerm>,
) -> Option<ErlNifTerm> {
    // SAFETY: the caller's promise: `env` is the calling environment and the terms its.
    unsafe {
        changing(env, cache, |core, pin| {
            let mut scratch = Scratch::new();
            match read_key(env, key, external, &mut scratch) {
                Ok(key) => shown(env, &key, |key| body(core, pin, key)),
                Err(NoKey::Complex) => Some(atoms::complex().as_c_arg()),
                Err(NoKey::TooLarge) => Some(too_large),
            }
        })
        .unwrap_or_else(|| Some(enif_make_badarg(env)))
    }
}
