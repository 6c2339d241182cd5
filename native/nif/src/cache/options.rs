//! Options as the doors pass them on.

use super::core::{Core, Defaults};
use super::forms::{self, Scratch};
use crate::atoms;
use crate::boundary::tuple;
use cache_core::Extra;
use rustler::sys::*;

/// When a put takes place.
#[derive(Clone, Copy)]
pub enum Mode {
    Always,
    /// When there is no entry.
    New,
    /// When there is one of this version.
    Version(u64),
}

/// A put's options; `None` where the cache's defaults hold, `u64::MAX` for times without end.
pub struct PutOptions {
    pub ttl: Option<u64>,
    idle: Option<u64>,
    /// 0 where none was given.
    pub weight: u64,
    stale_for: Option<u64>,
    stale_if_error: Option<u64>,
    /// Lists of names.
    tags: Option<[ErlNifTerm; 2]>,
    /// The token of the flight that computed the value, or `default`.
    pub token: Option<ErlNifTerm>,
}

/// Why an entry cannot have what is asked for.
pub enum NoExtra {
    Busy,
    /// One of its tags was invalidated since its value began to be computed.
    Superseded,
}

/// What sorts of names a tag may be.
#[derive(Clone, Copy)]
pub enum Names {
    Tags = 0,
    Dependencies = 1,
}

impl Mode {
    /// # Safety
    /// `env` must be the calling environment and the term its.
    pub unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Self> {
        if term == atoms::always().as_c_arg() {
            return Some(Mode::Always);
        }
        if term == atoms::new().as_c_arg() {
            return Some(Mode::New);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let [tag, version] = tuple(env, term)?;
            let mut number = 0;
            let is_version = tag == atoms::version().as_c_arg();
            (is_version && enif_get_uint64(env, version, &mut number) != 0)
                .then_some(Mode::Version(number))
        }
    }
}

impl PutOptions {
    pub const NONE: Self = PutOptions {
        ttl: None,
        idle: None,
        weight: 0,
        stale_for: None,
        stale_if_error: None,
        tags: None,
        token: None,
    };

    /// # Safety
    /// `env` must be the calling environment and the term its.
    pub unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe {
            let [ttl, idle, weight, stale_for, stale_if_error, tags, dependencies, token] =
                tuple(env, term)?;
            let given = |weight: Option<u64>| weight.unwrap_or(0);
            Some(PutOptions {
                ttl: time(env, ttl)?,
                idle: time(env, idle)?,
                weight: given(time(env, weight)?),
                stale_for: time(env, stale_for)?,
                stale_if_error: time(env, stale_if_error)?,
                tags: has_names(env, tags, dependencies)?.then_some([tags, dependencies]),
                token: (token != atoms::default().as_c_arg()).then_some(token),
            })
        }
    }

    /// The time to live, 0 for none.
    pub fn life(&self, defaults: &Defaults) -> u64 {
        match self.ttl {
            None => defaults.ttl,
            Some(u64::MAX) => 0,
            Some(ttl) => ttl,
        }
    }

    /// What the entry has beside the time to live. `since` is the clock of the tags when the
    /// value began to be computed.
    ///
    /// # Safety
    /// `env` must be the environment that the options were read from.
    pub unsafe fn extra(
        &self,
        env: *mut ErlNifEnv,
        core: &Core,
        now: u64,
        since: Option<u64>,
    ) -> Result<Option<Box<Extra>>, NoExtra> {
        let defaults = &core.defaults;
        let idle = match self.idle {
            None => defaults.idle,
            Some(u64::MAX) => 0,
            Some(idle) => idle,
        };
        let stale_for = self.stale_for.unwrap_or(defaults.stale_for);
        let stale_if_error = self.stale_if_error.unwrap_or(defaults.stale_if_error);
        if idle == 0 && stale_for == 0 && stale_if_error == 0 && self.tags.is_none() {
            return Ok(None);
        }
        let mut counted = Vec::new();
        for (list, names) in self
            .tags
            .iter()
            .flatten()
            .zip([Names::Tags, Names::Dependencies])
        {
            let mut rest = *list;
            let mut name = ErlNifTerm::default();
            // SAFETY: the caller's promise; the cell writes both.
            while unsafe { enif_get_list_cell(env, rest, &mut name, &mut rest) } != 0 {
                let mut scratch = Scratch::new();
                // SAFETY: as above; `read` has found names in the lists.
                let (hash, bytes) = unsafe { self::name(env, names, name, &mut scratch) }
                    .expect("names were checked");
                let share = core.cache.tags().count(hash, &bytes, since);
                let share = share.map_err(|cache_core::Busy| NoExtra::Busy)?;
                counted.push(share.ok_or(NoExtra::Superseded)?);
            }
        }
        Ok(Some(Box::new(Extra {
            idle,
            used_at: now.into(),
            stale_for,
            stale_if_error,
            tags: counted.into(),
        })))
    }
}

/// `None`: not lists of names; otherwise whether there are any.
unsafe fn has_names(
    env: *mut ErlNifEnv,
    tags: ErlNifTerm,
    dependencies: ErlNifTerm,
) -> Option<bool> {
    /// Names that one entry may carry, and bytes of them together.
    const MOST: u32 = 1000;
    const BYTES: usize = 64 * 1024;
    let mut count = 0;
    let mut bytes = 0;
    for list in [tags, dependencies] {
        let mut length = 0;
        // SAFETY: the caller's promise: the calling environment and its terms.
        unsafe {
            if enif_get_list_length(env, list, &mut length) == 0 || length > MOST {
                return None;
            }
            count += length;
            let mut rest = list;
            let mut name = ErlNifTerm::default();
            while enif_get_list_cell(env, rest, &mut name, &mut rest) != 0 {
                let (_, name) = self::name(env, Names::Tags, name, &mut Scratch::new())?;
                bytes += name.len();
                if bytes > BYTES {
                    return None;
                }
            }
        }
    }
    Some(count > 0)
}

/// Hash and bytes of a name: an atom, a binary, an integer, or `{external, Binary}` with the
/// deterministic external form of another term.
///
/// # Safety
/// `env` must be the calling environment and the term its.
pub unsafe fn name(
    env: *mut ErlNifEnv,
    names: Names,
    term: ErlNifTerm,
    scratch: &mut Scratch,
) -> Option<(u64, Vec<u8>)> {
    // SAFETY: the caller's promise.
    unsafe {
        let (term, is_external) = match tuple::<2>(env, term) {
            Some([tag, binary]) if tag == atoms::external().as_c_arg() => (binary, true),
            _ => (term, false),
        };
        let key = forms::Key::read(env, term, None, scratch).ok()?;
        Some(named(names, is_external, &key))
    }
}

/// Hash and bytes of the name that a key is: its sort, its form and whether it is the external
/// form of another term, then the key's bytes.
pub fn named(names: Names, is_external: bool, key: &forms::Key) -> (u64, Vec<u8>) {
    let mut bytes = Vec::with_capacity(key.bytes.len() + 2);
    bytes.extend([names as u8, key.form as u8 | u8::from(is_external) << 4]);
    bytes.extend_from_slice(key.bytes);
    let salt = u64::from(bytes[0]) << 1 | u64::from(is_external);
    let hash = key.hash ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash, bytes)
}

/// What [`named`] made: the sort's number, whether it is an external form, the key's form and
/// bytes.
pub fn name_parts(name: &[u8]) -> Option<(u8, bool, forms::Form, &[u8])> {
    let [sort, form, bytes @ ..] = name else {
        return None;
    };
    Some((
        *sort,
        form >> 4 != 0,
        forms::Form::from_number(form & 0xf),
        bytes,
    ))
}

/// `default`, `infinity` or milliseconds; `None` for other terms.
///
/// # Safety
/// `env` must be the calling environment and the term its.
pub unsafe fn time(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<Option<u64>> {
    const MOST: u64 = 1 << 48;
    if term == atoms::default().as_c_arg() {
        return Some(None);
    }
    if term == atoms::infinity().as_c_arg() {
        return Some(Some(u64::MAX));
    }
    let mut time = 0;
    // SAFETY: the caller's promise.
    let is_time = unsafe { enif_get_uint64(env, term, &mut time) } != 0;
    (is_time && time < MOST).then_some(Some(time))
}
