//! Circuit breakers: what they know is in `pool_core`, here are their terms, locks and clock.

mod settings;
mod watch;

use crate::atoms;
use crate::boundary::{make_integer, make_map, small, threads_foreseen};
use crate::clock;
use crate::owned::Owned;
use crate::registry::{Identified, Identity, Registry};
use crate::tried::{tried, Fault};
use histogram_core::meter::Meter;
use parking_lot::Mutex;
use pool_core::breaker::{
    Cause, Change, Counts, Entry, Gate, Left, Machine, Outcome, Report, StateName, Token,
};
use rustler::sys::*;
use rustler::types::atom::Atom;
use settings::milliseconds;
use std::hash::{BuildHasher, RandomState};
use std::mem::MaybeUninit;
use watch::Watch;

pub use watch::load;

struct Breaker {
    gate: Gate,
    inner: Mutex<Inner>,
    /// Calls that the machine need not know of: that have succeeded, and that were refused.
    succeeded: Meter,
    refused: Meter,
    /// What takes longer is slow.
    slow_call: u64,
    /// The machine's time 0.
    born: u64,
    /// What tokens are crossed with, so that those of one breaker are none of another.
    key: u64,
    /// What tells of a result what it is.
    outcome: Option<Owned>,
    identity: Identity,
}

struct Inner {
    machine: Machine,
    /// By whom the probes that are under way are made.
    watches: Vec<(u64, Watch)>,
}

impl Identified for Breaker {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

static BREAKERS: Registry<Breaker> = Registry::new(5, atoms::invalid_breaker);

impl Breaker {
    #[inline(always)]
    fn now(&self) -> u64 {
        clock::nanoseconds().saturating_sub(self.born)
    }

    /// Calls `body` with the machine. Also told is what has changed.
    fn ask<R>(&self, body: impl FnOnce(&mut Inner) -> R) -> Result<(R, Vec<Change>), Fault> {
        let mut inner = tried(|| self.inner.try_lock())?;
        if !inner.watches.is_empty() {
            inner.hear_of_ends(self.born);
        }
        let result = body(&mut inner);
        let ended = inner.ended();
        self.gate.set(&inner.machine);
        let changes = inner.machine.take_changes();
        drop(inner);
        drop(ended);
        Ok((result, changes))
    }

    /// A small integer for some years; afterwards one that is not.
    fn token(&self, token: Token) -> i64 {
        let word = match token {
            Token::Pass(began) => began << 1,
            Token::Probe(number) => number << 1 | 1,
        };
        (word ^ self.key).cast_signed()
    }

    fn token_of(&self, integer: i64) -> Token {
        let word = integer.cast_unsigned() ^ self.key;
        match word & 1 {
            0 => Token::Pass(word >> 1),
            _ => Token::Probe(word >> 1),
        }
    }
}

impl Inner {
    #[cold]
    fn hear_of_ends(&mut self, born: u64) {
        let mut ends: Vec<_> = self
            .watches
            .iter()
            .filter_map(|(number, watch)| Some((watch.ended()?, *number)))
            .collect();
        ends.sort_unstable();
        for (at, number) in ends {
            self.machine.lose(number, at.saturating_sub(born));
        }
    }

    /// The watches of probes that are over, to be dropped without the lock.
    #[inline]
    fn ended(&mut self) -> Vec<(u64, Watch)> {
        match self.watches.len() > self.machine.running() {
            true => self.take_ended(),
            false => Vec::new(),
        }
    }

    #[cold]
    fn take_ended(&mut self) -> Vec<(u64, Watch)> {
        let watches = std::mem::take(&mut self.watches);
        let is_running = |(number, _): &(u64, Watch)| self.machine.is_running(*number);
        let (running, ended) = watches.into_iter().partition(is_running);
        self.watches = running;
        ended
    }
}

/// The answer, and what has changed where something has.
///
/// # Safety
/// `env` must be the calling environment and `answer` a term of it.
unsafe fn answer(
    env: *mut ErlNifEnv,
    breaker: &Breaker,
    changes: &[Change],
    answer: ErlNifTerm,
) -> ErlNifTerm {
    if changes.is_empty() {
        return answer;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let (name, _) = breaker.identity.terms(env);
        let terms: Vec<_> = changes
            .iter()
            .map(|change| {
                let (from, to) = (state(change.from), state(change.to));
                let parts = [from, to, cause(change.cause)].map(|atom| atom.as_c_arg());
                let parts = [name, parts[0], parts[1], parts[2]];
                enif_make_tuple_from_array(env, parts.as_ptr(), 4)
            })
            .collect();
        let list = enif_make_list_from_array(env, terms.as_ptr(), terms.len() as u32);
        pair(env, list, answer)
    }
}

/// # Safety
/// `env` must be the calling environment and the terms its.
unsafe fn pair(env: *mut ErlNifEnv, first: ErlNifTerm, second: ErlNifTerm) -> ErlNifTerm {
    let parts = [first, second];
    // SAFETY: the caller's promise.
    unsafe { enif_make_tuple_from_array(env, parts.as_ptr(), 2) }
}

fn state(state: StateName) -> Atom {
    match state {
        StateName::Closed => atoms::closed(),
        StateName::Open => atoms::open(),
        StateName::HalfOpen => atoms::half_open(),
        StateName::Disabled => atoms::disabled(),
    }
}

fn cause(cause: Cause) -> Atom {
    match cause {
        Cause::Failures => atoms::failures(),
        Cause::FailureRate => atoms::failure_rate(),
        Cause::SlowRate => atoms::slow_rate(),
        Cause::Waited => atoms::waited(),
        Cause::ProbesSucceeded => atoms::probes_succeeded(),
        Cause::ProbesFailed => atoms::probes_failed(),
        Cause::Forced => atoms::forced(),
    }
}

unsafe fn new(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 4],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let is_fun = enif_is_fun(env, args[3]) != 0;
        let (Some(identity), Some(settings), true) = (
            Identity::read(env, args[0], args[1], |handle| BREAKERS.remove(handle)),
            settings::read(env, args[2]),
            is_fun || args[3] == atoms::none().as_c_arg(),
        ) else {
            return Ok(enif_make_badarg(env));
        };
        let outcome = match is_fun {
            true => Some(Owned::new(args[3]).ok_or(Fault::Wrong(atoms::system_limit()))?),
            false => None,
        };
        let [first_probe, seed, key] = [0, 1, 2].map(|nth| RandomState::new().hash_one(nth));
        let slow_call = settings.slow_call.unwrap_or(u64::MAX);
        let machine = Machine::new(settings, first_probe >> 24, seed);
        let breaker = Breaker {
            gate: Gate::new(&machine),
            inner: Mutex::new(Inner {
                machine,
                watches: Vec::new(),
            }),
            succeeded: Meter::new(threads_foreseen()),
            refused: Meter::new(threads_foreseen()),
            slow_call,
            born: clock::nanoseconds(),
            key: key >> 6,
            outcome,
            identity,
        };
        BREAKERS.add(env, breaker)
    }
}
tried_nif!("breaker_new", 4, new);

unsafe fn delete(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { BREAKERS.delete(env, args[0]) }
}
tried_nif!("breaker_delete", 1, delete);

unsafe fn whereis(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { BREAKERS.whereis(env, args[0]) }
}
tried_nif!("breaker_whereis", 1, whereis);

unsafe fn names(env: *mut ErlNifEnv, _args: &[ErlNifTerm; 0]) -> ErlNifTerm {
    // SAFETY: `env` is the calling environment.
    unsafe { BREAKERS.names(env) }
}
nif!("breaker_names", 0, DirtyCpu, names);

/// Asks to make a call, for a process, by default the calling one.
///
/// # Safety
/// `env` must be the calling environment and `breaker` a term of it.
#[inline(always)]
unsafe fn enter(
    env: *mut ErlNifEnv,
    breaker: ErlNifTerm,
    caller: Option<ErlNifPid>,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        BREAKERS.with(env, breaker, |breaker, section| {
            let now = breaker.now();
            match breaker.gate.enter(now) {
                Some(Entry::Pass(began)) => Ok(admitted(env, breaker, Token::Pass(began))),
                Some(Entry::Refused(left)) => {
                    breaker.refused.mark(section.thread(), 1);
                    Ok(refused(env, left))
                }
                _ => enter_machine(env, breaker, caller, now),
            }
        })?
    }
}

/// # Safety
/// As for [`enter`].
#[cold]
#[inline(never)]
unsafe fn enter_machine(
    env: *mut ErlNifEnv,
    breaker: &Breaker,
    caller: Option<ErlNifPid>,
    now: u64,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: the caller's promise.
    unsafe {
        let (entry, changes) = breaker.ask(|inner| {
            let entry = inner.machine.enter(now);
            if let Entry::Probe(number) = entry {
                let pid = caller.unwrap_or_else(|| own_pid(env));
                inner.watches.push((number, Watch::new(env, &pid)));
            }
            entry
        })?;
        let entered = match entry {
            Entry::Pass(began) => admitted(env, breaker, Token::Pass(began)),
            Entry::Probe(number) => admitted(env, breaker, Token::Probe(number)),
            Entry::Refused(left) => refused(env, left),
        };
        Ok(answer(env, breaker, &changes, entered))
    }
}

/// # Safety
/// `env` must be the calling environment.
unsafe fn own_pid(env: *mut ErlNifEnv) -> ErlNifPid {
    let mut pid = MaybeUninit::uninit();
    // SAFETY: the caller's promise; a process's own environment has its pid.
    unsafe {
        enif_self(env, pid.as_mut_ptr());
        pid.assume_init()
    }
}

/// # Safety
/// `env` must be the calling environment.
#[inline(always)]
unsafe fn admitted(env: *mut ErlNifEnv, breaker: &Breaker, token: Token) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let token = make_integer(env, breaker.token(token));
        match &breaker.outcome {
            None => token,
            Some(outcome) => pair(env, token, outcome.copy(env)),
        }
    }
}

/// # Safety
/// `env` must be the calling environment.
unsafe fn refused(env: *mut ErlNifEnv, left: Option<u64>) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe { pair(env, atoms::open().as_c_arg(), time(env, left)) }
}

/// # Safety
/// `env` must be the calling environment.
unsafe fn time(env: *mut ErlNifEnv, time: Option<u64>) -> ErlNifTerm {
    match time {
        // SAFETY: the caller's promise.
        Some(time) => unsafe { enif_make_uint64(env, milliseconds(time)) },
        None => atoms::infinity().as_c_arg(),
    }
}

unsafe fn enter_self(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe { enter(env, args[0], None) }
}
tried_nif!("breaker_enter", 1, enter_self);

unsafe fn enter_for(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    let mut pid = MaybeUninit::uninit();
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        if enif_get_local_pid(env, args[1], pid.as_mut_ptr()) == 0 {
            return Ok(enif_make_badarg(env));
        }
        enter(env, args[0], Some(pid.assume_init()))
    }
}
tried_nif!("breaker_enter", 2, enter_for);

unsafe fn leave(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 3],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    let outcome = match args[2] {
        term if term == atoms::ok().as_c_arg() => Outcome::Success,
        term if term == atoms::failure().as_c_arg() => Outcome::Failure,
        term if term == atoms::ignored().as_c_arg() => Outcome::Ignored,
        _ => return Err(Fault::Wrong(atoms::invalid_value())),
    };
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        let Some(token) = small(args[1]).or_else(|| large(env, args[1])) else {
            return Err(Fault::Wrong(atoms::invalid_token()));
        };
        BREAKERS.with(env, args[0], |breaker, section| {
            let token = breaker.token_of(token);
            let now = breaker.now();
            if let (Token::Pass(began), Outcome::Success) = (token, outcome) {
                let is_slow = now.saturating_sub(began) > breaker.slow_call;
                if !is_slow && breaker.gate.is_nothing(began, now) {
                    breaker.succeeded.mark(section.thread(), 1);
                    return Ok(atoms::ok().as_c_arg());
                }
            }
            let (left, changes) = breaker.ask(|inner| inner.machine.leave(token, outcome, now))?;
            let left = match left {
                Left::Counted => atoms::ok(),
                Left::Stale => atoms::stale(),
                Left::Unknown => atoms::invalid_token(),
            };
            Ok(answer(env, breaker, &changes, left.as_c_arg()))
        })?
    }
}
tried_nif!("breaker_leave", 3, leave);

/// # Safety
/// `env` must be the calling environment and `term` a term of it.
#[cold]
#[inline(never)]
unsafe fn large(env: *mut ErlNifEnv, term: ErlNifTerm) -> Option<i64> {
    let mut token = 0;
    // SAFETY: the caller's promise.
    let is_number = unsafe { enif_get_int64(env, term, &mut token) != 0 };
    is_number.then_some(token)
}

unsafe fn force(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 2],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    enum To {
        Reset,
        Closed,
        Open(Option<u64>),
        Disabled,
    }
    let to = match args[1] {
        term if term == atoms::reset().as_c_arg() => To::Reset,
        term if term == atoms::closed().as_c_arg() => To::Closed,
        term if term == atoms::disabled().as_c_arg() => To::Disabled,
        term if term == atoms::infinity().as_c_arg() => To::Open(None),
        term => match settings::time(term) {
            Some(time) => To::Open(Some(time)),
            None => return Err(Fault::Wrong(atoms::invalid_value())),
        },
    };
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        BREAKERS.with(env, args[0], |breaker, _| {
            let now = breaker.now();
            let (_, changes) = breaker.ask(|inner| {
                let machine = &mut inner.machine;
                match to {
                    To::Closed if machine.state() == StateName::Closed => {}
                    To::Closed | To::Reset => machine.reset(now),
                    To::Open(time) => machine.force_open(time, now),
                    To::Disabled => machine.disable(now),
                }
            })?;
            Ok(answer(env, breaker, &changes, atoms::ok().as_c_arg()))
        })?
    }
}
tried_nif!("breaker_force", 2, force);

unsafe fn current(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        BREAKERS.with(env, args[0], |breaker, _| {
            let now = breaker.now();
            let (report, changes) = breaker.ask(|inner| inner.machine.report(now))?;
            let state = state(report.state).as_c_arg();
            Ok(answer(env, breaker, &changes, state))
        })?
    }
}
tried_nif!("breaker_state", 1, current);

unsafe fn info(
    env: *mut ErlNifEnv,
    args: &[ErlNifTerm; 1],
    _is_dirty: bool,
) -> Result<ErlNifTerm, Fault> {
    // SAFETY: `env` is the calling environment and `args` its terms.
    unsafe {
        BREAKERS.with(env, args[0], |breaker, _| {
            let now = breaker.now();
            let ((report, memory), changes) =
                breaker.ask(|inner| (inner.machine.report(now), inner.machine.memory()))?;
            let memory = memory + size_of::<Breaker>();
            let info = described(env, breaker, &report, memory);
            Ok(answer(env, breaker, &changes, info))
        })?
    }
}
tried_nif!("breaker_info", 1, info);

/// # Safety
/// `env` must be the calling environment.
unsafe fn described(
    env: *mut ErlNifEnv,
    breaker: &Breaker,
    report: &Report,
    memory: usize,
) -> ErlNifTerm {
    // SAFETY: the caller's promise.
    unsafe {
        let number = |number: u64| enif_make_uint64(env, number);
        let numbers = |numbers: &[u64]| {
            let terms: Vec<_> = numbers
                .iter()
                .map(|&number| enif_make_uint64(env, number))
                .collect();
            enif_make_tuple_from_array(env, terms.as_ptr(), terms.len() as u32)
        };
        let Counts {
            total,
            ignored,
            refused,
            stale,
            lost,
            changes,
        } = report.counts;
        let succeeded = breaker.succeeded.total();
        let refused = refused.wrapping_add(breaker.refused.total());
        let window = match report.window {
            Some(tally) => numbers(&[tally.calls, tally.failures, tally.slow]),
            None => atoms::none().as_c_arg(),
        };
        let (name, owner) = breaker.identity.terms(env);
        let pairs = [
            (atoms::name(), name),
            (atoms::owner(), owner),
            (atoms::state(), state(report.state).as_c_arg()),
            (atoms::age(), number(milliseconds(report.age))),
            (atoms::failures_in_a_row(), number(report.failures.into())),
            (atoms::window(), window),
            (atoms::retry_after(), time(env, report.retry_after)),
            (atoms::probes(), numbers(&report.probes.map(u64::from))),
            (atoms::calls(), number(total.calls.wrapping_add(succeeded))),
            (atoms::failures(), number(total.failures)),
            (atoms::slow(), number(total.slow)),
            (atoms::ignored(), number(ignored)),
            (atoms::refused(), number(refused)),
            (atoms::stale(), number(stale)),
            (atoms::lost(), number(lost)),
            (atoms::transitions(), numbers(&changes)),
            (atoms::memory(), number(memory as u64)),
        ];
        make_map(env, pairs)
    }
}
