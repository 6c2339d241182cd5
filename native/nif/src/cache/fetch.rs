//! Compute once: who runs, who waits, and what may be served meanwhile. The waiting is the
//! door's; here is nothing that blocks.

use super::clock;
use super::core::{Core, Terms};
use super::handle::{self, with_core};
use super::key::with_key;
use super::waiters::{is_same, Waiters};
use crate::atoms;
use cache_core::flight::{Begin, Flights, Mark, Ticket};
use cache_core::stats::Counter;
use cache_core::threads::{self, Pin};
use cache_core::{Busy, Entry, Key, NEVER};
use parking_lot::Mutex;
use rustler::sys::*;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Instant;

pub type CacheFlights = Flights<ErlNifPid, Waiters>;

/// What the one who runs holds. If it goes before it has ended its flight, the flight is
/// abandoned.
pub struct Token {
    flights: Arc<CacheFlights>,
    ticket: Ticket,
    /// The clock of the tags when the flight began.
    pub since: u64,
    /// To count the load.
    cache: handle::Kept,
    began: Instant,
    /// Those who wait, once it has ended.
    ended: Mutex<Option<Waiters>>,
}

#[rustler::resource_impl]
impl Resource for Token {}

impl Token {
    /// # Safety
    /// `env` must be the calling environment and the term its.
    pub unsafe fn read(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<ResourceArc<Token>> {
        let lifetime = ();
        // SAFETY: the caller's promise.
        unsafe { Term::new(Env::new(&lifetime, env), term) }
            .decode()
            .ok()
    }

    pub fn mark(&self) -> &Mark {
        &self.ticket.mark
    }

    pub fn is_of(&self, core: &Core) -> bool {
        Arc::ptr_eq(&self.flights, &core.flights)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.ended.get_mut().is_none() {
            self.flights.abandon(self.ticket.id);
        }
    }
}

impl Core {
    /// Before a change of a key.
    pub fn supersede(&self, key: &Key) -> Result<(), Busy> {
        self.flights
            .supersede(key.hash, |stored| is_same_key(key, stored))
    }

    /// Before a change of all keys: a slice of the work, from this part of the flights on; the
    /// part to go on with.
    pub fn supersede_from(&self, part: usize) -> Option<usize> {
        /// Flights of one slice, near enough.
        const SLICE: usize = 2000;
        let mut count = 0;
        for part in part..self.flights.parts() {
            if count >= SLICE {
                return Some(part);
            }
            match self.flights.supersede_part(part, |_| true) {
                Ok(more) => count += more,
                Err(Busy) => return Some(part),
            }
        }
        None
    }
}

/// The bytes by which a flight knows its key: the form and the key's own.
fn stored_key(key: &Key) -> Box<[u8]> {
    let mut stored = Vec::with_capacity(key.bytes.len() + 1);
    stored.push(key.form);
    stored.extend_from_slice(key.bytes);
    stored.into()
}

fn is_same_key(key: &Key, stored: &[u8]) -> bool {
    stored.split_first().is_some_and(|(form, bytes)| {
        *form == key.form && (bytes == key.bytes || key.same.is_some_and(|is_same| is_same(bytes)))
    })
}

unsafe fn own_pid(env: *mut ErlNifEnv) -> ErlNifPid {
    let mut pid = MaybeUninit::uninit();
    // SAFETY: the caller's promise: the calling environment, of a process.
    unsafe {
        enif_self(env, pid.as_mut_ptr());
        pid.assume_init()
    }
}

/// A fresh value that is soon not to be: within `ahead` milliseconds.
fn is_ageing(entry: &Entry<Terms>, ahead: u64) -> bool {
    let expires = entry.expires();
    ahead != 0 && expires != NEVER && expires.saturating_sub(clock::now()) <= ahead
}

/// Who asks, and for what.
struct Question<'a> {
    env: *mut ErlNifEnv,
    core: &'a Core,
    pin: &'a Pin,
    /// The cache as it was given.
    cache: ErlNifTerm,
    after: Option<u64>,
    ahead: u64,
    /// A lock was busy before: the miss is counted.
    is_again: bool,
}

impl Question<'_> {
    /// # Safety
    /// The calling environment, and terms of it.
    unsafe fn begin(&self, key: &Key) -> Result<Begin<ErlNifPid>, Busy> {
        // SAFETY: the caller's promise.
        unsafe {
            self.core.flights.begin(
                key.hash,
                || stored_key(key),
                |stored| is_same_key(key, stored),
                own_pid(self.env),
                self.after,
                |runner| enif_is_process_alive(self.env, runner) == 0,
            )
        }
    }

    /// # Safety
    /// As [`Self::begin`].
    unsafe fn token(&self, ticket: Ticket) -> Option<ErlNifTerm> {
        let lifetime = ();
        // SAFETY: the caller's promise.
        unsafe {
            let token = ResourceArc::new(Token {
                flights: Arc::clone(&self.core.flights),
                ticket,
                since: self.core.cache.tags().clock(),
                cache: handle::Kept::new(self.env, self.cache, self.pin)?,
                began: Instant::now(),
                ended: Mutex::new(None),
            });
            Some(token.encode(Env::new(&lifetime, self.env)).as_c_arg())
        }
    }

    /// # Safety
    /// As [`Self::begin`].
    unsafe fn answer(&self, key: &Key) -> Option<ErlNifTerm> {
        let (core, pin) = (self.core, self.pin);
        // SAFETY: the caller's promise.
        unsafe {
            let fresh = if self.is_again {
                core.cache.peek(key, clock::now, pin)
            } else {
                core.cache.get(key, clock::now, pin)
            };
            if let Some(entry) = fresh {
                if is_ageing(entry, self.ahead) {
                    return Some(self.refresh(key, entry));
                }
                return Some(core.answer(self.env, entry));
            }
            if let Some(entry) = core.cache.peek_any(key, pin) {
                if entry.is_stale(clock::now(), false) {
                    core.cache.count(Counter::StaleHits, 1, pin);
                    return Some(self.refresh(key, entry));
                }
            }
            self.run_or_wait(key)
        }
    }

    /// Serves the entry, and makes the caller refresh it unless somebody does.
    ///
    /// # Safety
    /// As [`Self::begin`].
    unsafe fn refresh(&self, key: &Key, entry: &Entry<Terms>) -> ErlNifTerm {
        // SAFETY: the caller's promise.
        unsafe {
            let hit = self.core.answer(self.env, entry);
            let Ok(Begin::Run(ticket)) = self.begin(key) else {
                return hit;
            };
            if self.has_come(key, &ticket) {
                return hit;
            }
            match self.token(ticket) {
                Some(token) => {
                    let parts = [atoms::refresh().as_c_arg(), hit, token];
                    enif_make_tuple_from_array(self.env, parts.as_ptr(), 3)
                }
                None => hit,
            }
        }
    }

    /// Whether the value has come between the look at the cache and the beginning of the flight,
    /// which is over then.
    fn has_come(&self, key: &Key, ticket: &Ticket) -> bool {
        let found = self.core.cache.peek(key, clock::now, self.pin);
        found.is_some_and(|entry| !is_ageing(entry, self.ahead))
            && self.core.flights.cancel(ticket.id, Waiters::is_empty) == Ok(true)
    }

    /// # Safety
    /// As [`Self::begin`].
    unsafe fn run_or_wait(&self, key: &Key) -> Option<ErlNifTerm> {
        let env = self.env;
        // SAFETY: the caller's promise.
        unsafe {
            match self.begin(key).ok()? {
                Begin::Run(ticket) => {
                    if self.has_come(key, &ticket) {
                        return None; // to be found by asking again
                    }
                    let Some(token) = self.token(ticket) else {
                        return Some(enif_make_badarg(env));
                    };
                    let parts = [atoms::run().as_c_arg(), token];
                    Some(enif_make_tuple_from_array(env, parts.as_ptr(), 2))
                }
                Begin::Wait { runner, .. } if is_same(&runner, &own_pid(env)) => {
                    Some(atoms::recursive().as_c_arg())
                }
                Begin::Wait { runner, id } => {
                    let parts = [
                        atoms::wait().as_c_arg(),
                        enif_make_pid(env, runner),
                        enif_make_uint64(env, id),
                    ];
                    Some(enif_make_tuple_from_array(env, parts.as_ptr(), 3))
                }
            }
        }
    }
}

/// Arguments: cache, key, its external form, the flight whose runner died or 0, and how many
/// milliseconds before the end of its life a value is to be refreshed, or `default`.
unsafe fn cache_fetch(env: *mut ErlNifEnv, args: &[ErlNifTerm; 5]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { fetch(env, args, false) }
}
nif!("cache_fetch", 5, Normal, cache_fetch);

unsafe extern "C" fn fetch_again(
    env: *mut ErlNifEnv,
    _argc: i32,
    argv: *const ErlNifTerm,
) -> ErlNifTerm {
    // SAFETY: scheduled with five terms.
    crate::boundary::guarded(env, || unsafe { fetch(env, &*argv.cast(), true) })
}

unsafe fn fetch(env: *mut ErlNifEnv, args: &[ErlNifTerm; 5], is_again: bool) -> ErlNifTerm {
    let [cache, key, external, after, ahead] = *args;
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let (Some(after), Some(ahead)) = (number(env, after), super::options::time(env, ahead))
        else {
            return enif_make_badarg(env);
        };
        let answer = with_core(env, cache, |core, pin| {
            let question = Question {
                env,
                core,
                pin,
                cache,
                after: Some(after).filter(|after| *after != 0),
                ahead: ahead.unwrap_or(core.defaults.refresh_before),
                is_again,
            };
            let too_large = super::error(env, atoms::too_large());
            let mut is_busy = false;
            let answer = with_key!(env, key, external, too_large, |key: &Key| {
                let answer = question.answer(key);
                is_busy = answer.is_none();
                answer.unwrap_or(too_large)
            });
            (!is_busy).then_some(answer)
        });
        match answer {
            None => enif_make_badarg(env),
            Some(Some(answer)) => answer,
            Some(None) => {
                enif_consume_timeslice(env, 100);
                let name = c"cache_fetch".as_ptr();
                enif_schedule_nif(env, name, 0, fetch_again, 5, args.as_ptr())
            }
        }
    }
}

unsafe fn number(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<u64> {
    let mut number = 0;
    // SAFETY: the caller's promise: the calling environment and its term.
    (unsafe { enif_get_uint64(env, term, &mut number) } != 0).then_some(number)
}

/// A value that has expired and that may be served since none could be computed.
unsafe fn cache_stale(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        with_core(env, args[0], |core, pin| {
            let not_found = super::error(env, atoms::not_found());
            with_key!(env, args[1], args[2], not_found, |key: &Key| {
                let now = clock::now();
                let found = core.cache.peek_any(key, pin);
                match found.filter(|entry| entry.is_fresh(|| now) || entry.is_stale(now, true)) {
                    Some(entry) => {
                        core.cache.count(Counter::StaleHits, 1, pin);
                        core.answer(env, entry)
                    }
                    None => not_found,
                }
            })
        })
        .unwrap_or_else(|| enif_make_badarg(env))
    }
}
nif!("cache_stale", 3, Normal, cache_stale);

/// Arguments: cache, flight, alias.
unsafe fn cache_flight_join(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(flight) = number(env, args[1]).filter(|_| enif_is_ref(env, args[2]) != 0) else {
            return Some(enif_make_badarg(env));
        };
        with_core(env, args[0], |core, _| {
            let entered = core.flights.join(flight, |waiters| waiters.enter(args[2]));
            Some(match entered.ok()? {
                Some(true) => atoms::ok().as_c_arg(),
                Some(false) => super::error(env, atoms::system_limit()),
                None => atoms::ended().as_c_arg(),
            })
        })
        .unwrap_or_else(|| Some(enif_make_badarg(env)))
    }
}
retried_nif!("cache_flight_join", 3, Normal, cache_flight_join);

/// Arguments: cache, flight, alias.
unsafe fn cache_flight_leave(env: *mut ErlNifEnv, args: &[ErlNifTerm; 3]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(flight) = number(env, args[1]) else {
            return Some(enif_make_badarg(env));
        };
        with_core(env, args[0], |core, _| {
            let left = core.flights.leave(flight, |waiters| waiters.leave(args[2]));
            left.ok().map(|_| atoms::ok().as_c_arg())
        })
        .unwrap_or_else(|| Some(enif_make_badarg(env)))
    }
}
retried_nif!("cache_flight_leave", 3, Normal, cache_flight_leave);

/// The caller runs the flight of this token from now on.
unsafe fn cache_flight_adopt(env: *mut ErlNifEnv, args: &[ErlNifTerm; 1]) -> Option<ErlNifTerm> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(token) = Token::read(env, args[0]) else {
            return Some(enif_make_badarg(env));
        };
        let adopted = token.flights.adopt(token.ticket.id, own_pid(env)).ok()?;
        let answer = if adopted { atoms::ok() } else { atoms::ended() };
        Some(answer.as_c_arg())
    }
}
retried_nif!("cache_flight_adopt", 1, Normal, cache_flight_adopt);

/// Ends the flight; gives those who wait, some at a time. Arguments: token; `loaded`, `failed` or
/// `unused`.
unsafe fn cache_flight_end(env: *mut ErlNifEnv, args: &[ErlNifTerm; 2]) -> Option<ErlNifTerm> {
    /// Aliases of one answer.
    const MOST: usize = 1000;
    let counted = [
        (atoms::loaded(), Some(Counter::Loads)),
        (atoms::failed(), Some(Counter::LoadFailures)),
        (atoms::unused(), None),
    ];
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let counter = (counted.iter()).find(|(outcome, _)| outcome.as_c_arg() == args[1]);
        let (Some(token), Some((_, counter))) = (Token::read(env, args[0]), counter) else {
            return Some(enif_make_badarg(env));
        };
        let mut ended = token.ended.try_lock()?;
        let waiters = match &mut *ended {
            Some(waiters) => waiters,
            None => {
                let waiters = token.flights.end(token.ticket.id).ok()?;
                if let Some(counter) = counter {
                    token.count(*counter);
                }
                ended.insert(waiters.unwrap_or_default())
            }
        };
        let list = waiters.take(env, MOST);
        if !waiters.is_empty() {
            enif_consume_timeslice(env, 5);
        }
        Some(list)
    }
}
retried_nif!("cache_flight_end", 2, Normal, cache_flight_end);

impl Token {
    fn count(&self, counter: Counter) {
        let pin = threads::pin();
        if let Some(core) = self.cache.core(&pin) {
            let time = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            core.cache.count(counter, 1, &pin);
            core.cache.count(Counter::LoadTime, time, &pin);
        }
    }
}
