//! Creating a cache, and what is known of it.

use super::clock;
use super::core::{Core, Defaults};
use super::handle;
use super::options;
use crate::atoms;
use crate::owned::Owned;
use cache_core::policy::Kind;
use cache_core::stats::{Counter, WINDOWS};
use cache_core::{Bound, Cache, Config};
use rustler::sys::*;
use std::mem::MaybeUninit;

/// Reads the options of a new cache, a map in which the doors have put every one.
struct Options {
    env: *mut ErlNifEnv,
    map: ErlNifTerm,
}

impl Options {
    fn get(&self, key: rustler::Atom) -> Option<ErlNifTerm> {
        let mut value = ErlNifTerm::default();
        // SAFETY: made from a calling environment and a term of it.
        let found = unsafe { enif_get_map_value(self.env, self.map, key.as_c_arg(), &mut value) };
        (found != 0).then_some(value)
    }

    /// Milliseconds; 0 for `infinity`.
    fn time(&self, key: rustler::Atom) -> Option<u64> {
        // SAFETY: as above.
        match unsafe { options::time(self.env, self.get(key)?) }? {
            Some(u64::MAX) => Some(0),
            time => time,
        }
    }

    fn owned(&self, key: rustler::Atom, unless: rustler::Atom) -> Option<Option<Owned>> {
        let term = self.get(key)?;
        if term == unless.as_c_arg() {
            return Some(None);
        }
        // SAFETY: as above.
        unsafe { Owned::new(term) }.map(Some)
    }

    fn config(&self) -> Option<Config> {
        let named = |key, names: &[(rustler::Atom, usize)]| {
            let term = self.get(key)?;
            let found = names.iter().find(|(name, _)| name.as_c_arg() == term)?;
            Some(found.1)
        };
        let policies = [
            (atoms::s3_fifo(), Kind::S3Fifo),
            (atoms::lru(), Kind::Lru),
            (atoms::lfu(), Kind::Lfu),
            (atoms::fifo(), Kind::Fifo),
            (atoms::random(), Kind::Random),
        ];
        let bounds = [
            (atoms::entries(), Bound::Entries),
            (atoms::bytes(), Bound::Bytes),
            (atoms::weight(), Bound::Weight),
        ];
        let policy = named(atoms::policy(), &numbered(&policies))?;
        let bound = named(atoms::bound(), &numbered(&bounds))?;
        Some(Config {
            policy: policies[policy].1,
            bound: bounds[bound].1,
            capacity: self
                .time(atoms::capacity())
                .filter(|capacity| *capacity > 0)?,
            // `default` is no number.
            max_entry: self.time(atoms::max_entry()).unwrap_or(0),
            threads: crate::boundary::threads_foreseen(),
        })
    }

    fn heir(&self) -> Option<Option<(ErlNifPid, Owned)>> {
        let heir = self.get(atoms::heir())?;
        if heir == atoms::none().as_c_arg() {
            return Some(None);
        }
        // SAFETY: as above.
        unsafe {
            let [pid, data] = crate::boundary::tuple(self.env, heir)?;
            let mut local = MaybeUninit::uninit();
            if enif_get_local_pid(self.env, pid, local.as_mut_ptr()) == 0 {
                return None;
            }
            Some(Some((local.assume_init(), Owned::new(data)?)))
        }
    }

    fn core(&self) -> Option<Core> {
        let config = self.config()?;
        let defaults = Defaults {
            ttl: self.time(atoms::ttl())?,
            idle: self.time(atoms::idle())?,
            jitter: self
                .time(atoms::jitter())
                .filter(|percent| *percent <= 100)?,
            stale_for: self.time(atoms::stale_for())?,
            stale_if_error: self.time(atoms::stale_if_error())?,
            refresh_before: self.time(atoms::refresh_before())?,
        };
        // SAFETY: as above.
        let kept = unsafe { Owned::new(self.map) }?;
        Some(Core::new(
            Cache::new(config, clock::now()),
            defaults,
            kept,
            self.owned(atoms::store(), atoms::native())?,
            self.owned(atoms::weigher(), atoms::none())?,
            self.heir()?,
        ))
    }
}

fn numbered<T>(named: &[(rustler::Atom, T)]) -> Vec<(rustler::Atom, usize)> {
    let number = |(number, (name, _)): (usize, &(rustler::Atom, T))| (*name, number);
    named.iter().enumerate().map(number).collect()
}

/// On a dirty scheduler: a large cache begins with thousands of shards.
unsafe fn cache_new(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> Option<ErlNifTerm> {
    let options = Options { env, map: args[1] };
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let is_name = enif_is_atom(env, args[0]) != 0 && args[0] != atoms::undefined().as_c_arg();
        if !is_name || enif_is_map(env, args[1]) == 0 {
            return Some(enif_make_badarg(env));
        }
        let Some(core) = options.core() else {
            return Some(enif_make_badarg(env));
        };
        if !super::keeper::ensure() {
            return Some(super::error(env, atoms::system_limit()));
        }
        match handle::create(env, args[0], core) {
            Ok(Some(handle)) => Some(super::ok(env, handle)),
            Ok(None) => Some(super::error(env, atoms::exists())),
            Err(_) => None,
        }
    }
}
retried_nif!("cache_new", 2, DirtyCpu, cache_new);

/// A map that grows.
struct Map {
    env: *mut ErlNifEnv,
    map: ErlNifTerm,
}

impl Map {
    fn put(&mut self, key: rustler::Atom, value: ErlNifTerm) {
        self.put_term(key.as_c_arg(), value);
    }

    fn put_term(&mut self, key: ErlNifTerm, value: ErlNifTerm) {
        let mut map = ErlNifTerm::default();
        // SAFETY: made with the calling environment, and a map and terms of it.
        if unsafe { enif_make_map_put(self.env, self.map, key, value, &mut map) } != 0 {
            self.map = map;
        }
    }

    fn count(&mut self, key: rustler::Atom, count: u64) {
        // SAFETY: as above.
        let count = unsafe { enif_make_uint64(self.env, count) };
        self.put(key, count);
    }
}

/// The options as the cache was created with, and what it holds.
unsafe fn cache_info(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let described = handle::with_core(env, args[0], |core, pin| {
            let map = core.options.copy(env);
            let mut info = Map { env, map };
            if let Some((name, owner)) = handle::identity(env, args[0], pin) {
                info.put(atoms::name(), name);
                info.put(atoms::owner(), owner);
            }
            info.count(atoms::capacity(), core.cache.capacity());
            info.count(atoms::max_entry(), core.cache.max_entry());
            info.count(atoms::entries(), core.cache.entries());
            info.count(atoms::used(), core.cache.used());
            info.count(atoms::tags(), core.cache.tags().names_held() as u64);
            info.map
        });
        described.unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_info", 1, Normal, cache_info);

unsafe fn cache_stats(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let counted = handle::with_core(env, args[0], |core, _| {
            let mut stats = Map {
                env,
                map: enif_make_new_map(env),
            };
            let counters = [
                (atoms::hits(), Counter::Hits),
                (atoms::misses(), Counter::Misses),
                (atoms::stale_hits(), Counter::StaleHits),
                (atoms::inserts(), Counter::Inserts),
                (atoms::replacements(), Counter::Replacements),
                (atoms::refusals(), Counter::Refusals),
                (atoms::evicted(), Counter::Evicted),
                (atoms::expired(), Counter::Expired),
                (atoms::deleted(), Counter::Deleted),
                (atoms::invalidated(), Counter::Invalidated),
                (atoms::cleared(), Counter::Cleared),
                (atoms::loads(), Counter::Loads),
                (atoms::load_failures(), Counter::LoadFailures),
                (atoms::load_time(), Counter::LoadTime),
                (atoms::forgotten_reads(), Counter::ForgottenReads),
            ];
            for (name, counter) in counters {
                stats.count(name, core.cache.counted(counter));
            }
            stats.count(atoms::entries(), core.cache.entries());
            stats.count(atoms::used(), core.cache.used());
            // The keeper holds the lock for a moment only; without it the ratios are left out.
            if let Some(windows) = core.windows.try_lock() {
                let ratios = windows.ratios();
                let mut map = Map {
                    env,
                    map: enif_make_new_map(env),
                };
                for (seconds, ratio) in WINDOWS.iter().zip(ratios) {
                    let key = enif_make_uint64(env, *seconds);
                    let value = match ratio {
                        Some(ratio) => enif_make_double(env, ratio),
                        None => atoms::undefined().as_c_arg(),
                    };
                    map.put_term(key, value);
                }
                stats.put(atoms::hit_ratio(), map.map);
            }
            stats.map
        });
        counted.unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_stats", 1, Normal, cache_stats);
